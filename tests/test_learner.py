"""One train step: what decays, what is clipped, at which rates."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par import manifest, records
from par.learner import Learner
from small import small_config, small_data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


def trained(data_dir, steps, **settings):
    learner = Learner(small_config(data_dir, "sa", **settings))
    windows = iter(records.dataset(data_dir, manifest.load(data_dir), "train"))
    return learner, learner.train(windows, tf.constant(steps)).numpy()


def test_weight_decay_shrinks_kernels_and_leaves_gains_and_biases_alone(data_dir):
    settings = {"max_lr": 1e-3, "warmup_steps": 0, "dropout_rate": 0.0}
    plain, decayed = (trained(data_dir, 30, optimizer="adamw", weight_decay=decay, **settings)[0] for decay in (0.0, 10.0))
    for before, after in zip(plain.weights, decayed.weights):
        ratio = np.linalg.norm(after) / max(np.linalg.norm(before), 1e-12)
        if len(before.shape) == 1 or before.name.endswith("_bias"):
            assert ratio > 0.85, before.name
        else:
            assert ratio < 0.85, before.name


def test_the_gradient_norm_is_that_before_clipping_and_clipping_bounds_the_update(data_dir):
    settings = {"max_lr": 1e-3, "warmup_steps": 0, "dropout_rate": 0.0}
    moments = []
    for clip_norm in (0.0, 1e-3):
        learner, rows = trained(data_dir, 1, clip_norm=clip_norm, **settings)
        assert rows[0, 2] > 0.1
        momentum = np.sqrt(sum(float(tf.reduce_sum(tf.square(m.value))) for m in learner.weight_optimizer._momentums))
        moments.append(momentum / (1 - learner.weight_optimizer.beta_1))
    assert moments == [pytest.approx(rows[0, 2], rel=1e-4), pytest.approx(1e-3, rel=1e-4)]


@pytest.mark.parametrize(("schedule", "expected"), [("constant", 0.03), ("cosine", 0.03 * 11 / 20)])
def test_logits_learn_at_a_rate_of_their_own(data_dir, schedule, expected):
    learner, _ = trained(data_dir, 10, arch_schedule=schedule)
    rate, arch_rate = learner.rates(10)
    assert rate == pytest.approx(5e-3 * 11 / 20) and arch_rate == pytest.approx(expected)
    assert float(learner.logits_optimizer.learning_rate) == pytest.approx(expected)


def test_training_counts_the_targets_and_not_the_windows_overlap(data_dir):
    _, rows = trained(data_dir, 3)
    np.testing.assert_array_equal(rows[:, 1], 4 * 8)
