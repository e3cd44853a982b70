"""Files and directories: written whole or not at all, read within bounds, hashed."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from par.core import locks
from par.core.errors import DataError, ResourceError, UsageError

DISK_ERRORS = {  # why a write fails, and what helps
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EROFS: "make the file system writable",
    errno.EIO: "check the disk",
}
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_error(path: Path, size: int, error: Exception, kept: str = "") -> ResourceError:
    """The error to raise where `size` bytes could not be written to `path`: the system's reason,
    the bytes needed and free, what is `kept`, and what helps.

    error: an OSError, or TensorFlow's, whose text holds the system's reason.
    """
    code = getattr(error, "errno", None) or next(
        (code for code in DISK_ERRORS if os.strerror(code) in str(error)), None
    )
    reason = os.strerror(code) if code else str(error).splitlines()[0]
    there = next(parent for parent in Path(os.path.abspath(path)).parents if parent.is_dir())
    need = f"it needs {size:,} bytes, " if size else ""
    need += f"{shutil.disk_usage(there).free:,} are free"
    remedy = DISK_ERRORS.get(code, "make it writable")
    return ResourceError(
        f"can't write {path} ({reason}; {need}){kept}: {remedy} and run the same command again"
    )


def check_space(directory: Path, size: int) -> None:
    """Checks that the disk of a directory has `size` bytes left. Raises: ResourceError."""
    if shutil.disk_usage(directory).free < size:
        raise write_error(directory, size, OSError(errno.ENOSPC, ""))


@contextlib.contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which is renamed to `path` when the block ends and
    removed if it fails.

    Raises: ResourceError if the disk is full; its message names `size`, the bytes needed, or if
    that is 0 the bytes that had been written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise write_error(
                path, size or (partial.stat().st_size if partial.is_file() else 0), error
            ) from None
        if str(error.filename) == str(partial):
            # a message names the file that the user knows
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def building(root: Path, mark: str, flag: str) -> Iterator[Path]:
    """Yields an empty directory beside `root` that replaces it if it holds the file `mark` when
    the block ends. Until then `root` stays as it was, and no other process can build it.

    What a killed build left behind is removed, and the directory that it had moved aside is
    restored. flag: the name of the flag that gives `root`.
    Raises: UsageError if `root` can't be written or replaced, or if another process builds it;
    ResourceError if the disk is full.
    """
    root = root.resolve()
    if not (root / mark).exists():  # else it may be what is to be built
        refuse_mount_point(root, flag)
    missing = [path for path in root.parents if not path.exists()]
    partial, old, lock = (
        root.parent / f".{root.name}.{what}" for what in ("partial", "old", "lock")
    )
    with contextlib.ExitStack() as stack:
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.locked(lock))
            stack.callback(_remove_build, root, partial, old, lock, missing)
            if old.exists() and not root.exists():
                old.rename(root)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        except locks.InUseError:
            raise UsageError(
                f"--{flag} {root} is being built by another process: wait for it, or give another"
                f" --{flag}"
            ) from None
        except OSError as error:
            if error.errno in DISK_FULL:
                raise write_error(root, 0, error) from None
            raise UsageError(
                f"--{flag} {root} can't be written ({error.strerror}: {error.filename}): give"
                f" another --{flag}"
            ) from None
        try:
            yield partial
            if (partial / mark).exists():
                if root.exists():
                    root.rename(old)
                partial.rename(root)
        # the partial directory is removed: a message names the one that the user knows
        except ResourceError as error:
            raise ResourceError(str(error).replace(str(partial), str(root))) from None


def _remove_build(root: Path, partial: Path, old: Path, lock: Path, made: Sequence[Path]) -> None:
    """Removes what a build made beside `root`, and the parent directories `made` if they are
    empty; restores `root` if it was moved aside and not replaced."""
    if old.exists() and not root.exists():
        old.rename(root)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(partial, ignore_errors=True)
    lock.unlink(missing_ok=True)
    for directory in made:
        with contextlib.suppress(OSError):  # not empty, or gone
            directory.rmdir()


def beside(directory: str | Path, suffix: str) -> Path:
    """The default place of what is made from a directory: `logs/RUN-derived` for `logs/RUN`, and
    for `.` inside that, too."""
    path = Path(directory)
    if path.name in ("", ".."):
        path = path.resolve()
    return path.with_name(f"{path.name}-{suffix}")


def is_mount_point(path: Path) -> bool:
    """Whether an absolute path is a mount point, which can't be renamed. Linux lists bind mounts
    of the same file system too, which `os.path.ismount` does not see."""
    if os.path.ismount(path):
        return True
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", "rb") as mounts:
        # spaces and the like are written in octal: \040
        places = [re.sub(rb"\\(\d{3})", _octal, line.split(b" ")[4]) for line in mounts]
        return os.fsencode(path) in places
    return False


def _octal(code: re.Match[bytes]) -> bytes:
    return bytes([int(code[1], 8)])


def check_replaceable(
    path: Path, mark: str, own: Collection[str], overwrite: bool, flag: str
) -> None:
    """For a directory that `building` makes later. mark: a file by which one of its kind is known;
    own: patterns of all files that one of its kind has; flag: the one that names it.

    Raises: UsageError if something else is there, or one of its kind that must not be overwritten,
    or that holds other files, too; what `check_writable` raises.
    """
    path = Path(path)
    refuse_mount_point(path, flag)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        check_writable(path / mark)
        return
    if not (path / mark).is_file():
        raise UsageError(
            f"--{flag} {path} exists and has no {mark}, so it is not overwritten: give another"
            " directory"
        )
    names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if not each.is_dir())
    foreign = [name for name in names if not any(fnmatch.fnmatch(name, each) for each in own)]
    if foreign:
        raise UsageError(
            f"--{flag} {path} also holds {foreign[0]}, which would be lost: move it, or give"
            " another directory"
        )
    if not overwrite:
        raise UsageError(
            f"--{flag} {path} exists already: give another directory, or --overwrite to replace it"
        )
    check_writable(path.with_name(f".{path.name}"))


def refuse_mount_point(path: Path, flag: str) -> None:
    """Raises: UsageError for a directory that can't be renamed, as a build does at its end."""
    if is_mount_point(Path(path).resolve()):
        raise UsageError(
            f"--{flag} {path} is a mount point, which can't be replaced: give a directory inside"
            " it"
        )


