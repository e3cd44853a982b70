"""A lock on a file or directory that ends with the process that holds it, however that dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class InUseError(OSError):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(
    path: Path,
    make: Callable[[Path], int],
    on_wait: Callable[[], None] | None = None,
) -> Iterator[int]:
    """Holds an exclusive lock on the file or directory that `make` opens at `path`; yields its
    file descriptor.

    make: opens the path, or creates it first, and returns a descriptor. It is called again when
    the locked file is no longer the one at `path`: its last owner has renamed or removed it.
    on_wait: called before waiting for another owner; without it, there is no waiting.
    Raises: InUseError if another process holds the lock and `on_wait` is None; what `make` raises.
    """
    while True:
        descriptor = make(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if on_wait is None:
                    raise InUseError(f"{path} is locked by another process") from None
                on_wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that lies at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
