"""Small runs on synthetic streams, for tests of training and of the tools."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from par.core.config import LoggingConfig, ModelConfig, SearchConfig, TrainingConfig
from par.data import manifest
from par.search.architecture import parse
from par.train import run_config
from synthetic import make_data

# the settings of small_config as flags of train
SHAPE = ("--d_model=16", "--num_heads=2", "--d_ffn=24", "--mem_len=5")
RATES = ("--max_lr=5e-3", "--warmup_steps=20")
NETWORK = (*SHAPE, *RATES, "--arch_lr=0.03", "--epochs=2")
SYMBOLS, FIRST = 32, 8  # ids 8 to 39


def copies(
    num_tokens: int, rng: np.random.Generator, lag: int = 5, probability: float = 0.9
) -> np.ndarray:
    """[N] a stream whose next token is, with a probability, the token `lag` back, and otherwise
    any."""
    tokens = rng.integers(FIRST, FIRST + SYMBOLS, num_tokens)
    copied = rng.random(num_tokens) < probability
    for i in range(lag, num_tokens):
        if copied[i]:
            tokens[i] = tokens[i - lag]
    return tokens


def bigrams(num_tokens: int, rng: np.random.Generator) -> np.ndarray:
    """[N] a Markov chain of order one: the next token depends on the last one only."""
    ends = np.random.default_rng(7).dirichlet(np.full(SYMBOLS, 0.1), size=SYMBOLS).cumsum(axis=1)
    tokens, draws = np.zeros(num_tokens, np.int64), rng.random(num_tokens)
    for i in range(1, num_tokens):
        tokens[i] = min(np.searchsorted(ends[tokens[i - 1]], draws[i]), SYMBOLS - 1)
    return tokens + FIRST


def small_data(
    data_dir: Path,
    stream: Any = copies,
    train: int = 3_000,
    valid: int = 500,
    batch_size: int = 4,
    seq_len: int = 8,
    vocab_size: int = FIRST + SYMBOLS,
) -> Path:
    """A data set of a synthetic stream: `train` tokens, `valid` tokens each for valid and test."""
    rng = np.random.default_rng(0)
    return make_data(
        data_dir,
        stream(train, rng),
        stream(valid, rng),
        stream(valid, rng),
        vocab_size,
        batch_size,
        seq_len,
    )


def small_config(
    data_dir: Path, blocks: str, epochs: int = 2, seed: int = 0, **settings: Any
) -> run_config.RunConfig:
    """A run of a network of width 16 on a data set; `settings` go to whichever group has them."""
    values = {
        "d_model": 16,
        "num_heads": 2,
        "d_ffn": 24,
        "mem_len": 5,
        "max_lr": 5e-3,
        "warmup_steps": 20,
        "arch_lr": 0.03,
    } | settings

    def group(cls: type, **more: Any) -> Any:
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names} | more)

    training = group(TrainingConfig, epochs=epochs, seed=seed)
    return run_config.RunConfig(
        parse(blocks),
        group(ModelConfig),
        group(SearchConfig),
        training,
        run_config.DataIdentity.from_manifest(manifest.load(data_dir)),
    )


def trainer(
    run_dir: Path,
    config: run_config.RunConfig,
    data_dir: Path,
    source: Path | None = None,
    base_run: Path | None = None,
    **logging: int,
) -> Any:
    """A restored Trainer that keeps its announcements in `announced`; it writes texts only if
    `sample_length` is given."""
    from par.evaluate.training_hooks import training_hooks
    from par.report.epoch_picture import PiPicture
    from par.train.trainer import Trainer

    announced: list[str] = []
    made = Trainer(
        run_dir,
        config,
        data_dir,
        LoggingConfig(**{"sample_length": 0} | logging),
        hooks=training_hooks(PiPicture()),
        announce=announced.append,
        source=source,
        base_run=base_run,
    )
    made.announced = announced
    made.restore()
    return made


def random_run(run_dir: Path, config: run_config.RunConfig, data_dir: Path) -> Path:
    """A run that has a checkpoint of random weights, so large that every output depends on every
    input, and was not trained."""
    config.save(run_dir, data_dir)
    made = trainer(run_dir, config, data_dir)
    for number, weight in enumerate([*made.learner.weights, *made.learner.logits]):
        weight.assign(np.random.default_rng(number).normal(0, 0.4, weight.shape))
    made._save()
    return run_dir
