"""Files where every worker of an Apache Beam runner sees them: on a file system that all machines
mount, or behind a URL such as gs://bucket/text.

Needs the extra `beam`. Beam knows the schemes: its extras `gcp`, `aws` and
`hadoop` bring gs://, s3:// and hdfs://.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from par.core import files
from par.core.errors import DataError, ResourceError
from par.data import own_text

COPIED_AT_ONCE = 1 << 20


class Stat(NamedTuple):
    """The part of an os.stat_result that this program uses."""

    st_size: int


@dataclasses.dataclass(frozen=True, order=True)
class Url:
    """A file behind a URL, to be read as a Path is."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last component."""
        return posixpath.basename(self.url)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens it to be read, as the bytes that it holds. Raises: OSError."""
        with _as_os_error():
            return FileSystems.open(self.url, compression_type=CompressionTypes.UNCOMPRESSED)

    def stat(self) -> Stat:
        """Its size. Raises: OSError."""
        with _as_os_error():
            return Stat(FileSystems.match([self.url])[0].metadata_list[0].size_in_bytes)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Turns errors of Beam and the libraries below it, whose text alone has the reason, into
    OSErrors."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "errno", None) or errno.EIO
        raise OSError(
            code,
            getattr(error, "strerror", None)
            or f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
        ) from None


def is_url(place: str) -> bool:
    """Whether a place is a URL, and no path of this machine."""
    return FileSystems.get_scheme(place) is not None


def at(place: str) -> Path | Url:
    """The file at a path or behind a URL."""
    return Url(place) if is_url(place) else Path(place)


def find(input_text: str) -> own_text.Found:
    """Text behind a URL, for `own_text.load`: a file, a directory (ending in /), or a glob.

    Raises: DataError if there is none.
    """
    pattern = f"{input_text}*.txt" if input_text.endswith("/") else input_text
    try:
        with _as_os_error():
            found = sorted(
                Url(metadata.path) for metadata in FileSystems.match([pattern])[0].metadata_list
            )
    except OSError as error:
        raise DataError(f"--input_text={input_text} can't be read ({error.strerror})") from None
    literal = input_text.split("*")[0].split("?")[0].split("[")[0]
    name = posixpath.basename(posixpath.dirname(literal)) or "text"
    if input_text.endswith("/"):
        return name, own_text.of_directory(
            input_text,
            [
                file
                for file in found
                if file.url == input_text + file.name and not own_text.is_hidden(file.name)
            ],
        )
    if not found:
        raise DataError(
            f"--input_text={input_text} does not exist: give the URL of a file, of a directory"
            " with / at its end, or a glob in quotes"
        )
    return (own_text.name_of(found[0].name) if literal == input_text else name), list(found)


@contextlib.contextmanager
def published(place: str) -> Iterator[Path]:
    """Yields a path of this machine; the file that is written there appears whole at `place` when
    the block ends: renamed, or sent to its URL."""
    if is_url(place):
        with tempfile.TemporaryDirectory(prefix="par-") as folder:
            yield (path := Path(folder, "file"))
            with (
                _as_os_error(),
                open(path, "rb") as source,
                FileSystems.create(place, compression_type=CompressionTypes.UNCOMPRESSED) as sink,
            ):
                shutil.copyfileobj(source, sink, COPIED_AT_ONCE)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        # no other worker has its name
        with tempfile.TemporaryDirectory(dir=os.path.dirname(place), prefix=".par-") as folder:
            yield (path := Path(folder, "file"))
            os.replace(path, place)


def read(place: str) -> bytes:
    """The content of a file. Raises: OSError."""
    with at(place).open("rb") as file:
        return file.read()


def write(place: str, content: bytes) -> None:
    """Writes a file with these bytes. Raises: OSError."""
    with published(place) as path:
        path.write_bytes(content)


def read_range(place: str, start: int, length: int) -> bytes:
    """Bytes of a file. Raises: OSError if it has fewer."""
    with at(place).open("rb") as file:
        file.seek(start)
        found = io.BytesIO()
        while (left := length - found.tell()) and (piece := file.read(left)):
            found.write(piece)
    if found.tell() < length:
        raise OSError(
            errno.EIO,
            f"it ends at byte {start + found.tell()}, before byte {start + length}",
            place,
        )
    return found.getvalue()


def fetch(place: str, path: Path, sha256: str) -> None:
    """Moves a file to a path of this machine. Raises: ResourceError if what came from a URL has
    another SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not is_url(place):
        os.replace(place, path)
        return
    with (
        files.replacing(path) as partial,
        open(partial, "wb") as sink,
        at(place).open("rb") as source,
    ):
        shutil.copyfileobj(source, sink, COPIED_AT_ONCE)
    if (found := files.sha256(path)) != sha256:
        raise ResourceError(
            f"{place} came with another SHA-256, {found}, than a worker wrote, {sha256}: run the"
            " same command again"
        )


def remove(place: str) -> None:
    """Removes a directory, if it exists."""
    if is_url(place):
        # a prefix of objects is deleted as the first, a directory as the second
        for spelled in (f"{place}/", place):
            with contextlib.suppress(OSError), _as_os_error():
                FileSystems.delete([spelled])
    else:
        shutil.rmtree(place, ignore_errors=True)
