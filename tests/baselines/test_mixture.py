"""The weights of a mixture: closed forms, a search over the simplex, and the way there."""

from __future__ import annotations

import numpy as np
import pytest

from par.baselines import mixture


def likelihood(probabilities, weights):
    return np.log(mixture.mixed(probabilities, weights)).mean()


def drawn(seed, examples, models):
    return np.random.default_rng(seed).gamma(0.3, size=[examples, models]) + 1e-9


def test_models_that_never_meet_have_the_weights_of_their_shares():
    shares = np.array([2, 3, 5, 7])
    probabilities = np.repeat(np.eye(4) * [0.5, 0.1, 0.9, 0.3], shares, axis=0)
    np.testing.assert_allclose(mixture.em_weights(probabilities), shares / 17, rtol=1e-6)


def test_a_model_that_is_worse_everywhere_gets_nothing_and_equal_models_share():
    better = drawn(0, 500, 1)
    alone = mixture.em_weights(np.concatenate([better, better / 2], 1), tolerance=1e-9)
    np.testing.assert_allclose(alone, [1, 0], atol=1e-6)
    np.testing.assert_allclose(mixture.em_weights(np.repeat(better, 3, 1)), np.full(3, 1 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_no_other_weights_are_better(seed):
    """All weights of three models in steps of 1/60, and the bound that ends the search."""
    probabilities = drawn(seed, 300, 3)
    found = mixture.em_weights(probabilities)
    best = likelihood(probabilities, found)
    grid = [(a / 60, b / 60, 1 - (a + b) / 60) for a in range(61) for b in range(61 - a)]
    others = [likelihood(probabilities, np.array(weights)) for weights in grid]
    assert best > max(others) - mixture.TOLERANCE and best < max(others) + 0.01
    assert found.min() >= 0 and found.sum() == pytest.approx(1, abs=1e-12)


def test_each_step_raises_the_likelihood():
    probabilities = drawn(5, 400, 4)
    ways = [mixture.em_weights(probabilities, steps=steps) for steps in range(1, 12)]
    values = [likelihood(probabilities, weights) for weights in ways]
    assert all(np.diff(values) > 0)


def test_the_examples_may_be_taken_in_parts(monkeypatch):
    probabilities = drawn(6, 500, 3)
    whole = mixture.em_weights(probabilities)
    monkeypatch.setattr(mixture, "SCANNED", 37)
    np.testing.assert_allclose(mixture.em_weights(probabilities), whole, rtol=1e-12)


def test_a_mixture_that_was_drawn_from_is_found_again():
    draw = np.random.default_rng(7)
    models = draw.dirichlet(np.full(20, 0.3), 3)  # [K, V]
    weights = np.array([0.6, 0.3, 0.1])
    tokens = draw.choice(20, 200_000, p=weights @ models)
    np.testing.assert_allclose(mixture.em_weights(models[:, tokens].T), weights, atol=0.01)


def test_an_example_that_no_model_can_produce_is_named():
    probabilities = drawn(8, 10, 2)
    probabilities[7] = 0
    with pytest.raises(ValueError, match=r"no model of the mixture can produce example 7$"):
        mixture.em_weights(probabilities)
    with pytest.raises(ValueError, match=r"needs examples and models, but has 0 x 2$"):
        mixture.em_weights(probabilities[:0])
