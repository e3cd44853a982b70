"""The signals that end long work, with what was done saved first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

# SIGHUP comes when a terminal or a connection is closed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def active_signals() -> tuple[signal.Signals, ...]:
    """SIGNALS but those that this process ignores, as under nohup, and is to ignore further."""
    return tuple(number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Blocks SIGNALS in this thread; those that come are handled when the block ends. Processes
    that are started in it inherit that: a new interpreter is not ready for signals."""
    received: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        # another thread may take the signal, and Python calls the handler in this one all the same
        before = {
            number: signal.signal(number, lambda number, _frame: received.append(number))
            for number in active_signals()
        }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # multiprocessing's own process, which SIGHUP would end; SIGINT and SIGTERM, which it
        # ignores, are no longer blocked when it has been started
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)
