"""Composes trained networks: their trunks side by side as one network, which carries copies of all
weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from par.composing.settings import Source, composed_config
from par.core import files
from par.search import diagnostics
from par.train import base_weights
from par.train.checkpoints import Checkpoints
from par.train.learner import Learner

STEP = 1  # of the only checkpoint
DATA = "data"  # a copy of the data set, if there is one


def composed(sources: Sequence[Source], learners: Sequence[Learner]) -> Learner:
    """The network of `composed_config` with the weights of the runs. Raises: UsageError as it
    does, or if their bases have not the same weights."""
    config = composed_config(sources)
    base_weights.check_same_base(learners, [source.run for source in sources])
    made = Learner(config)
    found = [base_weights.trunks(learner) for learner in learners]
    below = len(config.base.stack.parts) - len(config.base.stack.top)
    base_weights.copy_trunks(
        list(made.base.named.values()),
        [*found[0][:below], *(trunk for each in found for trunk in each[below:])],
    )
    made.step.assign(STEP)
    return made


def save(learner: Learner, output: Path, data_dir: Path, copies_data: bool = False) -> None:
    """Writes a composed network as a run directory, whole or not at all. copies_data: whether the
    data set is copied into it. Raises: UsageError, ResourceError if it can't be written."""
    config = learner.config
    with files.building(output, "config.json", "output") as partial:
        checkpoints = Checkpoints(partial / "checkpoints", learner.state)
        sums = {name: [0.0, 0.0] for name in ("log", "record", "evaluation")}
        note = {
            "sums": sums,
            "seconds": 0.0,
            "best": None,
            "files": {},
            "run": config.identity(),
            "watch": diagnostics.Stability().to_json(),
        }
        checkpoints.save(STEP, note)
        if copies_data:
            data_dir = _copied(data_dir, partial / DATA)
        config.save(partial, data_dir)


def _copied(source: Path, directory: Path) -> Path:
    for path in source.rglob("*"):
        if path.is_file():
            copy = directory / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return directory
