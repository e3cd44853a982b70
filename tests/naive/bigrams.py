"""The probabilities of a masked token by dictionaries, as the formulas are written down."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence


def predict(
    texts: Sequence[Sequence[int]], before: int, word: int, after: int, first: int, unseen: float
) -> list[float]:
    """By frequency, by the token before and by the one after it, from texts; ids from `first` on
    are ordinary, and those below 0 are hidden."""
    words = Counter(word for text in texts for word in text if word >= first)
    pairs = [(a, b) for text in texts for a, b in itertools.pairwise(text) if min(a, b) >= 0]
    left = Counter(b for a, b in pairs if a == before and b >= first)
    right = Counter(a for a, b in pairs if b == after and a >= first)
    alone = words[word] / sum(words.values()) if words else unseen
    return [
        alone,
        *(near[word] / sum(near.values()) if near else alone for near in (left, right)),
    ]
