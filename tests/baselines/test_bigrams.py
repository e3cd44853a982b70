"""Counted probabilities of masked tokens equal their formulas, sum to one, and do not depend on
how the stream is divided."""

from __future__ import annotations

import numpy as np
import pytest

from naive import bigrams as naive
from par.baselines import bigrams
from par.baselines.bigrams import HIDDEN, ORDINARY, PairCounts, Targets

V = 20


def drawn(seed, length):
    """Ids of which some are special, and few occur often."""
    draw = np.random.default_rng(seed)
    return np.where(draw.random(length) < 0.2, 3, ORDINARY + draw.geometric(0.3, length) % 12)


def asked(seed, size):
    draw = np.random.default_rng(seed)
    near = np.concatenate([np.arange(ORDINARY, V), [1, 3, HIDDEN, HIDDEN]])
    return Targets(
        draw.choice(near, size), draw.integers(ORDINARY, V, size), draw.choice(near, size)
    )


@pytest.mark.parametrize("length", [2_000, 40, 2, 1])
def test_they_equal_their_formulas_however_the_stream_is_divided(length, monkeypatch):
    stream, targets = drawn(1, length), asked(2, 300)
    expected = [
        naive.predict([stream.tolist()], *map(int, target), ORDINARY, 0.0)
        for target in zip(*targets, strict=True)
    ]
    for scanned in (1 << 20, 7, 1):
        monkeypatch.setattr(bigrams, "SCANNED", scanned)
        told = []
        counts = PairCounts.of(stream, targets, V, told.append)
        np.testing.assert_allclose(counts.probabilities(targets), expected, rtol=1e-12)
        assert sum(told) == length


def test_a_few_texts_equal_the_formulas_and_no_pair_spans_two_of_them():
    texts, targets = [drawn(seed, 3 + 5 * seed) for seed in range(4)], asked(5, 300)
    texts[2][4] = HIDDEN
    unseen = np.full([300], 0.01)
    expected = [
        naive.predict([text.tolist() for text in texts], *map(int, target), ORDINARY, 0.01)
        for target in zip(*targets, strict=True)
    ]
    found = bigrams.of_few(texts, targets, V, unseen)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_texts_without_an_ordinary_token_leave_what_is_unseen():
    targets, unseen = asked(6, 50), np.linspace(0, 1, 50)
    for texts in ([], [np.array([3, 1, HIDDEN])], [np.zeros([0], np.int32)]):
        found = bigrams.of_few(texts, targets, V, unseen)
        assert (found == unseen[:, None]).all()


@pytest.mark.parametrize("near", [(ORDINARY, ORDINARY + 1), (3, 3), (HIDDEN, 9), (19, 19)])
def test_the_probabilities_of_all_ordinary_tokens_add_up_to_one(near):
    words = np.arange(ORDINARY, V)
    targets = Targets(np.full_like(words, near[0]), words, np.full_like(words, near[1]))
    stream = drawn(7, 500)
    counts = PairCounts.of(stream, targets, V)
    np.testing.assert_allclose(counts.probabilities(targets).sum(0), 1)
    found = bigrams.of_few([stream[:90]], targets, V, np.full(len(words), 0.5))
    np.testing.assert_allclose(found.sum(0), 1)


def test_ids_beyond_a_million_are_told_apart():
    vocab_size = 1 << 20
    stream = np.array([vocab_size - 1, vocab_size - 2] * 9, np.int32)
    targets = Targets(stream[:1], stream[1:2], stream[2:3])
    found = PairCounts.of(stream, targets, vocab_size).probabilities(targets)
    np.testing.assert_allclose(found, [[0.5, 1, 1]])
