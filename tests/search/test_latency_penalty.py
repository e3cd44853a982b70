"""Latency above the target costs, by the closed form of its gradient; at or below it costs
nothing, and weights have no gradient of it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import SearchConfig
from par.data import manifest, records
from par.search import latency_penalty
from par.search.architecture import pi_table
from par.search.latency_table import Costs
from par.train.learner import Learner
from small import small_config, small_data

COSTS = Costs(attention=5.0, dense=3.0, identity=0.25, constant=6.0)
ALPHA = np.array([[0.3, -1.0, 0.5], [2.0, 0.1, -0.7], [0.0, 0.0, 1.5]])
PI = np.exp(ALPHA) / np.exp(ALPHA).sum(-1, keepdims=True)
SETTINGS = {"latency_ms": tuple(COSTS), "dropout_rate": 0.0}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


def term(alpha, blocks, target, weight):
    """Value and gradient of the term of a run's loss, in double precision."""
    alpha = tf.Variable(alpha, dtype=tf.float64)
    with tf.GradientTape() as tape:
        search = SearchConfig(
            target_latency=target, latency_weight=weight, latency_ms=tuple(COSTS)
        )
        value = latency_penalty.search_penalty(blocks, search)([alpha])
    return float(value), tape.gradient(value, alpha).numpy()


@pytest.mark.parametrize(("blocks", "fixed"), [("sss", ""), ("asssd", "ad"), ("sisds", "id")])
def test_the_expected_share_is_that_of_pi_and_fixed_blocks_count_as_what_they_are(blocks, fixed):
    costs = COSTS._replace(identity=0.0)  # as tables give it
    expected = costs.expected_ms(pi_table(blocks, PI)) / costs.interleaved_ms(len(blocks))
    assert float(
        latency_penalty.expected_share(tf.constant(ALPHA), fixed, costs)
    ) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("blocks", ["sss", "asssd"])
def test_above_the_target_value_and_gradient_equal_the_closed_form_and_finite_differences(
    blocks,
):
    target, weight = 0.4, 1.7
    value, gradient = term(ALPHA, blocks, target, weight)
    reference = COSTS.interleaved_ms(len(blocks))
    assert (
        value
        == pytest.approx(
            weight * (COSTS.expected_ms(pi_table(blocks, PI)) / reference / target - 1), rel=1e-12
        )
        and value > 0
    )
    ms = COSTS.block_ms
    np.testing.assert_allclose(
        gradient, weight / (target * reference) * PI * (ms - PI @ ms[:, None]), rtol=1e-10
    )
    for place in np.ndindex(*ALPHA.shape):
        step = np.zeros_like(ALPHA)
        step[place] = 1e-5
        slope = (
            term(ALPHA + step, blocks, target, weight)[0]
            - term(ALPHA - step, blocks, target, weight)[0]
        ) / 2e-5
        assert gradient[place] == pytest.approx(slope, abs=1e-9)


def test_at_and_below_the_target_there_is_neither_value_nor_gradient():
    share = COSTS.expected_ms(PI) / COSTS.interleaved_ms(3)
    for target in (share * (1 + 1e-9), 1.0, 10.0):
        value, gradient = term(ALPHA, "sss", target, 1e3)
        assert value == 0.0 and not gradient.any()
    assert term(ALPHA, "sss", share * (1 - 1e-9), 1e3)[0] > 0


@pytest.mark.parametrize(
    ("blocks", "search"),
    [("ada", {"target_latency": 0.1}), ("sss", {}), ("", {"target_latency": 0.1})],
)
def test_a_fixed_network_and_a_search_without_target_pay_nothing(blocks, search):
    assert (
        latency_penalty.search_penalty(blocks, SearchConfig(latency_ms=tuple(COSTS), **search))
        is None
    )


def trained(data_dir, steps, blocks="asd", **settings):
    learner = Learner(small_config(data_dir, blocks, **SETTINGS | settings))
    rows = learner.train(
        iter(records.dataset(data_dir, manifest.load(data_dir), "train").repeat()),
        tf.constant(steps),
    ).numpy()
    return learner, rows


@pytest.mark.slow
def test_a_step_s_logits_have_a_gradient_of_the_term_and_its_weights_do_not(data_dir):
    (plain, rows), (held, same) = (
        trained(data_dir, 1, target_latency=target, latency_weight=2.0) for target in (0.0, 0.5)
    )
    # nll, tokens, gradient norm: what is reported is the nll alone
    np.testing.assert_array_equal(rows, same)
    for weight, other in zip(plain.weights, held.weights):
        np.testing.assert_array_equal(weight, other)
    ms, reference = COSTS.block_ms, COSTS.interleaved_ms(3)
    expected = 2.0 / (0.5 * reference) / 3 * (ms - ms.mean())  # pi is uniform at the first step
    moments = [
        np.asarray(each.logits_optimizer._momentums[0]) / (1 - each.logits_optimizer.beta_1)
        for each in (plain, held)
    ]
    np.testing.assert_allclose((moments[1] - moments[0])[0], expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


@pytest.mark.slow
def test_a_target_that_is_never_passed_changes_no_bit_of_a_search(data_dir):
    learners = [trained(data_dir, 40, "sss", target_latency=target)[0] for target in (0.0, 2.0)]
    for one, other in zip(*(each.weights + each.logits for each in learners)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow  # two searches
def test_a_search_ends_at_or_below_its_target(data_dir):
    shares = {}
    for target in (0.0, 0.6):
        learner, _ = trained(data_dir, 400, "ssss", target_latency=target, epochs=5, max_lr=1e-2)
        likeliest = "".join("adi"[o] for o in learner.pi.argmax(axis=1))
        shares[target] = (
            COSTS.share_of_interleaved(likeliest),
            COSTS.expected_ms(learner.pi) / COSTS.interleaved_ms(4),
        )
    assert shares[0.6][0] <= 0.6 and shares[0.6][1] < 0.66 < shares[0.0][0]
