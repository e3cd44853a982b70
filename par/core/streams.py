"""Standard streams that do not end the work: a closed one becomes the null device, and what is
written to stderr is dropped once its reader is gone."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO

NAMES = ("stdin", "stdout", "stderr")  # by file descriptor


class OutputError(OSError):
    """Stdout takes no more bytes: its reader is gone (EPIPE), or the disk behind it is full."""


class _Whole(io.FileIO):
    """A file descriptor that writes all it is given, also where writing does not block."""

    def write(self, data: Any) -> int:
        """Writes all bytes, waiting where the descriptor takes no more; returns their number."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            written = super().write(rest)
            if written is None:
                select.select([], [self], [])
            else:
                rest = rest[written:]
        return size


class _Lossy(_Whole):
    """Drops what is written once writing fails: a reader of progress that has left must not end
    the work that it read about."""

    def write(self, data: Any) -> int:
        """Writes all bytes, or, once that fails, drops these and all later ones."""
        try:
            return super().write(data)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(memoryview(data).cast("B"))


class _Result(_Whole):
    """Tells a failure of stdout from one of any other file or pipe."""

    def write(self, data: Any) -> int:
        """Writes all bytes. Raises: OutputError."""
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from None


def protect() -> None:
    """Prepares the standard streams of this process, once: opens those that are closed, makes
    stderr lossy, and lets stdout raise OutputError. Streams that another program has put in their
    place (pytest, a notebook) stay."""
    open_missing()
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _wrapped(sys.stderr, _Lossy)
    if sys.stdout is sys.__stdout__:
        sys.stdout = sys.__stdout__ = _wrapped(sys.stdout, _Result)


def open_missing() -> None:
    """Opens the null device in place of standard streams that are closed. Otherwise the next file
    that is opened gets the number of stderr, and libraries write their messages into it."""
    for number, name in enumerate(NAMES):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  it stays
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def lossy(descriptor: int) -> TextIO:
    """A text stream that owns a file descriptor and drops what is written once that fails."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(descriptor, "w")),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def _wrapped(stream: Any, kind: type[_Whole]) -> Any:
    """`stream`, a text stream of the interpreter, over a descriptor of `kind`; as it is if it is
    that already, or not a file."""
    if not isinstance(stream, io.TextIOWrapper) or isinstance(
        getattr(stream.buffer, "raw", stream.buffer), kind
    ):
        return stream
    stream.flush()
    raw = kind(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
