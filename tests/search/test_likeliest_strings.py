"""The likeliest strings for every latency are what enumeration finds, for any pi and costs."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest

from par.search import derive, likeliest_strings
from par.search.architecture import KINDS
from par.search.latency_table import Costs

COSTS = Costs(attention=2.0, dense=0.75, identity=0.0, constant=5.0)


def log_pi(pi: np.ndarray, blocks: str, string: str) -> float:
    chosen = zip(pi, string, blocks)
    return math.fsum(math.log(row[KINDS.index(k)]) for row, k, block in chosen if block == "s")


def check(pi: np.ndarray, blocks: str, costs: Costs) -> None:
    """The front is that of all strings of no probability 0."""
    every = [
        "".join(kinds)
        for kinds in itertools.product(*(KINDS if kind == "s" else kind for kind in blocks))
        if all(row[KINDS.index(k)] > 0 or b != "s" for row, k, b in zip(pi, kinds, blocks))
    ]
    milliseconds = np.array([costs.milliseconds(each) for each in every])
    sums = np.array([log_pi(pi, blocks, each) for each in every])
    front = likeliest_strings.front(pi, blocks, costs)
    for limit in sorted(set(milliseconds)):
        fitting = [each for each in front if costs.milliseconds(each) <= limit]
        best = sums[milliseconds <= limit].max()
        assert log_pi(pi, blocks, fitting[-1]) == pytest.approx(best, abs=1e-9)
    for before, after in itertools.pairwise(front):
        assert costs.milliseconds(before) < costs.milliseconds(after)
        assert log_pi(pi, blocks, before) < log_pi(pi, blocks, after)


@pytest.mark.parametrize("blocks", ["sssssss", "asssdssi", "sidsssas", "adadadad"])
def test_the_front_is_that_of_an_enumeration_and_fixed_blocks_keep_their_kind(blocks):
    rng = np.random.default_rng(7)
    check(rng.dirichlet(np.ones(3), len(blocks)), blocks, COSTS)


def test_a_pruned_kind_is_never_chosen():
    rng = np.random.default_rng(8)
    pi = rng.dirichlet(np.ones(3), 7)
    pi[range(7), rng.integers(0, 3, 7)] = 0
    pi /= pi.sum(axis=1, keepdims=True)
    check(pi, "s" * 7, COSTS)


def test_sums_that_are_equal_in_another_order_are_a_tie():
    # aii, dad, ida and so on: log .1 + .2 + .7 in every order
    rows = np.array([[0.1, 0.7, 0.2], [0.7, 0.2, 0.1], [0.2, 0.1, 0.7]])
    check(np.concatenate([rows] * 3)[:7], "s" * 7, Costs(1.0, 1.0, 0.0, 1.0))
    sums = [
        sum(round(likeliest_strings.SCALE * math.log(p)) for p in row)
        for row in itertools.permutations((0.1, 0.2, 0.7))
    ]
    assert len(set(sums)) == 1  # integers: in floats these differ in the last bit


def test_the_last_string_is_the_argmax_and_two_hundred_blocks_take_no_time_to_speak_of():
    pi = np.random.default_rng(6).dirichlet(np.ones(3), 200)
    start = time.process_time()
    front = likeliest_strings.front(pi, "s" * 200, COSTS)
    assert time.process_time() - start < 2 and front[-1] == derive.argmax(pi)


def test_the_smallest_probabilities_that_there_are_do_not_overflow():
    pi = np.tile([5e-324, 1.0, 0.0], (60, 1))
    front = likeliest_strings.front(pi, "s" * 60, Costs(0.0, 1.0, 2.0, 1.0))
    assert len(front) == 61 and front[0] == "a" * 60
    least = round(-likeliest_strings.SCALE * math.log(5e-324))
    assert 1024 * least < -likeliest_strings.NEVER < 1 << 62
