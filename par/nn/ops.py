"""Initial weights, and matrix products and biases in float32 or bfloat16, where the gradient of a
bias is always summed in float32."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import tensorflow as tf

# the types of the factors of matrix products, by ModelConfig.precision
TYPES = {"f32": tf.float32, "bf16": tf.bfloat16}


def hashed_seed(seed: int, name: str) -> int:
    """The seed of one use of random numbers, a signed 64-bit integer: the first 64 bits of the
    SHA-256 of `seed/name`.

    Any other seed or name gives independent numbers; a sum of a seed and a number would not: seed
    0 and use 1 would share those of seed 1 and use 0.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Initial:
    """Initializers of weights by their names, so that a network is a function of (architecture,
    settings, seed).

    A name says what the weight is for, such as `block_3/attention/query`: it neither depends on
    the order in which weights are made nor on what else the network has.
    """

    def __init__(self, seed: int, std: float, part: str = ""):
        self._seed, self._std, self._part = seed, std, part
        self._used: set[str] = set()

    def within(self, part: str) -> Initial:
        """The initializers of one part of the network: names begin with that of the part."""
        inner = Initial(self._seed, self._std, f"{self._part}{part}/")
        inner._used = self._used
        return inner

    def normal(self, name: str, std: float | None = None) -> Callable[..., tf.Tensor]:
        """Normal with mean 0 and the configured standard deviation, or `std`. Raises: ValueError
        for a name that has been used: two weights would be equal."""
        name = f"{self._part}{name}"
        if name in self._used:
            raise ValueError(f"a weight needs a name of its own, but {name!r} is used twice")
        self._used.add(name)
        seed, stddev = (
            hashed_seed(self._seed, f"initial/{name}"),
            self._std if std is None else std,
        )

        def initializer(shape: Sequence[int], dtype: str = "float32") -> tf.Tensor:
            return tf.random.stateless_normal(shape, [seed, 0], stddev=stddev, dtype=dtype)

        return initializer


def static(shape: tf.TensorShape | Sequence[int | None]) -> list[int]:
    """A shape for tf.reshape and tf.slice: -1 where a size is not known before a graph runs, as
    the batch size of an exported one. At most one of its sizes is."""
    return [-1 if size is None else size for size in shape]


def column_sums(x: tf.Tensor) -> tf.Tensor:
    """[..., D] -> [D] sums over all rows, float32."""
    rows = tf.reshape(tf.cast(x, tf.float32), [-1, x.shape[-1]])
    return tf.matmul(tf.ones([1, rows.shape[0]]), rows)[0]


def linear(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x [..., D] times kernel [D, E] -> [..., E] in the type of x, as one product of two matrices:
    faster than einsum or a batched product."""
    return tf.reshape(
        tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), tf.cast(kernel, x.dtype)),
        static([*x.shape[:-1], kernel.shape[1]]),
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
