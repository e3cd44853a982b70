"""The work that all comparisons share: holding a directory, and training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from par.core import files
from par.core.errors import StoppedError
from par.core.progress import announce
from par.data import records
from par.evaluate.compare.plan import Job
from par.tools.cli.tensorflow import start_tensorflow
from par.train import run_directory


@contextlib.contextmanager
def alone_in(directory: Path, written: Sequence[str]) -> Iterator[None]:
    """Holds the directory of a comparison, in which files called `written` can be; a signal
    between two runs is said in its words."""
    for name in written:
        files.check_writable(directory / name)
    try:
        with run_directory.locked(directory, announce):
            yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped in {directory}; what is trained is kept: the same command continues"
        ) from None


def train_jobs(
    todo: Sequence[Job], total: int, data_dir: Path, search: Path, is_source: bool = False
) -> None:
    """Trains and scores what is not yet. search: the run that is compared, which carries the base
    if there is one. is_source: whether some begin with its weights."""
    if not todo:
        return
    start_tensorflow()
    from par.evaluate.compare import runner

    records.verify(data_dir, records.load(data_dir))
    for number, job in enumerate(todo, total - len(todo) + 1):
        announce(
            f"run {number} of {total}: {job.opponent.label} {job.config.architecture.short}, seed"
            f" {job.seed}"
        )
        source = search if is_source else None
        runner.train(job.run_dir, job.config, data_dir, announce, source=source, base_run=search)
