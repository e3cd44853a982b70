"""Area under the ROC curve: how well scores tell two classes apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from par.core.bootstrap import percentile_interval
from par.core.stats import Interval

RESAMPLES = 400


def auc(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """The probability that a positive example has a higher score than a negative one, ties as
    halves: (sum of the positives' ranks - n_+ (n_+ + 1) / 2) / (n_+ n_-), of equal scores the mean
    rank (Mann & Whitney 1947; Hanley & McNeil 1982).

    scores: [N], not NaN; is_positive: [N] bool. 1/2 where a class has no example: nothing is told
    apart.
    """
    positive = int(np.count_nonzero(is_positive))
    negative = len(is_positive) - positive
    if not (positive and negative):
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # of each value, from 1 on
    total = float(np.sum(ranks[inverse[is_positive]]))
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def auc_difference(
    scores: np.ndarray,
    others: np.ndarray,
    is_positive: np.ndarray,
    clusters: np.ndarray,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """The AUC of scores [N] less that of others [N] on the same examples, and its 95 % interval by
    a paired bootstrap: clusters are drawn as a whole, for both alike.

    clusters: [N] integers from 0 on. The bounds of a single cluster are None.
    """
    number = int(clusters.max(initial=-1)) + 1
    mean = auc(scores, is_positive) - auc(others, is_positive)
    if number < 2:
        return Interval(mean, None, None)
    one, other = (weighted_auc(each, is_positive) for each in (scores, others))
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        times = draw.multinomial(number, np.full([number], 1 / number))[clusters]
        found.append(one(times) - other(times))
    return percentile_interval(mean, np.array(found), number)


def weighted_auc(scores: np.ndarray, is_positive: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function of how often each example counts [N] that gives the AUC; the scores are sorted
    once."""
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], is_positive[order]
    firsts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))  # of equal scores

    def value(times: np.ndarray) -> float:
        own = times[order]
        of_positive = np.add.reduceat(np.where(positive, own, 0), firsts)
        of_negative = np.add.reduceat(np.where(positive, 0, own), firsts)
        pairs = float(of_positive.sum()) * float(of_negative.sum())
        below = np.cumsum(of_negative) - of_negative / 2
        return float(of_positive @ below) / pairs if pairs else 0.5

    return value
