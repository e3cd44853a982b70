"""Sampling a kind: noise has the Gumbel distribution, samples follow pi, gradients are those of
the relaxed sample."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from par.search import gumbel

PI = np.array([[0.62, 0.07, 0.31], [0.2, 0.45, 0.35]], np.float32)
# logits are free up to a constant
ALPHA = tf.constant(np.log(PI) + np.array([[3.0], [-5.0]]), tf.float32)
SEED = tf.constant([11, 5], tf.int64)
COUNT = 20_011


def test_noise_has_the_mean_spread_and_quantiles_of_the_gumbel_distribution():
    noise = gumbel.gumbel_noise(SEED, [1_000_003]).numpy()
    assert np.isfinite(noise).all() and noise.dtype == np.float32
    assert noise.mean() == pytest.approx(
        np.euler_gamma, abs=5e-3
    ) and noise.var() == pytest.approx(math.pi**2 / 6, abs=2e-2)
    for share in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert (noise < -math.log(-math.log(share))).mean() == pytest.approx(
            share, abs=5 * math.sqrt(share * (1 - share) / len(noise))
        )


def test_the_same_seed_gives_the_same_noise_and_another_seed_another():
    noise = gumbel.gumbel_noise(SEED, [COUNT]).numpy()
    tf.random.set_seed(1)
    np.testing.assert_array_equal(gumbel.gumbel_noise(SEED, [COUNT]), noise)
    for other in ([11, 6], [12, 5], [5, 11]):
        assert (
            abs(
                np.corrcoef(noise, gumbel.gumbel_noise(tf.constant(other, tf.int64), [COUNT]))[
                    0, 1
                ]
            )
            < 0.03
        )


def test_samples_over_many_seeds_follow_pi_block_by_block():
    @tf.function
    def samples():
        def sample(step):
            weight = gumbel.relaxed_one_hot(
                ALPHA, gumbel.gumbel_noise(tf.stack([tf.constant(7, tf.int64), step]), [2, 3]), 0.4
            )
            return tf.argmax(weight, axis=-1)

        return tf.map_fn(sample, tf.range(4001, dtype=tf.int64))

    kinds = samples().numpy()
    joint = np.histogram2d(*kinds.T, bins=[range(4)] * 2)[0]
    expected = len(kinds) * np.outer(*PI)
    # chi-square, 8 degrees of freedom, p = 0.001: shares and independence at once
    assert ((joint - expected) ** 2 / expected).sum() < 26.1


@pytest.mark.parametrize("tau", [1e-3, 0.1, 1.0, 1e3])
def test_a_relaxed_sample_is_a_distribution_at_every_temperature(tau):
    weight = gumbel.relaxed_one_hot(ALPHA, gumbel.gumbel_noise(SEED, [COUNT, 2, 3]), tau).numpy()
    assert weight.min() >= 0
    np.testing.assert_allclose(weight.sum(axis=-1), 1, atol=1e-5)


def test_a_relaxed_sample_equals_equation_2():
    noise = gumbel.gumbel_noise(SEED, [2, 3]).numpy()
    odds = PI ** (1 / 0.7) * np.exp(noise / 0.7)
    np.testing.assert_allclose(
        gumbel.relaxed_one_hot(ALPHA, noise, 0.7),
        odds / odds.sum(axis=-1, keepdims=True),
        rtol=1e-4,
    )


def test_a_relaxed_sample_goes_to_one_hot_as_tau_goes_to_0_and_to_equal_shares_as_tau_grows():
    noise = gumbel.gumbel_noise(SEED, [COUNT, 2, 3])
    cold, hot = (
        gumbel.relaxed_one_hot(ALPHA, noise, 1e-6).numpy(),
        gumbel.relaxed_one_hot(ALPHA, noise, 1e6).numpy(),
    )
    sharp = cold.max(axis=-1) > 1 - 1e-6
    assert sharp.mean() > 0.999
    np.testing.assert_allclose(
        cold[sharp], gumbel.one_hot(tf.math.log(PI) + noise).numpy()[sharp], atol=1e-6
    )
    np.testing.assert_allclose(hot, 1 / 3, atol=1e-4)


def test_without_noise_and_with_temperature_1_a_sample_is_pi():
    np.testing.assert_allclose(gumbel.relaxed_one_hot(ALPHA, 0.0, 1.0), PI, rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        ([0.2, 0.5, 0.3], 1),
        ([0.5, 0.2, 0.3], 0),
        ([0, 0, 0], 2),
        ([0.4, 0.4, 0.2], 1),
        ([0.4, 0.2, 0.4], 2),
        ([0.2, 0.4, 0.4], 2),
        ([-9, -7, -8], 1),
    ],
    ids=str,
)
def test_one_hot_marks_the_likeliest_and_the_last_of_equals(weight, kind):
    marked = gumbel.one_hot(tf.constant([weight, weight[::-1]], tf.float32)).numpy()
    np.testing.assert_array_equal(marked[0], np.eye(3)[kind])
    assert marked.dtype == np.float32 and marked[1].argmax() == max(
        k for k in range(3) if weight[::-1][k] == max(weight)
    )


def test_straight_through_is_exactly_one_hot_forward():
    weight = gumbel.relaxed_one_hot(ALPHA, gumbel.gumbel_noise(SEED, [COUNT, 2, 3]), 0.8)
    np.testing.assert_array_equal(gumbel.straight_through(weight), gumbel.one_hot(weight))


def test_straight_through_has_the_gradient_of_the_relaxed_sample():
    noise, of = (
        gumbel.gumbel_noise(SEED, [2, 3]),
        tf.constant([[2.0, -3.0, 5.0], [7.0, -11.0, 13.0]]),
    )
    gradients = []
    for sample in (gumbel.straight_through, lambda weight: weight):
        with tf.GradientTape() as tape:
            tape.watch(ALPHA)
            loss = tf.reduce_sum(of * sample(gumbel.relaxed_one_hot(ALPHA, noise, 0.8)))
        gradients.append(tape.gradient(loss, ALPHA).numpy())
    np.testing.assert_array_equal(*gradients)
    weight = gumbel.relaxed_one_hot(ALPHA, noise, 0.8).numpy()
    # the derivative of a softmax
    expected = weight * (of - (weight * of).numpy().sum(axis=-1, keepdims=True)) / 0.8
    np.testing.assert_allclose(gradients[0], expected, atol=1e-5)
    assert np.abs(gradients[0]).min() > 0.01


def test_a_single_path_is_one_hot_forward_and_has_the_gradient_of_the_chosen_weight_alone():
    noise, of = (
        gumbel.gumbel_noise(SEED, [2, 3]),
        np.array([[2.0, -3.0, 5.0], [7.0, -11.0, 13.0]], np.float32),
    )
    with tf.GradientTape() as tape:
        tape.watch(ALPHA)
        weight = gumbel.relaxed_one_hot(ALPHA, noise, 0.8)
        path = gumbel.single_path(weight)
        loss = tf.reduce_sum(of * path)
    chosen = gumbel.one_hot(weight).numpy()
    np.testing.assert_array_equal(path, chosen)
    w, of_chosen = weight.numpy(), chosen * of
    expected = w * (of_chosen - (w * of_chosen).sum(axis=-1, keepdims=True)) / 0.8
    np.testing.assert_allclose(tape.gradient(loss, ALPHA), expected, atol=1e-5)
    assert np.abs(expected).min() > 1e-3


def all_paths() -> np.ndarray:
    """[9, 2, 3] every one-hot sample of two blocks."""
    return np.array([[np.eye(3)[a], np.eye(3)[b]] for a in range(3) for b in range(3)], np.float32)


@pytest.mark.parametrize("count", [2, 3])
def test_the_gradient_of_several_paths_is_that_of_the_expected_loss_on_average(count):
    paths, losses = all_paths(), np.random.default_rng(3).normal(5.0, 1.0, 9).astype(np.float32)
    probability = np.array([np.prod((PI * path).sum(axis=-1)) for path in paths])
    with tf.GradientTape() as tape:
        tape.watch(ALPHA)
        log_pi = tf.nn.log_softmax(ALPHA)
        exact = tf.reduce_sum(tf.exp(tf.reduce_sum(log_pi * paths, axis=[1, 2])) * losses)
    mean = np.zeros([2, 3])
    for drawn in itertools.product(range(9), repeat=count):
        estimate = gumbel.leave_one_out(
            tf.constant(losses[list(drawn)]), tf.constant(paths[list(drawn)])
        )
        mean += np.prod(probability[list(drawn)]) * estimate.numpy()
    np.testing.assert_allclose(mean, tape.gradient(exact, ALPHA), atol=1e-4)
    assert np.abs(mean).max() > 0.05


def test_paths_that_are_equal_teach_nothing_and_two_teach_half_their_difference():
    a, b = all_paths()[1], all_paths()[5]
    np.testing.assert_array_equal(
        gumbel.leave_one_out(tf.constant([5.0, 5.0]), tf.constant([a, a])), np.zeros([2, 3])
    )
    np.testing.assert_allclose(
        gumbel.leave_one_out(tf.constant([5.0, 3.0]), tf.constant([a, b])),
        (5.0 - 3.0) / 2 * (a - b),
    )
    last_digit = np.array([5.0, np.nextafter(np.float32(5.0), np.float32(6.0))], np.float32)
    # where both chose alike, rounding adds nothing
    assert not gumbel.leave_one_out(tf.constant(last_digit), tf.constant([a, a])).numpy().any()
