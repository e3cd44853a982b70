"""The boundaries of masked spans: those that a loop over spans finds, both visible; and the heads
equal their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from naive import boundaries as naive
from par.nn.ops import Initial
from par.objectives import masking
from par.objectives.electra.boundaries import SpanBoundaryHead, boundaries
from par.objectives.electra.replaced import ReplacedHead
from par.objectives.electra_settings import SPAN_MAX, SPAN_P

B, T, D = 40, 21, 12


def rows(rate: float, specials: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Selected and real positions [B, T] of random windows, some with special pieces inside, some
    with padding."""
    draw = np.random.default_rng(3)
    tokens = draw.integers(8, 60, [B, T])
    if specials:
        tokens[draw.random([B, T]) < 0.1] = 3
        for row in range(0, B, 4):
            tokens[row, T - row // 4 :] = 0
    seeds = tf.constant(np.stack([np.full(B, 5), np.arange(B)], axis=1), tf.int64)
    _, _, _, lengths, places = masking.uniforms(seeds, T)
    eligible = masking.ordinary(tf.constant(tokens))
    selected = masking.spans_of(lengths, places, eligible, rate, SPAN_P, SPAN_MAX)
    return selected.numpy(), tokens != 0


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.6, 1.0])
def test_boundaries_are_those_that_a_loop_over_spans_finds(rate):
    selected, real = rows(rate)
    found = boundaries(tf.constant(selected), tf.constant(real))
    before, after, place, has_both = (each.numpy() for each in found)
    number = 0
    for row in range(B):
        expected = naive.boundaries(selected[row], real[row])
        assert np.flatnonzero(has_both[row]).tolist() == sorted(expected)
        for position, of in expected.items():
            assert (before[row, position], after[row, position], place[row, position]) == of
        number += len(expected)
    assert (number > 50) == (rate > 0)


@pytest.mark.parametrize("rate", [0.25, 0.6])
def test_both_boundaries_are_visible_and_a_span_at_an_edge_has_none(rate):
    selected, real = rows(rate)
    found = boundaries(tf.constant(selected), tf.constant(real))
    before, after, _, has_both = (each.numpy() for each in found)
    for row, position in np.argwhere(has_both):
        for boundary in (before[row, position], after[row, position]):
            assert not selected[row, boundary] and real[row, boundary]
        between = selected[row, before[row, position] + 1 : after[row, position]]
        assert between.all()  # spans that touch are one
    at_edges = selected[:, 0].any() and selected[:, -1].any()
    assert at_edges and not has_both[:, [0, -1]].any()


def test_the_law_of_the_spans():
    """Of windows of ordinary tokens a quarter is selected, exactly, in spans of at most 10 whose
    mean length is that of the geometric law, less what the last span lacks."""
    size, count = 400, 60
    seeds = tf.constant(np.stack([np.full(count, 7), np.arange(count)], axis=1), tf.int64)
    _, _, _, lengths, places = masking.uniforms(seeds, size)
    everything = tf.ones([count, size], tf.bool)
    selected = masking.spans_of(lengths, places, everything, 0.25, SPAN_P, SPAN_MAX).numpy()
    assert (selected.sum(axis=1) == 100).all()
    found = [end - start + 1 for row in selected for start, end in naive.spans(row)]
    law = 0.8 ** np.arange(SPAN_MAX)
    mean = (law / law.sum()) @ np.arange(1, SPAN_MAX + 1)
    assert max(found) == SPAN_MAX and np.mean(found) == pytest.approx(mean, rel=0.06)
    assert mean == pytest.approx(3.797, abs=1e-3)


def weights_of(layer) -> dict[str, np.ndarray]:
    """By path, randomised: no gain is 1, no bias 0."""
    found = {}
    for number, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng(number).normal(0, 0.5, weight.shape))
        found[weight.path.removeprefix(f"{layer.name}/")] = weight.numpy().astype(np.float64)
    return found


def test_the_boundary_head_equals_its_naive_twin():
    layer = SpanBoundaryHead("sbgo", D, SPAN_MAX, Initial(1, 0.3))
    weights, draw = weights_of(layer), np.random.default_rng(1)
    before, after = draw.normal(size=[2, 14, D]).astype(np.float32)
    places = np.arange(14, dtype=np.int32)  # those from 9 on share the last embedding
    found = layer(before, after, places).numpy()
    for n in range(14):
        expected = naive.state(weights, before[n], after[n], n)
        np.testing.assert_allclose(found[n], expected, rtol=1e-4, atol=1e-5)


def test_the_head_of_all_tokens_equals_its_naive_twin():
    layer = ReplacedHead("ato", D, Initial(1, 0.3))
    weights = weights_of(layer)
    hidden = np.random.default_rng(2).normal(size=[3, T, D]).astype(np.float32)
    real = np.ones([3, T], bool)
    real[1, 5:], real[2, 1:] = False, False
    found = layer(tf.constant(hidden), tf.constant(real)).numpy()
    for row in range(3):
        expected = naive.replaced_logits(weights, hidden[row], real[row])
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)
