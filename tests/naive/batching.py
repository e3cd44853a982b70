"""Windows token by token, from the definition: row b is tokens[b*n*T : (b+1)*n*T + 1], a window is
T+1 tokens of a row."""

from __future__ import annotations

import numpy as np


def windows(tokens, batch_size, seq_len, pad_id=None):
    """[n, B, T+1]; n counts the steps whose B*T targets are all there, and with padding one more
    for those that are left."""
    n, left = divmod(max(len(tokens) - 1, 0), batch_size * seq_len)
    if pad_id is not None and left:
        n += 1
    steps = np.zeros([n, batch_size, seq_len + 1], np.int32)
    for j in range(n):
        for b in range(batch_size):
            for t in range(seq_len + 1):
                place = b * n * seq_len + j * seq_len + t
                steps[j, b, t] = tokens[place] if place < len(tokens) else pad_id
    return steps


def sliding(tokens, seq_len, stride):
    """For each token but the first, its window as far as itself: of all the windows that have it
    as a target, the first."""
    found = {}
    for start in range(0, len(tokens), stride):
        for target in range(start + 1, start + seq_len + 1):
            if target < len(tokens) and target not in found:
                found[target] = tokens[start : target + 1].tolist()
    return [found[target] for target in range(1, len(tokens))]
