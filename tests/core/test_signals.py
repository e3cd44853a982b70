"""SIGHUP stops work as SIGTERM does, but not under nohup; processes inherit blocked signals."""

from __future__ import annotations

import signal
import subprocess
import sys

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


def test_a_failure_while_signals_are_blocked_frees_them():
    with pytest.raises(ValueError), signals.blocked():
        raise ValueError
    assert not set(signals.SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ())
