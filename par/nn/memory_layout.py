"""How the memories of all blocks of a network share one tensor [A, B, M, D].

    blocks of equal widths   [A, B, M, D]     one after the other
    of several widths        [1, B, M, ΣD]    side by side

M counts positions of the blocks. Where some blocks read more tokens as one position than others
(`--downsample`), M counts tokens, and a block has its own positions at the end of the axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class Slot(NamedTuple):
    """The memory of a block: D, and how many tokens it reads as a position."""

    width: int
    factor: int = 1


@dataclasses.dataclass(frozen=True)
class Layout:
    """The memories of blocks that attend, in their order.

    width, factor: of a network without any.
    """

    slots: tuple[Slot, ...]
    width: int
    factor: int = 1

    @property
    def _widths(self) -> list[int]:
        return [slot.width for slot in self.slots]

    @property
    def factors(self) -> set[int]:
        """How many tokens are a position, of all blocks."""
        return {slot.factor for slot in self.slots} or {self.factor}

    @property
    def _is_in_tokens(self) -> bool:
        return len(self.factors) > 1

    @property
    def _unit(self) -> int:
        """How many tokens are one of M."""
        return 1 if self._is_in_tokens else min(self.factors)

    def shape(self, batch_size: int, mem_len: int) -> list[int]:
        """[A, B, M, D] for a memory of mem_len tokens."""
        length = -(-mem_len // self._unit)
        if len(set(self._widths)) > 1:
            return [1, batch_size, length, sum(self._widths)]
        return [len(self.slots), batch_size, length, (self._widths or [self.width])[0]]

    def unpacked(self, hidden: tf.Tensor) -> list[tf.Tensor]:
        """The memory of each block, [B, its own M, D]."""
        if len(set(self._widths)) > 1:
            found = tf.split(hidden[0], self._widths, axis=-1)
        else:
            found = tf.unstack(hidden)
        if not self._is_in_tokens:
            return found
        length = hidden.shape[2]
        own = [-(-length // slot.factor) for slot in self.slots]
        return [each[:, length - of :] for each, of in zip(found, own)]

    def packed(self, kept: Sequence[tf.Tensor], before: tf.Tensor) -> tf.Tensor:
        """The memories of all blocks, from each: inverse of `unpacked`. before: those that they
        replace, for their shape."""
        if not self.slots:
            return before
        if self._is_in_tokens:
            length = before.shape[2]
            kept = [tf.pad(x, [[0, 0], [length - x.shape[1], 0], [0, 0]]) for x in kept]
        if len(set(self._widths)) > 1:
            return tf.concat(kept, axis=-1)[None]
        return tf.stack(kept)

    def seen(
        self, valid: tf.Tensor, length: int, seq_len: int, factor: int
    ) -> tuple[tf.Tensor, int]:
        """How many positions hold tokens, [B], and M, as blocks of `factor` tokens a position have
        them. valid, length: the same of the whole. seq_len: tokens of a window."""
        if not self._is_in_tokens or factor == 1:
            return valid, length
        own = -(-length // factor)
        windows = -(-valid // seq_len)  # each has a whole number of positions
        return tf.minimum(windows * -(-seq_len // factor), own), own

    def after(self, valid: tf.Tensor, length: int, seq_len: int) -> tf.Tensor:
        """How many of M hold tokens after a window of seq_len tokens, [B]. valid: before it."""
        return tf.minimum(valid + -(-seq_len // self._unit), length)
