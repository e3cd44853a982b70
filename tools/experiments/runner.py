"""Runs an experiment step by step and keeps what each step printed, so that a run that was killed
goes on where it stopped.

WORK/                      the directory of the commands, with the corpus where they look for it
WORK/steps/NAME-KEY.json   what a finished step printed, and the commit that it ran at
WORK/locks/NAME-KEY        held by the process that runs the step
WORK/NAME-KEY/             what a step wrote

The key of a step is a hash of all that its figures depend on but the commit. So a step whose
recipe was changed runs again, in another directory, together with those that need it; all others
are kept.

Several processes may run an experiment in one directory: each takes the first step that nobody
runs and whose needs are met.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from par.core import files, locks, schema
from par.core.errors import UsageError
from par.core.progress import announce
from par.core.text import plural
from par.tools.experiments import clone, corpora, record, settings, steps
from par.tools.experiments.experiment import TEXT, Experiment, Step
from par.tools.experiments.record import Machine, Results
from par.tools.experiments.steps import Conditions, StepRecord

WAIT = 2.0  # seconds between two looks for a step that can be run


class Finished(NamedTuple):
    """The figures of an experiment, and where the pictures lie that its steps drew, by part."""

    results: Results
    pictures: dict[str, Path]


@contextlib.contextmanager
def limited_cores(count: int) -> Iterator[None]:
    """Lets this process and those that it starts use only the first `count` of its cores; 0: all.

    Raises: UsageError if it has fewer.
    """
    before = os.sched_getaffinity(0)
    if not 0 <= count <= len(before):
        raise UsageError(
            f"--cores must be from 1 to {len(before)}, the cores of this process, or 0 for all of"
            f" them, but is {count}"
        )
    os.sched_setaffinity(0, sorted(before)[: count or None])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(
    experiment: Experiment,
    root: Path,
    work_dir: Path,
    corpus_dir: Path | None = None,
    allow_dirty: bool = False,
) -> Finished:
    """The figures and pictures of an experiment, from kept steps as far as these go. root: of the
    clone; work_dir: where the commands run; corpus_dir: as in `corpora.find`.

    Raises: DataError if the corpus is missing or a kept step damaged; UsageError if the code has
    changes that no commit has; what `steps.run` raises.
    """
    placed = corpora.find(experiment.corpus, root, corpus_dir)
    is_dirty = clone.commit(root, allow_dirty).is_dirty
    files.check_writable(work_dir / "locks" / "first")
    (work_dir / "locks").mkdir(parents=True, exist_ok=True)
    conditions = Conditions(
        corpora.place(placed, work_dir), Machine.here(), record.versions(), is_dirty
    )
    announce(f"experiment {experiment.name}: {plural(len(experiment.steps), 'step')}")
    worker = _Worker(experiment, root, work_dir, conditions, allow_dirty)
    while not worker.is_done:
        if not worker.take_steps():
            worker.wait()
    pictures = {
        part.name: work_dir / steps.directory(part.step, worker.kept[part.step].key) / part.file
        for part in experiment.step_pictures
    }
    return Finished(_results(experiment, conditions, worker.kept, pictures), pictures)


class _Worker:
    """Runs the steps of an experiment that no other process has run or is running. kept: the
    finished ones by name, whoever ran them."""

    def __init__(
        self,
        experiment: Experiment,
        root: Path,
        work_dir: Path,
        conditions: Conditions,
        allow_dirty: bool,
    ):
        self.kept: dict[str, StepRecord] = {}
        self._steps, self._conditions = experiment.steps, conditions
        self._root, self._work_dir, self._allow_dirty = root, work_dir, allow_dirty
        self._is_waiting = False

    @property
    def is_done(self) -> bool:
        """Whether every step is finished."""
        return len(self.kept) == len(self._steps)

    def take_steps(self) -> int:
        """Goes through the steps to the first that can be run, and runs it. Returns how many have
        been finished since, by this process or by another one."""
        before = len(self.kept)
        for number, step in enumerate(self._steps, 1):
            if step.name not in self.kept and all(name in self.kept for name in step.needs):
                where = f"step {number} of {len(self._steps)}, {step.name}"
                if self._take(step, where):
                    break  # meanwhile another process may have ended what an earlier one needs
        return len(self.kept) - before

    def wait(self) -> None:
        """Waits for other processes, without which no step can be run now."""
        if not self._is_waiting:
            announce("waiting for the steps that other processes run")
        self._is_waiting = True
        time.sleep(WAIT)

    def _take(self, step: Step, where: str) -> bool:
        """Keeps what a step left; returns whether this process ran it."""
        needs = {name: self.kept[name].key for name in step.needs}
        key = steps.key(step, needs, self._conditions)
        keys = {name: each.key for name, each in self.kept.items()} | {step.name: key}
        directories = {name: steps.directory(name, each) for name, each in keys.items()}
        path = self._work_dir / "steps" / f"{directories[step.name]}.json"
        lock = self._work_dir / "locks" / directories[step.name]
        with contextlib.suppress(locks.InUseError), locks.locked(lock):
            if path.is_file():
                found = steps.load(path, key)
                announce(f"{where}: kept, of commit {found.commit[:7]}")
                is_run = False
            else:
                announce(f"{where}: {step.command}")
                found = self._run(step, key, directories)
                schema.write_json(path, schema.encode(found))
                is_run = True
            self.kept[step.name], self._is_waiting = found, False
            return is_run
        return False

    def _run(self, step: Step, key: str, directories: Mapping[str, str]) -> StepRecord:
        # the commit of each step: hours may lie between two
        commit = clone.commit(self._root, self._allow_dirty)
        script = self._root / "tools" / f"{step.tool}.py"
        output, seconds = steps.timed(step, script, self._work_dir, directories)
        return StepRecord(steps.SCHEMA, key, commit.sha, commit.is_dirty, seconds, output)


def _results(
    experiment: Experiment,
    conditions: Conditions,
    kept: Mapping[str, StepRecord],
    pictures: Mapping[str, Path],
) -> Results:
    figures = {step.name: kept[step.name].output for step in experiment.steps if step.prints_json}
    return Results(
        record.SCHEMA,
        experiment.name,
        settings.of_experiment(experiment),
        conditions.corpus,
        experiment.seeds,
        tuple(dict.fromkeys(each.commit for each in kept.values())),
        any(each.is_dirty for each in kept.values()),
        conditions.machine,
        conditions.versions,
        round(sum(each.seconds for each in kept.values()), 1),
        tuple(experiment.rows(figures)),
        {name: kept[name].output[TEXT] for name in experiment.transcribed},
        {name: files.sha256(path) for name, path in pictures.items()},
    )
