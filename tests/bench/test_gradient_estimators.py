"""What each way of sampling teaches the logits, on average, against the exact gradient of the
expected loss."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.bench import gradient_estimators
from par.core.config import SearchConfig


@pytest.fixture(scope="module")
def trained():
    """One stochastic block, trained by single paths for 200 steps, and a window it has not
    seen."""
    learner, windows = (
        gradient_estimators._learner(1, gradient_estimators.TRAINED, 0),
        gradient_estimators.copies(201, 0),
    )
    learner.train(iter(tf.data.Dataset.from_tensor_slices(windows[:-1])), tf.constant(200))
    return learner, tf.constant(windows[-1])


@pytest.mark.slow
def test_the_exact_gradient_is_the_slope_of_the_expected_loss(trained):
    learner, window = trained
    batch, memories = (
        learner.objective.prepare(window),
        learner.objective.trunk.empty_memories(gradient_estimators.DATA.batch_size),
    )
    losses = []
    for kind in np.eye(3, dtype=np.float32):
        learner.logits[0].assign([9 * kind])
        nll, weight, _, _ = learner.objective.loss(
            batch, memories, gradient_estimators.EVALUATION_ARGMAX
        )
        losses.append(float(nll / weight))
    alpha = np.array([0.3, -0.2, 0.5])
    learner.logits[0].assign([alpha])

    def expected(alpha):
        return np.exp(alpha) @ losses / np.exp(alpha).sum()

    slopes = [
        (expected(alpha + step) - expected(alpha - step)) / 2e-5 for step in np.eye(3) * 1e-5
    ]
    np.testing.assert_allclose(
        gradient_estimators.exact_gradient(learner, window)[0], slopes, rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(learner.logits[0].numpy()[0], alpha, rtol=1e-6)  # as they were
    learner.logits[0].assign([[0.0, 0.0, 0.0]])


@pytest.mark.slow
def test_two_paths_have_no_bias_and_the_samples_own_weight_leaves_identity_out(trained):
    learner, window = trained
    exact = gradient_estimators.exact_gradient(learner, window)
    assert exact[0, 0] < 0 < exact[0, 2]  # attention is worth something here, identity is not
    several = gradient_estimators.drawn_gradients(
        _as(learner, SearchConfig(sampling="single_path")), window, 1.0, 400
    )
    error = several.std(axis=0) / 20
    assert (np.abs(several.mean(axis=0) - exact) < 4 * error).all() and error.max() < 0.2 * np.abs(
        exact
    ).max()
    own = gradient_estimators.drawn_gradients(
        _as(learner, SearchConfig(sampling="single_path", paths=1)), window, 1.0, 100
    )
    # measured: about 1, by `benchmark estimators`
    assert np.linalg.norm(own.mean(axis=0) - exact) > 0.5 * np.linalg.norm(exact)
    assert 0.1 < (own == 0).all(axis=(1, 2)).mean() < 0.6  # where identity was drawn


def _as(learner, search):
    other = gradient_estimators._learner(1, search, 0)
    for mine, theirs in zip(other.weights, learner.weights, strict=True):
        mine.assign(theirs)
    return other


def test_a_token_of_the_text_is_mostly_the_one_some_places_back():
    windows, lag = gradient_estimators.copies(4, seed=0), gradient_estimators.LAG
    stream = np.concatenate([*windows[:, :, :-1]], axis=1)
    same = np.mean(stream[:, lag:] == stream[:, :-lag])
    assert same == pytest.approx(gradient_estimators.LIKELY, abs=0.05)
