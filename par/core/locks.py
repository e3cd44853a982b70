"""A lock on a file that ends with the process that holds it, however that process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class InUseError(OSError):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Holds an exclusive lock on the file at `path` and yields its descriptor, which appends.

    The file is created if it is missing. Its owner may rename or remove it: who waits then locks
    the file that has taken its place.
    on_wait: called before waiting for another owner; without it, there is no waiting.
    Raises: InUseError if another process holds the lock and `on_wait` is None; OSError if the file
    can't be created.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if on_wait is None:
                    raise InUseError(f"{path} is locked by another process") from None
                on_wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that lies at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
