"""The encodings of texts by a network that has its own for them (Contract.encodes)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from par.data.tokenizer import PAD
from par.nn.forward_mode import Phase
from par.train.learner import Learner

ROWS = 32  # parts that are read at once


class TextEncoder:
    """Encodes texts of any length: each is cut into parts as long as the texts of training, and
    its encoding is the mean of theirs by their tokens, scaled to length 1."""

    def __init__(self, learner: Learner, phase: Phase):
        objective, self._width = learner.objective, learner.config.model.d_model
        self._length = learner.config.objective_settings.doc_len
        self._encode = tf.function(
            lambda tokens: objective.encode(objective.window(tokens), phase), autograph=False
        )

    def encode(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """[n, D] float32 of n texts of ids [N]; zeros for an empty one."""
        owners, parts = [], []
        for owner, ids in enumerate(rows):
            for start in range(0, len(ids), self._length):
                owners.append(owner)
                parts.append(ids[start : start + self._length])
        found = np.zeros([len(rows), self._width], np.float64)
        for first in range(0, len(parts), ROWS):
            # one shape, so that one graph is traced
            tokens = np.full([ROWS, self._length], PAD, np.int32)
            for place, part in enumerate(parts[first : first + ROWS]):
                tokens[place, : len(part)] = part
            encoded = self._encode(tf.constant(tokens)).numpy()
            for place, part in enumerate(parts[first : first + ROWS]):
                found[owners[first + place]] += len(part) * encoded[place]
        return unit(found).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., D] of length 1; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
