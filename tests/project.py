"""Where the project is, and what a finished command left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if path.stem != "__init__")


class Finished(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str


def tracked_files() -> list[Path]:
    """Files of the clone, those not yet added included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True)
    if listing.returncode:
        pytest.skip("not a git clone")
    return [
        path
        for name in listing.stdout.decode().split("\0")
        if name and (path := ROOT / name).is_file()
    ]


def started(program: str, *arguments: object, prefix: Sequence[str] = ()) -> subprocess.Popen:
    """A process that runs a Python program; prefix: what it is run by."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], object]) -> None:
    """Waits for what another process does."""
    for _ in range(3_000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def without(package: str, tool: str, *flags: str) -> Finished:
    """What a command ends with where a package can't be imported."""
    program = f"import sys; sys.modules[{package!r}] = None; from par.tools import {tool}"
    program += f"; sys.exit({tool}.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return Finished(done.returncode, done.stdout, done.stderr)


def refused(done: Finished, code: int, *words: str) -> None:
    """Nothing on stdout, and on stderr one line, an error with these words; the exit code."""
    assert (done.code, done.out) == (code, "") and done.err.startswith("error: "), done
    assert done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err, done.err
