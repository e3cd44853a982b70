"""SIGHUP stops work as SIGTERM does, but not under nohup; processes inherit blocked signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from par.core import signals


def test_a_dropped_connection_stops_the_work_unless_that_is_ignored(monkeypatch):
    assert signals.active_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signals.active_signals() == (signal.SIGINT, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_process_that_starts_while_signals_are_blocked_inherits_that():
    program = (
        "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))))"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with signals.blocked():
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == f"{sorted(map(int, signals.SIGNALS))}\n"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_signal_that_another_thread_takes_waits_until_the_block_ends():
    received, before = [], signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, lambda number, _frame: received.append(number))
    try:
        with signals.blocked():
            other = threading.Thread(target=take_signal, args=(signal.SIGHUP,))
            other.start()
            other.join()
            assert received == []
        assert received == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)


def take_signal(number: int) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    signal.pthread_kill(threading.get_ident(), number)


def test_a_failure_while_signals_are_blocked_frees_them():
    with pytest.raises(ValueError), signals.blocked():
        raise ValueError
    assert not set(signals.SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ())
