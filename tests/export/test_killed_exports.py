"""An export that is killed half-way leaves what was there before, and the next one is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from built import contents
from par.export.formats import FORMATS
from project import ROOT
from shipped_run import require

pytestmark = pytest.mark.slow  # each starts the command in a process of its own, and again

SECONDS = 240


def stopped(number: int, run, out, formats, *flags: str) -> tuple[int, str]:
    """Sends a signal to an export when the first of several formats is written; returns its exit
    code and what it said."""
    command = [sys.executable, str(ROOT / "tools" / "export.py"), f"--run={run}"]
    command += [f"--output={out}", "--format", *formats, *flags]
    first, second = (out.parent / f".{out.name}.partial" / name for name in formats)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as export:
        try:
            end = time.monotonic() + SECONDS
            while not ((first / "README.md").is_file() and second.is_dir()):
                assert export.poll() is None and time.monotonic() < end, export.stderr.read()
                time.sleep(0.005)
            export.send_signal(number)
            _, err = export.communicate(timeout=SECONDS)
        finally:
            export.kill()
    return export.returncode, err


def visible(directory) -> list[str]:
    return [path.name for path in directory.iterdir() if not path.name.startswith(".")]


def test_the_export_after_one_that_was_killed_is_whole_and_nothing_else_is_left(
    made, call, tmp_path
):
    out, formats = tmp_path / "out", ("safetensors", "savedmodel")
    code, _ = stopped(signal.SIGKILL, made.causal, out, formats)
    assert code == -signal.SIGKILL and visible(tmp_path) == []
    done = call("export", f"--run={made.causal}", f"--output={out}", "--format", *formats)
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for name in formats:
        assert (out / name / FORMATS[name].mark).is_file() and (out / name / "README.md").is_file()


def test_an_export_that_is_being_replaced_stays_until_the_new_one_is_whole(made, call, tmp_path):
    require("ai_edge_litert", extra="litert")
    out = tmp_path / "out"
    flags = (f"--run={made.causal}", f"--output={out}")
    assert call("export", *flags, "--format=safetensors").code == 0
    before = contents(out)
    code, _ = stopped(signal.SIGKILL, made.causal, out, ("page", "litert"), "--overwrite")
    assert code == -signal.SIGKILL and contents(out) == before
    done = call("export", *flags, "--format=page", "--overwrite")
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(contents(out)) == ["README.md", "index.html", "tokenizer.model"]


def test_a_signal_ends_it_in_one_line_and_leaves_nothing(made, tmp_path):
    out = tmp_path / "out"
    code, err = stopped(signal.SIGTERM, made.causal, out, ("safetensors", "savedmodel"))
    assert code == 5 and len(err.splitlines()) == 1 and list(tmp_path.iterdir()) == []
