"""The signals that ask a run to stop: it saves its state first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from par.core.signals import active_signals


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

    before = {number: signal.signal(number, collect) for number in active_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
