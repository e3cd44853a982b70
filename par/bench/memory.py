"""Peak memory of a training, measured in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from par.core import processes
from par.train.run_config import RunConfig

STEPS = 2  # updates in each of two graph calls: memory has its full height after the first


def of_training(config: RunConfig, start: Callable[[], Any]) -> dict[str, int]:
    """Peak memory (MB) and number of parameters of a training in a process of its own, as a
    process never gives its peak back.

    start: called there first, to start TensorFlow; a function of a module. Raises: ResourceError
    if the process was ended, as by a lack of memory.
    """
    return processes.Call(_train, config, start).result(
        f"the process that trained {config.architecture.short}"
    )


def _train(config: RunConfig, start: Callable[[], Any]) -> dict[str, int]:
    start()
    from par.bench import training_speed

    trial = training_speed.TimedTraining(config, STEPS)
    trial.run()
    return {
        "peak_memory_megabytes": training_speed.peak_memory(),
        "parameters": trial.learner.parameters,
    }
