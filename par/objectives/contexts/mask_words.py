"""Certain words of a text, such as discourse markers, found among its tokens: behind a space, or
where a line begins, and not as the beginning of a longer word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from par.data.tokenizer import SPECIAL_PIECES, Tokenizer
from par.objectives import pools

FIRST = len(SPECIAL_PIECES)


class MaskWords:
    """Finds the tokens of words by a tokenizer's pieces. Raises: SettingError as
    `pools.spelled`."""

    def __init__(self, tokenizer: Tokenizer, words: Sequence[str]):
        self.spelled = pools.spelled(tokenizer, words)
        pieces = tokenizer.pieces(range(tokenizer.vocab_size))
        self._goes_on = np.array(list(map(_goes_on, pieces)))
        self._goes_on[:FIRST] = False

    @classmethod
    def of_data(cls, data_dir: Path, words: Sequence[str]) -> MaskWords:
        """Those of the tokenizer of a data set."""
        return cls(Tokenizer.load(data_dir / "tokenizer.model"), words)

    def occur(self, tokens: tf.Tensor) -> tf.Tensor:
        """[B, T] bool: which tokens [B, T] belong to one of the words."""
        found = tf.zeros_like(tokens, tf.bool)
        following = tf.gather(tf.constant(self._goes_on), tokens)
        for length, spelled in _by_length(self.spelled):
            if length > tokens.shape[1]:
                continue
            ahead = [_ahead(tokens, place) for place in range(length)]
            own = tf.stack(ahead, axis=-1)[:, :, None]  # [B, T, 1, n]
            begins = tf.reduce_any(tf.reduce_all(own == tf.constant(spelled), axis=-1), axis=-1)
            begins &= ~_ahead(following, length)
            for place in range(length):
                found |= tf.pad(begins, [[0, 0], [place, 0]])[:, : tokens.shape[1]]
        return found


def _goes_on(piece: str) -> bool:
    """Whether a piece makes a word longer that is before it: a letter or digit, or a byte of
    one."""
    if byte := re.fullmatch("<0x(..)>", piece):
        code = int(byte[1], 16)
        return code >= 128 or chr(code).isalnum()
    return piece[:1].isalnum()


def _by_length(spelled: Iterable[tuple[int, ...]]) -> list[tuple[int, list[tuple[int, ...]]]]:
    """Words of n pieces together, for each n."""
    lengths = sorted({len(ids) for ids in spelled})
    return [(length, sorted(ids for ids in spelled if len(ids) == length)) for length in lengths]


def _ahead(x: tf.Tensor, places: int) -> tf.Tensor:
    """[B, T] the value so many places further on; 0 behind the end."""
    return tf.pad(x[:, places:], [[0, 0], [0, places]])
