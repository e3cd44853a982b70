"""Warm start: the source checkpoint whose weights a run begins with, and the settings that must
match. All is read from files without TensorFlow; par.train.weight_transfer copies the weights.

A block can take the weights of the kinds that the same block of the source holds: `s` holds
attention and dense, `a` and `d` themselves, and identity has no weights. So the places of the
identities matter here: from one search, `diid` and `ddii` take other weights.

All layers are copied, or the trunk alone: that may come from a run of another objective, whose
head is not what this one needs. An objective can also name what it takes from runs of another
(Contract.layers_from).
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from par.core import files
from par.core.errors import DataError, UsageError
from par.search.architecture import HOLDS, network_of, unheld
from par.train import run_config, run_directory
from par.train.run_config import INIT_LAYERS, Origin, RunConfig

# settings of a network on which neither a shape nor the function of the weights depends
FREE = ("mem_len", "dropout_rate", "precision", "init_std")
OF_HEAD = ("cutoffs", "proj_factor", "proj_dims", "tie_embeddings")  # the trunk knows nothing of


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


def requested_origin(source: Path, which: str, layers: str = INIT_LAYERS[0]) -> Origin:
    """The source checkpoint that a command names, without its step and hash. layers: what of it
    is copied, one of INIT_LAYERS."""
    return Origin(run_directory.run_name(source), which, 0, "", layers=layers)


def found_origin(source: Path, asked: Origin) -> Origin:
    """What the checkpoint that `asked` names is now, copied in the same way. Raises: DataError if
    there is none."""
    newest = newest_origin(source, asked.checkpoint)
    return dataclasses.replace(newest, blocks=asked.blocks, layers=asked.layers)


def with_origin(config: RunConfig, source: Path, made: Path | None) -> RunConfig:
    """The settings with the source checkpoint that `config.init`, from `requested_origin`, stands
    for. made: the run's directory if it exists; then the source may be gone.

    Raises: UsageError if the weights do not fit; DataError if the source is missing, damaged, or
    has no checkpoint.
    """
    if made and not (source / "config.json").is_file():
        kept = run_config.load(made)[0].init
        if kept and all(
            getattr(kept, name) == getattr(config.init, name)
            for name in ("run", "checkpoint", "layers")
        ):
            return dataclasses.replace(config, init=kept)
    check_settings(config, run_config.load(source)[0], config.init)
    return dataclasses.replace(config, init=found_origin(source, config.init))


def copied_layers(config: RunConfig, source: RunConfig, layers: str) -> dict[str, str] | None:
    """Which layers of a run of the settings `source` are copied, by the names of those that take
    them (see Contract.layers_from); None: all, to those of the same name. {}: nothing fits."""
    if layers == "trunk":
        return {"trunk": "trunk"}
    if source.objective == config.objective:
        return None
    return dict(config.contract.layers_from(config.objective_settings, source.objective))


def check_settings(config: RunConfig, source: RunConfig, init: Origin) -> None:
    """Raises: UsageError, with both values, if the weights that `init` names, of a run of the
    settings `source`, do not fit."""
    if not source.contract.predicts:
        raise UsageError(
            f"run {init.run} is composed: put the network on it with --base, not --init_from"
        )
    if source.base:
        raise UsageError(
            f"run {init.run} stands on a base, {source.base.stack.text}, without which its weights"
            " mean nothing: --init_from takes the weights of runs without one"
        )
    free = _free(copied_layers(config, source, init.layers))
    changed = _changed(config, source, init.layers)
    if changed:
        alone = (
            "; the trunk's weights alone fit: --init_layers=trunk"
            if not _changed(config, source, "trunk")
            else ""
        )
        raise UsageError(
            f"the weights of run {init.run} do not fit ({'; '.join(changed)}): repeat its"
            f" settings; only {', '.join(free)} may differ{alone}"
        )
    check_blocks(config.places, source.architecture.blocks, init.run)
    config.contract.check_source(config, source, init.layers)


def check_blocks(blocks: str, source: str, name: str) -> None:
    """Raises: UsageError, with both strings, if a block of `blocks` has a kind that the same block
    of `source`, those of the run `name`, does not hold, unless both are one network."""
    if reason := unheld(blocks, source):
        raise UsageError(
            f"blocks {blocks} can't take the weights of run {name}, whose blocks are {source}:"
            f" {reason}"
        )


def source_blocks(blocks: str, source: str) -> list[int]:
    """For each block of the network of `blocks` that has weights, the index of the block of
    `source` that it takes them from. They fit: `check_blocks`."""
    same = network_of(blocks) == network_of(source)
    return [index for index, kind in enumerate(source if same else blocks) if HOLDS[kind]]


def _changed(config: RunConfig, source: RunConfig, layers: str) -> list[str]:
    """The settings that must match but differ, each as `name: the source's -> the run's`."""
    copied = copied_layers(config, source, layers)
    theirs, own = _shared(source, copied), _shared(config, copied)
    return [
        f"{key}: {theirs.get(key)} -> {own[key]}" for key in own if theirs.get(key) != own[key]
    ]


def _free(copied: dict[str, str] | None) -> tuple[str, ...]:
    """The settings of a network that may differ."""
    has_head = copied is None or not copied or "head" in copied.values()
    return FREE if has_head else (*FREE, *OF_HEAD)


def _shared(config: RunConfig, copied: dict[str, str] | None) -> dict[str, Any]:
    """The settings that must match: all that give the weights of the layers a shape or a meaning.
    No weight of the trunk tells what it sees of a window, so the objective may differ."""
    free = _free(copied)
    model = {
        f"model.{name}": value
        for name, value in config.model.to_json().items()
        if name not in free
    }
    data = {
        f"data.{name}": getattr(config.data, name) for name in ("vocab_size", "tokenizer_sha256")
    }
    objective = {} if copied else {"objective": config.objective}
    if copied is None:
        objective |= {
            f"objective.{name}": getattr(config.objective_settings, name)
            for name in config.contract.of_layers
        }
    return {**objective, **data, **model}
