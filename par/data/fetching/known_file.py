"""A file known by its digest before it is there, and the partial file that becomes it.

data/raw/.NAME.partial   what has arrived, held by one process at a time; it outlives a kill
data/raw/NAME            appears when the digest is right, and is never replaced
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from par.core import files, locks
from par.core.errors import DataError
from par.core.progress import announce

ALGORITHMS = {"sha256": "SHA-256", "sha1": "SHA-1"}


@dataclasses.dataclass(frozen=True)
class Known:
    """A file known before it exists: name, size in bytes, digest `sha256:HEX` or `sha1:HEX`, URLs.

    Without `urls` it is only found in an archive or placed by hand; then the size may be an upper
    bound.
    """

    name: str
    size: int
    digest: str
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        algorithm, value = self.digest.split(":")
        return f"{ALGORITHMS[algorithm]} {value}"

    def differs(self, file: io.BufferedIOBase | io.RawIOBase) -> str:
        """How the digest of an open file differs, or ''."""
        algorithm, value = self.digest.split(":")
        file.seek(0)
        found = hashlib.file_digest(file, algorithm).hexdigest()
        return "" if found == value else f"its {ALGORITHMS[algorithm]} is {found}, not {value}"

    def misfit(self, path: Path) -> str:
        """Why the file at a path is not this one: both digests, or the error of reading it; '' if
        it is."""
        try:
            with open(path, "rb") as file:
                return self.differs(file)
        except OSError as error:
            return f"it can't be read ({error.strerror})"

    def check(self, path: Path) -> Path:
        """Returns the path. Raises: DataError, with both digests, if it holds another file or
        can't be read."""
        if misfit := self.misfit(path):
            raise DataError(
                f"{path} is another file than expected: {misfit}; move it away, or see"
                " data/README.md for what belongs there"
            )
        return path


@contextlib.contextmanager
def partial(path: Path, size: int) -> Iterator[io.FileIO]:
    """The open partial file of `path`, for appending, held by this process alone; while another
    one holds it, waits. Left empty, it is removed.

    Raises: ResourceError, naming the path and the `size` in bytes that it needs, if the disk takes
    no more.
    """
    try:
        with _held(path) as file:
            yield file
    except OSError as error:
        if error.errno in files.DISK_ERRORS:
            raise files.write_error(path, size, error) from None
        raise


@contextlib.contextmanager
def _held(path: Path) -> Iterator[io.FileIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = _partial_path(path)

    def announce_wait() -> None:
        announce(f"another process is getting {path}: waiting for it")

    with (
        locks.locked(place, on_wait=announce_wait) as descriptor,
        open(descriptor, "a+b", buffering=0, closefd=False) as file,
    ):
        try:
            yield file
        finally:
            if not size_of(file):
                place.unlink(missing_ok=True)


def keep(file: io.FileIO, path: Path) -> None:
    """Renames a complete partial file to its final name."""
    os.fsync(file.fileno())
    os.replace(_partial_path(path), path)


def write(file: io.FileIO, piece: bytes) -> None:
    """Appends the whole piece."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def clear(file: io.FileIO) -> None:
    """Empties the partial file."""
    if size_of(file):
        file.truncate(0)


def _partial_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def size_of(file: io.FileIO) -> int:
    """Bytes that the partial file holds."""
    return os.fstat(file.fileno()).st_size
