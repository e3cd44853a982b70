"""The run that a base is from: its parts, and whether a network can be trained on them. All is
read from files without TensorFlow; par.train.base_weights copies the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from par.core.errors import DataError, UsageError
from par.nn.base import Base
from par.nn.parts import Part, Stack, part_name
from par.train import run_config, run_directory, warm_start
from par.train.run_config import RunConfig


def stack_of(config: RunConfig, run: str, checkpoint: str, step: int, name: str = "") -> Stack:
    """The trunk of a run on its own base, as the base of another network; of a composed model,
    which adds nothing to them, the parts. name: of the trunk, by default that of the run."""
    below = config.base.stack.levels if config.base else ()
    if not config.contract.predicts:
        return config.base.stack
    part = Part(
        name or part_name(run),
        config.architecture.blocks,
        config.read_shape[0],
        config.contract.visibility,
        run,
        checkpoint,
        step,
        config.data.train_sha256,
    )
    return Stack((*below, (part,)))


def side_by_side(stacks: Sequence[Stack], runs: Sequence[str]) -> Stack:
    """The last levels of several bases side by side, on what is below all of them. runs: their
    names, for messages.

    Raises: UsageError unless they are of the same network below the last level; whether the
    weights are the same, par.train.base_weights compares.
    """
    first, *others = (stack.levels[:-1] for stack in stacks)
    for run, other in zip(runs[1:], others):
        if bool(first) != bool(other):
            with_base, without = (runs[0], run) if first else (run, runs[0])
            raise UsageError(
                f"{with_base} stands on the base {Stack(first or other).text}, but {without} on"
                " none: only networks on the same base, or all without one, can be composed"
            )
        if first and not Stack(first).is_same_network(Stack(other)):
            raise UsageError(
                f"{runs[0]} stands on the base {Stack(first).text}, but {run} on another,"
                f" {Stack(other).text}: only networks on the same base can be composed"
            )
    return Stack((*first, tuple(part for stack in stacks for part in stack.top)))


def check_tokenizer(config: RunConfig, run: str, other: RunConfig, of: str) -> None:
    """Raises: UsageError, with both hashes, if two runs have not the same tokenizer."""
    own, theirs = config.data, other.data
    if (own.tokenizer_sha256, own.vocab_size) != (theirs.tokenizer_sha256, theirs.vocab_size):
        raise UsageError(
            f"{run} has the tokenizer of SHA-256 {own.tokenizer_sha256} ({own.vocab_size} pieces),"
            f" but {of} that of {theirs.tokenizer_sha256} ({theirs.vocab_size}): build the data of"
            " both with the same --tokenizer_model"
        )


def requested_base(source: Path, checkpoint: str, frozen: bool, unfreeze: Sequence[str]) -> Base:
    """The base that a command names, without what its run tells."""
    unfreeze = tuple(dict.fromkeys(unfreeze))
    return Base(run_directory.run_name(source), checkpoint, frozen=frozen, unfreeze=unfreeze)


def with_base(config: RunConfig, source: Path, made: Path | None) -> RunConfig:
    """The settings with the base that `config.base`, from `requested_base`, stands for. made: the
    run's directory if it exists; then the base's run may be gone.

    Raises: UsageError if the network can't read its states; DataError if the run is missing,
    damaged, or has no checkpoint.
    """
    if not (source / "config.json").is_file():
        kept = run_config.load(made)[0].base if made else None
        if config.base.is_request_of(kept):
            return dataclasses.replace(config, base=kept)
        raise DataError(
            f"--base={source} has no config.json: give the directory of a run or of a composed"
            " model; if it was moved, where it is now"
        )
    found, _ = run_config.load(source)
    check_tokenizer(config, "the data", found, f"base {source}")
    return dataclasses.replace(config, base=found_base(source, found, config.base))


def found_base(source: Path, config: RunConfig, asked: Base) -> Base:
    """What the base that `asked` names is now. config: of its run. Raises: DataError if that has
    no checkpoint."""
    origin = warm_start.newest_origin(source, asked.checkpoint)
    stack = stack_of(config, origin.run, origin.checkpoint, origin.step)
    return dataclasses.replace(asked, step=origin.step, sha256=origin.sha256, stack=stack)
