"""Products and biases equal their formulas; their gradients equal those of automatic
differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.nn import ops

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
