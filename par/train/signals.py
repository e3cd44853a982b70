"""The signals that ask a run to stop: it saves its state first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

# SIGHUP comes when a terminal or a connection is closed; nohup makes the process ignore it.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects the numbers of the stop signals that come, in a list; the second one ends the
    process at once. A signal that this process ignores stays ignored."""
    received: list[int] = []

    def collect(number: int, _frame: Any) -> None:
        received.append(number)
        if len(received) > 1:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {
        number: signal.signal(number, collect)
        for number in STOPPING
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
