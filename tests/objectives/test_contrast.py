"""Encodings and losses in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from par.objectives import contrast

B, C, D = 3, 5, 7


def vectors(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(shape).normal(size=shape), tf.float32)


def cosines(users: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
    return tf.matmul(contrast.unit(users), contrast.unit(texts), transpose_b=True)


def test_equal_vectors_cost_the_logarithm_of_the_candidates_and_the_margin():
    one = tf.ones([C, D])
    scores = cosines(one[:B], one)
    allowed = np.ones([B, C], bool)
    allowed[1, 3:] = False
    loss = contrast.info_nce(scores, tf.constant([0, 1, 2]), tf.constant(allowed), 0.05)
    assert loss.numpy().tolist() == pytest.approx([math.log(5), math.log(3), math.log(5)])
    assert contrast.triplet(scores[:, 0], scores[:, 1], 0.7).numpy() == pytest.approx(0.7)
    assert contrast.nearer(scores[:, 0], scores[:, 1]).numpy().tolist() == [0.5] * B


def test_the_losses_are_their_formulas():
    users, texts, own = vectors(B, D).numpy(), vectors(C, D).numpy(), [2, 0, 4]
    scores = cosines(users, texts)
    loss = contrast.info_nce(scores, tf.constant(own), tf.ones([B, C], tf.bool), 0.2)
    for row, column in enumerate(own):
        lengths = np.linalg.norm(texts, axis=1) * np.linalg.norm(users[row])
        each = np.exp(texts @ users[row] / lengths / 0.2)
        assert float(loss[row]) == pytest.approx(-math.log(each[column] / each.sum()), rel=1e-4)
    u, p, n = (x / np.linalg.norm(x) for x in (users[0], texts[0], texts[1]))
    expected = max(0.0, 0.3 + np.linalg.norm(u - p) - np.linalg.norm(u - n))
    found = contrast.triplet(scores[:1, 0], scores[:1, 1], 0.3)
    assert float(found[0]) == pytest.approx(expected, abs=1e-5)


def test_cosines_that_differ_by_rounding_alone_are_equal():
    positive = tf.constant([0.5, 0.5 + 1e-7, 0.501, 0.499])
    found = contrast.nearer(positive, tf.fill([4], 0.5))
    assert found.numpy().tolist() == [0.5, 0.5, 1.0, 0.0]


def test_a_triplet_that_is_apart_by_the_margin_costs_nothing():
    assert float(contrast.triplet(tf.constant(1.0), tf.constant(-1.0), 2.0)) == pytest.approx(
        0.0, abs=1e-5
    )
    assert float(contrast.triplet(tf.constant(-1.0), tf.constant(1.0), 0.0)) == pytest.approx(2.0)


def test_an_empty_slot_takes_no_part_in_the_mean_and_gets_no_gradient():
    texts = tf.Variable(vectors(1, 3, 4, D))  # one user, three texts of four tokens
    real = tf.constant([[[True] * 4, [True, True, False, False], [False] * 4]])
    for pool in ("mean", "cls"):
        with tf.GradientTape() as tape:
            found = contrast.user(contrast.unit(contrast.pooled(texts, real, pool)))
            total = tf.reduce_sum(found * vectors(1, D))
        two = contrast.user(contrast.unit(contrast.pooled(texts[:, :2], real[:, :2], pool)))
        np.testing.assert_allclose(found, two, atol=1e-6)
        gradient = tape.gradient(total, texts).numpy()
        assert np.isfinite(gradient).all() and (gradient[0, 2] == 0).all()
        assert (gradient[0, 1, 2:] == 0).all() and (gradient[0, :2, 0] != 0).any()
    nobody = contrast.user(contrast.unit(contrast.pooled(texts, real & False, "mean")))
    assert nobody.numpy().tolist() == [[0.0] * D]


def test_the_pooled_vector_is_the_mean_of_the_real_states_or_the_first_one():
    hidden = vectors(2, 4, D)
    real = tf.constant([[True, True, True, False], [True, False, False, False]])
    np.testing.assert_allclose(
        contrast.pooled(hidden, real, "mean"),
        [hidden[0, :3].numpy().mean(axis=0), hidden[1, 0]],
        atol=1e-6,
    )
    np.testing.assert_array_equal(contrast.pooled(hidden, real, "cls"), hidden[:, 0])


def test_the_gradient_of_equal_vectors_is_finite():
    users = tf.Variable(tf.ones([B, D]))
    with tf.GradientTape() as tape:
        scores = cosines(users, tf.ones([C, D]))
        loss = tf.reduce_sum(contrast.triplet(scores[:, 0], scores[:, 1], 1.0))
    assert np.isfinite(tape.gradient(loss, users)).all()