def check_writable(path: Path) -> None:
    """Checks that a file can be written at `path`, for work that writes it late: makes a temporary
    file in the nearest directory that exists.

    Raises: ResourceError if the disk is full; OSError that names `path` for any other reason.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    there = next(
        parent for parent in Path(os.path.abspath(path)).parents if os.path.lexists(parent)
    )
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise write_error(path, 0, error) from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes atomically."""
    with replacing(path, len(content)) as partial:
        partial.write_bytes(content)


def _encoded(path: Path, text: str) -> bytes:
    """The text as UTF-8. Raises: UsageError for a lone surrogate, by which Python shows a file's
    name that is not UTF-8."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = text[max(error.start - 40, 0) : error.end + 40]
        raise UsageError(
            f"{path} can't hold {around!r}, which is not UTF-8: give files and directories UTF-8"
            " names"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_bytes(path, _encoded(path, text))


def append_text(path: Path, text: str) -> None:
    """Appends UTF-8 text, all of it or nothing, without buffering. Raises: ResourceError if it
    can't be written."""
    path, content = Path(path), _encoded(path, text)
    before = path.stat().st_size if path.is_file() else 0
    try:
        with open(path, "ab") as file:
            file.write(content)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, before)
        raise write_error(path, len(content), error) from None


def read_bytes(path: Path, what: str, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes. Raises: DataError if it is missing, can't be
    read, or is larger; `what` names the artefact in the message."""
    content = bytearray()
    try:
        with open(path, "rb") as file:
            # read(limit) allocates all of it
            while len(content) <= limit and (
                piece := file.read(min(1 << 20, limit + 1 - len(content)))
            ):
                content += piece
    except FileNotFoundError:
        raise DataError(f"{what} {path} does not exist") from None
    except OSError as error:
        raise DataError(f"{what} {path} can't be read ({error.strerror})") from None
    if len(content) > limit:
        raise DataError(f"{what} {path} has more than the {limit} bytes that such a file can have")
    return bytes(content)
