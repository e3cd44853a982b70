"""The weights of a base: copied from the run that it is, and compared by their hash."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from par.core.errors import DataError, UsageError
from par.nn.transformer import Transformer
from par.train import base_run, loading, run_config
from par.train.learner import Learner


def trunks(learner: Learner) -> list[Transformer]:
    """The trunks of a run in the order of the parts of `base_run.stack_of`."""
    below = list(learner.base.named.values()) if learner.base else []
    is_part = learner.config.contract.predicts
    return [*below, *([learner.objective.trunk] if is_part else [])]


def copy_trunks(to: Sequence[Transformer], source: Sequence[Transformer]) -> None:
    """Copies the weights of trunks to those of the same networks. A table that trunks share is
    copied as it is used."""
    for own, other in zip(to, source, strict=True):
        if own.embedding is not None:
            own.embedding.assign(other.raw_table())
        mine, given = (
            [v for v in trunk.weights if v is not trunk.embedding] for trunk in (own, other)
        )
        for variable, value in zip(mine, given, strict=True):
            variable.assign(value)


def sha256(found: Sequence[Transformer]) -> str:
    """SHA-256 over the weights of trunks, which their states depend on."""
    digest = hashlib.sha256()
    for trunk in found:
        for variable in trunk.weights:
            value = np.ascontiguousarray(variable.numpy(), "<f4")
            digest.update(f"{value.shape}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()


def initialize(learner: Learner, source: Path, warn: Callable[[str], None]) -> None:
    """Copies the weights of the base of a new run from the run at `source`, or from one that
    carries the same base, frozen, as the search does that others are compared with.

    Raises: DataError if that is damaged, or not what it was when the settings were made.
    """
    asked, (config, _) = learner.config.base, run_config.load(source)
    if config.base == asked and not asked.trained:
        carrying = loading.load_learner(source, config, warn=warn)
        copy_trunks(list(learner.base.named.values()), list(carrying.base.named.values()))
        return
    found = loading.load_learner(source, config, asked.checkpoint, warn)
    now = base_run.found_base(source, config, asked)
    # the checkpoint that was loaded, which an older one may have replaced
    now = dataclasses.replace(now, step=int(found.step.numpy()))
    if (now.step, now.sha256) != (asked.step, asked.sha256):
        raise DataError(
            f"the weights of base {source} are not those that were asked for (step:"
            f" {asked.step} -> {now.step}, SHA-256: {asked.sha256} -> {now.sha256}): put"
            " those back"
        )
    copy_trunks(list(learner.base.named.values()), trunks(found))


def check_same_base(learners: Sequence[Learner], runs: Sequence[str]) -> None:
    """Raises: UsageError, with both hashes, unless the trunks of runs stand on bases of the same
    weights."""

    def below(learner: Learner) -> str:
        found = trunks(learner)
        last = base_run.stack_of(learner.config, "run", "last", 0, "run").top
        return sha256(found[: len(found) - len(last)])

    first = below(learners[0])
    for run, learner in zip(runs[1:], learners[1:]):
        if (other := below(learner)) != first:
            raise UsageError(
                f"{runs[0]} and {run} do not stand on the same base: its weights have SHA-256"
                f" {first} in {runs[0]}, but {other} in {run}, as where one of them was trained"
                " with --nofreeze_base or --unfreeze, or the base was trained further in between"
            )
