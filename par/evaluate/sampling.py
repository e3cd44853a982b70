"""Which token comes next: log-probabilities -> the ids that may be drawn -> one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import tensorflow as tf

from par.core.config import SamplingConfig

OUT = float("-inf")  # log-probability of what is never drawn


def kept(log_prob: tf.Tensor, top_k: int, top_p: float) -> tf.Tensor:
    """[B, V] bool: the top_k likeliest ids (0: all), and of those the fewest that together have
    the probability top_p of them all (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751,
    section 3.1).

    log_prob: [B, V], not necessarily normalised. The likeliest id is always kept, and so are ids
    as likely as the last one kept.
    """
    vocab_size = log_prob.shape[-1]
    count = tf.where(tf.equal(top_k, 0), vocab_size, tf.minimum(top_k, vocab_size))
    descending = tf.math.top_k(log_prob, count).values
    probability = tf.nn.softmax(descending)
    before = tf.cumsum(probability, axis=-1, exclusive=True)
    last = tf.reduce_sum(tf.cast(before < top_p, tf.int32), axis=-1) - 1
    least = tf.gather(descending, tf.maximum(last, 0), batch_dims=1)
    return log_prob >= least[:, None]


def draw(log_prob: tf.Tensor, config: SamplingConfig, place: tf.Tensor) -> tf.Tensor:
    """[B] int32 ids drawn from log_prob [B, V], OUT where an id must not be drawn.

    config: its settings may be scalar tensors, the inputs of a graph. place: scalar, how many
    tokens were drawn before. Row b depends on (seed, place, b) alone. At temperature 0 the
    likeliest id is taken, the lowest of equals.
    """
    # In float64: in float32, temperatures below 1e-37 or above 3e38 would lead to infinities and
    # NaN.
    temperature = _float64(config.temperature)
    cold = temperature < sys.float_info.min  # TensorFlow treats smaller ones as 0
    return _either(
        cold,
        lambda: tf.argmax(log_prob, axis=-1, output_type=tf.int32),
        lambda: _drawn(log_prob, temperature, config, place),
    )


def _drawn(
    log_prob: tf.Tensor, temperature: float | tf.Tensor, config: SamplingConfig, place: tf.Tensor
) -> tf.Tensor:
    scaled = (
        tf.cast(log_prob - tf.reduce_max(log_prob, axis=-1, keepdims=True), tf.float64)
        / temperature
    )
    fewer = (config.top_k > 0) | (config.top_p < 1)
    scaled = _either(
        fewer,
        lambda: tf.where(kept(scaled, config.top_k, _float64(config.top_p)), scaled, OUT),
        lambda: scaled,
    )
    below = tf.cumsum(tf.nn.softmax(scaled), axis=-1)
    # One number for each sample that there can be, so that a sample does not depend on how many
    # are drawn.
    numbers = tf.random.stateless_uniform(
        [SamplingConfig.maximum("num_samples")],
        tf.stack([config.seed, tf.cast(place, tf.int32)]),
        dtype=tf.float64,
    )
    wanted = numbers[: tf.shape(log_prob)[0], None] * below[:, -1:]
    return tf.searchsorted(below, wanted, side="right")[:, 0]


def _float64(value: float | tf.Tensor) -> float | tf.Tensor:
    """A setting as it is, or as an input of a graph in float64."""
    return tf.cast(value, tf.float64) if tf.is_tensor(value) else value


def _either(
    condition: bool | tf.Tensor, then: Callable[[], tf.Tensor], otherwise: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """`then()` or `otherwise()`: decided in the graph only where the condition is one of its
    tensors."""
    if tf.is_tensor(condition):
        return tf.cond(condition, then, otherwise)
    return then() if condition else otherwise()
