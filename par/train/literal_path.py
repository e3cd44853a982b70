"""Paths that TensorFlow reads as what they are.

TensorFlow takes the path of a checkpoint that it reads as a pattern of file names: with `[...]` or
a backslash in it, no file is found, or another directory's. Writing takes it literally.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from par.core.errors import ResourceError

SPECIAL = frozenset("*?[]{}\\")
PLACES = ("/tmp", "/var/tmp")  # for the link, where TMPDIR is a pattern or not writable


def is_literal(path: Path | str) -> bool:
    """Whether a path holds no character that a pattern of file names gives a meaning."""
    return not SPECIAL & set(str(path))


def tensorflow_reads(path: Path | str) -> bool:
    """Whether TensorFlow finds a file at a path that it takes as a pattern: the characters * and ?
    match themselves, and braces have no meaning to it."""
    return not {"[", "\\"} & set(str(path))


@contextlib.contextmanager
def literal_path(directory: Path) -> Iterator[Path]:
    """Yields a path of an existing directory that holds no character of a pattern: its own, or a
    temporary symbolic link to it.

    Raises: ResourceError if no link can be made.
    """
    if is_literal(directory):
        yield directory
        return
    with contextlib.ExitStack() as held:
        try:
            link = _place(held) / "directory"
            link.symlink_to(os.path.abspath(directory), target_is_directory=True)
        except OSError as error:
            raise ResourceError(
                f"TensorFlow reads {directory} only through a temporary link, which can't be made"
                f" ({error.strerror}): name a directory that can be written by TMPDIR, without"
                f" {' '.join(sorted(SPECIAL))} in its path"
            ) from None
        yield link


def _place(held: contextlib.ExitStack) -> Path:
    """A new temporary directory whose path is literal. Raises: OSError if there is none."""
    failure = OSError(errno.EACCES, os.strerror(errno.EACCES))
    for parent in (tempfile.gettempdir(), *PLACES):
        if is_literal(parent):
            try:
                return Path(held.enter_context(tempfile.TemporaryDirectory(dir=parent)))
            except OSError as error:
                failure = error
    raise failure
