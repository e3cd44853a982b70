"""Several seeds of one setting: a directory of runs that differ only in the seed, and their
results with mean and spread.

logs/<group>/  seed0/  seed1/  ...  (each a run)  architecture.json  plots/consensus.png  (by
               derive --rule=consensus)
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from par.core import text
from par.core.errors import DataError, SettingError, UsageError
from par.objectives.contract import Contract
from par.search import derive
from par.train import history, run_config

MAX_SEEDS = 100


def directory(group: Path, seed: int) -> Path:
    """The directory of a seed's run."""
    return Path(group) / f"seed{seed}"


def find_runs(group: Path) -> dict[int, Path]:
    """The runs of a group by seed, in ascending order; {} for a directory that is not a group."""
    group = Path(group)
    names = [path.name for path in group.iterdir()] if group.is_dir() else []
    seeds = sorted(
        int(match[1])
        for match in (re.fullmatch(r"seed([0-9]{1,10})", name) for name in names)
        if match
    )
    return {
        seed: directory(group, seed)
        for seed in seeds
        if (directory(group, seed) / "config.json").is_file()
    }


def plan_runs(
    group: Path, config: run_config.RunConfig, count: int
) -> dict[Path, run_config.RunConfig]:
    """The settings of `count` seeds by directory: the seed of `config` and those above it.

    Raises: UsageError if count or a seed is out of its bounds, if `group` is a run or holds other
    files, or was made with other settings.
    """
    if not 1 <= count <= MAX_SEEDS:
        raise SettingError(f"num_seeds must be from 1 to {MAX_SEEDS}, but is {count}", "num_seeds")
    made = {
        seed: config.with_seed(seed)
        for seed in range(config.training.seed, config.training.seed + count)
    }
    group = Path(group)
    if (group / "config.json").is_file():
        raise UsageError(
            f"--run={group} is a single run: give another --run=DIR for several seeds, or leave"
            " --num_seeds out"
        )
    others = find_runs(group)
    if (
        not others
        and group.is_dir()
        and any(not re.fullmatch(r"seed\d+|\..*", path.name) for path in group.iterdir())
    ):
        raise UsageError(f"--run={group} holds files but no seeds: give an empty or new directory")
    for seed, path in others.items():
        if changed := run_config.differences(run_config.load(path)[0], config.with_seed(seed)):
            raise UsageError(
                f"run {path} was made with other settings ({'; '.join(changed)}): repeat them, or"
                " give another --run=DIR"
            )
    return {directory(group, seed): own for seed, own in made.items()}


def read_runs(group: Path) -> dict[int, history.Run]:
    """The runs of a group by seed that have recorded a step. Raises: DataError if there is none,
    one is damaged, or their settings differ."""
    paths = find_runs(group)
    if not paths:
        raise DataError(
            f"{group} holds no seeds: give a directory that tools/train.py --num_seeds=N made"
        )
    configs = {seed: run_config.load(path)[0] for seed, path in paths.items()}
    first, config = next(iter(configs.items()))
    for seed, own in configs.items():
        if changed := run_config.differences(config.with_seed(seed), own):
            raise DataError(
                f"{paths[seed]} does not belong beside {paths[first]} ({'; '.join(changed)}): move"
                " it elsewhere"
            )
    made = {
        seed: history.read_run(path)
        for seed, path in paths.items()
        if (path / "history.jsonl").is_file()
    }
    made = {seed: run for seed, run in made.items() if run.rows["train"]}
    if not made:
        raise DataError(
            f"no seed of {group} has recorded a step yet: let tools/train.py go on, then try again"
        )
    return made


def result(run: history.Run) -> dict[str, Any]:
    """The result of one seed: seed, steps, seconds of training, the last scores on the valid split
    by way of evaluation, the likeliest blocks, and the probability of the least decided one (None
    if no block is stochastic).

    Raises: DataError if the run has not been evaluated.
    """
    valid = [row for row in run.rows["valid"] if row["split"] == "valid"]
    if not run.rows["train"] or not valid:
        raise DataError(
            f"run {run.name} is marked as finished but its history.jsonl is empty: put a whole"
            " copy in its place, or train again in another --run=DIR"
        )
    last, pi = run.rows["train"][-1], run.pi()[-1]
    decided = [float(row.max()) for kind, row in zip(run.blocks, pi) if kind == "s"]
    scores = {
        row["evaluate_as"]: {name: row[name] for name in run.contract.names}
        for row in valid
        if row["step"] == valid[-1]["step"]
    }
    figures = {
        "seed": run.seed,
        "steps": last["step"],
        "seconds": last["seconds"],
        "valid": scores,
    }
    return figures | {"blocks": derive.argmax(pi), "least_decided": min(decided, default=None)}


def mean_and_spread(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{"mean": ..., "spread": ...} of the figures of `result`: arithmetic mean, and standard
    deviation with n - 1; None if a seed lacks the figure."""
    out = {}
    for name, function in (("mean", _mean), ("spread", _spread)):
        ways = {
            way: {
                figure: function([row["valid"][way][figure] for row in results])
                for figure in results[0]["valid"][way]
            }
            for way in results[0]["valid"]
        }
        out[name] = {"valid": ways} | {
            figure: function([row[figure] for row in results])
            for figure in ("least_decided", "seconds")
        }
    return out


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else statistics.fmean(values)


def _spread(values: Sequence[float | None]) -> float | None:
    return None if None in values or len(values) < 2 else statistics.stdev(values)


def table(results: Sequence[dict[str, Any]], contract: Contract) -> list[str]:
    """`cells` as lines of text."""
    return text.table(cells(results, contract))


def cells(results: Sequence[dict[str, Any]], contract: Contract) -> list[list[str]]:
    """The heads, and the cells of each seed: the likeliest blocks, what networks are compared by
    on the valid split by way of evaluation, the least decided block's probability, seconds of
    training; then mean and spread. A network without stochastic blocks has one way, and lacks the
    column `least decided`."""
    figure = contract.comparison[0]
    ways = [way for way in history.EVALUATED_AS if way in results[0]["valid"]]
    heads = [
        "seed",
        "blocks",
        *(f"{figure.label}{'' if way == 'fixed' else f' ({way})'}" for way in ways),
        "least decided",
        "seconds",
    ]
    all_rows = [(str(row["seed"]), row["blocks"], row) for row in results]
    all_rows += [(name, "", figures) for name, figures in mean_and_spread(results).items()]
    lines = [heads]
    for label, blocks, row in all_rows:
        scores = [_cell(row["valid"][way][figure.name], figure.digits) for way in ways]
        lines.append(
            [label, blocks, *scores, _cell(row["least_decided"], 3), _cell(row["seconds"], 1)]
        )
    if "soft" not in ways:
        lines = [[*line[:-2], line[-1]] for line in lines]
    return lines


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"
