"""The boundaries of masked spans, and the head that reads a span from them alone (SpanBERT, Joshi
et al. 2020, arXiv 1907.10529, section 3.2).

    tokens    the  cat  [M]  [M]  [M]  on  the       span s..e, boundaries s-1 and e+1
                    x    i=0  i=1  i=2  x            both are visible: spans that touch are one

A span is a run of selected tokens. One that reaches an edge of the window, or padding, has no
boundary on that side, and nothing is read of it. Letters: B rows, T positions, N tokens, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from par.nn.blocks import Norm
from par.nn.ops import Initial, add_bias, linear


class Boundaries(NamedTuple):
    """Of each position [B, T]: the boundaries before and after its span, int32; its place in the
    span, from 0; and whether it is in a span that has both. The rest is valid only there."""

    before: tf.Tensor
    after: tf.Tensor
    place: tf.Tensor
    has_both: tf.Tensor


def boundaries(selected: tf.Tensor, real: tf.Tensor) -> Boundaries:
    """The boundaries of the spans of `selected` [B, T] bool, in rows whose tokens are `real`
    [B, T] bool, without a loop over spans.

    Of the tokens that stay, in their order, the last one before a position and the first one
    behind it are the c-th and the next, where c of them stand before it.
    """
    size = tf.shape(selected)[1]
    stays = tf.argsort(tf.cast(selected, tf.int32), axis=1, stable=True)  # those that stay, first
    before = tf.cumsum(tf.cast(~selected, tf.int32), axis=1)
    number = before[:, -1:]
    left = tf.gather(stays, tf.maximum(before - 1, 0), batch_dims=1)
    right = tf.gather(stays, tf.minimum(before, size - 1), batch_dims=1)
    inside = selected & (before > 0) & (before < number)
    is_seen = tf.gather(real, left, batch_dims=1) & tf.gather(real, right, batch_dims=1)
    return Boundaries(left, right, tf.range(size) - left - 1, inside & is_seen)


class SpanBoundaryHead(keras.layers.Layer):
    """A state for a token of a span from the hidden states of its boundaries and its place:

        h_0 = [x_(s-1); x_(e+1); p_i]
        h_1 = norm(gelu(h_0 W_1 + b_1))
        y   = norm(gelu(h_1 W_2 + b_2))

    Places from `most` on share the last embedding.
    """

    def __init__(self, name: str, d_model: int, most: int, initial: Initial):
        super().__init__(name=name, autocast=False)  # states choose the type of the products
        self._last = most - 1
        normal = initial.normal
        self.places = self.add_weight(
            name="places", shape=(most, d_model), initializer=normal("places")
        )
        shapes = {"inner": (3 * d_model, d_model), "outer": (d_model, d_model)}
        for part, shape in shapes.items():
            kernel = self.add_weight(name=part, shape=shape, initializer=normal(part))
            bias = self.add_weight(name=f"{part}_bias", shape=(d_model,), initializer="zeros")
            setattr(self, part, kernel)
            setattr(self, f"{part}_bias", bias)
        self.inner_norm, self.outer_norm = Norm(d_model, "inner_norm"), Norm(d_model, "outer_norm")
        self.built = True

    def call(self, before: tf.Tensor, after: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        """States [N, D] float32 of tokens from the hidden states [N, D] of their boundaries, in
        whose type the products are, and their places [N] int32."""
        embedded = tf.gather(self.places, tf.clip_by_value(place, 0, self._last))
        inputs = tf.concat([before, after, tf.cast(embedded, before.dtype)], axis=-1)
        inner = self.inner_norm(_layer(inputs, self.inner, self.inner_bias))
        return self.outer_norm(_layer(tf.cast(inner, before.dtype), self.outer, self.outer_bias))


def _layer(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """gelu(x W + b), float32."""
    return tf.nn.gelu(tf.cast(add_bias(linear(x, kernel), tf.convert_to_tensor(bias)), tf.float32))
