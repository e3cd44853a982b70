"""A block is its residual formula: identity adds nothing, branches are weighed, memory is read on
the same footing as the window."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from naive import attention as naive
from par.core.config import ModelConfig
from par.nn import blocks, positions
from par.nn.attention import Window
from par.nn.blocks import Block, Dense, Mixture, Norm
from par.nn.forward_mode import EVALUATION, Phase, dropout
from par.nn.ops import Initial
from par.nn.supernet import StochasticBlock

B, T, M, H, K, F = 3, 5, 7, 2, 11, 13
D = H * K
RATE = 0.3
TRAINING = Phase(training=True, seed=3, step=tf.constant(5, tf.int64))
VALID = [0, 2, 7]
each_norm = pytest.mark.parametrize("norm", ["pre", "post"])


def randomised(layer, seed: int = 2):
    """Every weight drawn anew, so that no gain is 1 and no bias 0."""
    for number, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng([seed, number]).normal(0, 0.4, weight.shape))
    return layer


def block(kinds: str, norm: str, rate: float = RATE) -> Block:
    config = ModelConfig(d_model=D, num_heads=H, d_ffn=F, mem_len=M, dropout_rate=rate, norm=norm)
    return randomised(
        StochasticBlock(config, Initial(1, 0.3), "block")
        if kinds == "s"
        else Block(kinds, config, Initial(1, 0.3), "block")
    )


def inputs(mem_len: int = M) -> tuple[tf.Tensor, tf.Tensor]:
    draw = np.random.default_rng(6)
    return tf.constant(draw.normal(size=[B, T, D]), tf.float32), tf.constant(
        draw.normal(size=[B, mem_len, D]), tf.float32
    )


def window(mem_len: int = M) -> Window:
    codes = positions.sinusoids(positions.distances(T, mem_len, "causal"), D)
    valid = tf.minimum(VALID, mem_len)
    return Window(codes, positions.attention_mask(positions.visible(T, mem_len, "causal"), valid))


def run(
    layer: Block, x, memory=None, weights=None, phase: Phase = EVALUATION, needed=None
) -> np.ndarray:
    mem_len = M if memory is None else memory.shape[1]
    mixture = None if weights is None else Mixture(tf.constant(weights, tf.float32), needed)
    return layer(x, memory, window=window(mem_len), mixture=mixture, phase=phase).numpy()


def naive_norm(x: np.ndarray, norm: Norm) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(
        x.var(axis=-1, keepdims=True) + 1e-6
    ) * norm.gain.numpy() + norm.bias.numpy()


def naive_branch(layer, x: np.ndarray, memory: np.ndarray) -> np.ndarray:
    w = {weight.name: weight.numpy() for weight in layer.weights}
    if isinstance(layer, Dense):
        return np.maximum(x @ w["inner"] + w["inner_bias"], 0) @ w["outer"] + w["outer_bias"]
    return naive.relative_attention(x, memory, w, "causal", VALID)


def test_norm_has_the_mean_and_spread_that_bias_and_gain_say():
    norm, (x, _) = randomised(Norm(D, "norm")), inputs()
    np.testing.assert_allclose(
        norm(100 * x + 3), naive_norm(100 * x + 3, norm), rtol=1e-4, atol=1e-4
    )
    fresh = Norm(D, "norm")(100 * x + 3).numpy()
    np.testing.assert_allclose(fresh.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(fresh.std(axis=-1), 1, atol=1e-4)
    np.testing.assert_array_equal(Norm(D, "norm")(tf.zeros([1, 1, D])), np.zeros([1, 1, D]))


def test_dense_works_position_by_position_and_does_not_look_at_the_memory():
    layer, (x, memory) = randomised(Dense(D, F, Initial(1, 0.3))), inputs()
    np.testing.assert_allclose(
        layer(x, memory, window=window()),
        naive_branch(layer, x.numpy(), memory.numpy()),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_array_equal(layer(x, memory, window=window()), layer(x))
    np.testing.assert_allclose(layer(x)[:, 2:3], layer(x[:, 2:3]), rtol=1e-5, atol=1e-6)


@each_norm
@pytest.mark.parametrize("phase", [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_identity_gives_back_its_input_bit_for_bit_and_has_no_weight(norm, phase):
    layer, (x, _) = block("", norm), inputs()
    np.testing.assert_array_equal(run(layer, x, phase=phase), x)
    assert layer.weights == [] and not layer.attends


@each_norm
@pytest.mark.parametrize("phase", [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_identity_as_the_chosen_kind_of_a_stochastic_block_adds_exactly_nothing(norm, phase):
    layer, (x, memory) = block("s", norm), inputs()
    np.testing.assert_array_equal(run(layer, x, memory, tf.constant([0.0, 0.0, 1.0]), phase), x)


@pytest.mark.parametrize(
    ("kinds", "expected"), [("a", True), ("d", False), ("", False), ("s", True)]
)
@each_norm
def test_only_blocks_that_can_attend_need_a_memory(norm, kinds, expected):
    assert block(kinds, norm).attends is expected


@pytest.mark.parametrize("kind", "ad")
def test_a_pre_norm_block_adds_its_branch_of_the_normalised_window_and_memory(kind):
    layer, (x, memory) = block(kind, "pre"), inputs()
    (norm,), (branch,) = layer.norms, layer.branches
    expected = x + naive_branch(branch, naive_norm(x, norm), naive_norm(memory, norm))
    np.testing.assert_allclose(
        run(layer, x, memory if kind == "a" else None), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", "ad")
def test_a_post_norm_block_normalises_the_sum_of_input_and_branch_of_the_raw_window_and_memory(
    kind,
):
    layer, (x, memory) = block(kind, "post"), inputs()
    (norm,), (branch,) = layer.norms, layer.branches
    expected = naive_norm(x + naive_branch(branch, x.numpy(), memory.numpy()), norm)
    np.testing.assert_allclose(
        run(layer, x, memory if kind == "a" else None), expected, rtol=1e-4, atol=1e-4
    )


def test_a_pre_norm_mixture_weighs_branches_that_share_one_norm():
    layer, (x, memory), (w_a, w_d, w_i) = block("s", "pre"), inputs(), (0.5, 0.3, 0.2)
    (norm,), (attention, dense) = layer.norms, layer.branches
    normed, past = naive_norm(x, norm), naive_norm(memory, norm)
    expected = (
        x + w_a * naive_branch(attention, normed, past) + w_d * naive_branch(dense, normed, past)
    )
    np.testing.assert_allclose(
        run(layer, x, memory, tf.constant([w_a, w_d, w_i])), expected, rtol=1e-4, atol=1e-4
    )


def test_a_post_norm_mixture_weighs_the_normalised_sums_and_the_input():
    layer, (x, memory), (w_a, w_d, w_i) = block("s", "post"), inputs(), (0.5, 0.3, 0.2)
    (norm_a, norm_d), (attention, dense) = layer.norms, layer.branches
    attended, densed = (naive_branch(f, x.numpy(), memory.numpy()) for f in (attention, dense))
    expected = (
        w_a * naive_norm(x + attended, norm_a) + w_d * naive_norm(x + densed, norm_d) + w_i * x
    )
    np.testing.assert_allclose(
        run(layer, x, memory, tf.constant([w_a, w_d, w_i])), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", "ad")
def test_dropout_falls_on_the_branch_and_never_on_the_residual(kind):
    layer, (x, memory) = block(kind, "pre"), inputs()
    memory = memory if kind == "a" else None
    added, whole = (
        run(layer, x, memory, phase=TRAINING) - x.numpy(),
        run(layer, x, memory) - x.numpy(),
    )
    kept = added != 0
    assert abs(kept.mean() - (1 - RATE)) < 0.1
    np.testing.assert_allclose(added[kept], whole[kept] / (1 - RATE), rtol=1e-3, atol=1e-4)


def test_post_norm_dropout_falls_on_the_branch_before_the_norm():
    layer, (x, _) = block("d", "post"), inputs()
    (norm,), (dense,) = layer.norms, layer.branches
    mask = dropout(tf.ones(x.shape), RATE, TRAINING, "block/d").numpy() != 0
    expected = naive_norm(x + mask * naive_branch(dense, x.numpy(), None) / (1 - RATE), norm)
    np.testing.assert_allclose(run(layer, x, phase=TRAINING), expected, rtol=1e-3, atol=1e-3)


def test_the_branches_of_a_post_norm_block_have_masks_of_their_own():
    ones = tf.ones([101, 37])
    attention, dense = (dropout(ones, 0.5, TRAINING, f"block/{kind}").numpy() for kind in "ad")
    assert abs((attention == dense).mean() - 0.5) < 0.05
    layer, places = block("s", "post"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "dropout", lambda x, rate, phase, place: places.append(place) or x)
        run(layer, *inputs(), tf.constant([0.2, 0.3, 0.5]), TRAINING)
    assert places == ["block/a", "block/d"]


@each_norm
def test_a_block_that_attends_works_without_memory(norm):
    layer, (x, memory) = block("a", norm), inputs(0)
    longer = tf.random.stateless_normal([B, M, D], [1, 2])
    seen = Window(
        window().codes,
        positions.attention_mask(positions.visible(T, M, "causal"), tf.constant([0, 0, 0])),
    )
    expected = layer(x, longer, window=seen, mixture=None, phase=EVALUATION)
    np.testing.assert_allclose(run(layer, x, memory), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.quick(6)
@each_norm
@pytest.mark.parametrize("phase", [EVALUATION, TRAINING], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    "weights", [[0.7, 0, 0], [0, 0.6, 0.3], [0, 0, 1.0], [0.5, 0.2, 0.3], [0, 0, 0]], ids=str
)
def test_a_kind_that_is_not_needed_is_not_computed_and_adds_nothing(weights, phase, norm):
    layer, (x, memory) = block("s", norm), inputs()
    expected = run(layer, x, memory, weights, phase)
    for weight, branch, branch_norm in zip(
        weights, layer.branches, layer.norms if norm == "post" else [None, None]
    ):
        if weight == 0:  # not a number, wherever it is computed: 0 times it would be none either
            for variable in (*branch.weights, *(branch_norm.weights if branch_norm else [])):
                variable.assign(np.full(variable.shape, np.nan))
    needed = tf.constant(weights) != 0
    np.testing.assert_allclose(
        run(layer, x, memory, weights, phase, needed), expected, rtol=1e-5, atol=1e-6
    )
    graph = tf.function(
        lambda needed: layer(
            x,
            memory,
            window=window(),
            mixture=Mixture(tf.constant(weights, tf.float32), needed),
            phase=phase,
        )
    )
    np.testing.assert_allclose(graph(needed), expected, rtol=1e-5, atol=1e-6)
