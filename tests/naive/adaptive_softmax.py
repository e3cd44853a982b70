"""The adaptive softmax by its definition, in float64: every token and every id by itself."""

from __future__ import annotations

import math

import numpy as np


def log_softmax(logits: np.ndarray) -> list[float]:
    """Of one row."""
    highest = max(logits)
    total = highest + math.log(sum(math.exp(logit - highest) for logit in logits))
    return [logit - total for logit in logits]


def log_prob(
    hidden: np.ndarray,
    head: np.ndarray,
    tails: list[tuple[np.ndarray, np.ndarray]],
    cutoffs: list[int],
    vocab_size: int,
) -> np.ndarray:
    """hidden [N, D] -> [N, V] nats. head: [D, c_1 + tails]; tails: (D -> d_i, d_i -> ids) of each
    tail."""
    starts = [0, *cutoffs]
    head_size = starts[1] if cutoffs else vocab_size
    out = np.zeros([len(hidden), vocab_size])
    for n, row in enumerate(np.asarray(hidden, np.float64)):
        of_head = log_softmax(row @ head)
        of_tails = [log_softmax(row @ down @ up) for down, up in tails]
        for token in range(vocab_size):
            cluster = max(c for c, start in enumerate(starts) if token >= start)
            if cluster == 0:
                out[n, token] = of_head[token]
            else:
                out[n, token] = (
                    of_head[head_size + cluster - 1]
                    + of_tails[cluster - 1][token - starts[cluster]]
                )
    return out


def nll(hidden: np.ndarray, targets: np.ndarray, **softmax) -> np.ndarray:
    """[N] nats: minus the log-probability of each target."""
    return np.array([-row[target] for row, target in zip(log_prob(hidden, **softmax), targets)])
