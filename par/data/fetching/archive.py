"""Extracts the expected members of a zip archive. No path and no size that the archive states is
trusted."""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from par.core.errors import DataError, ParError
from par.core.progress import Progress
from par.data.fetching.known_file import Known, clear, keep, partial, write

PIECE = 1 << 20
# what zipfile raises for a damaged archive; an OSError where it seeks to a place before the file's
# start
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
    OSError,
)


def extract(archive: Path, prefix: str, members: Sequence[Known], folder: Path) -> None:
    """Writes each member PREFIX/NAME of the archive as `folder`/NAME, whole or not at all; an
    existing file is checked and kept.

    Raises: DataError if the archive is damaged, or a member is missing, occurs twice, is not a
    regular file, is too large or has another digest; ResourceError if the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in members:
                _extract(
                    packed,
                    _find(packed, f"{prefix}/{member.name}", member),
                    member,
                    Path(folder) / member.name,
                )
    except ParError:  # of the place, not of the archive; a DataError is a ValueError
        raise
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise DataError(
            f"archive {archive} can't be unpacked ({error}): move it away and run the same command"
            " again"
        ) from None
    except _Unexpected as error:
        raise DataError(f"archive {archive} is not what it should be: {error}") from None


class _Unexpected(Exception):
    """What is wrong with a member."""


def _find(packed: zipfile.ZipFile, name: str, member: Known) -> zipfile.ZipInfo:
    found = [info for info in packed.infolist() if info.filename == name]
    if len(found) != 1:
        raise _Unexpected(f"{name} occurs in it {len(found)} times")
    kind = stat.S_IFMT(found[0].external_attr >> 16)  # 0 where it was not made on Unix
    if kind not in (0, stat.S_IFREG):
        raise _Unexpected(f"{name} is not a regular file")
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Unexpected(f"{name} is packed by method {found[0].compress_type}")
    if found[0].file_size > member.size:
        raise _Unexpected(f"{name} has {found[0].file_size:,} bytes, more than {member.size:,}")
    return found[0]


def _extract(packed: zipfile.ZipFile, info: zipfile.ZipInfo, member: Known, path: Path) -> None:
    with partial(path, info.file_size) as file:
        if path.exists():
            member.check(path)
            return
        clear(file)  # what a killed process left
        try:
            with (
                packed.open(info) as source,
                Progress(f"unpacking {member.name}", "byte", info.file_size) as made,
            ):
                # at most info.file_size bytes in all, whatever the packed data would give
                while piece := source.read(PIECE):
                    write(file, piece)
                    made(len(piece))
            if difference := member.differs(file):
                raise _Unexpected(f"{info.filename} is another file: {difference}")
        except BaseException:
            clear(file)
            raise
        keep(file, path)
