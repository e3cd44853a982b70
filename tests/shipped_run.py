"""Runs to export; and what an export took along, run as its user does: the scripts beside the
network, and the Python of its card."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from built import tiny_data
from par.data import manifest
from par.evaluate.trained_model import Model
from par.export.shipping import Source
from par.objectives import OBJECTIVES
from small import random_run, small_config

MODULES = ("forward", "text", "step", "part", "encode")
# by name: blocks and settings
NETWORKS = {
    "causal": ("ada", {"cutoffs": (60,)}),
    "post": ("aid", {"norm": "post", "tie_embeddings": True, "cutoffs": (60, 150)}),
    "tied": ("da", {"tie_embeddings": True}),
    "dense": ("d", {}),
    "bf16": ("a", {"precision": "bf16"}),
    "search": ("sas", {"prune_below": 0.2}),
    "post_search": ("ss", {"norm": "post", "prune_below": 0.2}),
    "masked": ("ada", {"cutoffs": (60,)}),
    "replaced": ("ad", {}),
    "authors": ("ad", {}),
}
OBJECTIVE = {"masked": "masked_lm", "replaced": "span_electra", "authors": "authors"}

# texts that users have, too
ODD = {
    "empty": b"",
    "one": b"x",
    "emoji": "the \U0001f600 cat\n\n".encode(),
    "right_to_left": "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd .".encode(),
    "invalid": b"the \xff\xfe cat\0\r\n\xef\xbb\xbf",
}
LINE = b"the cat sees the dog .\n"
LARGE = 9_000 * LINE  # 200 kB


class Runs:
    """The runs of NETWORKS as attributes, each of random weights and made when it is first asked
    for; `data`, what they have in common; and `text`, its valid split."""

    def __init__(self, root: Path):
        self._root, self.data = root, tiny_data(root)
        self.text = (root / "valid.txt").read_text()

    def __getattr__(self, name: str) -> Path:
        if name not in NETWORKS:
            raise AttributeError(name)
        blocks, settings = NETWORKS[name]
        config = small_config(self.data, blocks, **settings)
        if name in OBJECTIVE:
            own = OBJECTIVES[OBJECTIVE[name]].default_settings()
            config = dataclasses.replace(config, objective=OBJECTIVE[name], objective_settings=own)
        made = random_run(self._root / name, config, self.data)
        setattr(self, name, made)
        return made


def source(model: Model, data: Path, quantize: str = "") -> Source:
    """What a format is made of: the model, tokens to check it with, and what a card says."""
    ids = model.encode("the cat sees the dog .\n" * 150)
    scores = {"valid": "perplexity per word 3.21"}
    return Source(model, {"valid": ids, "test": ids}, manifest.load(data), scores, quantize)


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
