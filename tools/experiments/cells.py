"""Cells of tables: figures as the pages write them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from par.core import text

KEY = "perplexity_per_word"  # of a score, in what the tools print and in rows


def perplexity(value: float | None) -> str:
    """`1,217.6`; `overflows` where there is no finite number."""
    return "overflows" if value is None else text.number(value, 1)


def mean_and_each(values: Sequence[float | None]) -> str:
    """`1,217.6 (1,204.4, 1,284.4, 1,164.1)`: the mean of the seeds, and each; of one seed its
    figure alone."""
    shown = [perplexity(value) for value in values]
    if len(values) == 1:
        return shown[0]
    finite = [value for value in values if value is not None]
    mean = perplexity(statistics.fmean(finite) if len(finite) == len(values) else None)
    return f"{mean} ({', '.join(shown)})"


def code(texts: Sequence[str]) -> str:
    """The texts as code, each once."""
    return ", ".join(f"`{each}`" for each in dict.fromkeys(texts))


def minutes(seconds: Sequence[float]) -> str:
    """The mean of times, in minutes."""
    return f"{statistics.fmean(seconds) / 60:.1f}"


def least_decided(derived: dict[str, Any]) -> float:
    """The probability of the likeliest kind in the least decided block, from derive --json."""
    return min(max(row) for row in derived["pi"])
