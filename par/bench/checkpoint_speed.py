"""How long a checkpoint takes, and the steps before and after it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from par.bench.training_speed import TimedTraining
from par.core.config import LoggingConfig
from par.search import diagnostics
from par.train.checkpoints import Checkpoints
from par.train.run_config import RunConfig


class Saved(NamedTuple):
    """Milliseconds of a checkpoint, and of a step before and after it."""

    step_before: float
    checkpoint: float
    step_after: float


class TimedSaving:
    """A training whose state is saved again and again, as a run's is: in `directory`, which keeps
    the newest checkpoints."""

    def __init__(self, config: RunConfig, steps: int, directory: Path):
        self._training = TimedTraining(config, steps)
        self._checkpoints = Checkpoints(
            directory, self._training.learner.state, LoggingConfig().keep
        )
        self._note = {"run": config.identity(), "watch": diagnostics.Stability().to_json()}
        self._step = 0
        self._save()

    def run(self) -> Saved:
        """Trains `steps` steps, saves, and trains `steps` steps again."""
        return Saved(self._milliseconds_per_step(), self._save(), self._milliseconds_per_step())

    def _milliseconds_per_step(self) -> float:
        return 1e3 / self._training.run()

    def _save(self) -> float:
        """Milliseconds until the program goes on."""
        self._step += 1  # each checkpoint has a name of its own
        start = time.perf_counter()
        self._checkpoints.save(self._step, self._note)
        return 1e3 * (time.perf_counter() - start)

    @property
    def megabytes(self) -> float:
        """Size of a checkpoint in millions of bytes."""
        return sum(path.stat().st_size for path in self._checkpoints.files(self._step)) / 1e6
