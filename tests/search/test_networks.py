"""The probability of a network is that of all strings that spell it, by enumeration of the
strings; its likeliest spelling is the likeliest of them."""

from __future__ import annotations

import collections
import itertools
import math
import time

import numpy as np
import pytest

from par.search import networks
from par.search.architecture import KINDS, network_of


def by_enumeration(pi: np.ndarray, blocks: str) -> dict[str, list[tuple[float, str]]]:
    """(probability, string) of every string that the search may end in, by network."""
    found = collections.defaultdict(list)
    for kinds in itertools.product(*(KINDS if kind == "s" else kind for kind in blocks)):
        of_kinds = [
            row[KINDS.index(kind)] for row, kind, block in zip(pi, kinds, blocks) if block == "s"
        ]
        found[network_of("".join(kinds))].append((math.prod(of_kinds), "".join(kinds)))
    return found


SEARCHES = ["s", "ssss", "ssssssss", "asssdssi", "sidsssas", "aid", "iii"]


@pytest.mark.parametrize("blocks", SEARCHES)
def test_a_network_is_as_probable_as_all_strings_that_spell_it_together(blocks):
    rng = np.random.default_rng(len(blocks))
    pi = rng.dirichlet(np.full(3, rng.choice([0.3, 1.0, 4.0])), len(blocks))
    rows, strings = networks.log_rows(pi, blocks), by_enumeration(pi, blocks)
    numbers = networks.all_log_probabilities(rows)
    assert len(numbers) - 1 == networks.count(len(blocks))
    of_all = {networks.network_at(n): numbers[n] for n in range(1, len(numbers))}
    assert len(of_all) == len(numbers) - 1 and set(strings) <= set(of_all)
    for network, log_p in of_all.items():
        total = math.fsum(p for p, _ in strings.get(network, ()))
        assert math.exp(log_p) == pytest.approx(total, rel=1e-12)
        assert networks.log_probability(rows, network) == pytest.approx(log_p, abs=1e-12)
        if total:
            spelled = networks.spelling(rows, network)
            most, _ = max(strings[network])
            assert spelled in {string for p, string in strings[network] if p > most * (1 - 1e-12)}
            assert network_of(spelled) == network
    with np.errstate(under="ignore"):
        assert np.exp(numbers).sum() == pytest.approx(1, rel=1e-12)


def test_the_probabilities_of_two_blocks_are_those_in_closed_form():
    pi = np.array([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3]])
    rows = networks.log_rows(pi, "ss")
    for network, p in (("i", 0.09), ("a", 0.5 * 0.3 + 0.3 * 0.1), ("d", 0.2 * 0.3 + 0.3 * 0.6)):
        assert math.exp(networks.log_probability(rows, network)) == pytest.approx(p)
    assert math.exp(networks.log_probability(rows, "da")) == pytest.approx(0.02)
    assert networks.log_probability(rows, "ada") == -math.inf


def test_numbers_networks_and_counts_agree_and_are_127_for_six_blocks():
    names = [networks.network_at(number) for number in range(1, 128)]
    assert len(set(names)) == 127 == networks.count(6) and names[:7] == [
        *("i", "a", "d", "aa", "ad", "da", "dd")
    ]
    assert [networks.number_of(name) for name in names] == list(range(1, 128))
    assert networks.number_of("idiiai") == networks.number_of("da")
    attention, dense = networks.counts_of_all(6)
    assert [(name.count("a"), name.count("d")) for name in names] == list(
        zip(attention[1:].tolist(), dense[1:].tolist())
    )


def test_sixteen_blocks_are_enumerated_in_no_time_to_speak_of():
    pi = np.random.default_rng(2).dirichlet(np.ones(3), 16)
    start = time.process_time()
    numbers = networks.all_log_probabilities(networks.log_rows(pi, "s" * 16))
    assert len(numbers) - 1 == 131_071 and time.process_time() - start < 1
    assert np.exp(numbers).sum() == pytest.approx(1, rel=1e-9)


def test_the_smallest_probabilities_do_not_underflow():
    least = 5e-324
    rows = networks.log_rows(np.tile([least, 1.0, 0.0], (40, 1)), "s" * 40)
    assert networks.log_probability(rows, "a" * 40) == pytest.approx(40 * math.log(least))
    assert networks.log_probability(rows, "d" * 40) == pytest.approx(0, abs=1e-12)


def test_an_impossible_network_has_no_spelling():
    rows = networks.log_rows(np.array([[0.5, 0.5, 0.0]] * 2), "ss")
    assert networks.spelling(rows, "ad") == "ad"
    with pytest.raises(ValueError, match="no string of 2 blocks spells 'a'"):
        networks.spelling(rows, "a")
