"""Sampling a kind: noise has the Gumbel distribution, samples follow pi, gradients are those of the relaxed sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from par import gumbel

PI = np.array([[0.62, 0.07, 0.31], [0.2, 0.45, 0.35]], np.float32)
ALPHA = tf.constant(np.log(PI) + np.array([[3.0], [-5.0]]), tf.float32)  # logits are free up to a constant
SEED = tf.constant([11, 5], tf.int64)
COUNT = 20_011


def test_noise_has_the_mean_spread_and_quantiles_of_the_gumbel_distribution():
    noise = gumbel.gumbel_noise(SEED, [1_000_003]).numpy()
    assert np.isfinite(noise).all() and noise.dtype == np.float32
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=5e-3) and noise.var() == pytest.approx(math.pi**2 / 6, abs=2e-2)
    for share in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert (noise < -math.log(-math.log(share))).mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / len(noise)))


def test_the_same_seed_gives_the_same_noise_and_another_seed_another():
    noise = gumbel.gumbel_noise(SEED, [COUNT]).numpy()
    tf.random.set_seed(1)
    np.testing.assert_array_equal(gumbel.gumbel_noise(SEED, [COUNT]), noise)
    for other in ([11, 6], [12, 5], [5, 11]):
        assert abs(np.corrcoef(noise, gumbel.gumbel_noise(tf.constant(other, tf.int64), [COUNT]))[0, 1]) < 0.03


def test_samples_over_many_seeds_follow_pi_block_by_block():
    @tf.function
    def samples():
        def sample(step):
            weight = gumbel.relaxed_one_hot(ALPHA, gumbel.gumbel_noise(tf.stack([tf.constant(7, tf.int64), step]), [2, 3]), 0.4)
            return tf.argmax(weight, axis=-1)

        return tf.map_fn(sample, tf.range(4001, dtype=tf.int64))

    kinds = samples().numpy()
    joint = np.histogram2d(*kinds.T, bins=[range(4)] * 2)[0]
    expected = len(kinds) * np.outer(*PI)
    assert ((joint - expected) ** 2 / expected).sum() < 26.1  # chi-square, 8 degrees of freedom, p = 0.001: shares and independence at once


@pytest.mark.parametrize("tau", [1e-3, 0.1, 1.0, 1e3])
def test_a_relaxed_sample_is_a_distribution_at_every_temperature(tau):
    weight = gumbel.relaxed_one_hot(ALPHA, gumbel.gumbel_noise(SEED, [COUNT, 2, 3]), tau).numpy()
    assert weight.min() >= 0
    np.testing.assert_allclose(weight.sum(axis=-1), 1, atol=1e-5)


def test_a_relaxed_sample_equals_equation_2():
    noise = gumbel.gumbel_noise(SEED, [2, 3]).numpy()
    odds = PI ** (1 / 0.7) * np.exp(noise / 0.7)
    np.testing.assert_allclose(gumbel.relaxed_one_hot(ALPHA, noise, 0.7), odds / odds.sum(axis=-1, keepdims=True), rtol=1e-4)


def test_a_relaxed_sample_goes_to_one_hot_as_tau_goes_to_0_and_to_equal_shares_as_tau_grows():
    noise = gumbel.gumbel_noise(SEED, [COUNT, 2, 3])
    cold, hot = gumbel.relaxed_one_hot(ALPHA, noise, 1e-6).numpy(), gumbel.relaxed_one_hot(ALPHA, noise, 1e6).numpy()
    sharp = cold.max(axis=-1) > 1 - 1e-6
    assert sharp.mean() > 0.999
    np.testing.assert_allclose(cold[sharp], gumbel.one_hot(tf.math.log(PI) + noise).numpy()[sharp], atol=1e-6)
    np.testing.assert_allclose(hot, 1 / 3, atol=1e-4)


def test_without_noise_and_with_temperature_1_a_sample_is_pi():
    np.testing.assert_allclose(gumbel.relaxed_one_hot(ALPHA, 0.0, 1.0), PI, rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "kind"),
    [([0.2, 0.5, 0.3], 1), ([0.5, 0.2, 0.3], 0), ([0, 0, 0], 2), ([0.4, 0.4, 0.2], 1), ([0.4, 0.2, 0.4], 2), ([0.2, 0.4, 0.4], 2), ([-9, -7, -8], 1)],
    ids=str,
)
def test_one_hot_marks_the_likeliest_and_the_last_of_equals(weight, kind):
    marked = gumbel.one_hot(tf.constant([weight, weight[::-1]], tf.float32)).numpy()
    np.testing.assert_array_equal(marked[0], np.eye(3)[kind])
    assert marked.dtype == np.float32 and marked[1].argmax() == max(k for k in range(3) if weight[::-1][k] == max(weight))


def test_straight_through_is_exactly_one_hot_forward():
    weight = gumbel.relaxed_one_hot(ALPHA, gumbel.gumbel_noise(SEED, [COUNT, 2, 3]), 0.8)
    np.testing.assert_array_equal(gumbel.straight_through(weight), gumbel.one_hot(weight))


def test_straight_through_has_the_gradient_of_the_relaxed_sample():
    noise, of = gumbel.gumbel_noise(SEED, [2, 3]), tf.constant([[2.0, -3.0, 5.0], [7.0, -11.0, 13.0]])
    gradients = []
    for sample in (gumbel.straight_through, lambda weight: weight):
        with tf.GradientTape() as tape:
            tape.watch(ALPHA)
            loss = tf.reduce_sum(of * sample(gumbel.relaxed_one_hot(ALPHA, noise, 0.8)))
        gradients.append(tape.gradient(loss, ALPHA).numpy())
    np.testing.assert_array_equal(*gradients)
    weight = gumbel.relaxed_one_hot(ALPHA, noise, 0.8).numpy()
    expected = weight * (of - (weight * of).numpy().sum(axis=-1, keepdims=True)) / 0.8  # the derivative of a softmax
    np.testing.assert_allclose(gradients[0], expected, atol=1e-5)
    assert np.abs(gradients[0]).min() > 0.01
