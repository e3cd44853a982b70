"""The purpose of a forward pass (training at a step, or evaluation), and its random numbers, which
no global generator takes part in."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
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
    draw: int = 0  # evaluation: index among the draws of an objective that draws what it scores
    # evaluation: what is most probable is scored, too, where the objective does not do so anyway
    scores_hits: bool = False
    part: str = ""  # of the network, before the names of its random numbers

    def within(self, part: str) -> Phase:
        """The same pass with random numbers of its own for one part of the network; `""`: those of
        the network itself."""
        return dataclasses.replace(self, part=part)

    def seed_of(self, name: str) -> tf.Tensor:
        """[2] int64, the seed of the stateless random numbers of one use, such as
        `dropout/block_3`, at this step."""
        hashed = hashed_seed(self.seed, f"{self.part}{name}")
        return tf.stack([tf.constant(hashed, tf.int64), tf.cast(self.step, tf.int64)])

    def row_seeds(self, name: str, rows: tf.Tensor) -> tf.Tensor:
        """[B, 2] int64, a seed for each row of what an objective draws.

        rows: [B] int64, numbers of the rows. In training they count rows of the whole batch, and
        the seeds differ at every step. In evaluation they are numbers of windows in the split, and
        the seeds depend on nothing else but the draw: neither on the network nor on B.
        """
        if self.training:
            number = tf.cast(self.step, tf.int64) * tf.shape(rows, tf.int64)[0] + rows
            hashed = hashed_seed(self.seed, f"{self.part}{name}")
        else:
            number, hashed = rows, hashed_seed(0, f"{self.part}{name}/draw_{self.draw}")
        return tf.stack([tf.fill(tf.shape(number), np.int64(hashed)), number], axis=-1)


def row_uniforms(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """[B, count] float32, uniform in [0, 1): numbers of each row that depend on its seed alone.
    seeds: [B, 2]."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], seed),
        seeds,
        fn_output_signature=tf.TensorSpec([count], tf.float32),
    )


def row_integers(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """[B, count] int64, uniform in [0, 2^63): as `row_uniforms`, for what is finer than a float.
    seeds: [B, 2]."""
    drawn = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], seed, None, None, tf.int64),
        seeds,
        fn_output_signature=tf.TensorSpec([count], tf.int64),
    )
    return tf.bitwise.bitwise_and(drawn, tf.int64.max)


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
