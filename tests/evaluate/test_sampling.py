"""Drawing the next token: what may be drawn, with which frequency, and from which numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import SamplingConfig
from par.core.errors import UsageError
from par.evaluate import sampling

MOST = SamplingConfig.maximum("num_samples")
P = np.array([0.05, 0.4, 0.1, 0.25, 0.2])


def naive_kept(p: np.ndarray, top_k: int, top_p: float) -> set[int]:
    """Takes ids from the likeliest down, until there are top_k, or they have the share top_p of
    the first top_k."""
    order = sorted(range(len(p)), key=lambda i: -p[i])[: top_k or len(p)]
    chosen, total = [], 0.0
    for i in order:
        if chosen and total >= top_p * p[order].sum():
            break
        chosen.append(i)
        total += p[i]
    return set(chosen)


def draws(config: SamplingConfig, places: int = 30, p: np.ndarray = P) -> np.ndarray:
    """[places, B] ids."""
    log_prob = tf.constant(np.tile(np.log(p), [config.num_samples, 1]), tf.float32)
    return np.array(
        [sampling.draw(log_prob, config, tf.constant(place)) for place in range(places)]
    )


@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.62, 0.9, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 3, 11, 50])
def test_what_is_kept_equals_the_naive_twin(top_k, top_p):
    p = np.random.default_rng(3).dirichlet(np.full(11, 0.7), size=7)
    kept = sampling.kept(tf.constant(np.log(p) + 5.0, tf.float32), top_k, top_p).numpy()
    assert [set(np.flatnonzero(row)) for row in kept] == [
        naive_kept(row, top_k, top_p) for row in p
    ]


def test_no_more_ids_are_kept_than_have_the_probability_top_p_exactly():
    log_prob = tf.math.log(tf.constant([[0.5, 0.25, 0.25]], tf.float64))
    for top_p, kept in ((0.5, [True, False, False]), (0.51, [True] * 3)):
        assert sampling.kept(log_prob, 0, top_p).numpy().tolist() == [kept]


def test_ids_as_likely_as_the_last_one_kept_are_kept():
    kept = sampling.kept(tf.math.log([[0.3, 0.1, 0.3, 0.3]]), 2, 1.0)
    assert kept.numpy().tolist() == [[True, False, True, True]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_ids_are_drawn_as_often_as_their_probabilities_say(temperature):
    found = draws(SamplingConfig(num_samples=MOST, temperature=temperature))
    expected = P ** (1 / temperature) / np.sum(P ** (1 / temperature))
    deviation = np.sqrt(expected * (1 - expected) / found.size)
    assert (
        np.abs(np.bincount(found.ravel(), minlength=5) / found.size - expected) < 4 * deviation
    ).all()


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300, 1e-40, 1e-3])
@pytest.mark.parametrize("top_k", [0, 2])
def test_a_temperature_near_0_takes_the_likeliest(temperature, top_k):
    assert set(
        draws(SamplingConfig(temperature=temperature, top_k=top_k, num_samples=30), 5).ravel()
    ) == {1}


@pytest.mark.parametrize("temperature", [1e30, 1e39, 1e300])
def test_a_vast_temperature_draws_all_ids_equally_and_never_one_that_is_out(temperature):
    log_prob = tf.constant([[-7.0, -0.5, sampling.OUT, -0.9]] * MOST)
    found = [
        sampling.draw(
            log_prob, SamplingConfig(temperature=temperature, num_samples=MOST), tf.constant(place)
        )
        for place in range(30)
    ]
    shares = np.bincount(np.ravel(found), minlength=4) / np.size(found)
    assert len(shares) == 4 and shares[2] == 0 and (np.abs(shares[[0, 1, 3]] - 1 / 3) < 0.02).all()


def test_no_temperature_takes_the_likeliest_and_of_equals_the_first():
    assert set(draws(SamplingConfig(temperature=0.0, num_samples=3)).ravel()) == {1}
    assert sampling.draw(
        tf.constant([[0.1, 0.7, 0.7]]), SamplingConfig(temperature=0.0), tf.constant(0)
    ).numpy().tolist() == [1]


def test_what_is_out_or_not_kept_is_never_drawn():
    log_prob = tf.where(
        [False, True, False, False, False],
        sampling.OUT,
        tf.constant(np.tile(np.log(P), [MOST, 1]), tf.float32),
    )
    for place in range(20):
        assert (
            1
            not in sampling.draw(
                log_prob, SamplingConfig(num_samples=MOST), tf.constant(place)
            ).numpy()
        )
    assert set(draws(SamplingConfig(num_samples=MOST, top_k=3)).ravel()) == {1, 3, 4}
    assert set(draws(SamplingConfig(num_samples=MOST, top_p=0.6)).ravel()) == {1, 3}


def test_a_sample_hangs_on_seed_place_and_its_number_alone():
    one, many = (
        draws(SamplingConfig(num_samples=1, seed=4)),
        draws(SamplingConfig(num_samples=9, seed=4)),
    )
    np.testing.assert_array_equal(one[:, 0], many[:, 0])
    np.testing.assert_array_equal(many, draws(SamplingConfig(num_samples=9, seed=4)))
    assert (
        (many != draws(SamplingConfig(num_samples=9, seed=5))).any()
        and (many[:, 0] != many[:, 1]).any()
        and (many[0] != many[1]).any()
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"top_k": -1},
        {"top_p": 1.1},
        {"length": 0},
        {"num_samples": MOST + 1},
        {"temperature": float("nan")},
    ],
    ids=str,
)
def test_settings_out_of_their_bounds_are_refused_by_name(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SamplingConfig(**wrong)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {},
        {"top_k": 4},
        {"top_p": 0.5, "temperature": 0.7},
        {"top_k": 6, "top_p": 0.9},
    ],
    ids=str,
)
def test_settings_that_are_inputs_of_a_graph_draw_what_constants_draw(settings):
    log_prob = tf.constant(np.random.default_rng(0).normal(0, 2, [5, 40]), tf.float32)
    config = SamplingConfig(seed=3, **settings)
    drawn = tf.function(
        lambda **given: sampling.draw(log_prob, SimpleNamespace(**given), tf.constant(7)),
        autograph=False,
    )
    inputs = {
        name: tf.constant(getattr(config, name))
        for name in ("temperature", "top_k", "top_p", "seed")
    }
    np.testing.assert_array_equal(drawn(**inputs), sampling.draw(log_prob, config, tf.constant(7)))
