"""The encodings of texts of any length by a network that has its own for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from par.data.tokenizer import PAD

ROWS = 32  # parts that are read at once


class TextEncoder:
    """Cuts each text into parts as long as the texts of training; its encoding is the mean of
    theirs by their tokens."""

    def __init__(self, encode: Callable[[tf.Tensor], tf.Tensor], length: int):
        """encode: [B, W] of texts [B, T], padded. length: T."""
        self._length, self._encode = length, tf.function(encode, autograph=False)

    def mean(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """[n, W] float64 of n texts of ids [N]; zeros for an empty one."""
        owners, parts = [], []
        for owner, ids in enumerate(rows):
            for start in range(0, len(ids), self._length):
                owners.append(owner)
                parts.append(ids[start : start + self._length])
        # one shape, so that one graph is traced
        tokens = np.full([max(-(-len(parts) // ROWS), 1) * ROWS, self._length], PAD, np.int32)
        for place, part in enumerate(parts):
            tokens[place, : len(part)] = part
        encoded = np.concatenate(
            [
                self._encode(tf.constant(tokens[first : first + ROWS])).numpy()
                for first in range(0, len(tokens), ROWS)
            ]
        )
        lengths = np.array([len(part) for part in parts], np.float64)
        sums = np.zeros([len(rows), encoded.shape[1]])
        np.add.at(sums, owners, lengths[:, None] * encoded[: len(parts)])
        return sums / np.array([max(len(ids), 1) for ids in rows])[:, None]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., D] of length 1; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
