"""Multi-head attention with relative positions over memory and window (Dai et al. 2019, section
3.3)."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from par.nn import positions
from par.nn.ops import TYPES, Initial, add_bias, linear, static


@dataclasses.dataclass(frozen=True)
class Window:
    """Distance codes and mask, which all attention blocks share in one forward pass."""

    codes: np.ndarray  # [P, D] sinusoids of the distances
    mask: tf.Tensor  # [B, 1, T, S], or [B, H, T, S], added to the logits
    placement: positions.Placement = positions.IN_LINE  # of the memory, to which the codes belong
    memory_learns: bool = False  # whether a gradient goes to what the memory was made of


class RelativeAttention(keras.layers.Layer):
    """A_ij = ((q_i + u)·k_j + (q_i + v)·r_(i-j)) / sqrt(K), softmax over the visible j, then the
    weighted values times W_o.

    Queries come from the window, keys and values from memory and window. Residual, norm and
    dropout are added by the block. Matrix products are computed in `precision`, the softmax in
    float32.
    """

    def __init__(self, d_model: int, num_heads: int, initial: Initial, precision: str = "f32"):
        super().__init__(name="relative_attention")
        self.num_heads, self.d_head, self.type = num_heads, d_model // num_heads, TYPES[precision]
        heads = (num_heads, self.d_head)
        self.query = self.add_weight(
            name="query", shape=(d_model, d_model), initializer=initial.normal("query")
        )
        self.key_value = self.add_weight(
            name="key_value", shape=(d_model, 2 * d_model), initializer=initial.normal("key_value")
        )
        self.position = self.add_weight(
            name="position", shape=(d_model, d_model), initializer=initial.normal("position")
        )
        self.content_bias = self.add_weight(
            name="content_bias", shape=heads, initializer=initial.normal("content_bias")
        )
        self.position_bias = self.add_weight(
            name="position_bias", shape=heads, initializer=initial.normal("position_bias")
        )
        self.output_kernel = self.add_weight(
            name="output", shape=(d_model, d_model), initializer=initial.normal("output")
        )
        self.built = True

    def call(self, x: tf.Tensor, memory: tf.Tensor, window: Window) -> tf.Tensor:
        """x [B, T, D], memory [B, M, D] -> [B, T, D]."""
        probability, value = self._probabilities_and_values(x, memory, window)
        # bhts,bhsk->bthk
        attended = tf.transpose(tf.matmul(tf.cast(probability, self.type), value), [0, 2, 1, 3])
        joined = tf.reshape(attended, static(x.shape))
        return tf.cast(linear(joined, self.output_kernel), tf.float32)

    def probabilities(self, x: tf.Tensor, memory: tf.Tensor, window: Window) -> tf.Tensor:
        """softmax_j(A_ij), the weight of each key for each query: x [B, T, D], memory [B, M, D] ->
        [B, H, T, S] float32.

        Each row adds up to 1; keys that are not visible have exactly 0.
        """
        return self._probabilities_and_values(x, memory, window)[0]

    def taken(self, x: tf.Tensor, memory: tf.Tensor, window: Window) -> tf.Tensor:
        """The mean of the values of the memory, weighted as attention weights them but by weights
        that add up to 1 there: x [B, T, D], memory [B, M, D] -> [B, H, T, K] float32, 0 for a head
        that sees nothing of it."""
        probability, value = self._probabilities_and_values(x, memory, window)
        mem_len = memory.shape[1]
        of_memory = probability[..., :mem_len]
        weights = tf.math.divide_no_nan(
            of_memory, tf.reduce_sum(of_memory, axis=-1, keepdims=True)
        )
        return tf.matmul(weights, tf.cast(value[:, :, :mem_len], tf.float32))

    def _probabilities_and_values(
        self, x: tf.Tensor, memory: tf.Tensor, window: Window
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`probabilities`, and the values [B, H, S, K] that they weight."""
        x, memory = tf.cast(x, self.type), tf.cast(memory, self.type)
        context = tf.concat([memory, x], axis=1) if memory.shape[1] else x
        scale = self.d_head**-0.5  # applied to the queries, which are fewer than the logits
        query = linear(x, self.query * scale)
        u, v = (tf.reshape(bias, [-1]) * scale for bias in (self.content_bias, self.position_bias))
        (content_query,), (position_query,) = (self._heads(add_bias(query, b), 1) for b in (u, v))
        key, value = self._heads(linear(context, self.key_value), 2)
        (code,) = self._heads(linear(tf.constant(window.codes[None], self.type), self.position), 1)
        content = tf.matmul(content_query, key, transpose_b=True)  # bhtk,bhsk->bhts
        by_distance = self._by_distance(position_query, code)
        logits = content + window.placement.by_key(by_distance, x.shape[1], memory.shape[1])
        return tf.nn.softmax(tf.cast(logits, tf.float32) + window.mask), value

    def _by_distance(self, query: tf.Tensor, code: tf.Tensor) -> tf.Tensor:
        """bhtk,hpk->bhtp: query [B, H, T, K], code [1, H, P, K].

        Of a single head as one product of two matrices: TensorFlow 2.21's batched one (oneDNN)
        writes out of bounds where one factor has B > 1 products and the other a single one.
        """
        if self.num_heads == 1:
            return linear(query, tf.transpose(code[0, 0]))
        return tf.matmul(query, code, transpose_b=True)

    def _heads(self, x: tf.Tensor, parts: int) -> list[tf.Tensor]:
        """[B, S, parts * D] -> parts of [B, H, S, K], by one transposition of which each is a
        contiguous piece."""
        split = tf.reshape(x, static([*x.shape[:2], parts, self.num_heads, self.d_head]))
        return tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
