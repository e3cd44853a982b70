"""Runs what an export took along, as its user does: the scripts beside the network, and the Python
of its card."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = ("forward", "text", "step")


def require(*modules: str, extra: str) -> None:
    """Skips the test, in words, where a package is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed: pip install "par-transformer-xl[{extra}]"')


def card_python(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The names that the Python of a card leaves, run in the directory of the export."""
    card = (directory / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    names: dict = {}
    try:
        for module in MODULES:
            sys.modules.pop(module, None)
        exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], names)
    finally:
        for module in MODULES:
            sys.modules.pop(module, None)
    return names


def script(directory: Path, name: str, *arguments: str, stdin: bytes = b"") -> str:
    """What a script of an export prints, in a process of its own that has no TensorFlow."""
    program = "import sys, runpy\nfor name in ('tensorflow', 'keras', 'par', 'onnx', 'tf2onnx'):\n"
    program += "    sys.modules[name] = None\nsys.argv = sys.argv[1:]\n"
    program += f"sys.path.insert(0, {str(directory)!r})\n"
    program += f"runpy.run_path({str(directory / name)!r}, run_name='__main__')\n"
    done = subprocess.run(
        [sys.executable, "-c", program, name, *arguments],
        input=stdin,
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
