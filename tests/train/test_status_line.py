"""The line of a training run: what it says at every width, that it settles, on a real
pseudo-terminal and where there is none."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

from par.core.metrics import LOSS_PER_TEXT, PERPLEXITY_PER_WORD
from par.train import status_line
from project import ROOT
from small import RATES, SHAPE, small_data

NETWORK = (*SHAPE, *RATES)
PI = np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]])
FIELDS = {
    "name": "6s",
    "step": "12,300/20,240",
    "speed": "1.9k tok/s",
    "left": "3:10 left",
    "loss": "loss 4.31",
    "figure": "ppl/word 912",
    "tau": "tau 0.42",
    "blocks": "a?d?ii",
}


def test_a_block_is_a_question_until_one_kind_has_half_of_its_probability():
    assert status_line.decided_blocks(PI) == "a?d"
    assert status_line.decided_blocks(np.array([[0.5, 0.5, 0.0], [0.499, 0.499, 0.002]])) == "a?"


def test_no_line_is_wider_than_there_is_room_and_what_is_needed_most_stays():
    assert (
        status_line.fitted(FIELDS)
        == "6s  12,300/20,240  1.9k tok/s  3:10 left  loss 4.31  ppl/word 912  tau 0.42  a?d?ii"
    )
    for columns in range(200):
        line = status_line.fitted(FIELDS, columns)
        assert len(line) <= columns
        assert all(part in FIELDS.values() for part in line.split("  ") if line)
    assert status_line.fitted(FIELDS, 79) == status_line.fitted(FIELDS).removeprefix(
        "6s  "
    )  # a terminal of 80 columns: all but what the run is called
    assert status_line.fitted(FIELDS, 39) == "6s  12,300/20,240  3:10 left  a?d?ii"
    assert status_line.fitted(FIELDS, 13) == "12,300/20,240"


def test_the_loss_is_the_mean_of_the_last_steps_and_perplexity_is_per_word():
    line = status_line.StatusLine("ad", 1000, 0, tokens_per_word=1.5, figure=PERPLEXITY_PER_WORD)
    for _ in range(100):
        line(10, status_line.Chunk(nll=10 * 32 * 7.0, tokens=320, seconds=0.1, look=lambda: None))
    assert "loss 7.00" in line.line() and f"ppl/word {math.exp(1.5 * 7):,.0f}" in line.line()
    for _ in range(50):
        line(10, status_line.Chunk(nll=10 * 32 * 4.0, tokens=320, seconds=0.1, look=lambda: None))
    mean = 4.0 + 3.0 * math.exp(-500 / status_line.HORIZON)
    assert f"loss {mean:.2f}" in line.line() and "3.2k tok/s" in line.line()


def test_the_first_chunk_whose_graph_is_traced_says_nothing_about_speed():
    line = status_line.StatusLine("ad", 1000, 0, 1.0, figure=PERPLEXITY_PER_WORD)
    line(10, status_line.Chunk(10.0, 320, 60.0, lambda: None))
    assert "tok/s" not in line.line() and "left" not in line.line()
    line(10, status_line.Chunk(10.0, 320, 0.1, lambda: None))
    assert "3.2k tok/s" in line.line() and " left" in line.line()


def test_the_network_is_not_looked_at_where_nothing_is_shown():
    def look():
        raise AssertionError("looked")

    line = status_line.StatusLine(
        "s", 1000, 0, 1.0, figure=PERPLEXITY_PER_WORD
    )  # the tests' stderr is not a terminal
    for _ in range(20):
        line(10, status_line.Chunk(10.0, 320, 0.1, look))


def test_without_a_terminal_a_line_comes_at_most_every_ten_seconds(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(status_line.time, "monotonic", lambda: now[0])
    for quiet in (False, True):
        line = status_line.StatusLine("s", 1000, 0, 1.0, figure=PERPLEXITY_PER_WORD, quiet=quiet)
        for _ in range(25):
            now[0] += 1.0
            line(10, status_line.Chunk(10.0 * 320, 320, 1.0, lambda: (0.5, PI)))
        shown = capsys.readouterr().err.splitlines()
        assert len(shown) == (0 if quiet else 2)
        if shown:
            assert (
                shown[0]
                == "s  100/1,000  320 tok/s  1:30 left  loss 10.00  ppl/word 22,026  tau 0.50  a?d"
            )


def test_a_loss_stands_once_where_it_is_the_figure():
    line = status_line.StatusLine("s", 1000, 0, 1.0, figure=LOSS_PER_TEXT)
    line(10, status_line.Chunk(10.0 * 320, 320, 1.0, lambda: (0.5, PI)))
    assert line.line().endswith("  loss 10.00  tau 0.50  a?d")


def test_a_vast_loss_makes_a_short_perplexity():
    line = status_line.StatusLine("s", 10, 0, 1.4, figure=PERPLEXITY_PER_WORD)
    line(1, status_line.Chunk(nll=5000.0, tokens=1, seconds=1.0, look=lambda: None))
    assert "ppl/word 1e3040" in line.line()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=30_000)


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_terminal(flags, *widths: int) -> tuple[int, list[str]]:
    """Runs train with stderr on a pseudo-terminal that is made as wide as the next of `widths`
    whenever it got two lines of speed; exit code, and what the terminal got at each width."""
    ours, theirs = pty.openpty()
    resize(ours, widths[0])
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools" / "train.py", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    got, end = [b""], time.monotonic() + 240
    while time.monotonic() < end:
        if select.select([ours], [], [], 1.0)[0]:
            try:
                got[-1] += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if len(got) < len(widths) and got[-1].count(b" left") >= 3:
                resize(ours, widths[len(got)])
                got.append(b"")
    os.close(ours)
    return process.wait(timeout=60), [part.decode() for part in got]


def drawn(text: str) -> list[str]:
    """The states of the line."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if re.search(r"\d/2,811", line)]


