"""The mixture of unigrams and bigrams of both neighbours against a naive twin, and what it can and
can't know."""

from __future__ import annotations

import math

import numpy as np
import pytest

from naive import two_sided as naive
from par.baselines import two_sided
from par.baselines.two_sided import Counts, Places
from small import bigrams as chain

FIRST, V = 3, 14


def text(seed: int, length: int) -> np.ndarray:
    return np.minimum(np.random.default_rng(seed).geometric(0.2, size=length), V) - 1


def masks(seed: int, length: int, rate: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).random(length) < rate


def masked_places(seed: int, length: int = 300, seq_len: int = 7) -> tuple[Places, list[tuple]]:
    """Those of ordinary tokens, and the same from the twin."""
    stream = text(seed, length)
    masked = masks(seed, length - 1) & (stream[:-1] >= FIRST)
    given = two_sided.places(stream, masked, seq_len)
    return given, naive.places(stream.tolist(), masked.tolist(), seq_len)


def test_neighbours_that_are_masked_or_behind_the_window_are_absent():
    given, expected = masked_places(1)
    found = [
        tuple(None if x == two_sided.ABSENT else int(x) for x in each) for each in zip(*given)
    ]
    assert found == expected
    kinds = {(a is None, b is None) for _, a, b in expected}
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}
    first = two_sided.places(np.array([5, 6, 7]), np.array([True, True]), 2)
    assert [each.tolist() for each in first] == [[5, 6], [-1, -1], [-1, -1]]


@pytest.mark.parametrize("scanned", (1 << 22, 37))
def test_probabilities_and_guesses_equal_the_naive_twin(scanned, monkeypatch):
    monkeypatch.setattr(two_sided, "SCANNED", scanned)
    train = text(0, 900)
    train[train == 12] = 4  # a piece that train lacks
    counts, twin = Counts.of(train, V, FIRST), naive.Model(train.tolist(), V, FIRST)
    given, expected = masked_places(2, 700)
    given = Places(*(np.append(each, x) for each, x in zip(given, (12, 12, 12))))
    expected.append((12, 12, 12))
    weights = two_sided.fit(counts, masked_places(3, 400)[0])
    told = []
    nll, hits = two_sided.mixture_scores(counts, weights, given, told.append)
    assert sum(told) == len(expected)
    patterns = set()
    for place, (token, before, after) in enumerate(expected):
        predicted = twin.predict(weights, before, after)
        assert sum(predicted.values()) == pytest.approx(1)
        assert nll[place] == pytest.approx(-math.log(predicted[token]))
        most = max(predicted.values())
        best = [w for w, p in predicted.items() if math.isclose(p, most, rel_tol=1e-12)]
        assert bool(hits[place]) == (token == best[0]) or len(best) > 1
        patterns.add(twin.pattern(before, after))
    assert patterns == {"both", "before", "after", "neither"} and 0 < hits.mean() < 1
    nll, hits = two_sided.unigram_scores(counts, given)
    assert nll[0] == pytest.approx(-math.log(twin.unigram(expected[0][0])))
    commonest = max(twin.pieces, key=twin.unigram)
    assert hits.tolist() == [token == commonest for token, _, _ in expected]


def test_weights_are_those_of_the_held_places_by_the_neighbours_that_they_have():
    counts = Counts.of(text(0, 900), V, FIRST)
    held = masked_places(4, 2_000)[0]
    weights = two_sided.fit(counts, held)
    lengths = {name: len(own) for name, own in weights.items()}
    assert lengths == {"both": 3, "before": 2, "after": 2}
    assert all(sum(own) == pytest.approx(1) and min(own) >= 0 for own in weights.values())
    mean = two_sided.mixture_scores(counts, weights, held).nll.mean()
    for name, own in weights.items():
        for place in range(len(own)):
            other = np.array(own) * 0.9
            other[place] += 0.1
            changed = weights | {name: tuple(other)}
            assert two_sided.mixture_scores(counts, changed, held).nll.mean() > mean - 1e-4
    empty = two_sided.fit(counts, Places(*np.zeros([3, 0], np.int64)))
    assert empty == {"both": (1 / 3,) * 3, "before": (0.5, 0.5), "after": (0.5, 0.5)}


def test_both_neighbours_tell_more_of_a_chain_than_one_and_one_more_than_none():
    draw = np.random.default_rng(5)
    train, held, valid = (chain(length, draw) for length in (40_000, 8_000, 8_000))
    counts = Counts.of(train, 40, 8)
    sparse = masks(0, 7_999, 0.1)
    weights = two_sided.fit(counts, two_sided.places(held, sparse, 10_000))
    given = two_sided.places(valid, sparse, 10_000)
    absent = np.full_like(given.before, two_sided.ABSENT)
    both, left = (
        two_sided.mixture_scores(counts, weights, each)
        for each in (given, given._replace(after=absent))
    )
    unigram = two_sided.unigram_scores(counts, given)
    assert both.nll.mean() < left.nll.mean() - 0.1 < unigram.nll.mean() - 0.8
    assert both.hits.mean() > left.hits.mean() > unigram.hits.mean() + 0.1
    # of order one: what the token before leaves open, in closed form
    ends = np.random.default_rng(7).dirichlet(np.full(32, 0.1), size=32)
    values, vectors = np.linalg.eig(ends.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(stationary[:, None] * ends * np.log(ends))
    there = left.nll[given.before != two_sided.ABSENT]
    assert there.mean() == pytest.approx(entropy, abs=0.12)


def test_a_stream_without_pairs_has_only_its_pieces():
    counts = Counts.of(np.array([5]), V, FIRST)
    given = Places(np.array([5, 6]), np.array([4, -1]), np.array([-1, 7]))
    weights = two_sided.fit(counts, given)
    nll, hits = two_sided.mixture_scores(counts, weights, given)
    np.testing.assert_allclose(nll, -np.log([2 / 12, 1 / 12]))
    assert hits.tolist() == [True, False]
