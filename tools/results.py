"""Makes the figures of README and docs again: lists, runs, shows and checks their experiments.

    python tools/results.py --list
    python tools/results.py --run=readme_python_docs --cores=2
    python tools/results.py --run=all --corpus_dir=DIR
    python tools/results.py --render
    python tools/results.py --check

--run runs the steps of an experiment, commands of the other tools, one after another, and writes
docs/results/NAME.json: the figures with commands, recipes, seeds, commit, machine and versions,
and, for transcripts, what commands printed. Pictures that they drew are copied beside it.
The same command again continues: finished steps are kept, and trainings go on from their last
checkpoint. A step runs again if its settings, the machine, or a version has changed; to run all
again, remove the directory of the experiment in --work_dir. A second process takes steps that the
first one does not run, for example each on one core: taskset -c 0 python tools/results.py ... and
taskset -c 1 python tools/results.py ...

--render writes tables, pictures and transcripts between the markers of the pages from these files,
and "not measured yet" where there is none. --check compares the pages with them, and their
settings with those of the experiments, and prints each difference (exit code 3). All of this works
in a git clone.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from absl import flags

from par.core import files, text
from par.core.errors import DataError, UsageError
from par.core.text import plural
from par.tools.cli.checks import refuse_idle
from par.tools.cli.flags import Flags, define_path
from par.tools.experiments import clone, corpora, pages, record, runner
from par.tools.experiments.experiment import Experiment
from par.tools.experiments.registry import EXPERIMENTS

ALL = "all"
ACTIONS = ("list", "run", "render", "check")
FLAGS = (
    Flags(__doc__)
    .own(
        "What to do",
        (
            flags.DEFINE_bool,
            "list",
            False,
            "print every experiment: what it measures, how long it takes, where it is shown",
        ),
        (
            flags.DEFINE_string,
            "run",
            None,
            f"run an experiment by its name, or {ALL} of them, and write docs/results/NAME.json",
        ),
        (
            flags.DEFINE_bool,
            "render",
            False,
            "write what the figures show into the pages",
        ),
        (flags.DEFINE_bool, "check", False, "compare pages, figures and experiments"),
    )
    .own(
        "With --run",
        (
            flags.DEFINE_integer,
            "cores",
            0,
            "cores that the commands may use; 0: all of this process",
        ),
        (
            define_path,
            "corpus_dir",
            None,
            "directory that holds the texts which are not part of Python, each in a directory of"
            " its name",
        ),
        (
            define_path,
            "work_dir",
            "logs/results",
            "where each experiment has a directory for its runs and finished steps",
        ),
        (
            flags.DEFINE_bool,
            "allow_dirty",
            False,
            "run with code that has changes in no commit; the figures then say so",
        ),
    )
)


def work(values: Flags, experiments: Mapping[str, Experiment], root: Path) -> None:
    """Does what the flags ask for, with these experiments and the clone at `root`."""
    asked = [name for name in ACTIONS if values[name].value]
    if len(asked) != 1:
        raise UsageError("give one of --list, --run=NAME, --render and --check; see --help")
    if not (root / "docs").is_dir():
        raise UsageError(
            "there are no pages beside this program: run python tools/results.py in a git clone"
        )
    if asked != ["run"]:
        refuse_idle(values, ("cores", "corpus_dir", "work_dir", "allow_dirty"), without="run")
    {"list": _list, "run": _run, "render": _render, "check": _check}[asked[0]](
        values, experiments, root
    )


def _list(values: Flags, experiments: Mapping[str, Experiment], root: Path) -> None:
    titles = ["experiment", "minutes", "seeds", "corpus", "figures", "shown in", "what"]
    print("\n".join(text.table([titles, *_listed(experiments, root)], len(titles))))
    hours = sum(experiment.minutes for experiment in experiments.values()) / 60
    print(f"about: estimated, on two cores, all together {hours:.1f} hours; without it measured")


def _listed(experiments: Mapping[str, Experiment], root: Path) -> Iterator[list[str]]:
    for name, experiment in experiments.items():
        minutes, figures = f"about {experiment.minutes:g}", "none yet"
        if (path := record.path_of(root, name)).is_file():
            results = record.load(path)
            minutes, figures = f"{results.seconds / 60:,.1f}", f"commit {results.commits[-1][:7]}"
        seeds = str(len(experiment.seeds) or "-")
        shown = ", ".join(experiment.pages)
        yield [name, minutes, seeds, experiment.corpus.name, figures, shown, experiment.what]


def _run(values: Flags, experiments: Mapping[str, Experiment], root: Path) -> None:
    wanted = list(experiments) if values.run == ALL else [values.run]
    if not set(wanted) <= set(experiments):
        raise UsageError(
            f"--run={values.run} does not exist: give {ALL}, or one of {', '.join(experiments)}"
        )
    corpus_dir = Path(values.corpus_dir) if values.corpus_dir else None
    for name in wanted:  # before hours of work
        corpora.find(experiments[name].corpus, root, corpus_dir)
        files.check_writable(record.path_of(root, name))
    with runner.limited_cores(values.cores):
        for name in wanted:
            work_dir = Path(values.work_dir) / name
            done = runner.run(experiments[name], root, work_dir, corpus_dir, values.allow_dirty)
            pages.keep_pictures(root, experiments[name], done.pictures)
            path = record.path_of(root, name)
            record.save(path, done.results)
            print(f"written: {path.relative_to(root)}")
    print("next: python tools/results.py --render")


def _render(values: Flags, experiments: Mapping[str, Experiment], root: Path) -> None:
    changed = pages.render(root, experiments)
    print("\n".join(f"written: {path}" for path in changed) or "nothing has changed")


def _check(values: Flags, experiments: Mapping[str, Experiment], root: Path) -> None:
    found = list(pages.check(root, experiments))
    if found:
        print("\n".join(found))
        raise DataError(
            f"pages, docs/results/ and experiments differ in {plural(len(found), 'place')}: do"
            " what the lines above say"
        )
    print(f"pages, docs/results/ and {plural(len(experiments), 'experiment')} agree")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(
        FLAGS, functools.partial(work, experiments=EXPERIMENTS, root=clone.ROOT), argv
    )


if __name__ == "__main__":
    sys.exit(main())
