"""The findings of a comparison, computed from the scores and times of its networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from par.core.stats import quartiles
from par.evaluate.compare.results import (
    Findings,
    Interleaved,
    Milliseconds,
    NetworkResult,
    SeedResult,
)
from par.evaluate.compare.statistics import Network, change, saving
from par.evaluate.compare.verdict import goal, rank, verdict
from par.search.baselines import INTERLEAVED


def summarize(
    networks: Sequence[Network],
    what: str,
    tolerance: float,
    equal: bool,
    is_whole: bool,
) -> Findings:
    """The statistics of a comparison. networks: the derived one first. what, tolerance, equal,
    is_whole: as in `verdict`."""
    derived, cases = networks[0], networks[0].contract.cases
    interleaved = next((network for network in networks if INTERLEAVED in network.names), derived)
    gap, saved = change(derived, interleaved), saving(derived, interleaved)
    outcome, sentence = verdict(networks, what, tolerance, equal, is_whole)
    return Findings(
        networks=tuple(_network_result(network, derived) for network in networks),
        random=rank(networks, tolerance, equal, is_whole),
        interleaved=Interleaved(gap, {name: saving(derived, interleaved, name) for name in cases}),
        goal=goal(gap, saved, derived.figures[0]),
        outcome=outcome,
        verdict=sentence,
        seconds=sum(scores.seconds for network in networks for scores in network.runs.values()),
        objective=derived.contract.name,
    )


def _network_result(network: Network, derived: Network) -> NetworkResult:
    runs = tuple(
        SeedResult.from_scores(seed, scores, network.figures[0])
        for seed, scores in sorted(network.runs.items())
    )
    latency = None
    if network.measured:
        latency = {name: _milliseconds(network.measured[name]) for name in network.contract.cases}
    return NetworkResult(
        names=network.names,
        blocks=network.blocks,
        random=network.random,
        cost=network.cost,
        cost_above_derived=network.more if math.isfinite(network.more) else None,
        parameters=runs[0].parameters if runs else None,
        latency=latency,
        figures=network.over_seeds(),
        change=change(network, derived),
        seconds=sum(run.seconds for run in runs),
        runs=runs,
    )


def _milliseconds(rounds: Sequence[float]) -> Milliseconds:
    found = quartiles(rounds)
    return Milliseconds(found.median, found.low, found.high)
