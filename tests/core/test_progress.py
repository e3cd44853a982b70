"""Where there is no terminal, long work is a line now and then."""

from __future__ import annotations

import pytest

from par.core import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_at_most_every_ten_seconds_with_all_that_is_done(clock, capsys):
    with progress.Progress("encoding", "byte", 2_000, done=500) as tell:
        for second in (9.9, 10.0, 19.9, 20.0):
            clock[0] = second
            tell(100, "all well" if second < 15 else "")
    assert capsys.readouterr().err.splitlines() == [
        "encoding: 700 of 2,000 bytes all well",
        "encoding: 900 of 2,000 bytes",
    ]


def test_what_is_not_to_be_shown_says_nothing(clock, capsys):
    with progress.Progress("encoding", "byte", 2, shown=False) as tell:
        clock[0] = 100.0
        tell(1)
    assert capsys.readouterr() == ("", "")
