"""What the training loop calls without knowing it: the evaluation of the valid split, and what is
shown at the end of an epoch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from par.core.config import LoggingConfig
from par.data.manifest import Manifest
from par.train.learner import Learner
from par.train.logs import RunLogs

MAX_PICTURES = 50  # about so many epochs of a run have pictures


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """A run at the end of an epoch, as a hook gets it."""

    learner: Learner
    logs: RunLogs
    data_dir: Path
    logging: LoggingConfig
    step: int  # updates made
    epoch: int  # epochs completed
    is_last: bool  # the run ends here

    @property
    def has_picture(self) -> bool:
        """Whether pictures of this epoch are kept: of every epoch of a short run, of evenly spaced
        ones of a long run, and always of the last."""
        return self.is_last or is_pictured(self.epoch, self.learner.config.training.epochs)


def is_pictured(epoch: int, epochs: int) -> bool:
    """Whether an epoch is one of the evenly spaced ones, or the last of all."""
    return epoch % math.ceil(epochs / MAX_PICTURES) == 0 or epoch == epochs


@dataclasses.dataclass(frozen=True)
class Hooks:
    """The functions that one run calls; they may keep a state of that run.

    evaluate: the scores on the valid split, one pair a way of evaluation: `soft`, `argmax` or
    `fixed`, and the figures of the objective. Called by every worker.
    epoch_end: called in this order after the evaluation, by the chief alone. They must change
    nothing of the network.
    """

    evaluate: Callable[[Learner, Path, Manifest], Iterable[tuple[str, dict[str, float]]]]
    epoch_end: tuple[Callable[[EpochEnd], None], ...] = ()
