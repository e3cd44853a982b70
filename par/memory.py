"""Peak memory of a training, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from par.errors import ResourceError
from par.runs import RunConfig

STEPS = 2  # updates in each of two graph calls: memory has its full height after the first


def of_training(config: RunConfig, start: Callable[[], Any]) -> dict[str, int]:
    """Peak memory (MB) and number of parameters of a training in a process of its own, as a process never gives its peak back.

    start: called there first, to start TensorFlow; a function of a module. Raises: ResourceError if the process was ended, as by a lack of memory.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(sender, config, start))
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        process.join()
        raise ResourceError(f"the process that trained {config.architecture.short} ended with code {process.exitcode}: try smaller sizes") from None
    finally:
        process.join()
    if isinstance(found, Exception):
        raise found
    return found


def _train(sender: multiprocessing.connection.Connection, config: RunConfig, start: Callable[[], Any]) -> None:
    try:
        start()
        from par import timing

        trial = timing.TimedTraining(config, STEPS)
        trial.run()
        sender.send({"peak_memory_megabytes": timing.peak_memory(), "parameters": trial.learner.parameters})
    except Exception as error:
        sender.send(error)
