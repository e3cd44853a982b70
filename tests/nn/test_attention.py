"""Relative attention equals its definition; what is not visible has no part in it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from naive import attention as naive
from par.nn import positions
from par.nn.attention import RelativeAttention, Window
from par.nn.ops import Initial

B, H, K = 3, 2, 11
D = H * K


def attention(seed: int = 1) -> RelativeAttention:
    return RelativeAttention(D, H, Initial(seed, 0.3))


def weights_of(layer: RelativeAttention) -> dict[str, np.ndarray]:
    return {weight.name: weight.numpy() for weight in layer.weights}


def window(
    seq_len: int,
    mem_len: int,
    valid: list[int],
    visibility: str = "causal",
    same_length: bool = False,
) -> Window:
    codes = positions.sinusoids(positions.distances(seq_len, mem_len, visibility), D)
    return Window(
        codes,
        positions.attention_mask(
            positions.visible(seq_len, mem_len, visibility, same_length), tf.constant(valid)
        ),
    )


def inputs(seq_len: int, mem_len: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng([seq_len, mem_len])
    return draw.normal(size=[B, seq_len, D]).astype(np.float32), draw.normal(
        size=[B, mem_len, D]
    ).astype(np.float32)


each_length = pytest.mark.parametrize("same_length", [False, True], ids=["all", "band"])
each_visibility = pytest.mark.parametrize("visibility", ["causal", "bidirectional"])
each_shape = pytest.mark.parametrize(
    ("seq_len", "mem_len", "valid"),
    [
        (5, 0, [0, 0, 0]),
        (1, 0, [0, 0, 0]),
        (1, 7, [0, 2, 7]),
        (7, 5, [0, 3, 5]),
        (5, 7, [1, 0, 7]),
    ],
    ids=["M=0", "T=1,M=0", "T=1", "T>M", "T<M"],
)


@each_length
@each_visibility
@each_shape
def test_attention_equals_the_naive_twin(seq_len, mem_len, valid, visibility, same_length):
    layer, (x, memory) = attention(), inputs(seq_len, mem_len)
    out = layer(x, memory, window=window(seq_len, mem_len, valid, visibility, same_length))
    expected = naive.relative_attention(
        x, memory, weights_of(layer), visibility, valid, same_length
    )
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@each_visibility
def test_a_single_head_equals_the_naive_twin_in_a_graph_again_and_again(visibility):
    """A broadcast batched product of a single head ends the process: see `_by_distance`."""
    layer, (x, memory) = RelativeAttention(D, 1, Initial(1, 0.3)), inputs(7, 5)
    how = (7, 5, [0, 3, 5], visibility)
    graph = tf.function(lambda: layer(x, memory, window=window(*how)), autograph=False)
    expected = naive.relative_attention(x, memory, weights_of(layer), visibility, how[2], False)
    for _ in range(20):
        np.testing.assert_allclose(graph(), expected, rtol=1e-4, atol=1e-5)


@each_visibility
@each_length
@each_shape
def test_probabilities_equal_the_naive_twin_and_are_zero_where_nothing_is_seen(
    seq_len, mem_len, valid, visibility, same_length
):
    layer, (x, memory) = attention(), inputs(seq_len, mem_len)
    found = layer.probabilities(
        tf.constant(x),
        tf.constant(memory),
        window(seq_len, mem_len, valid, visibility, same_length),
    ).numpy()
    expected = naive.attention_probabilities(
        x, memory, weights_of(layer), visibility, valid, same_length
    )
    assert found.shape == (B, H, seq_len, mem_len + seq_len)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found == 0, expected == 0)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-6)


def test_probabilities_of_products_in_bfloat16_are_float32_and_near_those_of_float32():
    x, memory = map(tf.constant, inputs(5, 7))
    seen = window(5, 7, [0, 2, 7])
    exact, found = (
        RelativeAttention(D, H, Initial(1, 0.1), kind).probabilities(x, memory, seen)
        for kind in ("f32", "bf16")
    )
    assert found.dtype == tf.float32
    # of bfloat16 sums would be off by up to 2^-9
    np.testing.assert_allclose(tf.reduce_sum(found, axis=-1), 1, rtol=1e-6)
    assert 1e-4 < np.abs(found - exact).max() < 0.03


def test_what_can_not_be_seen_changes_nothing():
    layer, (x, memory) = attention(), inputs(5, 7)
    seen = window(5, 7, [0, 2, 7])
    out = layer(x, memory, window=seen).numpy()
    past, future = memory.copy(), x.copy()
    past[0], past[1, :5], future[:, 4] = 1e4, -1e4, 1e4
    np.testing.assert_array_equal(layer(x, past, window=seen), out)
    np.testing.assert_array_equal(layer(future, memory, window=seen)[:, :4], out[:, :4])
    past[1, 5], future[:, 3] = 3, 3
    assert np.abs(layer(x, past, window=seen) - out)[1].min() > 0
    assert np.abs(layer(future, memory, window=seen) - out)[:, 3].min() > 0


def test_no_position_that_can_be_seen_is_left_out():
    layer, (x, memory) = attention(), inputs(3, 5)
    seen = window(3, 5, [5] * B, "bidirectional")
    with tf.GradientTape() as tape:
        past, now = tf.constant(memory), tf.constant(x)
        tape.watch([past, now])
        loss = tf.reduce_sum(
            layer(now, past, window=seen)[:, 0] * np.linspace(-1, 1, D, dtype=np.float32)
        )
    for gradient in tape.gradient(loss, [past, now]):
        assert np.abs(gradient).max(axis=-1).min() > 0


def test_equal_keys_are_told_apart_by_their_distance_alone():
    layer = attention()
    x = np.tile(np.random.default_rng(2).normal(size=[1, 1, D]).astype(np.float32), [B, 5, 1])
    with tf.GradientTape() as tape:
        now = tf.constant(x)
        tape.watch(now)
        value = tf.reduce_sum(layer(now, x[:, :0], window=window(5, 0, [0] * B))[:, -1])
    by_key = np.abs(tape.gradient(value, now).numpy()).sum(axis=-1)[0]
    assert len(np.unique(by_key.round(5))) == 5
    for weight in (layer.position, layer.position_bias):
        weight.assign(tf.zeros_like(weight))
    out = layer(x, x[:, :0], window=window(5, 0, [0] * B)).numpy()
    np.testing.assert_allclose(
        out,
        np.broadcast_to(
            x[:, :1] @ layer.key_value.numpy()[:, D:] @ layer.output_kernel.numpy(), out.shape
        ),
        atol=1e-5,
    )


def test_large_logits_stay_finite():
    layer, (x, memory) = attention(), inputs(5, 7)
    out = layer(x * 1e3, memory * 1e3, window=window(5, 7, [0, 2, 7]))
    assert np.isfinite(out).all()
