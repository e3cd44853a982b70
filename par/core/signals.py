"""The signals that end long work, with what was done saved first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker

# SIGHUP comes when a terminal or a connection is closed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def active_signals() -> tuple[signal.Signals, ...]:
    """SIGNALS but those that this process ignores, as under nohup, and is to ignore further."""
    return tuple(number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Blocks SIGNALS in this thread. Processes that are started in the block inherit that: a new
    interpreter is not ready for signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # multiprocessing's own process, which SIGHUP would end; SIGINT and SIGTERM, which it
        # ignores, are no longer blocked when it has been started
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
