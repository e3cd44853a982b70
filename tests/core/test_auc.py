"""The area under the ROC curve is the probability that a positive example has the higher score."""

from __future__ import annotations

import numpy as np
import pytest

from par.core.auc import auc, auc_difference, weighted_auc


def by_pairs(scores, is_positive):
    """Every positive example against every negative one."""
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[is_positive]
        for n in scores[~is_positive]
    ]
    return float(np.mean(pairs))


@pytest.mark.parametrize("values", [3, 10, 1_000])
def test_it_equals_the_share_of_pairs_in_order_with_ties_as_halves(values):
    draw = np.random.default_rng(values)
    scores = draw.integers(0, values, 90) / 7
    is_positive = draw.random(90) < 0.3
    assert auc(scores, is_positive) == pytest.approx(by_pairs(scores, is_positive), abs=1e-12)
    assert auc(-scores, is_positive) == pytest.approx(1 - auc(scores, is_positive), abs=1e-12)
    # only the order counts
    assert auc(np.exp(scores), is_positive) == auc(scores, is_positive)


def test_its_ends():
    labels = np.array([False, True, True, False])
    assert auc(np.array([1.0, 3.0, 2.0, 0.0]), labels) == 1.0
    assert auc(np.array([3.0, 1.0, 0.0, 2.0]), labels) == 0.0
    assert auc(np.zeros(4), labels) == 0.5
    for one_class in (np.zeros(4, bool), np.ones(4, bool)):
        assert auc(np.arange(4.0), one_class) == 0.5
    assert auc(np.zeros(0), np.zeros(0, bool)) == 0.5


def test_a_weighted_auc_is_that_of_examples_that_are_there_so_often():
    draw = np.random.default_rng(5)
    scores, is_positive = draw.integers(0, 9, 60) / 3, draw.random(60) < 0.4
    times = draw.integers(0, 4, 60)
    expected = auc(np.repeat(scores, times), np.repeat(is_positive, times))
    assert weighted_auc(scores, is_positive)(times) == pytest.approx(expected, abs=1e-12)
    assert weighted_auc(scores, is_positive)(np.zeros(60, int)) == 0.5


def test_a_difference_has_an_interval_of_the_clusters_in_pairs():
    draw = np.random.default_rng(6)
    is_positive = draw.random(4_000) < 0.3
    noise = draw.normal(size=4_000)
    good, poor = is_positive + noise, 0.5 * is_positive + noise  # the same luck
    clusters = np.arange(4_000) // 20
    found = auc_difference(good, poor, is_positive, clusters, seed=0)
    assert found.mean == auc(good, is_positive) - auc(poor, is_positive)
    assert found.low < found.mean < found.high and found.low > 0.09
    unpaired = auc_difference(good, draw.permutation(poor), is_positive, clusters, seed=0)
    assert unpaired.high - unpaired.low > 1.5 * (found.high - found.low)
    assert found == auc_difference(good, poor, is_positive, clusters, seed=0)
    alone = auc_difference(good, poor, is_positive, np.zeros(4_000, int), seed=0)
    assert (alone.low, alone.high) == (None, None)
