"""A mixture of given models: its weights by expectation maximization.

    p(n)   = sum_k w_k p_k(n)                          the mixture's probability of example n
    w_k   <- mean_n w_k p_k(n) / p(n)                  one step (Dempster, Laird & Rubin 1977)

The log-likelihood is concave in w, so that the steps, of which each raises it, lead to its maximum
from any start inside the simplex (Jelinek & Mercer 1980, deleted interpolation).
"""

from __future__ import annotations

import numpy as np

STEPS = 1_000  # most steps
# nats an example that the best weights can gain at most when the steps end
TOLERANCE = 1e-6
SCANNED = 1 << 16  # examples that are taken at once


def em_weights(
    probabilities: np.ndarray, *, steps: int = STEPS, tolerance: float = TOLERANCE
) -> np.ndarray:
    """The weights [K] >= 0 of sum 1 that maximize the mean log-likelihood of examples.

    probabilities: [N, K] of each example under each model, not below 0. The steps end when no
    weights can have a likelihood of more than `tolerance` nats an example above these: as the
    log-likelihood is concave, max_k mean_n p_k(n) / p(n) - 1 bounds that from above.
    Raises: ValueError if there is no example, or one that no model can produce.
    """
    examples, models = probabilities.shape
    if not examples or not models:
        raise ValueError(f"a mixture needs examples and models, but has {examples} x {models}")
    weights = np.full([models], 1 / models)
    for _ in range(steps):
        gains = _gains(probabilities, weights)
        weights = weights * gains
        weights /= weights.sum()
        if gains.max() - 1 <= tolerance:
            break
    return weights


def mixed(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The probabilities [N] under the mixture: probabilities [N, K], weights [K]."""
    return probabilities @ weights


def _gains(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """mean_n p_k(n) / p(n), [K]: the derivative of the mean log-likelihood by each weight."""
    total = np.zeros_like(weights)
    for start in range(0, len(probabilities), SCANNED):
        part = probabilities[start : start + SCANNED]
        mixture = mixed(part, weights)
        if not mixture.min() > 0:
            place = start + int(np.argmin(mixture))
            raise ValueError(f"no model of the mixture can produce example {place}")
        total += (part / mixture[:, None]).sum(0)
    return total / len(probabilities)
