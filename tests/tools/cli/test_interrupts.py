"""A signal while a tool imports its modules is one line and exit code 5."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys

import pytest

from par.tools.cli import interrupts
from project import ROOT, TOOLS

SENDS = "import par.tools, os, signal; os.kill(os.getpid(), {}); print('went on')"


def run(path, *prefix: str) -> subprocess.CompletedProcess:
    command = [*prefix, sys.executable, path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_imports_is_one_line(number, tmp_path):
    (tmp_path / "par-tool").write_text(SENDS.format(int(number)))
    done = run(tmp_path / "par-tool")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == f"error: {interrupts.INTERRUPTED}\n"


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    (tmp_path / "par-tool").write_text(SENDS.format(int(signal.SIGHUP)))
    done = run(tmp_path / "par-tool", "bash", "-c", "trap '' HUP; exec \"$@\"", "bash")
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_program_that_imports_a_tool_keeps_its_signals(tmp_path):
    (tmp_path / "other.py").write_text(SENDS.format(int(signal.SIGTERM)))
    assert run(tmp_path / "other.py").returncode == -signal.SIGTERM


def test_a_signal_after_the_imports_is_one_line_and_after_the_work_ends_the_process(tmp_path):
    program = (
        "from par.tools.cli.main import run_command\nfrom par.tools.cli.flags import Flags\n"
        "import os, signal\nsend = lambda _: os.kill(os.getpid(), signal.SIGHUP)\n"
        "print(run_command(Flags(''), send, []), flush=True)\nsend(0)"
    )
    (tmp_path / "par-tool").write_text(program)
    done = run(tmp_path / "par-tool")
    assert (done.returncode, done.stdout) == (-signal.SIGHUP, "5\n")
    assert done.stderr == f"error: {interrupts.INTERRUPTED}\n"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_prepares_for_signals_before_it_imports_anything_else(tool):
    tree = ast.parse((ROOT / "tools" / f"{tool}.py").read_text(encoding="utf-8"))
    first = next(
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and getattr(node, "module", "") != "__future__"
    )
    assert first.module == "par.tools.cli.main"
