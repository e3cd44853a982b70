"""Small networks of random weights on one data set, to be composed and to carry towers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from par.composing.settings import Source
from par.core.config import ModelConfig
from par.nn.base import Base
from par.nn.parts import Part, Stack
from par.objectives import OBJECTIVES
from par.train import base_run
from par.train.run_config import RunConfig
from small import random_run, small_config, small_data

TEXT = "w9 w10 w11 w12 w9 w9 w30 w11 w12 w9\nw8 w9 w33 w31"  # longer than a window


def of(config: RunConfig, objective: str, **settings: Any) -> RunConfig:
    """The settings with another objective; `settings` are its own."""
    group = OBJECTIVES[objective].settings
    own = group(**settings) if group else None
    return dataclasses.replace(config, objective=objective, objective_settings=own)


def runs(root: Path) -> SimpleNamespace:
    """A data set, and runs of random weights on it: causal of width 16, masked of width 24, a
    SuperNet of masked_lm of width 8."""
    data = small_data(root / "data", train=700, valid=120)
    configs = {
        "causal": small_config(data, "ada"),
        "masked": of(small_config(data, "da", d_model=24, d_ffn=8), "masked_lm"),
        "search": of(small_config(data, "sd", d_model=8), "masked_lm"),
    }
    made = {name: random_run(root / name, config, data) for name, config in configs.items()}
    return SimpleNamespace(root=root, data=data, configs=configs, **made)


def on_base(
    config: RunConfig, run: Path, frozen: bool = True, unfreeze: Sequence[str] = ()
) -> RunConfig:
    """The settings with the base `run`."""
    asked = base_run.requested_base(run, "last", frozen, unfreeze)
    return base_run.with_base(dataclasses.replace(config, base=asked), run, None)


def some_base(train_sha256: str = "1" * 64) -> Base:
    """The base of no run: two networks side by side on a third, one of them trained."""
    model = ModelConfig(d_model=8, num_heads=2, d_ffn=8, mem_len=3, dropout_rate=0.1)
    low, *top = (
        Part(name, blocks, model, "causal", name, "last", 7, train_sha256)
        for name, blocks in (("chars", "ad"), ("en", "sd"), ("code", "a"))
    )
    return Base("both", "last", 7, "2" * 64, True, ("en",), Stack(((low,), tuple(top))))


def sources(*runs: Path) -> list[Source]:
    """Runs as they are composed, by their names."""
    from par.train import run_config

    return [Source(run.name, run_config.load(run)[0], "last", 1) for run in runs]


def values(layer: Any) -> list[np.ndarray]:
    """The weights of a layer, as they are now."""
    return [variable.numpy().copy() for variable in layer.weights]


def are_equal(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    """Whether two lists of arrays are equal bit for bit."""
    return len(a) == len(b) and all(map(np.array_equal, a, b))
