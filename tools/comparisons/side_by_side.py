"""Trainings in processes of their own, some at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from par.core import processes
from par.core.errors import StoppedError, UsageError
from par.core.machine import core_count
from par.core.progress import announce
from par.data import records
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
from par.tools.cli.tensorflow import start_tensorflow
from par.train.run_config import RunConfig

BULKY = ("checkpoints", "tensorboard")  # of a run that is needed for its figures only


class Task(NamedTuple):
    """A run to be trained to step `until` and, if that is its end, to be scored on `splits`.
    is_kept: whether it keeps its checkpoints and logs when it is scored. base_run: a run that
    carries its base."""

    config: RunConfig
    run_dir: Path
    until: int
    splits: tuple[str, ...]
    is_kept: bool = True
    base_run: Path | None = None


def at_once(values: Flags) -> int:
    """How many networks --num_parallel trains side by side. Raises: UsageError if there are not
    as many cores."""
    most = core_count()
    if not 0 <= values.num_parallel <= most:
        raise UsageError(
            f"--num_parallel must be from 1 to {most}, the cores of this process, or 0 for two"
            f" where there are two, but is {values.num_parallel}"
        )
    return values.num_parallel or min(2, most)


def train(
    tasks: Sequence[Sequence[Task]],
    data_dir: Path,
    directory: Path,
    at_once: int,
    on_done: Callable[[int], None],
) -> int:
    """Trains lists of tasks, each list in a process of its own, `at_once` side by side. Returns an
    exit code, 0 if all went well; else the process has said why.

    directory: of the comparison. on_done: called with the number of a list that is finished.
    Raises: StoppedError on a signal.
    """
    code = processes.run_each(
        train_all, [(list(each), data_dir) for each in tasks], at_once, on_done
    )
    if code == StoppedError.exit_code:
        raise StoppedError(
            f"stopped in {directory}; what is trained is kept: the same command continues"
        )
    return code


def train_all(asked_to_stop: Callable[[], bool], tasks: Sequence[Task], data_dir: Path) -> int:
    """Does the tasks one after another in this process. Returns the exit code; says nothing if it
    was asked to stop, as its caller does."""

    def work(_: Flags) -> int:
        start_tensorflow()
        from par.evaluate.compare import runner

        records.verify(data_dir, records.load(data_dir))
        try:
            for task in tasks:
                runner.train(
                    task.run_dir,
                    task.config,
                    data_dir,
                    announce,
                    base_run=task.base_run,
                    until=task.until,
                    splits=task.splits,
                    should_stop=lambda step: asked_to_stop(),
                    quiet=True,
                )
                if not task.is_kept:
                    for name in BULKY:
                        shutil.rmtree(task.run_dir / name, ignore_errors=True)
        except StoppedError:
            return StoppedError.exit_code
        return 0

    return run_command(Flags(""), work, [])
