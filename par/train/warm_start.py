"""Warm start: the source checkpoint whose weights a run begins with, and the settings that must
match. All is read from files without TensorFlow; par.train.weight_transfer copies the weights.

A block can take the weights of the kinds that the same block of the source holds: `s` holds
attention and dense, `a` and `d` themselves, and identity has no weights. So the places of the
identities matter here: from one search, `diid` and `ddii` take other weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from par.core import files
from par.core.errors import DataError, UsageError
from par.search.architecture import KINDS, network_of
from par.train import run_config, run_directory
from par.train.run_config import Origin, RunConfig

HOLDS = {"a": "a", "d": "d", "i": "", "s": KINDS.replace("i", "")}
# settings of a network on which neither a shape nor the function of the weights depends
FREE = ("mem_len", "dropout_rate", "precision", "init_std")


def newest_origin(source: Path, which: str) -> Origin:
    """The newest `last` or `best` checkpoint of a run. Raises: DataError if there is none."""
    steps = run_directory.checkpoint_files(
        run_directory.checkpoint_dir(source / "checkpoints", which)
    )
    if not steps:
        raise DataError(f"run {source} has no {which} checkpoint yet: train it first")
    step = next(iter(steps))
    digest = hashlib.sha256("".join(map(files.sha256, steps[step])).encode()).hexdigest()
    return Origin(run_directory.run_name(source), which, step, digest)


def requested_origin(source: Path, which: str) -> Origin:
    """The source checkpoint that a command names, without its step and hash."""
    return Origin(run_directory.run_name(source), which, 0, "")


def with_origin(config: RunConfig, source: Path, made: Path | None) -> RunConfig:
    """The settings with the source checkpoint that `config.init`, from `requested_origin`, stands
    for. made: the run's directory if it exists; then the source may be gone.

    Raises: UsageError if the weights do not fit; DataError if the source is missing, damaged, or
    has no checkpoint.
    """
    if made and not (source / "config.json").is_file():
        kept = run_config.load(made)[0].init
        if kept and (kept.run, kept.checkpoint) == (config.init.run, config.init.checkpoint):
            return dataclasses.replace(config, init=kept)
    check_settings(config, run_config.load(source)[0], config.init.run)
    newest = newest_origin(source, config.init.checkpoint)
    return dataclasses.replace(config, init=dataclasses.replace(newest, blocks=config.init.blocks))


def check_settings(config: RunConfig, source: RunConfig, name: str) -> None:
    """Raises: UsageError, with both values, if the weights of the run `name` do not fit."""
    theirs, own = _shared(source), _shared(config)
    if changed := [
        f"{key}: {theirs[key]} -> {own[key]}" for key in own if theirs[key] != own[key]
    ]:
        raise UsageError(
            f"the weights of run {name} do not fit ({'; '.join(changed)}): repeat its settings;"
            f" only {', '.join(FREE)} may differ"
        )
    check_blocks(config.places, source.architecture.blocks, name)


def check_blocks(blocks: str, source: str, name: str) -> None:
    """Raises: UsageError, with both strings, if a block of `blocks` has a kind that the same block
    of `source`, those of the run `name`, does not hold, unless both are one network."""
    if network_of(blocks) == network_of(source):
        return
    reason = (
        f"there are {len(blocks)} blocks and {len(source)}" if len(blocks) != len(source) else ""
    )
    for number, (own, theirs) in enumerate(zip(blocks, source), 1):
        if not reason and set(HOLDS[own]) - set(HOLDS[theirs]):
            reason = f"block {number} is {own}, and {theirs} does not hold that"
    if reason:
        raise UsageError(
            f"blocks {blocks} can't take the weights of run {name}, whose blocks are {source}:"
            f" {reason}"
        )


def source_blocks(blocks: str, source: str) -> list[int]:
    """For each block of the network of `blocks` that has weights, the index of the block of
    `source` that it takes them from. They fit: `check_blocks`."""
    same = network_of(blocks) == network_of(source)
    return [index for index, kind in enumerate(source if same else blocks) if HOLDS[kind]]


def _shared(config: RunConfig) -> dict[str, Any]:
    """The settings that must match: all that give the weights a shape or a meaning."""
    model = {
        f"model.{name}": value
        for name, value in config.model.to_json().items()
        if name not in FREE
    }
    data = {
        f"data.{name}": getattr(config.data, name) for name in ("vocab_size", "tokenizer_sha256")
    }
    return {"objective": config.objective, **data, **model}
