"""The best cutoffs by their definition: every way to cut is tried."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations


def cost_of(counts: list[float], cutoffs: tuple[int, ...], cost: Callable) -> float:
    """The sum of cost(i, K, k, p) over the clusters, from the first to the last."""
    ends, total = [0, *cutoffs, len(counts)], sum(counts)
    clusters = len(cutoffs) + 1
    return sum(
        cost(i, clusters, ends[i + 1] - ends[i], sum(counts[ends[i] : ends[i + 1]]) / total)
        for i in range(clusters)
    )


def optimal(counts: list[float], clusters: int, cost: Callable) -> tuple[tuple[int, ...], float]:
    """The cheapest cutoffs; of equals those whose last is smallest, then the one before it, and so
    on."""
    every = combinations(range(1, len(counts)), clusters - 1)
    least, reverse = min((cost_of(counts, cutoffs, cost), cutoffs[::-1]) for cutoffs in every)
    return reverse[::-1], least
