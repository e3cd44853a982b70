"""Interpolated Kneser-Ney by dictionaries, as the formulas are written down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

Predictor = Callable[[Sequence[int], int], float]


def predictor(train: Sequence[int], vocab_size: int, order: int) -> tuple[Predictor, list[float]]:
    """A function (the tokens so far, the next one) -> its probability; and the discounts."""
    grams = [
        [tuple(train[i : i + n]) for i in range(len(train) - n + 1)] for n in range(order + 1)
    ]
    tables = []
    for n in range(1, order + 1):
        # the highest order: occurrences; below: different tokens before the gram
        found = grams[n] if n == order else [gram[1:] for gram in set(grams[n + 1])]
        rows: dict[tuple, Counter] = defaultdict(Counter)
        for gram in found:
            rows[gram[:-1]][gram[-1]] += 1
        tables.append(rows)
    discounts = []
    for rows in tables:
        n = Counter(count for row in rows.values() for count in row.values())
        discounts.append(n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5)

    def probability(history: tuple, token: int) -> float:
        row = tables[len(history)].get(history)
        lower = probability(history[1:], token) if history else 1 / vocab_size
        if not row:
            return lower
        discount, total = discounts[len(history)], sum(row.values())
        return (max(row[token] - discount, 0) + discount * len(row) * lower) / total

    def predict(before: Sequence[int], token: int) -> float:
        return probability(tuple(before[-(order - 1) :]), token)

    return predict, discounts
