"""Statistics of few values: Student's interval of a mean, quartiles, and least squares without
negative coefficients."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from par.core import schema
from par.core.errors import UsageError

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval; the bounds of a single value are None."""

    mean: float
    low: float | None
    high: float | None

    def map(self, function: Callable[[float], float]) -> Interval:
        """The interval of an increasing function of the quantity."""
        return Interval(*(None if value is None else function(value) for value in self))

    def to_json(self) -> dict[str, float | None]:
        """mean, low and high as JSON; None for what is not finite."""
        return {
            name: None if value is None or not math.isfinite(value) else value
            for name, value in self._asdict().items()
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> Interval:
        """Inverse of `to_json`. Raises: UsageError for anything else."""
        read = schema.decode(dict[str, float | int | None], value, where)
        if set(read) != set(cls._fields):
            raise UsageError(f"{where} must have exactly the keys {', '.join(cls._fields)}")
        mean, low, high = (read[name] for name in cls._fields)
        if mean is None:
            mean = math.inf
        if high is None and low is not None:
            high = math.inf
        return cls(mean, low, high)


def t_probability(theta: float, degrees: int) -> float:
    """P(|T| <= t) of Student's T with integer degrees of freedom, theta = arctan(t /
    sqrt(degrees)) (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""
    cos, total = math.cos(theta), 0.0
    term = cos if degrees % 2 else 1.0
    for power in range(degrees % 2, degrees - 1, 2):
        total += term
        term *= cos * cos * (power + 1) / (power + 2)
    return (
        2 / math.pi * (theta + math.sin(theta) * total) if degrees % 2 else math.sin(theta) * total
    )


def t_factor(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The t with P(|T| <= t) = confidence, by bisection to the last bit."""
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (
            (middle, high) if t_probability(middle, degrees) < confidence else (low, middle)
        )
    return math.sqrt(degrees) * math.tan(high)


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values and Student's interval of it."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    half = t_factor(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def permutation_p(first: Sequence[float], second: Sequence[float]) -> float:
    """The exact two-sided p of a difference of two means by permutation (Fisher 1935): the share
    of all ways to deal the values into groups of these sizes in which the means differ at least as
    much. All ways are tried: for a dozen values. Raises: ValueError for an empty group."""
    values = [*first, *second]
    if not first or not second:
        raise ValueError(f"two groups are needed, but have {len(first)} and {len(second)} values")
    total = math.fsum(values)

    def difference(part: float) -> float:
        return abs(part / len(first) - (total - part) / len(second))

    found = difference(math.fsum(first))
    sums = [math.fsum(group) for group in itertools.combinations(values, len(first))]
    # ways that are as far apart but for rounding count
    return sum(difference(part) >= found - 1e-9 * (1 + found) for part in sums) / len(sums)


class Quartiles(NamedTuple):
    """The median and the two quartiles of values."""

    median: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """From quartile to quartile, relative to the median."""
        return (self.high - self.low) / self.median


def quartiles(values: Sequence[float] | np.ndarray) -> Quartiles:
    """The quartiles of values [n], n >= 1, interpolated linearly."""
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return Quartiles(median, low, high)


def nonnegative_least_squares(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The x >= 0 [m] that minimizes |terms x - values|^2, exactly: terms [n, m], values [n].

    Tries every set of terms, small sets first, so a term that explains nothing gets 0. Takes 2^m
    solutions: for few terms.
    """
    scale = np.linalg.norm(terms, axis=0)
    best, found = np.inf, np.zeros(len(scale))
    for size in range(1, len(scale) + 1):
        for chosen in map(list, itertools.combinations(np.flatnonzero(scale), size)):
            x = (
                np.linalg.lstsq(terms[:, chosen] / scale[chosen], values, rcond=None)[0]
                / scale[chosen]
            )
            error = np.sum((terms[:, chosen] @ x - values) ** 2)
            if x.min() >= 0 and error < best - 1e-9:
                best, found = error, np.zeros(len(scale))
                found[chosen] = x
    return found
