"""The searches that an architecture is derived from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.search import derive, pareto
from par.search.architecture import BUDGET, LIKELIEST, Architecture
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags
from par.train import history, seeds


class Search(NamedTuple):
    """One search, or several that count by their mean."""

    runs: dict[Path, history.Run]
    several: bool
    warnings: list[str]

    @property
    def directory(self) -> Path:
        """Of the first run, whose settings are those of all."""
        return next(iter(self.runs))

    @property
    def blocks(self) -> str:
        """What was searched."""
        return self.runs[self.directory].blocks

    @property
    def pis(self) -> np.ndarray:
        """[R, L, O] the last pi of each run."""
        return np.array([run.pi()[-1] for run in self.runs.values()])

    @property
    def mean(self) -> np.ndarray:
        """[L, O] the mean of `pis`."""
        return derive.consensus(self.pis)[0]

    @property
    def candidates(self) -> dict[str, pareto.Choice]:
        """The networks of the string rule and of the rule `likeliest`."""
        return derive.candidates(self.mean, self.blocks, self.string_rule)

    @property
    def last(self) -> history.Run:
        """The run that has come least far."""
        return min(self.runs.values(), key=lambda run: run.rows["train"][-1]["step"])

    @property
    def string_rule(self) -> str:
        """The name of the rule that takes the likeliest kind of every block."""
        return "consensus" if self.several else "argmax"

    def chosen(self, name: str, rule: str = "") -> Architecture:
        """The network by a rule of par.search.derive, by default the string rule."""
        return derive.derive(
            self.mean,
            self.blocks,
            rule or self.string_rule,
            name,
            tuple(run.seed for run in self.runs.values()),
        )


def read(values: Flags, rule: str) -> Search:
    """The searches of --run.

    Raises: UsageError if there is none, or what is there is no search; DataError if it is damaged.
    """
    several = rule == "consensus" or (rule in (LIKELIEST, BUDGET) and _is_group(values.run))
    searches, warnings = _seeds(values) if several else (_run(values), [])
    for run in searches.values():
        run.require_search(
            "there is nothing to derive; a search is a run of tools/train.py --architecture=6s or"
            " the like"
        )
    return Search(searches, several, warnings)


def _is_group(directory: str | None) -> bool:
    return (
        bool(directory)
        and not (Path(directory) / "config.json").is_file()
        and bool(seeds.find_runs(Path(directory)))
    )


def _run(values: Flags) -> dict[Path, history.Run]:
    directory = required_dir(values.run, "run", "config.json")
    return {directory: history.read_run(directory)}


def _seeds(values: Flags) -> tuple[dict[Path, history.Run], list[str]]:
    """The searches by seed directory, and a line for each seed that has recorded nothing yet."""
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    if (Path(values.run) / "config.json").is_file():
        raise UsageError(
            f"--run={values.run} is a single run: --rule=consensus needs the directory of several"
            " seeds (train --num_seeds=6)"
        )
    read = seeds.read_runs(Path(values.run))
    left_out = [
        f"seed {seed} is left out: it has recorded no step yet"
        for seed in seeds.find_runs(Path(values.run))
        if seed not in read
    ]
    return {seeds.directory(Path(values.run), seed): run for seed, run in read.items()}, left_out
