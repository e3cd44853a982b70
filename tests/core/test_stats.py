"""Student's quantiles are those of the tables, an interval holds the mean as often as it says, and
least squares has no negative coefficient."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from par.core.stats import (
    interval,
    nonnegative_least_squares,
    permutation_p,
    quartiles,
    t_factor,
    t_probability,
)


@pytest.mark.parametrize(
    ("degrees", "t"),
    [
        (1, 12.7062047364),
        (2, 4.3026527297),
        (3, 3.1824463053),
        (4, 2.7764451052),
        (5, 2.5705818356),
        (7, 2.3646242516),
        (9, 2.2621571628),
        (10, 2.2281388520),
        (29, 2.0452296421),
        (30, 2.0422724563),
        (100, 1.9839715185),
    ],
)
def test_quantiles_are_those_of_the_tables(degrees, t):
    assert t_factor(degrees) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.9, 0.95, 0.999])
def test_quantiles_have_their_closed_forms_of_one_two_and_four_degrees(confidence):
    # Cauchy's
    assert t_factor(1, confidence) == pytest.approx(math.tan(math.pi * confidence / 2), rel=1e-9)
    assert t_factor(2, confidence) == pytest.approx(
        confidence * math.sqrt(2 / (1 - confidence**2)), rel=1e-9
    )
    root = math.sqrt(1 - confidence**2)
    assert t_factor(4, confidence) == pytest.approx(
        2 * math.sqrt(math.cos(math.acos(root) / 3) / root - 1), rel=1e-7
    )


def test_with_many_degrees_it_is_the_normal_distribution():
    # Student's factor is larger by (z^2 + 1) / 4 over the degrees, to first order
    assert t_factor(20_000) == pytest.approx(1.959963985 * (1 + 4.8414588 / 80_000), rel=1e-7)
    # odd and even are two formulas
    assert t_factor(20_001) == pytest.approx(t_factor(20_000), rel=1e-6)


@pytest.mark.parametrize("degrees", [1, 2, 3, 8, 9])
def test_the_probability_is_the_integral_of_student_s_density(degrees):
    t = np.linspace(0, 1.7, 20_001)
    constant = math.gamma((degrees + 1) / 2) / (
        math.sqrt(degrees * math.pi) * math.gamma(degrees / 2)
    )
    density = constant * (1 + t * t / degrees) ** (-(degrees + 1) / 2)
    assert t_probability(math.atan(1.7 / math.sqrt(degrees)), degrees) == pytest.approx(
        2 * np.trapezoid(density, t), rel=1e-7
    )


def test_an_interval_by_hand():
    """1, 2, 6: mean 3, variance 7; 4.3026527 sqrt(7/3)."""
    mean, low, high = interval([1.0, 2.0, 6.0])
    assert (mean, high - 3, 3 - low) == pytest.approx(
        (3, 4.3026527297 * math.sqrt(7 / 3), 4.3026527297 * math.sqrt(7 / 3))
    )


def test_one_value_has_a_mean_and_no_interval():
    assert interval([4.5]) == (4.5, None, None)
    assert interval([4.5]).map(lambda x: 2 * x) == (9.0, None, None)


def test_equal_values_have_an_interval_of_no_width():
    assert interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_it_holds_the_mean_in_95_of_100_samples(count):
    samples = np.random.default_rng(count).normal(3.0, 2.0, (6000, count))
    held = np.mean([found.low <= 3.0 <= found.high for found in map(interval, samples.tolist())])
    assert held == pytest.approx(0.95, abs=0.01)  # three standard deviations of 6000


def test_what_json_can_not_hold_is_null():
    assert interval([0.0, 2000.0]).map(
        lambda x: math.exp(x) if x < 700 else math.inf
    ).to_json() == {"mean": None, "low": 0.0, "high": None}


def test_quartiles_interpolate_and_tell_their_width_relative_to_the_median():
    assert quartiles([4.0]) == (4.0, 4.0, 4.0)
    found = quartiles([8.0, 1.0, 2.0, 4.0])
    assert found == (3.0, 1.75, 5.0) and found.width == pytest.approx(3.25 / 3)


def test_least_squares_holds_a_coefficient_at_zero_that_would_be_negative():
    terms = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(nonnegative_least_squares(terms, terms @ [2.0, 3.0]), [2.0, 3.0])
    # falling values: without the bound the slope would be -1; the best constant is their mean
    np.testing.assert_allclose(
        nonnegative_least_squares(terms, np.array([3.0, 2.0, 1.0])), [2.0, 0.0]
    )
    np.testing.assert_array_equal(nonnegative_least_squares(terms, np.array([-1.0, -2, -3])), 0.0)


def test_least_squares_is_the_best_of_all_nonnegative_coefficients():
    rng = np.random.default_rng(0)
    for _ in range(20):
        terms, values = rng.normal(size=(6, 3)), rng.normal(size=6)
        found = nonnegative_least_squares(terms, values)
        error = np.sum((terms @ found - values) ** 2)
        others = np.maximum(found + rng.normal(scale=0.1, size=(200, 3)), 0.0)
        assert found.min() >= 0
        assert error <= np.min(np.sum((others @ terms.T - values) ** 2, axis=1)) + 1e-9


def test_the_p_of_a_permutation_is_the_share_of_all_ways_that_are_as_far_apart():
    assert permutation_p([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == 2 / 252
    assert permutation_p([1.0, 1.0], [1.0, 1.0, 1.0]) == 1.0
    first, second = [0.1, 0.4, 0.35], [0.2, 0.9]
    found = abs(np.mean(first) - np.mean(second))
    values = np.array(first + second)
    ways = [list(group) for group in itertools.combinations(range(5), 3)]
    far = [
        abs(values[group].mean() - np.delete(values, group).mean()) >= found - 1e-9
        for group in ways
    ]
    assert permutation_p(first, second) == pytest.approx(np.mean(far))
    assert permutation_p(second, first) == pytest.approx(np.mean(far))
    with pytest.raises(ValueError, match="have 0 and 2 values"):
        permutation_p([], [1.0, 2.0])
