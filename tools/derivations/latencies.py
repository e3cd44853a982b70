"""What networks may cost: the known latencies of blocks, what every budget gives, and the chosen
network measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.core.progress import announce
from par.data import records
from par.search import architecture, latency_table, pareto
from par.search.architecture import Architecture
from par.search.latency_check import LatencyCheck
from par.search.latency_table import LatencyTable
from par.tools.cli.flags import Flags
from par.tools.cli.tensorflow import start_tensorflow
from par.train import run_config


class Latencies(NamedTuple):
    """The known latencies of blocks: the case that counts, the costs by case ({} if there are
    none), and the table that they come from."""

    of: str
    costs: dict[str, latency_table.Costs]
    table: LatencyTable | None

    @property
    def own(self) -> latency_table.Costs:
        """The costs that count."""
        return self.costs[self.of]


class Front(NamedTuple):
    """What every budget gives ([] unless that is listed or drawn), the given one in milliseconds,
    and the likeliest network within it; None without."""

    choices: list[pareto.Choice]
    budget_ms: float | None = None
    best: pareto.Choice | None = None


def known(values: Flags, config: run_config.RunConfig) -> Latencies:
    """The latencies of --latency_table, or those that the search was given.

    Raises: DataError if the table is damaged or for another shape; UsageError if the search's own
    latencies are of another case or missing.
    """
    if not values.latency_table:
        of, costs = (
            config.search.latency_of,
            latency_table.costs_from_settings(config.search.latency_ms),
        )
        if values.latency_of not in (None, of if costs else None):
            given = (
                f"latencies of {of}, not of {values.latency_of}"
                if costs
                else f"no latencies, but latency_of is {values.latency_of}"
            )
            raise UsageError(
                f"the search was given {given}: give --latency_table=FILE, which has all"
            )
        return Latencies(of, {of: costs} if costs else {}, None)
    of = values.latency_of or latency_table.CASES[0]
    table = latency_table.load(values.latency_table)
    shape = config.latency_shape
    table.check_fits(of, shape, values.latency_table)
    # decoding depends on fewer settings than inference
    cases = (
        of,
        *(
            what
            for what in latency_table.REPORTED
            if what in table.cases and not table.misfits(what, shape)
        ),
    )
    return Latencies(of, {what: table.costs(what) for what in cases}, table)


def front(values: Flags, likeliest: Architecture, blocks: str, latencies: Latencies) -> Front:
    """What the budgets of the flags give. Raises: UsageError without latencies."""
    if not latencies.costs:
        raise UsageError(
            f"run {likeliest.search_run} was given no latencies: give --latency_table=FILE, which"
            " tools/measure_latency.py makes"
        )
    costs = latencies.own
    budget_ms = (
        values.budget_ms
        if values.budget_ratio is None
        else values.budget_ratio * costs.interleaved_ms(len(blocks))
    )
    pi = np.array(likeliest.pi)
    choices = pareto.front(pi, blocks, costs) if values.pareto or values.plot else []
    if budget_ms is None:
        return Front(choices)
    return Front(choices, budget_ms, pareto.likeliest(pi, blocks, costs, budget_ms))


def measured(
    values: Flags,
    config: run_config.RunConfig,
    data_dir: Path,
    chosen: Architecture,
    check: LatencyCheck,
) -> LatencyCheck:
    """The check with the measured latencies of the network and of the interleaved one, in turn."""
    counts = records.counts_if_there(data_dir, config.data.vocab_size)
    if counts is None:
        announce(f"the run's data is not in {data_dir}: tokens are drawn by Zipf's law")
    start_tensorflow()
    from par.bench import block_latency

    pair = [
        dataclasses.replace(config, architecture=Architecture(each))
        for each in (chosen.network, architecture.interleaved(len(chosen)))
    ]
    return check.with_measured(
        block_latency.rounds(
            pair, counts, values.pairs, latency_table.STEPS, [case.what for case in check.cases]
        )
    )
