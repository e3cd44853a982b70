"""The likeliest network under a budget is the one that enumeration of all strings finds, whatever
pi and the costs; the front is all of them."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest

from par.core.errors import UsageError
from par.search import best_first, derive, networks, pareto
from par.search.architecture import KINDS, network_of
from par.search.latency_table import Costs

COSTS = Costs(attention=2.0, dense=0.75, identity=0.125, constant=5.0)


def every_network(pi: np.ndarray, blocks: str) -> dict[str, float]:
    """log p of every network that the search may end in, by brute force over the strings."""
    found: dict[str, float] = collections.defaultdict(float)
    for kinds in itertools.product(*(KINDS if kind == "s" else kind for kind in blocks)):
        own = [row[KINDS.index(k)] for row, k, block in zip(pi, kinds, blocks) if block == "s"]
        found[network_of("".join(kinds))] += math.prod(own)
    return {network: math.log(p) for network, p in found.items() if p > 0}


def check(pi: np.ndarray, blocks: str, costs: Costs) -> list[pareto.Choice]:
    """Every budget at, just above and just below a latency gives the network that enumeration
    gives."""
    known = every_network(pi, blocks)
    front = pareto.front(pi, blocks, costs)
    for choice in front:
        assert choice.milliseconds == costs.milliseconds(choice.network) and choice.gap == 0
        assert choice.log_probability == pytest.approx(known[choice.network], abs=1e-9)
        assert network_of(choice.blocks) == choice.network and len(choice.blocks) == len(blocks)
        assert all(own == kind for own, kind in zip(choice.blocks, blocks) if kind != "s")
    latencies = np.array([costs.milliseconds(network) for network in known])
    sums = np.array(list(known.values()))
    for limit in sorted({*latencies, *(latencies * (1 + 1e-9)), latencies.min() * 2}):
        fits = latencies <= limit
        chosen = pareto.choose(front, limit)
        assert chosen.milliseconds <= limit
        assert chosen.log_probability == pytest.approx(sums[fits].max(), abs=1e-9)
        # of equally likely ones the cheapest
        assert chosen.milliseconds == latencies[fits & (sums > sums[fits].max() - 1e-9)].min()
        assert pareto.likeliest(pi, blocks, costs, limit) == chosen
    with pytest.raises(UsageError):
        pareto.choose(front, latencies.min() * (1 - 1e-9))
    return front


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(5))
def test_every_budget_gives_what_enumerating_all_6561_strings_of_eight_blocks_gives(seed):
    rng = np.random.default_rng(seed)
    pi = rng.dirichlet(np.full(3, rng.choice([0.2, 1.0, 5.0])), 8)
    check(pi, "s" * 8, Costs(*rng.uniform(0, 3, 3), 1.0))


@pytest.mark.quick(2)
@pytest.mark.parametrize("blocks", ["asssdssi", "sidsssas", "aaddiids", "adadadad", "iii"])
def test_fixed_blocks_keep_their_kind_and_cost_what_they_do(blocks):
    check(np.random.default_rng(7).dirichlet(np.ones(3), len(blocks)), blocks, COSTS)


def test_the_searched_front_is_the_enumerated_one(monkeypatch):
    rng = np.random.default_rng(9)
    for concentration in (0.2, 1.0, 5.0):
        pi, blocks = rng.dirichlet(np.full(3, concentration), 10), "ssissasdss"
        exact = pareto.front(pi, blocks, COSTS)
        monkeypatch.setattr(pareto, "MAX_ENUMERATED", 0)
        assert [choice[:3] for choice in pareto.front(pi, blocks, COSTS)] == [
            choice[:3] for choice in exact
        ]
        for choice in exact:
            found = pareto.likeliest(pi, blocks, COSTS, choice.milliseconds)
            assert found[:3] == choice[:3] and found.gap == 0
        monkeypatch.undo()


def test_a_front_that_is_not_proved_says_how_far_it_got(monkeypatch):
    pi = np.random.default_rng(4).dirichlet(np.full(3, 5.0), 24)
    monkeypatch.setattr(best_first, "MAX_WORK", 0)
    found = pareto.likeliest(pi, "s" * 24, COSTS)
    assert 0 < found.gap < 10
    assert found.doubt == (
        "not proved to be the likeliest network: another could be likelier by"
        f" {found.gap:.3f} nats at most"
    )
    front = pareto.front(pi, "s" * 24, COSTS)
    assert "of these networks are not proved" in pareto.lines(front, COSTS, "inference")[-1]
    monkeypatch.undo()
    proved = pareto.likeliest(pi, "s" * 24, COSTS)
    assert proved.doubt == "" and proved.log_probability <= found.log_probability + found.gap
    monkeypatch.setattr(best_first, "MAX_DEPTH", 20)
    deep = pareto.likeliest(pi, "s" * 24, COSTS)
    assert deep.gap == math.inf and "not searched beyond the likeliest strings" in deep.doubt
    assert deep.figures(COSTS)["gap"] is None
    assert all(choice.gap == math.inf for choice in pareto.front(pi, "s" * 24, COSTS))


def test_the_likeliest_network_need_not_be_the_likeliest_string_s():
    """Three strings spell `a`, each less likely than `dii`."""
    pi = np.array([[0.25, 0.4, 0.35]] + [[0.25, 0.1, 0.65]] * 2)
    assert derive.argmax(pi) == "dii"
    best = pareto.likeliest(pi, "sss")
    assert best.network == "a" and best.blocks in ("aii", "iai", "iia")
    string = pareto.described(pi, "dii", "sss")
    assert (
        best.log_probability
        > string.log_probability
        == pytest.approx(every_network(pi, "sss")["d"])
    )


def test_a_pruned_kind_is_never_chosen_and_neither_is_the_budget_met_by_it():
    rng = np.random.default_rng(8)
    pi = rng.dirichlet(np.ones(3), 7)
    pi[range(7), rng.integers(0, 3, 7)] = 0
    pi[6] = [0, 0, 1]
    pi /= pi.sum(axis=1, keepdims=True)
    check(pi, "s" * 7, COSTS)
    only_attention = np.tile([1.0, 0.0, 0.0], (4, 1))
    assert [choice.blocks for choice in pareto.front(only_attention, "ssss", COSTS)] == ["aaaa"]
    with pytest.raises(
        UsageError, match=r"no network fits a budget of 12.9 ms: the least is 13 ms, of aaaa"
    ):
        pareto.likeliest(only_attention, "ssss", COSTS, 12.9)
    deep = np.tile([1.0, 0.0, 0.0], (20, 1))
    with pytest.raises(UsageError, match=r"the least is 45 ms, of a{20}"):
        pareto.likeliest(deep, "s" * 20, COSTS, 44.0)


def test_ties_go_to_the_cheaper_network():
    check(np.full((6, 3), 1 / 3), "ssssss", COSTS)
    even = np.array([[0.4, 0.4, 0.2]])
    assert pareto.likeliest(even, "s", COSTS).network == "d"
    assert pareto.likeliest(even, "s", Costs(0.5, 0.75, 0.0, 1.0)).network == "a"
    assert pareto.likeliest(even, "s").network == "d"  # no latency: fewer attention blocks


def test_latency_and_probability_both_rise_along_the_front_and_it_begins_with_the_cheapest():
    pi = np.random.default_rng(4).dirichlet(np.ones(3), 16)
    front = pareto.front(pi, "s" * 16, COSTS)
    assert front[0].network == "i" and front[0].blocks == "i" * 16 and len(front) > 8
    for before, after in itertools.pairwise(front):
        assert before.milliseconds < after.milliseconds
        assert before.log_probability < after.log_probability
    rows = networks.log_rows(pi, "s" * 16)
    assert front[-1].log_probability == networks.all_log_probabilities(rows).max()


def test_identity_costs_nothing_whatever_was_measured_for_it():
    assert COSTS.milliseconds("diidad") == COSTS.milliseconds("ddad") == 5 + 2 + 3 * 0.75
    found = pareto.front(np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), "ss", COSTS)
    for choice in found:
        assert choice.milliseconds == COSTS.milliseconds(choice.network)


def test_a_pi_of_another_shape_is_refused():
    for call in (pareto.front, pareto.likeliest):
        with pytest.raises(
            UsageError, match=r"pi must have shape \(2, 3\) for the blocks 'ss', but has \(3, 3\)"
        ):
            call(np.full((3, 3), 1 / 3), "ss", COSTS)


def test_figures_are_what_is_reported():
    choice = pareto.front(np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), "ss", COSTS)[-1]
    assert choice.figures(COSTS) == {
        "network": "ad",
        "blocks": "ad",
        "milliseconds": 7.75,
        "share": 1.0,
        "log_probability": pytest.approx(-2 * math.log(2)),
        "gap": 0.0,
    }
