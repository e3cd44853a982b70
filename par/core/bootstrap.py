"""Intervals by drawing again: the clusters of a sample, with replacement (Efron 1979)."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from par.core.stats import Interval, t_factor

RESAMPLES = 4_000
AT_ONCE = 1 << 22  # numbers that are drawn at once


def ratio_interval(
    sums: np.ndarray, weights: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """The mean sum(sums) / sum(weights) of C clusters and its 95 % percentile interval, expanded
    for few clusters (Hesterberg 2015): the tails are those of z = t sqrt(C / (C - 1)).

    sums, weights: [C] of each cluster, weights above 0. A cluster is drawn as a whole, so that
    what it holds may depend on each other; differences of pairs give a paired bootstrap. The
    bounds of a single cluster are None.
    """
    mean = float(sums.sum() / weights.sum())
    clusters = len(sums)
    if clusters < 2:
        return Interval(mean, None, None)
    draw = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, step := max(AT_ONCE // clusters, 1)):
        size = min(step, resamples - start)
        times = draw.multinomial(clusters, np.full([clusters], 1 / clusters), size)
        means.append((times @ sums) / (times @ weights))
    return percentile_interval(mean, np.concatenate(means), clusters)


def percentile_interval(mean: float, found: np.ndarray, clusters: int) -> Interval:
    """The 95 % percentile interval of a figure from those of the resamples, expanded for few
    clusters: see `ratio_interval`."""
    z = t_factor(clusters - 1) * math.sqrt(clusters / (clusters - 1))
    tail = 100 * NormalDist().cdf(-z)
    low, high = np.percentile(found, [tail, 100 - tail])
    return Interval(mean, float(low), float(high))
