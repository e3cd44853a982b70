"""Which tokens are predicted: exactly so many, uniformly, never padding or a special piece; and
what stands in their place."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from par.data.tokenizer import EOS, MASK, PAD
from par.nn.forward_mode import Phase
from par.objectives import masking

V = 40


def seeds(count: int, step: int = 0) -> tf.Tensor:
    phase = Phase(training=True, seed=1, step=tf.constant(step, tf.int64))
    return phase.row_seeds("objective", tf.range(count, dtype=tf.int64))


@functools.cache
def uniforms(rows: int, size: int) -> list[tf.Tensor]:
    """`masking.uniforms` of so many rows; as a graph, which draws thousands of them faster."""
    return tf.function(masking.uniforms)(seeds(rows), size)


def all_eligible(rows: int, size: int) -> tf.Tensor:
    return tf.ones([rows, size], tf.bool)


def spans(rows: int, size: int, rate: float, p: float = 0.2, most: int = 10) -> np.ndarray:
    _, _, _, lengths, places = uniforms(rows, size)
    found = masking.spans_of(lengths, places, all_eligible(rows, size), rate, p, most)
    return found.numpy()


def runs(row: np.ndarray) -> list[int]:
    """The lengths of the runs of selected tokens."""
    return [len(list(group)) for is_in, group in itertools.groupby(row.tolist()) if is_in]


def words_one_by_one(uniforms, eligible, begins, rate) -> np.ndarray:
    """The law of `masking.words_of`, word by word."""
    selected = np.zeros(eligible.shape, bool)
    for row, (scores, ordinary, starts) in enumerate(zip(uniforms, eligible, begins)):
        words: list[list[int]] = []
        for place in np.flatnonzero(ordinary).tolist():
            if starts[place] or not place or not ordinary[place - 1]:
                words.append([])
            words[-1].append(place)
        words.sort(key=lambda word: scores[word[0]])
        room = count = math.floor(rate * ordinary.sum() + 0.5)
        for word in words:
            if len(word) <= room:
                selected[row, word] = True
                room -= len(word)
        if words and room == count:
            selected[row, words[0][:count]] = True
    return selected


@pytest.mark.parametrize("rate", (0.0, 0.1, 0.15, 0.3, 0.5, 0.9, 1.0))
@pytest.mark.parametrize("share", (0.0, 0.1, 0.4, 1.0))
def test_whole_words_are_selected_as_one_by_one(rate, share):
    """share: of the tokens, begin a word; from one word a line to one a token."""
    draw = np.random.default_rng(3)
    tokens = draw.integers(8, V, [200, 23])
    tokens[draw.random(tokens.shape) < 0.1] = EOS
    tokens[0], tokens[1, 9:] = EOS, PAD
    begins = draw.random(tokens.shape) < share
    eligible = masking.ordinary(tf.constant(tokens))
    choice = uniforms(200, 23)[0]
    selected = masking.words_of(choice, eligible, tf.constant(begins), rate).numpy()
    expected = words_one_by_one(choice.numpy(), eligible.numpy(), begins, rate)
    np.testing.assert_array_equal(selected, expected)
    assert not (selected & (tokens < 8)).any()
    most = [math.floor(rate * n + 0.5) for n in (tokens >= 8).sum(axis=1)]
    assert (selected.sum(axis=1) <= most).all()
    if share == 1.0:
        np.testing.assert_array_equal(selected, masking.tokens_of(choice, eligible, rate))


def test_words_of_any_length_fill_the_rate_where_single_tokens_are_left_and_none_is_cut():
    lengths = np.array([1, 3, 1, 2, 5, 1, 4, 2, 1])
    begins = np.zeros([400, 20], bool)
    begins[:, np.cumsum(lengths) - lengths] = True
    choice = uniforms(400, 20)[0]
    selected = masking.words_of(choice, all_eligible(400, 20), tf.constant(begins), 0.3).numpy()
    words = np.split(selected, np.cumsum(lengths)[:-1], axis=1)
    for word in words:
        assert set(word.sum(axis=1).tolist()) == {0, word.shape[1]}  # all of it or nothing
    assert selected.sum(axis=1).min() >= 4  # all four single tokens, or six
    full = selected.sum(axis=1) == 6
    singles = np.stack([word[:, 0] for word in words if word.shape[1] == 1]).sum(axis=0)
    assert (full | (singles == 4)).all() and full.mean() > 0.9


def test_words_of_one_length_are_selected_uniformly():
    begins = np.tile(np.arange(12) % 2 == 0, [1_500, 1])
    choice = uniforms(1_500, 12)[0]
    selected = masking.words_of(
        choice, all_eligible(1_500, 12), tf.constant(begins), 1 / 3
    ).numpy()
    assert (selected.sum(axis=1) == 4).all()
    pairs = Counter(tuple(np.flatnonzero(row[::2]).tolist()) for row in selected)
    assert len(pairs) == math.comb(6, 2)
    chi_square = sum((count - 100) ** 2 / 100 for count in pairs.values())
    assert chi_square < 36.1  # 0.999 of 14 degrees of freedom


@pytest.mark.parametrize("rate", (0.0, 0.15, 0.3, 0.5, 0.97, 1.0))
@pytest.mark.parametrize("scheme", ("token", "span"))
def test_exactly_the_rate_of_the_ordinary_tokens_is_selected_and_nothing_else(rate, scheme):
    draw = np.random.default_rng(0)
    tokens = draw.integers(8, V, [64, 21])
    tokens[draw.random(tokens.shape) < 0.2] = EOS
    tokens[:, 17:][draw.random([64, 4]) < 0.5] = PAD
    tokens[0] = EOS  # nothing to select
    eligible = masking.ordinary(tf.constant(tokens))
    choice, _, _, lengths, places = uniforms(64, 21)
    if scheme == "token":
        selected = masking.tokens_of(choice, eligible, rate)
    else:
        selected = masking.spans_of(lengths, places, eligible, rate, 0.2, 10)
    selected = selected.numpy()
    assert not (selected & (tokens < 8)).any()
    counts = (tokens >= 8).sum(axis=1)
    assert selected.sum(axis=1).tolist() == [math.floor(rate * n + 0.5) for n in counts]


def test_single_tokens_are_selected_uniformly():
    choice = uniforms(2_000, 10)[0]
    selected = masking.tokens_of(choice, all_eligible(2_000, 10), 0.3).numpy()
    expected = 2_000 * 0.3
    chi_square = ((selected.sum(axis=0) - expected) ** 2 / (expected * 0.7)).sum()
    assert chi_square < 27.9  # 0.999 of 9 degrees of freedom
    pairs = Counter(tuple(np.flatnonzero(row)) for row in selected)
    assert len(pairs) == math.comb(10, 3)  # every choice of three occurs


def test_spans_have_the_law_of_their_lengths_and_do_not_touch():
    drawn = masking.span_lengths(uniforms(600, 32)[3], 0.2, 10).numpy()
    law = np.array([0.8 ** (n - 1) for n in range(1, 11)])
    law /= law.sum()
    assert drawn.min() == 1 and drawn.max() == 10
    found = np.bincount(drawn.ravel(), minlength=11)[1:] / drawn.size
    assert np.abs(found - law).max() < 0.01
    assert drawn.mean() == pytest.approx(3.797, abs=0.05)  # the mean of the literature, 3.8
    single = masking.span_lengths(tf.random.stateless_uniform([4, 4], [1, 2]), 1.0, 10)
    assert (single.numpy() == 1).all()
    selected = spans(150, 64, 0.3)
    lengths = [length for row in selected for length in runs(row)]
    # runs are spans: none is longer than the longest, so no two of them touch
    assert max(lengths) <= 10 and np.mean(lengths) > 2.5
    single = spans(150, 64, 0.3, p=1.0)
    assert {length for row in single for length in runs(row)} == {1}


def test_a_run_of_any_length_is_at_most_what_is_selected_of_a_row():
    size = 2_100  # so many runs of 2^20 are more than an int32 holds
    places = tf.random.stateless_uniform([1, size + 1], [0, 0])
    found = masking.runs_of(places, all_eligible(1, size), 0.1, 1 << 20).numpy()[0]
    assert found.sum() == 210 and (np.diff(found.astype(int)) == 1).sum() + found[0] == 1


def test_every_arrangement_of_spans_is_equally_probable():
    """Two spans of one token among five: they do not touch, so there are C(4, 2) arrangements."""
    selected = spans(1_800, 5, 0.4, p=1.0)
    counts = Counter(tuple(np.flatnonzero(row).tolist()) for row in selected)
    assert sorted(counts) == [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4)]
    chi_square = sum((count - 300) ** 2 / 300 for count in counts.values())
    assert chi_square < 20.5  # 0.999 of 5 degrees of freedom


def test_a_row_depends_on_its_own_seed_and_tokens_alone():
    tokens = tf.constant(np.random.default_rng(1).integers(8, V, [6, 16]))
    whole = masking.uniforms(seeds(6), 16)
    part = masking.uniforms(seeds(6)[2:4], 16)
    for all_rows, some in zip(whole, part):
        np.testing.assert_array_equal(all_rows[2:4], some)
    selected = masking.tokens_of(whole[0], masking.ordinary(tokens), 0.3)
    some = masking.tokens_of(part[0], masking.ordinary(tokens[2:4]), 0.3)
    np.testing.assert_array_equal(selected[2:4], some)


def test_selected_tokens_are_replaced_by_the_shares_and_all_others_stay():
    tokens = tf.constant(np.random.default_rng(2).integers(8, V, [500, 20]), tf.int32)
    choice, kinds, ids, *_ = uniforms(500, 20)
    selected = masking.tokens_of(choice, masking.ordinary(tokens), 0.5).numpy()

    def seen(*split):
        return masking.corrupted(tokens, selected, kinds, ids, split, V).numpy()

    usual = seen(0.8, 0.1, 0.1)
    assert (usual == tokens.numpy())[~selected].all()
    assert (usual == MASK)[selected].mean() == pytest.approx(0.8, abs=0.02)
    kept = (usual == tokens.numpy())[selected].mean()
    assert kept == pytest.approx(0.1 + 0.1 / (V - 8), abs=0.02)
    assert (seen(1.0, 0.0, 0.0)[selected] == MASK).all()
    assert (seen(0.0, 0.0, 1.0) == tokens.numpy()).all()
    drawn = seen(0.0, 1.0, 0.0)[selected]
    assert drawn.min() == 8 and drawn.max() == V - 1
    counts = np.bincount(drawn, minlength=V)[8:]
    expected = len(drawn) / (V - 8)
    assert ((counts - expected) ** 2 / expected).sum() < 61.1  # 0.999 of 31
