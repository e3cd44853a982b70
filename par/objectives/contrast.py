"""Encodings of texts as pure functions, and the losses that tell a text of the same author from
others.

Letters: B rows, N anchors, C candidates, T positions, D width. All encodings have length 1, so
that the order of distances is that of cosines: |a - b|² = 2 - 2 a·b.
"""

from __future__ import annotations

import tensorflow as tf

NEVER = -1e9  # the logit of a candidate that is not compared; finite, so that no row can be NaN
TINY = 1e-12
EQUAL = 1e-6  # cosines so near are equal


def pooled(hidden: tf.Tensor, real: tf.Tensor, pool: str) -> tf.Tensor:
    """The vectors [..., D] of texts from their hidden states [..., T, D] float32: the mean over
    the real positions [..., T] bool, or the state of the first one (cls). 0 for an empty slot."""
    weights = tf.cast(real, hidden.dtype)[..., None]
    if pool == "cls":
        return hidden[..., 0, :] * weights[..., 0, :]
    return tf.math.divide_no_nan(
        tf.reduce_sum(hidden * weights, axis=-2), tf.reduce_sum(weights, axis=-2)
    )


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors [..., D] of length 1; 0 stays 0."""
    square = tf.reduce_sum(vectors * vectors, axis=-1, keepdims=True)
    return vectors * tf.math.rsqrt(tf.maximum(square, TINY))


def user(encodings: tf.Tensor, axis: int = -2) -> tf.Tensor:
    """The encoding [..., D] of a user from those of their texts [..., N, D], 0 for an empty slot,
    which so takes no part in the mean."""
    return unit(tf.reduce_sum(encodings, axis=axis))


def info_nce(
    cosines: tf.Tensor, own: tf.Tensor, allowed: tf.Tensor, temperature: float
) -> tf.Tensor:
    """-log(exp(s_own / t) / sum_c exp(s_c / t)) [B] over the allowed candidates (van den Oord et
    al. 2018, equation 4). cosines: [B, C]; own: [B], the text's own column; allowed: [B, C]
    bool."""
    logits = tf.where(allowed, cosines / temperature, NEVER)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(own, logits)


def triplet(positive: tf.Tensor, negative: tf.Tensor, margin: float) -> tf.Tensor:
    """max(0, margin + |u - p| - |u - n|) [B] from the cosines [B] of the user with both: of
    distances, not of their squares as in Schroff et al. 2015, equation 2."""
    return tf.nn.relu(margin + distance(positive) - distance(negative))


def distance(cosine: tf.Tensor) -> tf.Tensor:
    """The distance of two vectors of length 1, a bit above 0 for equal ones: the gradient stays
    finite."""
    return tf.sqrt(tf.maximum(2.0 - 2.0 * cosine, TINY))


def nearer(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """[B] 1 where the positive's cosine is larger than the negative's, 0.5 where they are equal
    but for rounding, as those of two equal texts are."""
    more = positive - negative
    return 0.5 * (1.0 + tf.where(tf.abs(more) <= EQUAL, 0.0, tf.sign(more)))
