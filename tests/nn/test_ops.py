"""Products and biases equal their formulas; their gradients equal those of automatic
differentiation."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from par.nn import ops
from par.nn.ops import Initial, hashed_seed

SHAPE, WIDTH = (3, 5, 7), 7


def draw(*shape: int, seed: int = 1) -> tf.Tensor:
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape), tf.float32)


CASES = {
    "add_bias": (ops.add_bias, lambda x, bias: x + bias, (SHAPE, (WIDTH,))),
    "biased_relu": (ops.biased_relu, lambda x, bias: tf.maximum(x + bias, 0.0), (SHAPE, (WIDTH,))),
    "linear": (
        ops.linear,
        lambda x, kernel: tf.einsum("btd,de->bte", x, kernel),
        (SHAPE, (WIDTH, 11)),
    ),
}
each_case = pytest.mark.parametrize(("mine", "plain", "shapes"), CASES.values(), ids=CASES)


def value_and_gradients(f, inputs, of):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        out = f(*inputs)
        loss = tf.reduce_sum(tf.cast(out, tf.float32) * of)
    return [out, *tape.gradient(loss, inputs)]


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@each_case
def test_value_and_gradients_equal_those_of_the_formula(mine, plain, shapes, graph):
    inputs = [2 * draw(*shape, seed=number) + 1 for number, shape in enumerate(shapes)]
    of = draw(*plain(*inputs).shape, seed=9)
    compute = (
        tf.function(lambda *inputs: value_and_gradients(mine, list(inputs), of))
        if graph
        else lambda *inputs: value_and_gradients(mine, list(inputs), of)
    )
    for found, expected in zip(compute(*inputs), value_and_gradients(plain, inputs, of)):
        assert found.shape == expected.shape and found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["add_bias", "biased_relu", "linear"])
def test_bfloat16_inputs_give_bfloat16_and_gradients_of_the_weights_in_float32(name):
    mine, plain, (shape, of_weight) = CASES[name]
    x, weight = draw(*shape), draw(*of_weight)
    of = draw(*plain(x, weight).shape, seed=9)
    exact = value_and_gradients(plain, [x, weight], of)
    found = value_and_gradients(mine, [tf.cast(x, tf.bfloat16), weight], of)
    assert [part.dtype for part in found] == [tf.bfloat16, tf.bfloat16, tf.float32]
    for mine, expected in zip(found, exact):
        np.testing.assert_allclose(tf.cast(mine, tf.float32), expected, rtol=0.05, atol=0.1)


def test_sums_of_bfloat16_are_made_in_float32():
    # in bfloat16, 512 + 1 is 512
    x = tf.concat([tf.fill([1, 3], 512.0), tf.ones([300, 3])], axis=0)
    np.testing.assert_array_equal(ops.column_sums(tf.cast(x, tf.bfloat16)), [812] * 3)


def test_a_seed_of_a_use_is_the_first_64_bits_of_the_hash_of_seed_and_name():
    digest = hashlib.sha256(b"7/dropout/block_3").digest()
    assert hashed_seed(7, "dropout/block_3") % 2**64 == int.from_bytes(digest[:8], "big")
    found = {hashed_seed(seed, f"{name}") for seed in range(100) for name in range(100)}
    assert len(found) == 10_000 and -(2**63) <= min(found) < 0 < max(found) < 2**63


def test_initial_numbers_are_those_of_the_seed_and_the_whole_name():
    def first(initial: Initial, *name_and_std) -> np.ndarray:
        return initial.normal(*name_and_std)([3, 5]).numpy()

    inner = first(Initial(1, 0.5).within("block_0").within("dense"), "inner")
    np.testing.assert_array_equal(inner, first(Initial(1, 0.5), "block_0/dense/inner"))
    np.testing.assert_allclose(inner / 5, first(Initial(1, 0.5), "block_0/dense/inner", 0.1))
    for other in (
        first(Initial(2, 0.5), "block_0/dense/inner"),
        first(Initial(1, 0.5), "block_0/dense/outer"),
        first(Initial(1, 0.5), "inner"),
    ):
        assert not set(inner.ravel()) & set(other.ravel())


def test_two_weights_of_a_network_cannot_have_one_name():
    initial = Initial(1, 0.5)
    initial.within("head").normal("kernel")
    initial.normal("kernel")
    with pytest.raises(ValueError, match="'head/kernel'"):
        initial.within("head").normal("kernel")
