"""Replaced-token detection: what a generator puts in the place of masked tokens, and the heads
that tell which tokens were replaced (ELECTRA, Clark et al. 2020, arXiv 2003.10555).

Letters: B rows, T positions, N tokens, D width, V vocabulary.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from par.nn.blocks import Norm
from par.nn.ops import TYPES, Initial, add_bias, linear, static
from par.objectives.masking import FIRST


def drawn(probability: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """[N] int32 pieces drawn from probabilities [N, V], ordinary pieces only: the first one up to
    which they sum to more than u of all. uniforms: u [N] in [0, 1)."""
    sums = tf.cumsum(probability[:, FIRST:], axis=1)
    found = tf.searchsorted(sums, (uniforms * sums[:, -1])[:, None], side="right")[:, 0]
    # u may be rounded up to 1
    return FIRST + tf.minimum(found, probability.shape[1] - FIRST - 1)


def most_probable(probability: tf.Tensor) -> tf.Tensor:
    """[N] int32 the most probable ordinary piece, the lowest of equals: probability [N, V]."""
    return FIRST + tf.argmax(probability[:, FIRST:], axis=1, output_type=tf.int32)


def binary_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """-log P(label) in nats, P(1) = 1 / (1 + e^-z): logits z and labels 0 or 1 of one shape,
    float32."""
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


class Logit(keras.layers.Layer):
    """One number of each state: x w + b."""

    def __init__(self, name: str, d_model: int, initial: Initial):
        super().__init__(name=name, autocast=False)  # states choose the type of the products
        self.kernel = self.add_weight(
            name="kernel", shape=(d_model, 1), initializer=initial.normal("kernel")
        )
        self.offset = self.add_weight(name="offset", shape=(1,), initializer="zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [..., D] -> [...] float32."""
        logits = tf.cast(linear(x, self.kernel), tf.float32)
        return tf.reshape(logits, static(x.shape[:-1])) + self.offset


class ReplacedHead(keras.layers.Layer):
    """The logit of each token that it was replaced, as DeBERTaV3's (He et al. 2021, arXiv
    2111.09543):

        z_t = gelu(norm(h_t + c) W + b) w + b'

    There, c is the hidden state of [CLS]. A stream has none: c is the mean of the window's hidden
    states.
    """

    def __init__(self, name: str, d_model: int, initial: Initial, precision: str = "f32"):
        super().__init__(name=name)
        self.type = TYPES[precision]
        self.norm = Norm(d_model, "norm")
        self.inner = self.add_weight(
            name="inner", shape=(d_model, d_model), initializer=initial.normal("inner")
        )
        self.inner_bias = self.add_weight(name="inner_bias", shape=(d_model,), initializer="zeros")
        self.logit = Logit("logit", d_model, initial.within("logit"))
        self.built = True

    def call(self, hidden: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """hidden [B, T, D], real [B, T] bool: tokens that are no padding -> logits [B, T]
        float32."""
        weight = tf.cast(real, tf.float32)[..., None]
        total = tf.maximum(tf.reduce_sum(weight, axis=1, keepdims=True), 1.0)
        context = tf.reduce_sum(hidden * weight, axis=1, keepdims=True) / total
        x = tf.cast(self.norm(hidden + context), self.type)
        inner = add_bias(linear(x, self.inner), tf.convert_to_tensor(self.inner_bias))
        return self.logit(tf.cast(tf.nn.gelu(tf.cast(inner, tf.float32)), self.type))
