"""Python without this project: with the packages that the tests run with, but without those that
a program must not need; or with those alone that it names."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

ABSENT = """
import sys
class Absent:
    names = sys.argv.pop(1).split(",")
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def printed(
    folder: Path, program: str, *arguments: str, absent: Sequence[str] = ("par", "sentencepiece")
) -> Any:
    """The JSON that a program prints in such an environment, which is made in `folder`. absent:
    modules that can't be imported there."""
    made = folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    site = next((made / "lib").glob("python*")) / "site-packages"
    (site / "needed.pth").write_text(f"{Path(tf.__file__).parent.parent}\n")
    done = subprocess.run(
        [str(made / "bin" / "python"), "-c", ABSENT + program, ",".join(absent), *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def installed(folder: Path, packages: Sequence[str]) -> Path:
    """The Python of an environment into which pip has put these packages, in the versions that
    the tests run with, and nothing else; the test is skipped where the index lacks them."""
    made = folder / "installed"
    subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
    python = made / "bin" / "python"
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in packages]
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        capture_output=True,
        text=True,
        timeout=900,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        pytest.skip(f"pip can't install {', '.join(wanted)} here: {reason}")
    return python
