"""Typing errors in what a network reads in training, in the graph, as par.data.characters.typos
makes them.

    tokens    t h e ▁ c a t                 what is there
    typed     t h e e ▁ a c t               what the network reads: a double, a swap
    clean     t h e e ▁ a c t               what is expected of it at each place: the characters
                                            that stand there, in their own case

What is typed of a row depends on its seed alone, so on the run's seed and step.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from par.data.characters.letters import Letters, character_tokenizer
from par.data.characters.typos import CASE, DOUBLE, DROP, KINDS, SWAP
from par.data.tokenizer import PAD
from par.nn.forward_mode import row_uniforms
from par.nn.ops import hashed_seed


class Typos:
    """The typing errors of a run: a share `rate` of the letters that it reads in training."""

    def __init__(self, rate: float, vocab_size: int):
        """Until it reads its data, no piece is a letter."""
        self.rate = rate
        self._is_letter = tf.zeros([vocab_size], tf.bool)
        self._other_case = tf.range(vocab_size)

    def read_data(self, data_dir: Path) -> None:
        """Reads which pieces are letters, if any error is to be made.

        Raises: DataError if the tokenizer can't be read; UsageError if it is not of characters.
        """
        if self.rate:
            letters = Letters.of(character_tokenizer(data_dir, f"--typos={self.rate}"))
            self._is_letter = tf.constant(letters.is_letter)
            self._other_case = tf.constant(letters.other_case)

    def __call__(self, tokens: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What is typed of tokens [B, T], and the characters that it stands for, [B, T] both: cut
        where it is longer, and [PAD] behind where it is shorter. seeds: [B, 2]."""
        if not self.rate:
            return tokens, tokens
        own = tf.stack([seeds[:, 0] ^ hashed_seed(0, "typos"), seeds[:, 1]], axis=1)
        size = tokens.shape[1]
        drawn = row_uniforms(own, 2 * size)
        is_letter = tf.gather(self._is_letter, tokens)
        places, flips = typed(is_letter, drawn[:, :size], drawn[:, size:], self.rate)
        there = places < size
        clean = tf.gather(tokens, tf.minimum(places, size - 1), batch_dims=1)
        made = tf.where(flips, tf.gather(self._other_case, clean), clean)
        return tf.where(there, made, PAD), tf.where(there, clean, PAD)


def typed(
    is_letter: tf.Tensor, of_hits: tf.Tensor, of_kinds: tf.Tensor, rate: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The first T of what is typed in the place of T characters, as
    par.data.characters.typos.typed: places [B, T] int32, T where there is nothing any more;
    whether the case is the other one [B, T] bool.
    is_letter: [B, T] bool; of_hits, of_kinds: [B, T] uniform numbers."""
    size = is_letter.shape[1]
    hit = is_letter & (of_hits < rate)
    kind = tf.cast(float(len(KINDS)) * of_kinds, tf.int32)
    behind = tf.pad(is_letter & ~hit, [[0, 0], [0, 1]])[:, 1:]
    swaps = hit & (kind == SWAP) & behind
    swapped = tf.pad(swaps, [[0, 0], [1, 0]])[:, :-1]  # the second of the two
    place = tf.range(size) + tf.cast(swaps, tf.int32) - tf.cast(swapped, tf.int32)
    number = tf.where(hit & (kind == DROP), 0, tf.where(hit & (kind == DOUBLE), 2, 1))
    wanted = tf.broadcast_to(tf.range(size), tf.shape(place))
    # the first place up to which more have been typed
    found = tf.searchsorted(tf.cumsum(number, axis=1), wanted, side="right")
    inside = tf.minimum(found, size - 1)
    flips = tf.gather(hit & (kind == CASE), inside, batch_dims=1) & (found < size)
    return tf.where(found < size, tf.gather(place, inside, batch_dims=1), size), flips
