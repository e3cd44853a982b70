"""The table of all networks of up to so many blocks: every one trained, by several seeds."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from par.core import files, schema
from par.core.errors import UsageError
from par.core.machine import processor
from par.core.metrics import PERPLEXITY_PER_WORD, Figure
from par.core.progress import announce
from par.core.stats import Interval, interval
from par.core.text import plural, table
from par.evaluate.compare import table_of_runs, tables
from par.evaluate.compare.statistics import SCORED
from par.evaluate.compare.table_of_runs import TableRun
from par.objectives import CONTRACTS
from par.search import block_table_file, latency_table, networks
from par.search.architecture import Architecture
from par.search.block_table import MAX_BLOCKS, BlockTable
from par.search.block_table_merge import merged
from par.tools.cli.flags import Flags
from par.tools.comparisons import side_by_side
from par.tools.comparisons.side_by_side import Task
from par.tools.comparisons.source import NUM_SEEDS, default_directory, read_data
from par.tools.comparisons.work import alone_in
from par.train.run_config import RunConfig

WRITTEN = "table.npz"
AT_A_TIME = 4  # trainings of a process: to start one takes as long as an epoch of a small text


class Plan(NamedTuple):
    """What is trained. seeds: of all networks; leaders: how many of the best get leader_seeds;
    table: where what is known is read and written."""

    config: RunConfig
    data_dir: Path
    directory: Path
    num_blocks: int
    seeds: range
    leaders: int
    leader_seeds: range
    table: Path
    latency_ms: dict[str, float]

    def task(self, network: str, seed: int) -> Task:
        """The run of a network with a seed."""
        config = dataclasses.replace(
            self.config.with_seed(seed), architecture=Architecture(network)
        )
        run_dir = self.directory / config.default_name()
        return Task(config, run_dir, config.total_steps, SCORED, is_kept=False)

    @property
    def runs(self) -> list[TableRun]:
        """All runs that there can be."""
        names = [networks.network_at(n + 1) for n in range(networks.count(self.num_blocks))]
        seeds = sorted({*self.seeds, *self.leader_seeds})
        return [
            TableRun(name, seed, self.task(name, seed).run_dir) for seed in seeds for name in names
        ]

    def known(self, since: Sequence[TableRun] | None = None) -> BlockTable | None:
        """The table with what the runs `since` it was written have shown, by default all; None
        before any is finished."""
        runs = self.runs if since is None else since
        kept = block_table_file.load(self.table) if self.table.is_file() else None
        if not any((run.run_dir / "scores.json").is_file() for run in runs):
            return kept
        added = table_of_runs.build(
            self.num_blocks,
            runs,
            self.latency_ms,
            made_with={"processor": processor()},
        )
        return merged(kept, added) if kept else added

    def missing(self) -> list[tuple[str, int]]:
        """The networks and seeds that are to be trained next: seed by seed, then those of the
        leaders."""
        known = self.known()
        if known is None:
            return [(run.network, run.seed) for run in self.runs if run.seed in self.seeds]
        return known.missing(self.seeds) or known.missing(
            self.leader_seeds, best(known, self.seeds)[: self.leaders]
        )


def best(known: BlockTable, seeds: Sequence[int]) -> list[str]:
    """The networks that are trained with all of these seeds, by their mean on valid."""
    columns = [known.seeds.tolist().index(seed) for seed in seeds if seed in known.seeds]
    losses = known.valid_nll[:, columns, -1].mean(axis=1)
    return [known.networks[n] for n in np.argsort(losses, kind="stable") if losses[n] < math.inf]


def work(values: Flags) -> int:
    """Trains what the table lacks, and prints the best."""
    plan, at_once = _plan(values), side_by_side.at_once(values)
    if values.dry_run:
        return _dry_run(values, plan)
    if values.report_only:
        return _report(values, plan)
    with alone_in(plan.directory, ()):
        files.check_writable(plan.table)
        if code := _train(plan, at_once):
            return code
        return _report(values, plan)


def _plan(values: Flags) -> Plan:
    """What the flags ask for. Raises: UsageError, DataError before any work."""
    if values.run:
        raise UsageError(
            "--all compares networks without a search: give --data=DIR with settings, not --run"
        )
    num_seeds = NUM_SEEDS if values.num_seeds is None else values.num_seeds
    for name, value, least in (
        ("num_seeds", num_seeds, 1),
        ("num_leaders", values.num_leaders, 0),
        ("leader_seeds", values.leader_seeds, num_seeds),
    ):
        if not least <= value <= 1000:
            raise UsageError(f"--{name} must be from {least} to 1000, but is {value}")
    config, data_dir, depth = read_data(values)
    if depth > MAX_BLOCKS:
        raise UsageError(
            f"--all trains the networks of at most {MAX_BLOCKS} blocks,"
            f" {networks.count(MAX_BLOCKS):,}, but --num_blocks is {depth}"
        )
    first = config.training.seed
    config.with_seed(first + values.leader_seeds - 1)  # refuses an invalid seed
    directory = Path(values.output_dir or default_directory(config, "all"))
    return Plan(
        config,
        data_dir,
        directory,
        depth,
        range(first, first + num_seeds),
        values.num_leaders,
        range(first, first + values.leader_seeds),
        Path(values.table or directory / WRITTEN),
        _latencies(values, config, depth),
    )


def _latencies(values: Flags, config: RunConfig, depth: int) -> dict[str, float]:
    """Milliseconds of every network by --latency_table."""
    if not values.latency_table:
        return {}
    found = latency_table.load(values.latency_table)
    found.check_fits("inference", config.latency_shape, values.latency_table)
    names = [networks.network_at(n + 1) for n in range(networks.count(depth))]
    return {name: found.milliseconds(name, "inference") for name in names}


def _train(plan: Plan, at_once: int) -> int:
    """Trains until nothing is missing. Returns an exit code."""
    start, made = time.monotonic(), 0
    while missing := plan.missing():
        tasks = [plan.task(network, seed) for network, seed in missing]
        groups = [tasks[n : n + AT_A_TIME] for n in range(0, len(tasks), AT_A_TIME)]

        def tell(number: int, groups: Sequence[Sequence[Task]] = groups) -> None:
            nonlocal made
            made += len(groups[number])
            since = [
                TableRun(task.config.architecture.network, task.config.training.seed, task.run_dir)
                for task in groups[number]
            ]
            known = plan.known(since)  # all runs again would take longer with each of them
            block_table_file.save(plan.table, known)
            left = len(known.missing(plan.seeds)) + plan.leaders * (
                len(plan.leader_seeds) - len(plan.seeds)
            )
            seconds = (time.monotonic() - start) / made * left
            announce(
                f"{plural(int(known.is_whole.sum()), 'training')} in {plan.table}; about"
                f" {tables.clock(seconds)} left"
            )

        if code := side_by_side.train(groups, plan.data_dir, plan.directory, at_once, tell):
            return code
    return 0


class Row(NamedTuple):
    """A network of the table on valid and test over its seeds."""

    network: str
    seeds: int
    valid: Interval
    test: Interval


def _figure(objective: str) -> Figure:
    """What the table knows of networks: perplexity per word, else the nll."""
    figures = {figure.name: figure for figure in CONTRACTS[objective].figures}
    return figures.get(PERPLEXITY_PER_WORD.name, figures["nll_per_token"])


def _rows(known: BlockTable) -> list[Row]:
    """Every network that was trained to its end, the best on valid first."""
    made, figure = [], _figure(known.objective)
    for n, network in enumerate(known.networks):
        if not (whole := known.is_whole[n]).any():
            continue
        values = {}
        for split, nll in (("valid", known.valid_nll[n, :, -1]), ("test", known.test_nll[n])):
            place = SCORED.index(split)
            per_word = nll[whole].astype(float) * known.tokens[place] / known.words[place]
            values[split] = interval(per_word.tolist()).map(figure.from_scale)
        made.append(Row(network, int(whole.sum()), values["valid"], values["test"]))
    return sorted(made, key=lambda row: row.valid.mean)


def _report(values: Flags, plan: Plan) -> int:
    """Writes the table and prints the best networks."""
    known = plan.known()
    if known is None:
        raise UsageError(f"no network is trained yet in {plan.directory}: leave --report_only out")
    block_table_file.save(plan.table, known)
    rows, left, figure = _rows(known), len(plan.missing()), _figure(known.objective)
    if values.json:
        facts = {"table": str(plan.table), "missing": left, "seeds": known.seeds.tolist()}
        facts["figure"] = figure.name
        listed = [schema.encode(row._asdict()) for row in rows]
        print(schema.canonical_json(facts | {"networks": listed}))
        return 0
    cells = [
        (
            row.network,
            str(row.seeds),
            *(tables.spread(each, figure.few_digits) for each in (row.valid, row.test)),
        )
        for row in rows[: max(plan.leaders, 1)]
    ]
    heads = ("network", "seeds", "valid", "test")
    shown = plural(len(rows), "network")
    print(
        "\n".join(
            [
                f"{plan.config.data.name}: {shown} of at most {plural(plan.num_blocks, 'block')},"
                f" {plural(int(known.is_whole.sum()), 'training')}; {left:,} left",
                "",
                *table([heads, *cells], left=1),
                f"{figure.label}, mean and 95 % interval over the seeds; of {shown} the best",
                "",
                f"written: {plan.table}",
            ]
        )
    )
    return 0


def _dry_run(values: Flags, plan: Plan) -> int:
    """What would be trained."""
    missing = plan.missing()
    figures = {
        "directory": str(plan.directory),
        "table": str(plan.table),
        "networks": networks.count(plan.num_blocks),
        "seeds": list(plan.seeds),
        "unfinished": len(missing),
        "steps_per_run": plan.config.total_steps,
    }
    if values.json:
        print(schema.canonical_json(figures))
        return 0
    print(
        "{networks:,} networks of at most {blocks}, {count}: {unfinished:,} trainings of"
        " {steps_per_run:,} steps are missing in {table}".format(
            blocks=plural(plan.num_blocks, "block"),
            count=plural(len(plan.seeds), "seed"),
            **figures,
        )
    )
    return 0
