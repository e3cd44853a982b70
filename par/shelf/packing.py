"""The archive of an entry: a tar file that follows from the names and contents of its files.

For each file in order a header of 512 bytes, the content, and zeros up to a multiple of 512; at
the end 1,024 zeros. Owner, time and mode are the same for all, so that equal files give equal
bytes. Nothing is compressed: what is unpacked is smaller than what was downloaded.

An archive is not parsed. The header of each file is made again from the entry, and must be the one
that is there: a link, a device, another path, a file that is not named or is there twice all have
another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from par.core.errors import DataError
from par.core.progress import Progress
from par.shelf.entry import File

BLOCK = 512
END = bytes(2 * BLOCK)
Source = tuple[str, Path | bytes]  # a file's name in the archive, and where or what it is
PIECE = 1 << 20
TYPES = {
    tarfile.REGTYPE: "a file",
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a directory",
}


def archive_size(files: Iterable[File]) -> int:
    """The bytes of the archive of these files."""
    return sum(BLOCK + file.size + _padding(file.size) for file in files) + len(END)


def pack(sources: Sequence[Source], archive: BinaryIO | io.RawIOBase) -> tuple[File, ...]:
    """Writes the archive of these files, each from a path or with a content of its own, in this
    order. Raises: DataError if one changes meanwhile."""
    found = []
    for name, source in sources:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            archive.write(_header(name, size))
            digest = _copy(stream, size, archive.write)
            if digest is None or stream.read(1):
                raise DataError(f"{source} has changed while it was read: run the command again")
        archive.write(bytes(_padding(size)))
        found.append(File(name, size, digest))
    archive.write(END)
    return tuple(found)


def listed(sources: Sequence[Source]) -> tuple[File, ...]:
    """The files of an archive of these, without writing it. Raises: as `pack` does."""
    return pack(sources, _Nowhere())


class _Nowhere(io.RawIOBase):
    """Takes what is written, and keeps nothing."""

    def write(self, content: bytes) -> int:
        return len(content)


def unpack(archive: Path, files: Sequence[File], folder: Path | None) -> None:
    """Writes the files of an archive below an empty directory. None: only compares them.

    Raises: DataError, naming what is there and what should be, at the first difference.
    """
    with (
        open(archive, "rb") as stream,
        Progress(f"unpacking {archive.name}", "byte", archive_size(files)) as made,
    ):
        for file in files:
            _check_header(stream.read(BLOCK), file, archive)
            with contextlib.ExitStack() as stack:
                write: Callable[[bytes], object] = len  # of nothing
                if folder is not None:
                    path = folder / file.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write = stack.enter_context(open(path, "xb")).write
                digest = _copy(stream, file.size, write)
            if digest is None:
                raise DataError(f"archive {archive} ends inside {file.name}")
            if digest != file.sha256:
                raise DataError(
                    f"archive {archive}: {file.name} has SHA-256 {digest}, not {file.sha256}"
                )
            if any(stream.read(_padding(file.size))):
                raise DataError(f"archive {archive} has something behind {file.name}")
            made(BLOCK + file.size + _padding(file.size))
        if stream.read(len(END) + 1) != END:
            raise DataError(f"archive {archive} has something behind its {len(files)} files")


def _padding(size: int) -> int:
    return -size % BLOCK


def _header(name: str, size: int) -> bytes:
    made = tarfile.TarInfo(name)
    made.size = size
    return made.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _check_header(header: bytes, file: File, archive: Path) -> None:
    if header != _header(file.name, file.size):
        raise DataError(
            f"archive {archive} has {_described(header, file)} where {file.name} of"
            f" {file.size:,} bytes should be: nothing of it is used"
        )


def _described(header: bytes, file: File) -> str:
    """A header of any tar file that is not the one of `file`, in words."""
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
    except tarfile.HeaderError:
        return "nothing" if not any(header) else "something else than a file"
    kind = TYPES.get(found.type, "something else than a file")
    if kind == TYPES[tarfile.REGTYPE] and (found.name, found.size) == (file.name, file.size):
        kind = "with another owner, time, mode or format a file"
    return f"{kind} {found.name[:120]!r} of {found.size:,} bytes"


def _copy(source: BinaryIO, size: int, write: Callable[[bytes], object]) -> str | None:
    """Copies `size` bytes and returns their SHA-256; None if there are fewer."""
    digest = hashlib.sha256()
    while size:
        piece = source.read(min(PIECE, size))
        if not piece:
            return None
        digest.update(piece)
        write(piece)
        size -= len(piece)
    return digest.hexdigest()
