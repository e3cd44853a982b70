"""The best network under a budget is the one that enumeration finds, whatever pi and the costs;
the front is all of them."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest

from par.core.errors import UsageError
from par.search import derive, pareto
from par.search.architecture import KINDS
from par.search.latency_table import Costs

# sums of these are exact in binary
COSTS = Costs(attention=2.0, dense=0.75, identity=0.125, constant=5.0)
LOG2 = math.log(2)


def every_network(pi: np.ndarray, blocks: str, costs: Costs) -> list[tuple[str, float, float]]:
    """blocks, milliseconds and log pi of every string that the search may end in, by brute
    force."""
    found = []
    for kinds in itertools.product(*(KINDS if kind == "s" else kind for kind in blocks)):
        of_kinds = [
            row[KINDS.index(kind)] for row, kind, block in zip(pi, kinds, blocks) if block == "s"
        ]
        if all(p > 0 for p in of_kinds):
            found.append(
                (
                    "".join(kinds),
                    costs.milliseconds("".join(kinds)),
                    math.fsum(map(math.log, of_kinds)),
                )
            )
    return found


def check(pi: np.ndarray, blocks: str, costs: Costs) -> None:
    """Every budget at, just above and just below a latency gives the network that enumeration
    gives."""
    networks = every_network(pi, blocks, costs)
    front = pareto.front(pi, blocks, costs)
    by_name = {name: (ms, log_pi) for name, ms, log_pi in networks}
    for choice in front:
        assert choice.milliseconds == by_name[choice.blocks][0] and choice.log_pi == pytest.approx(
            by_name[choice.blocks][1], abs=1e-9
        )
    latencies = np.array([ms for _, ms, _ in networks])
    sums = np.array([log_pi for _, _, log_pi in networks])
    for limit in sorted({*latencies, *(latencies * (1 + 1e-9)), latencies.min() * 2}):
        fits = latencies <= limit
        best = sums[fits].max()
        chosen = pareto.choose(front, limit)
        assert chosen.milliseconds <= limit and chosen.log_pi == pytest.approx(best, abs=1e-9)
        # of equally likely ones the cheapest
        assert chosen.milliseconds == latencies[fits & (sums > best - 1e-9)].min()
    with pytest.raises(UsageError):
        pareto.choose(front, latencies.min() * (1 - 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_every_budget_gives_what_enumerating_all_6561_strings_of_eight_blocks_gives(seed):
    rng = np.random.default_rng(seed)
    pi = rng.dirichlet(np.full(3, rng.choice([0.2, 1.0, 5.0])), 8)
    check(pi, "s" * 8, Costs(*rng.uniform(0, 3, 3), 1.0))


@pytest.mark.parametrize("blocks", ["asssdssi", "sidsssas", "aaddiids", "adadadad"])
def test_fixed_blocks_keep_their_kind_and_cost_what_they_do(blocks):
    rng = np.random.default_rng(7)
    pi = rng.dirichlet(np.ones(3), 8)  # of fixed blocks too: it does not count
    check(pi, blocks, COSTS)
    for choice in pareto.front(pi, blocks, COSTS):
        assert all(own == kind for own, kind in zip(choice.blocks, blocks) if kind != "s")


def test_a_pruned_kind_is_never_chosen_and_neither_is_the_budget_met_by_it():
    rng = np.random.default_rng(8)
    for _ in range(3):
        pi = rng.dirichlet(np.ones(3), 7)
        pruned = rng.integers(0, 3, 7)
        pi[range(7), pruned] = 0
        pi[6] = [0, 0, 1]
        pi /= pi.sum(axis=1, keepdims=True)
        check(pi, "s" * 7, COSTS)
    only_attention = np.tile([1.0, 0.0, 0.0], (4, 1))
    assert [choice.blocks for choice in pareto.front(only_attention, "ssss", COSTS)] == ["aaaa"]
    with pytest.raises(
        UsageError, match=r"no network fits a budget of 12.9 ms: the least is 13 ms, of aaaa"
    ):
        pareto.choose(pareto.front(only_attention, "ssss", COSTS), 12.9)


def test_ties_go_to_the_cheaper_network():
    dyadic = np.array(
        [
            [0.5, 0.25, 0.25],
            [0.25, 0.5, 0.25],
            [0.5, 0.5, 0.0],
            [0.25, 0.25, 0.5],
            [0.5, 0.25, 0.25],
        ]
    )
    check(dyadic, "sssss", COSTS)
    check(np.full((6, 3), 1 / 3), "ssssss", COSTS)
    assert (
        pareto.choose(pareto.front(np.full((6, 3), 1 / 3), "ssssss", COSTS), math.inf).blocks
        == "iiiiii"
    )
    assert (
        pareto.choose(pareto.front(np.array([[0.4, 0.4, 0.2]]), "s", COSTS), math.inf).blocks
        == "d"
    )
    assert (
        pareto.choose(
            pareto.front(np.array([[0.4, 0.4, 0.2]]), "s", Costs(0.5, 0.75, 0.0, 1.0)), math.inf
        ).blocks
        == "a"
    )


def test_sums_that_are_equal_in_another_order_are_a_tie():
    # aii, dad, ida and so on: log .1 + .2 + .7 in every order
    rows = np.array([[0.1, 0.7, 0.2], [0.7, 0.2, 0.1], [0.2, 0.1, 0.7]])
    pi = np.concatenate([rows] * 3)
    sums = [
        sum(round(pareto.SCALE * math.log(p)) for p in row)
        for row in itertools.permutations((0.1, 0.2, 0.7))
    ]
    assert len(set(sums)) == 1  # integers: in floats these differ in the last bit
    check(pi[:7], "s" * 7, Costs(1.0, 1.0, 0.25, 1.0))


def test_without_a_budget_the_likeliest_network_is_the_argmax():
    pi = np.random.default_rng(3).dirichlet(np.ones(3), 40)
    front = pareto.front(pi, "s" * 40, COSTS)
    assert front[-1].blocks == derive.argmax(pi) == pareto.choose(front, math.inf).blocks


def test_latency_and_log_pi_both_rise_along_the_front_and_it_begins_with_the_cheapest():
    pi = np.random.default_rng(4).dirichlet(np.ones(3), 60)
    front = pareto.front(pi, "s" * 60, COSTS)
    assert front[0].blocks == "i" * 60 and len(front) > 60
    for before, after in itertools.pairwise(front):
        assert before.milliseconds < after.milliseconds and before.log_pi < after.log_pi


def test_equal_latencies_of_equal_networks_are_equal_to_the_last_bit():
    costs = Costs(0.1, 0.7, 0.3, 1 / 3)
    pi = np.random.default_rng(5).dirichlet(np.ones(3), 30)
    for choice in pareto.front(pi, "s" * 30, costs):
        assert choice.milliseconds == costs.milliseconds(choice.blocks)
    decided = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] * 3)
    assert (
        pareto.choose(pareto.front(decided, "ssssss", costs), 1.0 * costs.interleaved_ms(6)).blocks
        == "adadad"
    )


def test_the_smallest_probabilities_that_there_are_do_not_overflow():
    least = 5e-324
    pi = np.tile([least, 1.0, 0.0], (60, 1))
    front = pareto.front(pi, "s" * 60, Costs(0.0, 1.0, 2.0, 1.0))
    assert (
        len(front) == 61
        and front[0].blocks == "a" * 60
        and front[0].log_pi == pytest.approx(60 * math.log(least))
    )
    assert 1024 * round(-pareto.SCALE * math.log(least)) < -pareto.NEVER < 1 << 62


def test_two_hundred_blocks_take_no_time_to_speak_of():
    pi = np.random.default_rng(6).dirichlet(np.ones(3), 200)
    start = time.process_time()
    pareto.front(pi, "s" * 200, COSTS)
    assert time.process_time() - start < 2


def test_a_pi_of_another_shape_is_refused():
    with pytest.raises(
        UsageError, match=r"pi must have shape \(2, 3\) for the blocks 'ss', but has \(3, 3\)"
    ):
        pareto.front(np.full((3, 3), 1 / 3), "ss", COSTS)


def test_figures_are_what_is_reported():
    choice = pareto.front(np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), "ss", COSTS)[-1]
    assert choice.figures(COSTS) == {
        "blocks": "ad",
        "milliseconds": 7.75,
        "share": 1.0,
        "log_pi": pytest.approx(-2 * LOG2),
    }
