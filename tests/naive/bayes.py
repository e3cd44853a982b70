"""The best guess of a target from an observation, by listing all that can happen."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable


def bayes(worlds: Iterable[tuple[float, Hashable, Hashable]]) -> tuple[float, float]:
    """Accuracy and nll in nats of the posterior; worlds: probability, observation, target."""
    joint: dict = defaultdict(lambda: defaultdict(float))
    for probability, observation, target in worlds:
        joint[observation][target] += probability
    total = sum(p for row in joint.values() for p in row.values())
    accuracy = sum(max(row.values()) for row in joint.values()) / total
    nll = -sum(p * math.log(p / sum(row.values())) for row in joint.values() for p in row.values())
    return accuracy, nll / total
