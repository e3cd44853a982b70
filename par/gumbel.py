"""Gumbel-Softmax: sampling a kind so that gradients reach its logits (Jang et al. 2016)."""

from __future__ import annotations

import tensorflow as tf

SMALLEST = 1e-9  # keeps log(-log(u)) finite


def gumbel_noise(seed: tf.Tensor, shape: list[int]) -> tf.Tensor:
    """Standard Gumbel noise of a shape: -log(-log(u)), u uniform in (0, 1). seed: [2] integers; the same seed gives the same noise."""
    uniform = tf.random.stateless_uniform(shape, seed, minval=SMALLEST, maxval=1.0)
    return -tf.math.log(-tf.math.log(uniform))


def relaxed_one_hot(alpha: tf.Tensor, noise: tf.Tensor | float, tau: tf.Tensor | float) -> tf.Tensor:
    """[..., O] softmax((log pi + g) / tau) with pi = softmax(alpha); a one-hot sample of pi as tau goes to 0 (equation 2)."""
    return tf.nn.softmax((tf.nn.log_softmax(alpha) + noise) / tau)


def one_hot(weight: tf.Tensor) -> tf.Tensor:
    """[..., O] the likeliest option as one-hot; the last of equals, which is the cheapest kind. No gradient."""
    last = weight.shape[-1] - 1
    return tf.one_hot(last - tf.argmax(tf.reverse(weight, [-1]), axis=-1), last + 1, dtype=weight.dtype)


def straight_through(weight: tf.Tensor) -> tf.Tensor:
    """[..., O] one-hot forward, the gradient of the relaxed weight backward (section 2.2)."""
    return weight + tf.stop_gradient(one_hot(weight) - weight)
