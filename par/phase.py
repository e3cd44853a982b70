"""What one forward pass is for, and the random numbers that hang on it: nothing draws from a global generator."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Phase:
    """Training at a step, or evaluation (no dropout, no Gumbel noise).

    The same (seed, step) gives the same dropout and the same noise, so that a continued run equals one that never stopped.
    """

    training: bool = False
    seed: int = 0
    step: Any = 0  # scalar int64 tensor in training
    tau: Any = 1.0  # Gumbel-Softmax temperature in training
    path: int = 0  # which of the step's independent samples of the architecture
    argmax: bool = False  # evaluation: every stochastic block is its likeliest kind, instead of the mixture softmax(alpha)
    same_length: bool = False  # every query sees itself and exactly M tokens back, instead of the whole memory and window
    clamp_len: int | None = None  # tokens: a key that is further away is coded as being so far away (Dai et al. 2019); None: as far as it is

    def seed_of(self, place: int) -> tf.Tensor:
        """[2] int64, the seed of the stateless random numbers of one place in the network at this step."""
        return tf.stack([tf.constant(self.seed * 65_537 + place, tf.int64), tf.cast(self.step, tf.int64)])


EVALUATION = Phase()
EVALUATION_ARGMAX = Phase(argmax=True)


def dropout(x: tf.Tensor, rate: float, phase: Phase, place: int) -> tf.Tensor:
    """Inverted dropout of x [B, ...]: entries are zeroed with probability `rate`, the others scaled by 1 / (1 - rate). Identity in evaluation.

    `rate` is met to 1/65,536: an entry costs 16 random bits instead of a float's 32.
    """
    if not phase.training or rate == 0.0:
        return x
    size = x.shape.num_elements()
    words = tf.random.stateless_uniform([(size + 1) // 2], phase.seed_of(place), minval=None, maxval=None, dtype=tf.uint32)
    bits = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:size], x.shape)
    dropped = round(rate * 65_536)
    scale = 65_536 / (65_536 - dropped)
    return x * tf.where(bits >= dropped, tf.constant(scale, x.dtype), tf.constant(0.0, x.dtype))
