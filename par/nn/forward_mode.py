"""The purpose of a forward pass (training at a step, or evaluation), and its random numbers, which
no global generator takes part in."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from par.nn.ops import hashed_seed


@dataclasses.dataclass(frozen=True)
class Phase:
    """Training at a step, or evaluation (no dropout, no Gumbel noise).

    Equal (seed, step) give equal dropout and noise, so that a resumed run equals an uninterrupted
    one.
    """

    training: bool = False
    seed: int = 0
    step: Any = 0  # scalar int64 tensor in training
    tau: Any = 1.0  # Gumbel-Softmax temperature in training
    # index of this pass' first row in the global batch: 0, or a scalar int64 tensor where
    # replicas share the batch
    first_row: Any = 0
    is_warmup: bool = False  # the architecture logits are still frozen
    path: int = 0  # index among the step's independent samples of the architecture
    # evaluation: every stochastic block is its likeliest kind, instead of the mixture
    # softmax(alpha)
    argmax: bool = False
    # every query sees itself and exactly M tokens back, instead of the whole memory and window
    same_length: bool = False
    # tokens: larger distances are coded as this one (Dai et al. 2019); None: all as they are
    clamp_len: int | None = None

    def seed_of(self, name: str) -> tf.Tensor:
        """[2] int64, the seed of the stateless random numbers of one use, such as
        `dropout/block_3`, at this step."""
        return tf.stack(
            [tf.constant(hashed_seed(self.seed, name), tf.int64), tf.cast(self.step, tf.int64)]
        )


EVALUATION = Phase()
EVALUATION_ARGMAX = Phase(argmax=True)

PHILOX_NUMBERS = 8  # 16-bit numbers in a block of the generator


def random_bits(seed: tf.Tensor, first: Any, count: int, step: int) -> tf.Tensor:
    """[count] uint16, numbers `first`, first + 1, ... of the sequence of a seed [2]. first: 0, or
    a scalar int64 tensor that is a multiple of `step`.

    The generator (Philox) counts blocks of numbers, so a part of the sequence is computed without
    the numbers before it.
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    lead = None
    if tf.is_tensor(first):
        # its first word is 0
        counter = tf.bitcast(
            tf.stack([first // PHILOX_NUMBERS, tf.bitcast(counter, tf.int64)[1]]), tf.uint64
        )
        lead = first % PHILOX_NUMBERS if step % PHILOX_NUMBERS else None
    drawn = count + (0 if lead is None else PHILOX_NUMBERS - 1)
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[(drawn + 1) // 2],
        key=key,
        counter=counter,
        alg=tf.random.Algorithm.PHILOX.value,
        dtype=tf.uint32,
    )
    bits = tf.reshape(tf.bitcast(words, tf.uint16), [-1])
    return bits[:count] if lead is None else tf.slice(bits, [lead], [count])


def dropout(x: tf.Tensor, rate: float, phase: Phase, place: str) -> tf.Tensor:
    """Inverted dropout of x [B, ...]: entries are zeroed with probability `rate`, the others
    scaled by 1 / (1 - rate). Identity in evaluation.

    `rate` is rounded to 1/65,536: an entry takes 16 random bits instead of a float's 32. The mask
    of a row depends on its index in the global batch.
    """
    if not phase.training or rate == 0.0:
        return x
    size = x.shape.num_elements()
    each = x.shape[1:].num_elements()
    bits = tf.reshape(
        random_bits(phase.seed_of(f"dropout/{place}"), phase.first_row * each, size, each), x.shape
    )
    dropped = round(rate * 65_536)
    scale = 65_536 / (65_536 - dropped)
    return x * tf.where(bits >= dropped, tf.constant(scale, x.dtype), tf.constant(0.0, x.dtype))
