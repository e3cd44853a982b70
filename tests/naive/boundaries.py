"""Spans, their boundaries and the head that reads them, span by span and token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def spans(selected: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last position of each run of selected positions of a row."""
    found, start = [], None
    for place, inside in enumerate([*selected, False]):
        if inside and start is None:
            start = place
        if not inside and start is not None:
            found.append((start, place - 1))
            start = None
    return found


def boundaries(selected: Sequence[bool], real: Sequence[bool]) -> dict[int, tuple[int, int, int]]:
    """For each position whose span has both boundaries: the one before, the one after, and its
    place in the span."""
    found = {}
    for start, end in spans(selected):
        before, after = start - 1, end + 1
        if before >= 0 and after < len(selected) and real[before] and real[after]:
            for place in range(start, end + 1):
                found[place] = before, after, place - start
    return found


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-6) * gain + bias


def state(
    weights: dict[str, np.ndarray], before: np.ndarray, after: np.ndarray, place: int
) -> np.ndarray:
    """[D] of one token by the weights of a SpanBoundaryHead, named by their paths."""
    places = weights["places"]
    inputs = np.concatenate([before, after, places[min(place, len(places) - 1)]])
    for part in ("inner", "outer"):
        inputs = gelu(inputs @ weights[part] + weights[f"{part}_bias"])
        inputs = norm(inputs, weights[f"{part}_norm/gain"], weights[f"{part}_norm/bias"])
    return inputs


def replaced_logits(
    weights: dict[str, np.ndarray], hidden: np.ndarray, real: Sequence[bool]
) -> np.ndarray:
    """[T] of one row of hidden states [T, D] by the weights of a ReplacedHead."""
    context = np.mean([h for h, there in zip(hidden, real) if there], axis=0)
    found = []
    for h in hidden:
        x = norm(h + context, weights["norm/gain"], weights["norm/bias"])
        x = gelu(x @ weights["inner"] + weights["inner_bias"])
        found.append(float(x @ weights["logit/kernel"][:, 0] + weights["logit/offset"][0]))
    return np.array(found)
