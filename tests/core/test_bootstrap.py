"""The interval by drawing clusters again: against the formula, and where there is nothing to
draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from par.core import bootstrap


def test_of_many_equal_clusters_it_is_the_interval_of_the_mean():
    values = np.random.default_rng(0).normal(2, 3, 400)
    mean, low, high = bootstrap.ratio_interval(values, np.ones(400), seed=1)
    half = 1.96 * values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.03)


def test_what_a_cluster_holds_counts_by_its_weight_and_varies_only_between_clusters():
    """Ten clusters that are a hundred equal values each are known as well as ten values."""
    values = np.random.default_rng(1).normal(size=10)
    one = bootstrap.ratio_interval(values, np.ones(10), seed=0)
    assert bootstrap.ratio_interval(100 * values, np.full(10, 100), seed=0) == pytest.approx(one)
    mean, _, _ = bootstrap.ratio_interval(np.array([6.0, 1.0]), np.array([3, 1]), seed=0)
    assert mean == 7 / 4


def test_a_ratio_that_is_the_same_everywhere_is_certain_and_one_cluster_tells_nothing():
    weights = np.arange(1, 30)
    assert bootstrap.ratio_interval(0.25 * weights, weights, seed=0) == pytest.approx((0.25,) * 3)
    assert bootstrap.ratio_interval(np.array([3.0]), np.array([2]), seed=0) == (1.5, None, None)


@pytest.mark.parametrize("clusters", [60, 7])
def test_the_interval_covers_the_mean_in_about_95_of_100_samples(clusters):
    found = []
    for seed in range(300):
        draw = np.random.default_rng(seed)
        weights = draw.integers(10, 20, clusters)
        sums = weights * draw.normal(1, 1, clusters)
        _, low, high = bootstrap.ratio_interval(sums, weights, seed, resamples=500)
        found.append(low < 1 < high)
    assert np.mean(found) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 300))


def test_it_follows_from_the_seed_however_it_is_divided(monkeypatch):
    values, weights = np.arange(20.0), np.ones(20)
    whole = bootstrap.ratio_interval(values, weights, seed=3)
    assert whole != bootstrap.ratio_interval(values, weights, seed=4)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 700)
    assert bootstrap.ratio_interval(values, weights, seed=3) == whole
