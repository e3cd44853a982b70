"""What a process can't say itself, another one says: that it took too long, and why it died."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from project import ROOT

# `PyDLL` keeps the interpreter to itself while it calls: no other Python code runs meanwhile.
LATE = """
import ctypes, sys
from par.core import watchdog
with watchdog.exiting_after(float(sys.argv[1]), "timed out: start again", sys.stderr):
    ctypes.PyDLL(None).usleep(int(1e6 * float(sys.argv[2])))
print("in time")
"""
ABORTED = """
import os, sys
from par.tools.cli.tensorflow import silenced_stderr
with silenced_stderr() as seen:
    os.write(2, b"noise\\n" * 2000 + b"F0000 check failed\\n")
    if sys.argv[1] == "abort":
        os.abort()
    print("seen", file=seen, flush=True)
"""


def run(program, *arguments):
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - begun


def test_a_process_that_a_library_blocks_ends_with_a_message_and_an_exit_code():
    code, out, err, seconds = run(LATE, "0.2", "60")
    assert (code, out, err) == (6, "", "error: timed out: start again\n") and seconds < 30


def test_what_ends_in_time_is_not_disturbed():
    assert run(LATE, "60", "0.1")[:3] == (0, "in time\n", "")


@pytest.mark.parametrize("end", ["abort", "return"])
def test_the_message_of_an_abort_is_shown_and_that_of_a_success_is_not(end):
    code, _, err, _ = run(ABORTED, end)
    if end == "abort":
        assert code == -6 and err.endswith("noise\nF0000 check failed\n") and len(err) <= 4_000
    else:
        assert (code, err) == (0, "seen\n")
