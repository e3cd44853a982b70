"""tau-b is that of its definition, pair by pair, and of cases by hand; rho is that of its closed
form, and within groups that of a regression; a bootstrap interval holds
the truth about as often as it says; regret is 0 for the best alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from par.core.rank_correlation import (
    bootstrap_interval,
    kendall_tau_b,
    ranks,
    simple_regret,
    spearman_rho,
    spearman_rho_within,
)


def by_pairs(x, y):
    """tau-b of its definition, in Python."""
    concordant = discordant = free_x = free_y = 0
    for (a, b), (c, d) in itertools.combinations(list(zip(x, y)), 2):
        free_x, free_y = free_x + (a != c), free_y + (b != d)
        concordant += (a < c and b < d) or (a > c and b > d)
        discordant += (a < c and b > d) or (a > c and b < d)
    return (concordant - discordant) / math.sqrt(free_x * free_y)


@pytest.mark.parametrize("values", [3, 7, 1_000_000])
def test_tau_b_is_that_of_its_definition_with_many_ties_and_few(values):
    draw = np.random.default_rng(values)
    for n in (4, 11, 37):
        x, y = draw.integers(values, size=(2, n))
        x[:2], y[1:3] = (0, 1), (0, 1)  # neither is constant
        assert kendall_tau_b(x, y) == pytest.approx(by_pairs(x, y), abs=1e-14)


def test_tau_b_by_hand():
    assert kendall_tau_b([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert kendall_tau_b([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # 5 pairs agree and 1 does not
    assert kendall_tau_b([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    # of 3 pairs one is tied in x, one in y: the third agrees
    assert kendall_tau_b([1, 1, 2], [5, 6, 6]) == pytest.approx(1 / 2)
    # ties in the same pair: what is left agrees, so that tau-b reaches 1, unlike tau-a
    assert kendall_tau_b([1, 1, 2], [3, 3, 9]) == pytest.approx(1)


def test_it_depends_on_the_order_alone_and_is_symmetric():
    x, y = np.random.default_rng(1).normal(size=(2, 30))
    assert kendall_tau_b(np.exp(x), y**3) == kendall_tau_b(x, y) == kendall_tau_b(y, x)
    assert kendall_tau_b(-x, y) == -kendall_tau_b(x, y)


def test_a_constant_side_has_no_correlation():
    assert math.isnan(kendall_tau_b([1, 1, 1], [1, 2, 3]))
    assert math.isnan(kendall_tau_b([], [])) and math.isnan(kendall_tau_b([1], [2]))
    assert bootstrap_interval([1, 1], [1, 2], seed=0)[1:] == (None, None)


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1]), ([1, np.nan], [1, 2]), ([1, 2], [np.inf, 2]), ([[1]], [[2]])]
)
def test_what_has_no_pairs_or_is_not_known_is_refused(x, y):
    for function in (kendall_tau_b, lambda x, y: bootstrap_interval(x, y, seed=0)):
        with pytest.raises(ValueError, match="equally many finite values"):
            function(x, y)


def test_a_bootstrap_interval_is_repeatable_and_narrows_with_the_number_of_networks():
    draw = np.random.default_rng(2)
    x = draw.normal(size=400)
    y = x + draw.normal(size=400)
    few, many = (bootstrap_interval(x[:n], y[:n], seed=5, num_samples=200) for n in (25, 400))
    assert few == bootstrap_interval(x[:25], y[:25], seed=5, num_samples=200)
    assert few != bootstrap_interval(x[:25], y[:25], seed=6, num_samples=200)
    for each, n in ((few, 25), (many, 400)):
        assert each.low < each.mean == kendall_tau_b(x[:n], y[:n]) < each.high
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Of two normal variables of correlation r, tau is 2 / pi arcsin(r) (Greiner's equation)."""
    draw, r, held = np.random.default_rng(3), 0.6, 0
    for number in range(60):
        x, noise = draw.normal(size=(2, 50))
        found = bootstrap_interval(
            x, r * x + math.sqrt(1 - r * r) * noise, seed=number, num_samples=150
        )
        held += found.low <= 2 / math.pi * math.asin(r) <= found.high
    assert 51 <= held <= 60  # 95 % of 60 is 57


def test_another_correlation_has_its_interval_too():
    def pearson(x, y):
        return float(np.corrcoef(x, y)[0, 1])

    x = np.arange(40.0)
    y = x + np.random.default_rng(4).normal(scale=5, size=40)
    found = bootstrap_interval(x, y, seed=0, correlation=pearson, num_samples=100)
    assert found.mean == pearson(x, y) and found.low < found.mean < found.high


