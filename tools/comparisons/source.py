"""The search that a comparison begins with, from the flags of tools/compare.py."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from par.core import files
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import DataError, UsageError
from par.data import records
from par.evaluate.compare import finalists
from par.evaluate.compare.results import Comparison
from par.objectives import DEFAULT, OBJECTIVES
from par.search import architecture, derive
from par.search.architecture import MAX_BLOCKS, Architecture, interleaved, network_of
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags
from par.train import history, run_config

NUM_SEEDS = 3  # of each network, unless --num_seeds says another


class Search(NamedTuple):
    """The search to compare. config: its settings with the given recipe, and random weights;
    finalists: the comparison whose best networks are compared, if any."""

    run_dir: Path
    record: history.Run
    config: run_config.RunConfig
    data_dir: Path
    derived: Architecture
    seeds: range
    directory: Path
    finalists: Comparison | None


def read_search(values: Flags) -> Search:
    """The plan without opponents. Raises: UsageError, DataError before anything is done."""
    if not 1 <= _num_seeds(values) <= 1000:
        raise UsageError(f"--num_seeds must be from 1 to 1000, but is {values.num_seeds}")
    for name, least, most in (
        ("num_random", 0, 1000),
        ("num_finalists", 0, 1000),
        ("repeats", 1, 10_000),
        ("steps", 1, 10_000),
        ("tolerance", 0, 1),
    ):
        if not least <= getattr(values, name) <= most:
            raise UsageError(
                f"--{name} must be from {least} to {most}, but is {getattr(values, name)}"
            )
    run_dir = required_dir(values.run, "run", "config.json")
    search = history.read_run(run_dir)
    search.require_search(
        "there is nothing to compare; a search is a run of tools/train.py --architecture=6s or the"
        " like"
    )
    config, remembered = run_config.load(run_dir)
    data_dir = required_dir(values.data or str(remembered), "data", "manifest.json")
    before, after = (
        dataclasses.asdict(data)
        for data in (
            config.data,
            run_config.DataIdentity.from_manifest(records.load(data_dir), config.contract),
        )
    )
    if changed := [
        f"{name}: {before[name]} -> {after[name]}"
        for name in before
        if before[name] != after[name]
    ]:
        raise DataError(
            f"the data in {data_dir} are not those of run {run_dir} ({'; '.join(changed)}): name"
            " those with --data=DIR"
        )
    if config.base and config.base.trained:
        raise UsageError(
            f"run {run_dir} has trained parts of its base, too ({', '.join(config.base.trained)}),"
            " so that other networks can't begin with them as they were: only searches on a frozen"
            " base can be compared"
        )
    config = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, **values.given(TrainingConfig)),
        init=None,
    )
    config.contract.check_source(config, None, "")
    path = Path(values.derived or run_dir / "architecture.json")
    chosen = derived_of(path, search, is_given=bool(values.derived))
    directory = Path(values.output_dir or files.beside(run_dir, _kind(values)))
    former = _former(values, search.name, chosen.network, directory)
    seeds = _seeds(values, config, (search.seed, *chosen.seeds), former)
    return Search(run_dir, search, config, data_dir, chosen, seeds, directory, former)


def _kind(values: Flags) -> str:
    """What the directory of the comparison is called after the search's."""
    if values.certify:
        return "certify"
    return "finalists" if values.finalists_of else "compare"


def _num_seeds(values: Flags) -> int:
    return NUM_SEEDS if values.num_seeds is None else values.num_seeds


def _seeds(
    values: Flags, config: run_config.RunConfig, seen: Sequence[int], former: Comparison | None
) -> range:
    """The seeds of the runs. seen: those of the search; former: that chose the finalists. Raises:
    UsageError for an invalid seed, and for one of those by which the finalists were chosen."""
    used = former.settings.seeds if former else ()
    first = max(*seen, *used, 0) + 1 if values.seed is None else values.seed
    seeds = range(first, first + _num_seeds(values))
    for seed in (seeds[0], seeds[-1]):
        config.with_seed(seed)
    if again := set(seeds) & set(used):
        raise UsageError(
            f"--seed must leave out the seeds by which the finalists were chosen, but {min(again)}"
            f" is one of {values.finalists_of}: give --seed={max(used) + 1}, or leave it out"
        )
    return seeds


def _former(values: Flags, search: str, derived: str, directory: Path) -> Comparison | None:
    """The comparison that --finalists_of names. Raises: UsageError if it is of another search or
    derived network, or if this one would be written into its directory."""
    if not values.finalists_of:
        return None
    found = finalists.load(Path(values.finalists_of))
    if directory.resolve() == Path(values.finalists_of).resolve():
        raise UsageError(
            f"--output_dir must be another directory than --finalists_of, but both are {directory}"
        )
    theirs = (found.settings.search, network_of(found.findings.networks[0].blocks))
    if theirs != (search, derived):
        raise UsageError(
            f"comparison {values.finalists_of} is of search {theirs[0]}, which derived"
            f" {theirs[1]}, but --run is {search} and derived {derived}:"
            " give the same search and --derived"
        )
    return found


def derived_of(path: Path, search: history.Run, is_given: bool) -> Architecture:
    """What the search derived: the file, or else, unless that was given, argmax of its last pi.
    Says on stderr why that may not be what one wants."""
    chosen = (
        architecture.load(path)
        if is_given or path.is_file()
        else derive.derive(search.pi()[-1], search.blocks, "argmax", search.name, (search.seed,))
    )
    if len(chosen) != len(search.blocks) or chosen.is_search:
        raise DataError(
            f"architecture {path} has the blocks {chosen.short[:60]}, but the search"
            f" {search.blocks[:60]}: run tools/derive.py again"
        )
    for line in (
        derive.doubts(chosen, search.blocks, search.rows["train"][-1]["step"], search.total_steps)
        if chosen.pi
        else ()
    ):
        print(f"warning: {line}", file=sys.stderr)
    return chosen


def read_data(values: Flags) -> tuple[run_config.RunConfig, Path, int]:
    """The settings that the flags give without a search, the data, and the number of blocks.
    Raises: UsageError, DataError before anything is done."""
    if not values.data:
        raise UsageError("give --run=DIR of a search, or --data=DIR with settings; see --help")
    data_dir = required_dir(values.data, "data", "manifest.json")
    manifest = records.load(data_dir)
    if not 1 <= values.num_blocks <= MAX_BLOCKS:
        raise UsageError(
            f"--num_blocks must be from 1 to {MAX_BLOCKS}, but is {values.num_blocks}"
        )
    model = values.completed(ModelConfig)
    model.check_vocabulary(manifest.vocab_size, "; --cutoffs=none for plain softmax")
    contract = OBJECTIVES[values.objective]
    config = run_config.RunConfig(
        Architecture(interleaved(values.num_blocks)),
        model,
        SearchConfig(),
        values.completed(TrainingConfig),
        run_config.DataIdentity.from_manifest(manifest, contract),
        objective=values.objective,
        objective_settings=values.read_objective(),
        recipe=Path(values.recipe).stem if values.recipe else "custom",
    ).settled(data_dir, manifest)
    contract.check_data(config, data_dir, manifest)
    contract.check_source(config, None, "")
    return config, data_dir, values.num_blocks


def default_directory(config: run_config.RunConfig, kind: str) -> str:
    """Where a comparison without a search goes, if it is not said."""
    objective = "" if config.objective == DEFAULT else f"-{config.objective}"
    return f"logs/{config.data.name}{objective}-{kind}"
