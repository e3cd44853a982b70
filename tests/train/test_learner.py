"""One train step: what decays, what is clipped, at which rates."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from par.data import manifest, records
from par.nn.forward_mode import Phase
from par.train.learner import Learner
from small import small_config, small_data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


def trained(data_dir, steps, **settings):
    learner = Learner(small_config(data_dir, "sa", **settings))
    windows = iter(records.dataset(data_dir, manifest.load(data_dir), "train"))
    return learner, learner.train(windows, tf.constant(steps)).numpy()


@pytest.mark.slow
def test_weight_decay_shrinks_kernels_and_leaves_gains_and_biases_alone(data_dir):
    settings = {"max_lr": 1e-3, "warmup_steps": 0, "dropout_rate": 0.0}
    plain, decayed = (
        trained(data_dir, 30, optimizer="adamw", weight_decay=decay, **settings)[0]
        for decay in (0.0, 10.0)
    )
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
        momentum = np.sqrt(
            sum(
                float(tf.reduce_sum(tf.square(m.value)))
                for m in learner.weight_optimizer._momentums
            )
        )
        moments.append(momentum / (1 - learner.weight_optimizer.beta_1))
    assert moments == [pytest.approx(rows[0, 2], rel=1e-4), pytest.approx(1e-3, rel=1e-4)]


@pytest.fixture(scope="module")
def by_schedule(data_dir):
    """What ten steps leave, with a schedule of the logits' rate."""
    return functools.cache(lambda schedule: trained(data_dir, 10, arch_schedule=schedule))


@pytest.mark.parametrize(
    ("schedule", "expected"), [("constant", 0.03), ("cosine", 0.03 * 11 / 20)]
)
def test_logits_learn_at_a_rate_of_their_own(by_schedule, schedule, expected):
    learner, _ = by_schedule(schedule)
    rate, arch_rate = learner.rates(10)
    assert rate == pytest.approx(5e-3 * 11 / 20) and arch_rate == pytest.approx(expected)
    assert float(learner.logits_optimizer.learning_rate) == pytest.approx(expected)


def test_training_counts_the_targets_and_not_the_windows_overlap(by_schedule):
    _, rows = by_schedule("constant")
    np.testing.assert_array_equal(rows[:, 1], 4 * 8)


@pytest.mark.slow
@pytest.mark.parametrize("paths", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_logits_of_single_paths_learn_from_the_differences_of_the_paths_losses(
    data_dir, paths
):
    learner = Learner(
        small_config(
            data_dir, "sssa", sampling="single_path", paths=paths, max_lr=0.0, init_std=0.3
        )
    )
    window = next(iter(records.dataset(data_dir, manifest.load(data_dir), "train")))
    memories, losses, samples = learner.objective.trunk.empty_memories(4), [], []
    for path in range(paths):
        phase = Phase(
            training=True, seed=0, step=tf.constant(0, tf.int64), tau=learner.tau(0), path=path
        )
        nll, weight, _, _ = learner.objective.loss(
            learner.objective.prepare(window), memories, phase
        )
        losses.append(float(nll / weight))
        samples.append(learner.objective.trunk.sample(phase).weights.numpy())
    assert len(np.unique(samples, axis=0)) == paths and len(set(losses)) == paths
    row = learner.train(iter([window]), tf.constant(1)).numpy()[0]
    # the first path is the one that is trained, and logged
    assert row[0] / row[1] == pytest.approx(losses[0], rel=1e-5)
    gradient = sum((loss - np.mean(losses)) * sample for loss, sample in zip(losses, samples)) / (
        paths - 1
    )
    # Adam's first update
    np.testing.assert_allclose(learner.logits[0].numpy(), -0.03 * np.sign(gradient), rtol=1e-2)


@pytest.mark.slow
def test_what_is_pruned_is_counted_step_by_step(data_dir):
    learner, _ = trained(data_dir, 5, prune_below=0.3, prune_patience=9, arch_lr=0.5)
    below = learner.state["below"].numpy()
    assert below.max() in (4, 5) and not (learner.logits[0].numpy() < -1e3).any()
    learner, _ = trained(data_dir, 30, prune_below=0.3, prune_patience=9, arch_lr=0.5)
    np.testing.assert_array_equal(learner.pi[0] == 0, learner.state["below"].numpy()[0] >= 9)
    assert (learner.pi[0] == 0).any() and learner.pi.sum() == pytest.approx(2)


@pytest.mark.slow
@pytest.mark.parametrize("is_bilevel", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_logits_alone_are_spared_loss_for_entropy_less_and_less(data_dir, is_bilevel):
    alpha, moments = np.array([[0.3, -0.5, 1.2]], np.float32), []
    for weight in (0.0, 2.0):
        learner = Learner(small_config(data_dir, "sa", entropy_weight=weight, bilevel=is_bilevel))
        learner.step.assign(141)  # of 186; held out
        learner.logits[0].assign(alpha)
        learner.train(
            iter(records.dataset(data_dir, manifest.load(data_dir), "train")), tf.constant(1)
        )
        moments.append(
            [
                [m.numpy() for m in optimizer._momentums]
                for optimizer in (learner.weight_optimizer, learner.logits_optimizer)
            ]
        )
    (weights, (plain,)), (weights_too, (spared,)) = moments
    assert all(np.array_equal(a, b) for a, b in zip(weights, weights_too, strict=True))
    pi = np.exp(alpha) / np.exp(alpha).sum()
    slope = -pi * (np.log(pi) - (pi * np.log(pi)).sum())  # of the entropy by alpha, in closed form
    np.testing.assert_allclose(
        (spared - plain) / (1 - 0.9), -2.0 * (1 - 141 / 186) * slope, rtol=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("blocks", ["sa", "dad"])
def test_bfloat16_products_learn_as_float32_does_and_keep_weights_moments_and_memories_in_float32(
    data_dir, blocks
):
    losses = {}
    for precision in ("f32", "bf16"):
        learner = Learner(
            small_config(data_dir, blocks, precision=precision, dropout_rate=0.0, epochs=3)
        )
        rows = learner.train(
            iter(records.dataset(data_dir, manifest.load(data_dir), "train").repeat()),
            tf.constant(200),
        ).numpy()
        losses[precision] = (rows[:, 0] / rows[:, 1])[-50:].mean()
        assert {v.dtype for v in (*learner.weights, *learner.weight_optimizer._momentums)} == {
            "float32"
        }
        assert learner.state["memory"].dtype == tf.float32 and rows.dtype == np.float32
    # 200 steps part the two runs as far as two CPUs' do: by 4 % on one, in bfloat16's favour
    assert (
        losses["f32"] < 3.3
        and losses["bf16"] == pytest.approx(losses["f32"], rel=0.08)
        and losses["bf16"] != losses["f32"]
    )


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_every_network_of_a_process_has_the_names_of_the_first(data_dir, norm):
    """TensorFlow orders sums by the names of operations: with numbers that Keras counts up the
    fourth network of three blocks, `_9` to `_11`, had other last digits than the first."""

    def names(learner: Learner) -> list[str]:
        layers = [
            each.name
            for layer in learner.objective.layers.values()
            for each in layer._flatten_layers()
        ]
        optimizers = learner.weight_optimizer.variables + learner.logits_optimizer.variables
        return layers + [v.path for v in learner.weights + learner.logits + optimizers]

    one, other = (
        Learner(small_config(data_dir, "sad", norm=norm, cutoffs=(20,))) for _ in range(2)
    )
    assert names(one) == names(other) and len(names(one)) > 60
