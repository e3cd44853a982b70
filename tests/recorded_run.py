"""A run directory as tools/train.py leaves it, without training: config.json and history.jsonl
with pi that drifts apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.search.architecture import KINDS, Architecture, pi_table
from par.train import run_config


def train_row(step: int, pi: list[list[float]], **changes: Any) -> dict[str, Any]:
    """One train row; `changes` replace or add keys."""
    row = {
        "kind": "train",
        "step": step,
        "epoch": 1,
        "tau": 0.5,
        "learning_rate": 1e-3,
        "arch_lr": 0.01,
        "nll_per_token": 5.0,
    }
    return row | {"pi": pi, "seconds": float(step)} | changes


def valid_row(
    step: int, evaluate_as: str = "soft", nll: float = 5.0, **changes: Any
) -> dict[str, Any]:
    """One valid row."""
    row = {
        "kind": "valid",
        "step": step,
        "epoch": 1,
        "split": "valid",
        "evaluate_as": evaluate_as,
        "nll_per_token": nll,
    }
    row |= {"train_nll_per_token": 5.0, "seconds": float(step)}
    return (
        row
        | {
            "perplexity_per_token": float(np.exp(nll)),
            "perplexity_per_word": 9.0,
            "bits_per_character": 2.5,
            "bits_per_byte": 2.0,
        }
        | changes
    )


def drifting_pi(blocks: str, count: int, seed: int = 0) -> np.ndarray:
    """[count, L, O]: softmax of a straight walk of the logits from zero, where the block is
    stochastic."""
    slopes = np.random.default_rng(seed).normal(0, 4, (blocks.count("s"), len(KINDS)))
    logits = np.linspace(0, 1, count)[:, None, None] * slopes
    pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return np.array([pi_table(blocks, row) for row in pi])


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as history.jsonl."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_run(
    directory: Path,
    blocks: str = "ssssss",
    pi: np.ndarray | None = None,
    count: int = 10,
    every: int = 7,
    seed: int = 3,
    total: int | None = None,
) -> Path:
    """Makes a run with `count` recorded rows `every` steps apart, or with the given pi [rows, L,
    O]; returns its directory.

    total: the steps that it is to have; default those that are recorded, so that it is finished.
    """
    directory.mkdir(parents=True)
    pi = drifting_pi(blocks, count) if pi is None else np.asarray(pi)
    steps = [every * (i + 1) for i in range(len(pi))]
    data = run_config.DataIdentity(
        "words",
        40,
        4,
        8,
        steps_per_epoch=total or steps[-1],
        tokenizer_sha256="0" * 64,
        train_sha256="1" * 64,
    )
    config = run_config.RunConfig(
        Architecture(blocks),
        ModelConfig(),
        SearchConfig(),
        TrainingConfig(epochs=1, seed=seed),
        data,
    )
    config.save(directory, directory.parent.parent / "data" / "words")
    rows = [
        train_row(step, row.tolist(), nll_per_token=6 - i / len(pi))
        for i, (step, row) in enumerate(zip(steps, pi))
    ]
    kinds = ("soft", "argmax") if "s" in blocks else ("fixed",)
    write_history(
        directory / "history.jsonl", rows + [valid_row(steps[-1], kind, 5.5) for kind in kinds]
    )
    return directory
