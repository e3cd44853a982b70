"""Dropout: the rate is met, the mean is kept, and a mask is a function of (seed, step, place) and
of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.nn.forward_mode import EVALUATION, EVALUATION_ARGMAX, Phase, dropout

TRAINING = Phase(training=True, seed=3, step=tf.constant(5, tf.int64))
MANY = [101, 31, 37]


def mask(
    phase: Phase = TRAINING, place: str = "block_2", shape: list[int] = MANY, rate: float = 0.3
) -> np.ndarray:
    return dropout(tf.ones(shape), rate, phase, place).numpy() > 0


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of entries that two masks of rate 0.3 have in common: 1 if they are the same, 0.58 if
    they are independent."""
    return float((one == other).mean())


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3, 0.5, 0.99])
def test_the_rate_is_met_and_the_mean_is_kept(rate):
    x = np.random.default_rng(1).uniform(1, 3, MANY).astype(np.float32)
    out = dropout(tf.constant(x), rate, TRAINING, "block_2").numpy()
    kept = out != 0
    error = 5 * np.sqrt(rate * (1 - rate) / x.size)  # five standard deviations
    assert abs((1 - kept.mean()) - rate) < error + 1 / 65_536
    np.testing.assert_allclose(
        out[kept], x[kept] / (1 - rate), rtol=2e-3 if rate == 0.99 else 1e-4
    )
    assert abs(out.mean() / x.mean() - 1) < 2 * error / (1 - rate) + 1e-3


@pytest.mark.parametrize("phase", [EVALUATION, EVALUATION_ARGMAX], ids=["mixture", "argmax"])
def test_evaluation_drops_nothing(phase):
    x = tf.random.stateless_normal([3, 5, 7], [1, 2])
    np.testing.assert_array_equal(dropout(x, 0.9, phase, "block_2"), x)


@pytest.mark.parametrize("rate", [0.0, 1e-7])
def test_a_rate_of_nothing_drops_nothing(rate):
    x = tf.random.stateless_normal([3, 5, 7], [1, 2])
    np.testing.assert_array_equal(dropout(x, rate, TRAINING, "block_2"), x)


@pytest.mark.parametrize("shape", [[1], [2], [3, 5, 7], [1, 1, 1], [2, 3, 4], [0, 5, 7]], ids=str)
def test_odd_even_and_empty_sizes_keep_their_shape(shape):
    assert dropout(tf.ones(shape), 0.5, TRAINING, "block_2").shape == shape


def test_the_same_seed_step_and_place_give_the_same_mask():
    np.testing.assert_array_equal(mask(), mask())
    np.testing.assert_array_equal(mask(), mask(Phase(training=True, seed=3, step=5, tau=0.1)))
    graph = tf.function(
        lambda step: dropout(
            tf.ones(MANY), 0.3, Phase(training=True, seed=3, step=step), "block_2"
        )
    )
    np.testing.assert_array_equal(mask(), graph(tf.constant(5, tf.int64)).numpy() > 0)


@pytest.mark.parametrize(
    ("phase", "place"),
    [
        (Phase(True, 3, 6), "block_2"),
        (Phase(True, 4, 5), "block_2"),
        (TRAINING, "block_3"),
        (Phase(True, 2, 5), "block_3"),
        (Phase(True, 2**31 - 1, 5), "block_2"),
        (Phase(True, 3, 5 + 2**40), "block_2"),
    ],
    ids=["step", "seed", "place", "swapped", "largest seed", "late step"],
)
def test_another_seed_step_or_place_gives_an_independent_mask(phase, place):
    assert abs(agreement(mask(), mask(phase, place)) - 0.58) < 0.01


def test_rows_and_columns_have_masks_of_their_own():
    rows = mask()
    for axis in range(3):
        assert abs(agreement(rows, np.roll(rows, 1, axis)) - 0.58) < 0.01


def test_the_first_rows_do_not_depend_on_how_many_follow():
    for count in (1, 2, 50):
        np.testing.assert_array_equal(mask(shape=[count, *MANY[1:]]), mask()[:count])


def test_the_gradient_passes_where_the_value_did():
    x = tf.random.stateless_normal([3, 5, 7], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = dropout(x, 0.3, TRAINING, "block_2")
    np.testing.assert_allclose(tape.gradient(out, x), out / x, rtol=1e-5)


def test_no_global_seed_takes_part():
    before = mask()
    tf.random.set_seed(99)
    np.testing.assert_array_equal(mask(), before)
