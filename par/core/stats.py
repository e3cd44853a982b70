"""Student's interval of a mean: between what it lies with 95 % confidence, from few values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean, and between what it lies with 95 % confidence: None where one value alone tells
    nothing of that."""

    mean: float
    low: float | None
    high: float | None

    def map(self, function: Callable[[float], float]) -> Interval:
        """The interval of a rising function of the quantity."""
        return Interval(*(None if value is None else function(value) for value in self))

    def to_json(self) -> dict[str, float | None]:
        """mean, low and high; null where an exponential overflows."""
        return {
            name: None if value is None or not math.isfinite(value) else value
            for name, value in self._asdict().items()
        }


def t_probability(theta: float, degrees: int) -> float:
    """P(|T| <= t) of Student's T with whole degrees of freedom, theta = arctan(t / sqrt(degrees))
    (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""
    cos, total = math.cos(theta), 0.0
    term = cos if degrees % 2 else 1.0
    for power in range(degrees % 2, degrees - 1, 2):
        total += term
        term *= cos * cos * (power + 1) / (power + 2)
    return (
        2 / math.pi * (theta + math.sin(theta) * total) if degrees % 2 else math.sin(theta) * total
    )


def t_factor(degrees: int, confidence: float = CONFIDENCE) -> float:
    """t with P(|T| <= t) = confidence, by bisection to the last bit."""
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (
            (middle, high) if t_probability(middle, degrees) < confidence else (low, middle)
        )
    return math.sqrt(degrees) * math.tan(high)


def interval(values: Sequence[float]) -> Interval:
    """Mean and Student's interval of independent values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    half = t_factor(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)
