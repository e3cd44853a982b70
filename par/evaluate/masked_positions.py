"""The tokens of a split that an evaluation of a masked language model scores, for whatever else is
to be scored on the same ones."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from par.data import windows
from par.data.tokenizer import PAD
from par.nn.forward_mode import Phase
from par.objectives import masking

ROWS = 1024  # windows at once
_scored = tf.function(masking.scored, autograph=False)  # row by row, a graph is 100 times as fast


def scored(stream: np.ndarray, seq_len: int, draws: int) -> np.ndarray:
    """[draws, N - 1] bool: which tokens of a stream [N], the last one apart, are masked and scored
    in each draw, when it is read in windows of `seq_len`: whatever the batch, the memory and the
    network."""
    tokens = windows.windows(stream, 1, seq_len, pad_id=PAD)[:, 0, :-1]
    rows = min(ROWS, len(tokens))
    # one shape, so that one graph serves all
    padded = np.pad(tokens, [[0, -len(tokens) % max(rows, 1)], [0, 0]], constant_values=PAD)
    found = []
    for draw in range(draws):
        parts = [np.zeros([0, seq_len], bool)]
        for start in range(0, len(tokens), ROWS):
            numbers = tf.constant(np.arange(start, start + rows), tf.int64)
            seeds = Phase(draw=draw).row_seeds("objective", numbers)
            parts.append(_scored(tf.constant(padded[start : start + rows]), seeds).numpy())
        found.append(np.concatenate(parts).reshape(-1)[: max(len(stream) - 1, 0)])
    return np.stack(found)
