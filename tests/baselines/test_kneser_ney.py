"""The n-gram model equals its formulas, is a distribution, and does not depend on how it is
counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from naive import kneser_ney as naive
from par.baselines import kneser_ney


def text(seed: int, length: int, vocab_size: int) -> np.ndarray:
    """Tokens of which some follow others often, as in a language."""
    draw = np.random.default_rng(seed)
    tokens = draw.geometric(0.3, length) % vocab_size
    copied = draw.random(length) < 0.5
    for i in np.flatnonzero(copied[6:]) + 6:
        tokens[i] = tokens[i - 6 + tokens[i - 1] % 4]
    return tokens.astype(np.int32)


CASES = [
    (train, held, vocab_size, order)
    for train, held in ((400, 90), (60, 200), (7, 5), (2, 2), (1, 3))
    for vocab_size, order in ((5, 2), (12, 3), (40, 5), (2, 6))
]


@pytest.mark.parametrize(("train", "held", "vocab_size", "order"), CASES)
def test_it_equals_its_formulas_however_it_is_divided(train, held, vocab_size, order, monkeypatch):
    monkeypatch.setattr(kneser_ney, "SCANNED", 17)
    tokens = text(1, train, vocab_size)
    streams = [text(2, held, vocab_size), text(3, 2 + held // 2, vocab_size)]
    predict, discounts = naive.predictor(tokens.tolist(), vocab_size, order)
    expected = [
        [-math.log(predict(own[:i].tolist(), int(own[i]))) for i in range(1, len(own))]
        for own in streams
    ]
    for part in (1 << 20, 50, 3):
        found = kneser_ney.score(tokens, streams, vocab_size, order=order, part=part)
        assert found.discounts == discounts
        for one, other in zip(found.nll, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_large_vocabulary_with_many_grams_equals_the_formulas():
    """The key of a gram, token times number of grams, is beyond 32 bits."""
    draw, vocab_size = np.random.default_rng(0), 400_000
    tokens = draw.integers(0, vocab_size, 8_000).astype(np.int32)
    tokens = tokens[draw.integers(0, 8_000, 24_000)]
    train, held = tokens[:12_000], np.concatenate([tokens[3_000:9_000], tokens[12_000:20_000]])
    predict, _ = naive.predictor(train.tolist(), vocab_size, 3)
    own = held.tolist()
    expected = [-math.log(predict(own[max(i - 4, 0) : i], own[i])) for i in range(1, len(own))]
    (nll,), _ = kneser_ney.score(train, [held], vocab_size, order=3)
    np.testing.assert_allclose(nll, expected, rtol=1e-12)


def test_the_probabilities_of_all_next_tokens_add_up_to_one_after_known_and_unknown_histories():
    train, vocab_size = text(1, 3000, 30), 30
    histories = [train[100:104], train[700:702], np.array([29, 29, 29, 28], np.int32)]
    for history in histories:
        streams = [np.append(history, np.int32(token)) for token in range(vocab_size)]
        nll = kneser_ney.score(train, streams, vocab_size).nll
        assert sum(math.exp(-own[-1]) for own in nll) == pytest.approx(1, abs=1e-12)


def test_a_text_that_repeats_is_predicted_and_one_of_chance_costs_what_its_entropy_is():
    again = np.tile(np.arange(10, dtype=np.int32), 100)
    assert kneser_ney.score(again, [again], 10).nll[0][10:].mean() < 0.02
    draw = np.random.default_rng(0)
    chance = [draw.integers(0, 8, size).astype(np.int32) for size in (200_000, 5_000)]
    (nll,), _ = kneser_ney.score(chance[0], chance[1:], 8)
    assert math.log(8) < nll.mean() < 1.05 * math.log(8)


def test_the_parts_are_all_of_train_but_its_first_token_and_pairs_stay_together():
    train = text(4, 5_000, 9)
    parts = list(kneser_ney._parts(train, 7, 9))
    assert sorted(np.concatenate(parts).tolist()) == list(range(1, 5_000))
    pairs = [set(zip(train[part - 1].tolist(), train[part].tolist())) for part in parts]
    assert sum(map(len, pairs)) == len(set.union(*pairs)) and min(map(len, pairs)) > 0


def test_the_progress_adds_up():
    told = []
    kneser_ney.score(text(1, 500, 9), [text(2, 50, 9)], 9, part=100, progress=told.append)
    assert sum(told) == 499 and len(told) == 5
