"""The finalists of a comparison: the networks of few seeds that are worth more of them."""

from __future__ import annotations

import math
from pathlib import Path

from par.core import schema
from par.core.errors import DataError, UsageError
from par.core.metrics import Figure
from par.evaluate.compare.results import Comparison, NetworkResult
from par.search.baselines import DERIVED, INTERLEAVED, SLACK


def load(directory: Path) -> Comparison:
    """The finished comparison of a directory.

    Raises: DataError if compare.json is missing or damaged; UsageError if a network lacks a run
    of one of its seeds.
    """
    path = Path(directory) / "compare.json"
    try:
        found = Comparison.from_json(schema.read_json(path, "comparison"), "comparison")
    except UsageError as error:
        raise DataError(
            f"comparison {path} is not what tools/compare.py writes ({error}): run it again"
        ) from None
    for network in found.findings.networks:
        if missing := set(found.settings.seeds) - {run.seed for run in network.runs}:
            raise UsageError(
                f"comparison {directory} is not finished, {network.blocks} has no run of seed"
                f" {min(missing)}: finalists are chosen when all its networks are trained"
            )
    return found


def choose(comparison: Comparison, number: int) -> list[NetworkResult]:
    """The derived network, the interleaved one, and the best others, at most `number`, of those
    that cost at most the comparison's tolerance more than the derived one."""
    networks, tolerance = comparison.findings.networks, comparison.settings.tolerance
    always = [each for each in networks if {DERIVED, INTERLEAVED} & set(each.names)]
    others = [
        each for each in networks if each not in always and _above(each) <= tolerance + SLACK
    ]
    figure = comparison.findings.figures[0]
    return [*always, *sorted(others, key=lambda each: _loss(each, figure))[:number]]


def _above(network: NetworkResult) -> float:
    above = network.cost_above_derived
    return math.inf if above is None else above


def _loss(network: NetworkResult, figure: Figure) -> float:
    found = network.figures[figure.name]
    return math.inf if found is None else figure.loss(found.mean)
