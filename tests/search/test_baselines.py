"""Which networks fit is what enumeration says, and each is drawn as often as any other."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest

from par.search import baselines, derive
from par.search.architecture import network_of
from par.search.baselines import Cost

COST = Cost("latency", 3.0, (2.0, 1.1))
DERIVED, DEPTH = "aadda", 6
ALL = sorted({network_of("".join(kinds)) for kinds in itertools.product("adi", repeat=DEPTH)})


def enumerated(tolerance: float | None, cost: Cost = COST) -> list[str]:
    target = cost.total(DERIVED)
    return [
        blocks
        for blocks in ALL
        if tolerance is None or abs(cost.total(blocks) - target) <= tolerance * target
    ]


def test_a_cost_is_read_off_networks_of_one_block_and_identity_has_none():
    table = {"": 3.0, "a": 5.0, "d": 4.1}
    cost = Cost.linear("latency", table.__getitem__)
    assert cost.what == "latency" and (cost.constant, *cost.of_kind) == pytest.approx(
        (3.0, 2.0, 1.1)
    )
    assert cost.total("aadi") == cost.total("aad") == pytest.approx(3 + 4 + 1.1)


def test_how_much_more_a_network_costs_is_a_share_of_the_other():
    assert COST.more("aa", "a") == pytest.approx(7 / 5 - 1) and COST.more(
        "i", "a"
    ) == pytest.approx(3 / 5 - 1)
    free = Cost("parameters", 0, (5, 4))
    assert free.more("i", "i") == 0 and free.more("a", "i") == math.inf


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.1, 0.3, 1.0, None])
def test_the_networks_that_fit_are_those_of_an_enumeration(tolerance):
    fits = baselines.fitting(DERIVED, DEPTH, COST, tolerance)
    listed = [
        baselines.unrank(counts, rank)
        for counts in fits
        for rank in range(baselines.arrangements(counts))
    ]
    assert sorted(listed) == sorted(enumerated(tolerance)) and len(set(listed)) == len(listed)
    assert baselines.count(fits) == len(listed)
    # however often and however spelled it is taken
    taken = [DERIVED, "aaidda", "iaadda", "aaaaaaa"]
    assert baselines.free_networks(fits, taken) == len(listed) - 1


def test_all_networks_of_six_blocks_are_127_the_one_of_no_blocks_among_them():
    fits = baselines.fitting(DERIVED, DEPTH, COST, None)
    assert baselines.count(fits) == 127
    assert baselines.free_networks(fits, ["i", "iii"]) == 126


def test_a_tolerance_that_is_met_exactly_counts():
    """2 - 1.9 is more than 0.05 of 2 in floats."""
    cost = Cost("parameters", 0.0, (1.0, 0.95))
    assert (0, 2) in baselines.fitting("aa", 2, cost, 0.05)
    assert (0, 2) not in baselines.fitting("aa", 2, cost, 0.049)


@pytest.mark.parametrize("counts", [(3, 2), (6, 0), (0, 4), (2, 2), (1, 5)])
def test_ranks_are_the_order_of_the_alphabet(counts):
    a, d = counts
    expected = sorted({"".join(each) for each in itertools.permutations("a" * a + "d" * d)})
    assert [
        baselines.unrank(counts, rank) for rank in range(baselines.arrangements(counts))
    ] == expected
    assert baselines.unrank((0, 0), 0) == "i" and baselines.arrangements((0, 0)) == 1


@pytest.mark.parametrize("number", [1, 3])
def test_every_network_that_fits_is_drawn_equally_often(number):
    """Pearson's chi squared over an enumeration, within four of its standard deviations."""
    fits, taken = baselines.fitting(DERIVED, DEPTH, COST, 0.1), {DERIVED, derive.interleaved(6)}
    free = sorted(set(enumerated(0.1)) - taken)
    assert len(fits) > 2 and len({baselines.arrangements(counts) for counts in fits}) > 1
    draws = 100 * len(free)
    last = collections.Counter(
        baselines.draw(number, fits, taken, seed)[-1] for seed in range(draws)
    )
    assert set(last) == set(free)
    chi = sum((last[blocks] - 100) ** 2 / 100 for blocks in free)
    degrees = len(free) - 1
    assert abs(chi - degrees) < 4 * math.sqrt(2 * degrees)


def test_draws_are_distinct_networks_not_taken_and_begin_alike_whatever_their_number():
    fits, taken = baselines.fitting(DERIVED, DEPTH, COST, 0.1), {"iaadda"}  # DERIVED
    ten = baselines.draw(10, fits, taken, seed=4)
    assert len(set(ten)) == 10 and DERIVED not in ten and set(ten) <= set(enumerated(0.1))
    assert all(network_of(blocks) == blocks for blocks in ten)
    assert (
        baselines.draw(4, fits, taken, seed=4) == ten[:4]
        and baselines.draw(10, fits, taken, seed=5) != ten
    )
    assert sorted([*baselines.draw(10**6, fits, taken, seed=4), DERIVED]) == enumerated(0.1)
    assert baselines.draw(0, fits, taken, seed=4) == [] == baselines.draw(3, [], taken, seed=4)


def test_where_fewer_networks_fit_all_are_drawn():
    fits = baselines.fitting("aad", 3, COST, 0.0)
    assert sorted(baselines.draw(9, fits, ["aad"], seed=0)) == ["ada", "daa"]
    assert baselines.draw(9, baselines.fitting("aaa", 3, COST, 0.0), ["aaa"], seed=0) == []


def test_deep_networks_are_drawn_by_exact_integers():
    """64 blocks have 2^65 - 1 networks, more than a float can count."""
    fits = baselines.fitting("ad" * 32, 64, COST, None)
    assert baselines.count(fits) == 2**65 - 1
    drawn = baselines.draw(300, fits, [], seed=1)
    share = sum(blocks.count("a") for blocks in drawn) / sum(map(len, drawn))
    assert share == pytest.approx(1 / 2, abs=4 * math.sqrt(1 / 4 / 64 / 300))
    # half of all networks have all blocks, a quarter one fewer
    assert np.mean([len(blocks) for blocks in drawn]) == pytest.approx(63, abs=0.5)


def test_the_known_networks_are_as_deep_as_the_search():
    found = baselines.references("addadad", 8)
    assert (
        found["derived"] == "addadad"
        and found["interleaved"] == "adadadad"
        and found["all attention"] == "a" * 8
        and found["all dense"] == "d" * 8
    )
    assert found["sandwich"] == derive.sandwich(8) and found["paper's rule"] == derive.paper(8)
