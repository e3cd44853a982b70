"""Runs an experiment step by step and keeps what each step printed, so that a run that was killed
goes on where it stopped.

WORK/                      the directory of the commands, with the corpus where they look for it
WORK/steps/NAME-KEY.json   what a finished step printed, and the commit that it ran at
WORK/NAME-KEY/             what a step wrote

The key of a step is a hash of all that its figures depend on but the commit. So a step whose
recipe was changed runs again, in another directory, together with those that need it; all others
are kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from par.core import files, locks, schema
from par.core.errors import UsageError
from par.core.progress import announce
from par.core.text import plural
from par.tools.experiments import clone, corpora, record, settings, steps
from par.tools.experiments.experiment import Experiment
from par.tools.experiments.record import Machine, Results
from par.tools.experiments.steps import Conditions, StepRecord


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
) -> Results:
    """The figures of an experiment, from kept steps as far as these go. root: of the clone;
    work_dir: where the commands run; corpus_dir: as in `corpora.find`.

    Raises: DataError if the corpus is missing or a kept step damaged; UsageError if the code has
    changes that no commit has, or if another process runs this experiment there; what `steps.run`
    raises.
    """
    placed = corpora.find(experiment.corpus, root, corpus_dir)
    is_dirty = clone.commit(root, allow_dirty).is_dirty
    with _locked(work_dir):
        conditions = Conditions(
            corpora.place(placed, work_dir), Machine.here(), record.versions(), is_dirty
        )
        announce(f"experiment {experiment.name}: {plural(len(experiment.steps), 'step')}")
        kept: dict[str, StepRecord] = {}
        for number, step in enumerate(experiment.steps, 1):
            needs = {name: kept[name].key for name in step.needs}
            key = steps.key(step, needs, conditions)
            directories = {
                name: steps.directory(name, each)
                for name, each in (needs | {step.name: key}).items()
            }
            path = work_dir / "steps" / f"{directories[step.name]}.json"
            where = f"step {number} of {len(experiment.steps)}, {step.name}"
            if path.is_file():
                kept[step.name] = steps.load(path, key)
                announce(f"{where}: kept, of commit {kept[step.name].commit[:7]}")
                continue
            announce(f"{where}: {step.command}")
            # of each step: hours may lie between two
            commit = clone.commit(root, allow_dirty)
            script = root / "tools" / f"{step.tool}.py"
            output, seconds = steps.timed(step, script, work_dir, directories)
            kept[step.name] = StepRecord(
                steps.SCHEMA, key, commit.sha, commit.is_dirty, seconds, output
            )
            schema.write_json(path, schema.encode(kept[step.name]))
    return _results(experiment, conditions, kept)


def _results(
    experiment: Experiment, conditions: Conditions, kept: Mapping[str, StepRecord]
) -> Results:
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
        tuple(experiment.rows({name: each.output for name, each in kept.items()})),
    )


@contextlib.contextmanager
def _locked(work_dir: Path) -> Iterator[None]:
    """Holds the directory for this process."""
    files.check_writable(work_dir / "lock")
    work_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.locked(work_dir / "lock"))
        except locks.InUseError:
            raise UsageError(
                f"another process runs the experiment in {work_dir}: wait for it, or give another"
                " --work_dir"
            ) from None
        yield
