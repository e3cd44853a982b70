"""A second process that watches this one where no Python code of it can run: while a native
library holds the interpreter, or after it has aborted the process.

The watching process waits at a pipe. It gets a byte when the watched block has ended, and the end
of the file when the watched process has died.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import IO, TextIO

from par.core.errors import ResourceError

REPLAYED_BYTES = 4_000  # the end of what a process had written before it died

_REPLAY = f"""
import os, sys
if not os.read(0, 1):
    captured = int(sys.argv[1])
    size = os.fstat(captured).st_size
    os.write(2, os.pread(captured, {REPLAYED_BYTES}, max(size - {REPLAYED_BYTES}, 0)))
"""
_LIMIT = """
import contextlib, os, select, signal, sys
process, seconds, seen, message = sys.argv[1:]
if not select.select([0], [], [], float(seconds))[0]:
    with contextlib.suppress(OSError):
        if os.fstat(2).st_nlink == 0:  # a temporary file that captures what is written meanwhile
            os.ftruncate(2, 0)
    os.write(int(seen), f"error: {message}\\n".encode())
    os.kill(int(process), signal.SIGABRT)
"""


@contextlib.contextmanager
def replaying(captured: IO[bytes], stderr: TextIO) -> Iterator[None]:
    """Writes the end of the file `captured` to `stderr` if this process dies within the block."""
    with _watching(_REPLAY, [str(captured.fileno())], stderr, [captured.fileno()]):
        yield


@contextlib.contextmanager
def exiting_after(seconds: float, message: str, stderr: TextIO) -> Iterator[None]:
    """Ends this process if the block takes longer: with `error: message` on `stderr`, and with the
    exit code of a ResourceError."""
    seen = stderr.fileno()
    arguments = [str(os.getpid()), str(seconds), str(seen), message]
    # The number of SIGABRT is that exit code, and a handler gets the number of its signal: no code
    # but the system's own runs.
    assert ResourceError.exit_code == signal.SIGABRT
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    before = libc.signal(signal.SIGABRT, ctypes.cast(libc._exit, ctypes.c_void_p))
    try:
        with _watching(_LIMIT, arguments, None, [seen]):
            yield
    finally:
        libc.signal(signal.SIGABRT, before)


@contextlib.contextmanager
def _watching(
    program: str, arguments: Sequence[str], stderr: TextIO | None, descriptors: Sequence[int]
) -> Iterator[None]:
    """Runs a program beside the block; without it, where the system starts no more processes."""
    watching = None
    with contextlib.suppress(OSError):
        watching = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=descriptors,
            start_new_session=True,  # signals of the terminal do not reach it
        )
    try:
        yield
    finally:
        if watching:
            with contextlib.suppress(OSError):  # it was killed
                watching.stdin.write(b".")
                watching.stdin.close()
            watching.wait()
