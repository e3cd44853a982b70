"""The network of a trained run, with the weights of one of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from par.core.errors import DataError
from par.train.checkpoints import Checkpoints, check_settings
from par.train.learner import Learner
from par.train.run_config import RunConfig


def load_learner(
    run_dir: Path | str,
    config: RunConfig,
    which: str = "last",
    warn: Callable[[str], None] = lambda line: None,
) -> Learner:
    """The network of a run with its `last` or `best` checkpoint; with an older one, and a warning,
    if the newest is damaged.

    Raises: DataError if there is none yet, none is whole, or it was made with other settings than
    `config`.
    """
    directory = Path(run_dir) / "checkpoints"
    check_settings(directory, config, which)
    learner = Learner(config)
    if Checkpoints(directory, learner.state).restore(which, warn) is None:
        raise DataError(f"run {run_dir} has no {which} checkpoint yet: train it first")
    return learner
