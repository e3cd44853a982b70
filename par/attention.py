"""Multi-head attention with relative positions over memory and window (Dai et al. 2019, section 3.3)."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from par import positions
from par.initial import Initial


def linear(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x [..., D] times kernel [D, E] -> [..., E] as one product of two matrices, which is faster than einsum or a batched product."""
    return tf.reshape(tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel), [*x.shape[:-1], kernel.shape[1]])


@dataclasses.dataclass(frozen=True)
class Window:
    """What all attention blocks share in one forward pass."""

    codes: np.ndarray  # [P, D] sinusoids of the distances
    mask: tf.Tensor  # [B, 1, T, S] added to the logits


class RelativeAttention(keras.layers.Layer):
    """A_ij = ((q_i + u)·k_j + (q_i + v)·r_(i-j)) / sqrt(K), softmax over the visible j, then the weighted values through W_o.

    Queries come from the window, keys and values from memory and window. No residual, norm or dropout: the block adds them.
    """

    def __init__(self, d_model: int, num_heads: int, initial: Initial):
        super().__init__()
        self.num_heads, self.d_head = num_heads, d_model // num_heads
        heads = (num_heads, self.d_head)
        self.query = self.add_weight(name="query", shape=(d_model, d_model), initializer=initial.normal())
        self.key_value = self.add_weight(name="key_value", shape=(d_model, 2 * d_model), initializer=initial.normal())
        self.position = self.add_weight(name="position", shape=(d_model, d_model), initializer=initial.normal())
        self.content_bias = self.add_weight(name="content_bias", shape=heads, initializer=initial.normal())
        self.position_bias = self.add_weight(name="position_bias", shape=heads, initializer=initial.normal())
        self.output_kernel = self.add_weight(name="output", shape=(d_model, d_model), initializer=initial.normal())
        self.built = True

    def call(self, x: tf.Tensor, memory: tf.Tensor, window: Window) -> tf.Tensor:
        """x [B, T, D], memory [B, M, D] -> [B, T, D]."""
        context = tf.concat([memory, x], axis=1) if memory.shape[1] else x
        query = self._heads(linear(x, self.query))
        key, value = map(self._heads, tf.split(linear(context, self.key_value), 2, axis=-1))
        code = self._heads(linear(tf.constant(window.codes[None], x.dtype), self.position))
        content = tf.matmul(query + self.content_bias[:, None], key, transpose_b=True)  # bhtk,bhsk->bhts
        by_distance = tf.matmul(query + self.position_bias[:, None], code, transpose_b=True)  # bhtk,hpk->bhtp
        logits = content + positions.relative_shift(by_distance, context.shape[1])
        weight = tf.nn.softmax(logits * self.d_head**-0.5 + window.mask)
        attended = tf.transpose(tf.matmul(weight, value), [0, 2, 1, 3])  # bhts,bhsk->bthk
        return linear(tf.reshape(attended, x.shape), self.output_kernel)

    def _heads(self, x: tf.Tensor) -> tf.Tensor:
        """[B, S, D] -> [B, H, S, K]."""
        return tf.transpose(tf.reshape(x, [*x.shape[:-1], self.num_heads, self.d_head]), [0, 2, 1, 3])
