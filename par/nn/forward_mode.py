"""What one forward pass is for, and the random numbers that hang on it: nothing draws from a
global generator."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from par.nn.ops import hashed_seed


@dataclasses.dataclass(frozen=True)
class Phase:
    """Training at a step, or evaluation (no dropout, no Gumbel noise).

    The same (seed, step) gives the same dropout and the same noise, so that a continued run equals
    one that never stopped.
    """

    training: bool = False
    seed: int = 0
    step: Any = 0  # scalar int64 tensor in training
    tau: Any = 1.0  # Gumbel-Softmax temperature in training
    # which row of the global batch is the first of this pass: 0, or a scalar int64 tensor where
    # replicas share the batch
    first_row: Any = 0
    path: int = 0  # which of the step's independent samples of the architecture
    # evaluation: every stochastic block is its likeliest kind, instead of the mixture
    # softmax(alpha)
    argmax: bool = False
    # every query sees itself and exactly M tokens back, instead of the whole memory and window
    same_length: bool = False
    # tokens: a key that is further away is coded as being so far away (Dai et al. 2019); None: as
    # far as it is
    clamp_len: int | None = None

    def seed_of(self, name: str) -> tf.Tensor:
        """[2] int64, the seed of the stateless random numbers of one use, such as
        `dropout/block_3`, at this step."""
        return tf.stack(
            [tf.constant(hashed_seed(self.seed, name), tf.int64), tf.cast(self.step, tf.int64)]
        )


EVALUATION = Phase()
EVALUATION_ARGMAX = Phase(argmax=True)


BLOCK = 8  # 16-bit numbers that the generator (Philox) makes at once


def random_bits(seed: tf.Tensor, first: Any, count: int, step: int) -> tf.Tensor:
    """[count] uint16, the numbers `first` ... of those that a seed [2] stands for. first: a
    multiple of `step`, 0 or a scalar int64 tensor.

    The generator counts blocks, so that any part of its numbers can be had without those before.
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    lead = None
    if tf.is_tensor(first):
        # its first word is 0
        counter = tf.bitcast(
            tf.stack([first // BLOCK, tf.bitcast(counter, tf.int64)[1]]), tf.uint64
        )
        lead = first % BLOCK if step % BLOCK else None
    drawn = count + (0 if lead is None else BLOCK - 1)
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

    `rate` is met to 1/65,536: an entry costs 16 random bits instead of a float's 32. A row's
    numbers hang on its place in the global batch.
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
