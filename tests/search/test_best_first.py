"""Best-first search finds what enumeration finds, under every budget, and proves it; stopped early
it says how far it got, and that bound holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from par.search import best_first, networks
from par.search.architecture import network_of
from par.search.best_first import BestFirst, Found
from par.search.latency_table import Costs

COSTS = Costs(2.0, 0.75, 0.0, 5.0)
NOTHING = Found("", -math.inf, math.inf)


def drawn(depth: int, seed: int, concentration: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return networks.log_rows(rng.dirichlet(np.full(3, concentration), depth), "s" * depth)


def enumerated(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds and log p of all networks."""
    log_p, counts = networks.all_log_probabilities(rows), networks.counts_of_all(len(rows))
    return COSTS.total(*counts)[1:], log_p[1:]


@pytest.mark.parametrize("concentration", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("depth", [1, 5, 12])
def test_the_search_finds_and_proves_the_likeliest_network_of_every_budget(depth, concentration):
    rows = drawn(depth, depth, concentration)
    milliseconds, log_p = enumerated(rows)
    search = BestFirst(rows, COSTS.total)
    for limit in np.quantile(milliseconds, [0, 0.1, 0.3, 0.6, 1]):
        found = search.search(lambda ms, limit=limit: ms <= limit, NOTHING)
        best = log_p[milliseconds <= limit].max()
        assert found.log_probability == pytest.approx(best, abs=1e-9) == found.bound
        assert networks.log_probability(rows, found.network) == pytest.approx(best, abs=1e-9)
        assert COSTS.milliseconds(network_of(found.network)) <= limit


@pytest.mark.parametrize("work", [0, 3e4, 1e5])
def test_a_search_that_stops_early_gives_a_bound_that_holds(work, monkeypatch):
    monkeypatch.setattr(best_first, "MAX_WORK", work)
    for seed in range(4):
        rows = drawn(14, seed, 5.0)
        _, log_p = enumerated(rows)
        known = Found("", float(rows[:, 2].sum()), math.inf)
        found = BestFirst(rows, COSTS.total).search(lambda ms: ms < math.inf, known)
        assert found.log_probability >= known.log_probability
        assert found.log_probability <= log_p.max() + 1e-9 <= found.bound + 2e-9
        assert found.bound > found.log_probability or work == 1e5


def test_the_bound_of_every_suffix_is_at_least_its_likeliest_network_and_exact_for_one_letter():
    rows = drawn(8, 3, 1.0)
    table = best_first.bounds(rows)
    for passed in range(9):
        log_p = networks.all_log_probabilities(rows[passed:])
        attention, dense = networks.counts_of_all(8 - passed)
        for a in range(9 - passed):
            for d in range(9 - passed - a):
                best = log_p[1:][(attention[1:] == a) & (dense[1:] == d)].max()
                assert table[passed, a, d] >= best - 1e-9
                if a == 0 or d == 0:
                    assert table[passed, a, d] == pytest.approx(best, abs=1e-9)


def test_thirty_two_undecided_blocks_are_proved():
    rows = drawn(32, 5, 1.0)
    found = BestFirst(rows, COSTS.total).search(lambda ms: ms <= 30, NOTHING)
    assert found.bound == found.log_probability > -math.inf


def test_probabilities_that_a_float_can_not_hold_are_searched_too():
    pi = np.tile([1e-200, 1 - 1e-200, 0.0], (20, 1))
    pi[::2] = [1e-200, 1e-250, 1.0]
    rows = networks.log_rows(pi, "s" * 20)
    found = BestFirst(rows, Costs(1.0, 2.0, 0.0, 1.0).total).search(lambda ms: ms <= 11, NOTHING)
    assert found.network == "a" * 10 and found.bound == found.log_probability
    assert found.log_probability == pytest.approx(networks.log_probability(rows, "a" * 10))


def test_a_kind_of_probability_0_is_never_used():
    pi = np.tile([0.5, 0.5, 0.0], (6, 1))
    rows = networks.log_rows(pi, "s" * 6)
    found = BestFirst(rows, COSTS.total).search(lambda ms: ms < math.inf, NOTHING)
    assert len(found.network) == 6 and found.log_probability == pytest.approx(6 * math.log(0.5))
