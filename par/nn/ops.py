"""What the layers are built from: initial weights, and matrix products and biases in float32 or
bfloat16. Whatever the type of the factors, the gradient of a bias is summed in float32."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

# of ModelConfig.precision: the factors of matrix products
TYPES = {"f32": tf.float32, "bf16": tf.bfloat16}


class Initial:
    """Initializers in the order in which weights are made, each with its own seed, so that a
    network is a function of (architecture, settings, seed)."""

    def __init__(self, seed: int, std: float):
        self._next, self._std = seed * 1_000_003, std

    def normal(self, std: float | None = None) -> keras.initializers.Initializer:
        """Normal with mean 0 and the configured standard deviation, or `std`, with a seed that no
        other weight of the network has."""
        self._next += 1
        return keras.initializers.RandomNormal(
            stddev=self._std if std is None else std, seed=self._next % 2**31
        )


def column_sums(x: tf.Tensor) -> tf.Tensor:
    """[..., D] -> [D] sums over all rows, float32."""
    rows = tf.reshape(tf.cast(x, tf.float32), [-1, x.shape[-1]])
    return tf.matmul(tf.ones([1, rows.shape[0]]), rows)[0]


def linear(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x [..., D] times kernel [D, E] -> [..., E] as one product of two matrices, faster than
    einsum or a batched product. In the type of x."""
    return tf.reshape(
        tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), tf.cast(kernel, x.dtype)),
        [*x.shape[:-1], kernel.shape[1]],
    )


@tf.custom_gradient
def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """x [..., D] + bias [D] float32 -> [..., D] in the type of x."""
    return x + tf.cast(bias, x.dtype), lambda upstream: (upstream, column_sums(upstream))


@tf.custom_gradient
def biased_relu(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """max(0, x + bias): x [..., D], bias [D] float32 -> [..., D] in the type of x."""
    out = tf.nn.relu(x + tf.cast(bias, x.dtype))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        passed = tf.raw_ops.ReluGrad(gradients=upstream, features=out)
        return passed, column_sums(passed)

    return out, gradient