def test_ranks_begin_at_1_and_equal_values_share_the_mean_of_theirs():
    assert ranks([7.0, 3.0, 9.0]).tolist() == [2, 1, 3]
    assert ranks([2, 5, 2, 2, 9, 5]).tolist() == [2, 4.5, 2, 2, 6, 4.5]
    draw = np.random.default_rng(0).integers(6, size=40)
    by_definition = [np.sum(draw < each) + (1 + np.sum(draw == each)) / 2 for each in draw]
    assert ranks(draw).tolist() == by_definition


def test_rho_without_ties_is_spearman_s_closed_form():
    draw = np.random.default_rng(5)
    for n in (2, 3, 10, 31):
        x, y = draw.permutation(n), draw.permutation(n)
        closed = 1 - 6 * np.sum((x - y) ** 2) / (n * (n * n - 1))
        assert spearman_rho(np.exp(x / n), y**3) == pytest.approx(closed, abs=1e-12)
    assert spearman_rho([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_rho_with_ties_is_pearson_s_correlation_of_the_mean_ranks():
    # ranks 1.5, 1.5, 3 and 1, 2.5, 2.5
    assert spearman_rho([1, 1, 2], [5, 6, 6]) == pytest.approx(0.5)
    assert math.isnan(spearman_rho([1, 1, 1], [1, 2, 3])) and math.isnan(spearman_rho([1], [2]))


def test_rho_within_groups_is_that_of_the_residuals_of_a_regression_on_the_groups():
    draw = np.random.default_rng(6)
    groups = draw.integers(4, size=30)
    x, y = draw.normal(size=(2, 30)) + 3 * groups
    dummies = (groups[:, None] == np.arange(4)).astype(float)
    left = [
        ranks(each) - dummies @ np.linalg.lstsq(dummies, ranks(each), rcond=None)[0]
        for each in (x, y)
    ]
    expected = np.corrcoef(*left)[0, 1]
    assert spearman_rho_within(x, y, groups) == pytest.approx(expected, abs=1e-12)
    assert spearman_rho_within(x, y, np.zeros(30)) == pytest.approx(spearman_rho(x, y))


def test_what_is_a_function_of_the_group_alone_leaves_nothing_within():
    """A function that first falls and then rises, as perplexity does with attention, would not be
    removed by a correlation with the number itself."""
    draw = np.random.default_rng(7)
    groups = np.repeat(np.arange(7), 30)
    x, y = np.abs(groups - 3.0) + 1e-3 * draw.normal(size=(2, 210))
    assert spearman_rho(x, y) > 0.8 and abs(spearman_rho_within(x, y, groups)) < 0.2
    assert math.isnan(spearman_rho_within([1, 2, 3], [3, 1, 2], [0, 1, 2]))
    assert math.isnan(spearman_rho_within([1, 1, 2], [3, 1, 2], [0, 0, 1]))
    # a group of one adds nothing
    assert spearman_rho_within([1, 2, 9], [5, 6, 0], [0, 0, 1]) == pytest.approx(1)


def test_a_correlation_within_groups_has_its_interval_over_whole_networks():
    draw = np.random.default_rng(8)
    groups = np.repeat(np.arange(5), 40)
    y = draw.normal(size=200)
    x, number = y + draw.normal(size=200), 50
    found = bootstrap_interval(x, y, 0, spearman_rho_within, number, groups)
    assert found.mean == spearman_rho_within(x, y, groups)
    assert 0 < found.low < found.mean < found.high < 1
    # the groups are drawn with their networks: alone they would leave more than what is within
    far, away = x + 100 * groups, y - 100 * groups
    assert bootstrap_interval(far, away, 0, spearman_rho, number).mean < -0.9
    assert bootstrap_interval(far, away, 0, spearman_rho_within, number, groups).low > 0


def test_groups_of_another_number_are_refused():
    with pytest.raises(ValueError, match="equally many finite values"):
        spearman_rho_within([1, 2], [1, 2], [0])


def test_regret_is_what_a_choice_loses_above_the_best_that_is_known():
    losses = [5.0, 4.5, np.nan, 4.75]
    assert simple_regret(losses, 1) == 0 and simple_regret(losses, 3) == 0.25
    curve = simple_regret(losses, np.array([[0, 3, 1], [1, 1, 1]]))
    assert curve.tolist() == [[0.5, 0.25, 0], [0, 0, 0]]