@pytest.mark.slow
def test_a_terminal_shows_one_line_that_fits_also_after_it_was_resized(tmp_path, data_dir):
    flags = [
        f"--data={data_dir}",
        f"--run={tmp_path / 'r'}",
        "--architecture=ssd",
        "--epochs=3",
        *NETWORK,
    ]
    widths = (200, 80, 40)
    code, parts = on_terminal(flags, *widths)
    text = "".join(parts)
    assert code == 0 and len(parts) == 3, text
    # what was announced; the line itself stays where it is, and has no colour
    assert text.count("\n") <= 3 and "\x1b" not in text
    # one may have been on its way when the size changed
    lines = [drawn(part)[at > 0 :] for at, part in enumerate(parts)]
    for columns, own in zip(widths, lines):
        assert len(own) >= 2 and all(len(line) < columns for line in own), own
    full = (
        r"ssd  [\d,]+/2,811  [\d.]+k? tok/s  [\d:]+ left  loss \d\.\d\d  ppl/word [\d.,]+  tau"
        r" [\d.]+  [adi?][adi?]d"
    )
    assert all(re.fullmatch(full, line) for line in [*lines[0][2:], *lines[1]]), lines
    assert all(
        re.search(r"[\d,]+/2,811  [\d:]+ left  [^ ]*.*[adi?][adi?]d$", line) for line in lines[2]
    ), lines


@pytest.mark.slow
def test_quiet_shows_nothing_on_a_terminal_and_in_a_pipe_but_errors_and_the_result(
    tmp_path, data_dir, run_tool
):
    flags = [
        f"--data={data_dir}",
        "--architecture=ssd",
        "--epochs=1",
        "--cutoffs=auto",
        *NETWORK,
        "--arch_lr=1e-3",  # no block is decided early: of that even --quiet warns
        "--quiet",
    ]
    assert on_terminal([*flags, f"--run={tmp_path / 'a'}"], 80) == (0, [""])
    done = run_tool("train", *flags, f"--run={tmp_path / 'b'}")
    assert (done.code, done.err) == (0, "") and done.out.endswith(
        f"done: 937 steps; run: {tmp_path / 'b'}\n"
    )
    other = run_tool("train", *flags, f"--run={tmp_path / 'b'}", "--epochs=2")
    assert other.code == 1 and other.err.startswith("error: ") and other.err.count("\n") == 1
    loud = run_tool("train", *flags[:-1], f"--run={tmp_path / 'b'}")
    assert loud.out == done.out.replace("done:", "already done:")  # not part of what a run is
