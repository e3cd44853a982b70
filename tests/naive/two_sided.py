"""The mixture of a unigram model and the bigrams of both neighbours by dictionaries, as the
formulas are written down."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence


class Model:
    """Counts a stream; pieces below `first` are never predicted."""

    def __init__(self, stream: Sequence[int], vocab_size: int, first: int):
        self.pieces = range(first, vocab_size)
        self.single = Counter(stream)
        self.pair = Counter(itertools.pairwise(stream))
        self.total = sum(self.single[w] for w in self.pieces)

    def unigram(self, w: int) -> float:
        return (self.single[w] + 1) / (self.total + len(self.pieces))

    def before(self, a: int) -> int:
        return sum(self.pair[a, v] for v in self.pieces)

    def after(self, b: int) -> int:
        return sum(self.pair[v, b] for v in self.pieces)

    def models(self, w: int, a: int | None, b: int | None) -> list[float]:
        """The unigram model's probability, and those by the neighbours that are there."""
        found = [self.unigram(w)]
        if a is not None and self.before(a):
            found.append(self.pair[a, w] / self.before(a))
        if b is not None and self.after(b):
            found.append(self.pair[w, b] / self.after(b))
        return found

    def pattern(self, a: int | None, b: int | None) -> str:
        is_before, is_after = a is not None and self.before(a), b is not None and self.after(b)
        if is_before:
            return "both" if is_after else "before"
        return "after" if is_after else "neither"

    def predict(self, weights: dict, a: int | None, b: int | None) -> dict[int, float]:
        """The probability of every piece."""
        own = {"neither": (1.0,), **weights}[self.pattern(a, b)]
        return {
            w: sum(x * p for x, p in zip(own, self.models(w, a, b), strict=True))
            for w in self.pieces
        }


def places(stream: Sequence[int], masked: Sequence[bool], seq_len: int) -> list[tuple]:
    """(token, before, after) of each masked place, None for a neighbour that is absent."""
    found = []
    for i, is_masked in enumerate(masked):
        if is_masked:
            before = stream[i - 1] if i and not masked[i - 1] else None
            is_seen = i + 1 < len(masked) and not masked[i + 1] and (i + 1) % seq_len
            found.append((stream[i], before, stream[i + 1] if is_seen else None))
    return found
