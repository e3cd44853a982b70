"""Drawing without replacement, candidate by candidate."""

from __future__ import annotations

import numpy as np

NONE = -1


def candidates(table: np.ndarray, row: int, shared: int | None, other: int | None) -> list[int]:
    """The rows that share one column with a row and differ in another, in ascending order."""

    def fits(one: int) -> bool:
        same = shared is None or NONE != table[one, shared] == table[row, shared]
        apart = (
            one != row
            if other is None
            else NONE not in (table[one, other], table[row, other])
            and table[one, other] != table[row, other]
        )
        return bool(same and apart)

    return [one for one in range(len(table)) if fits(one)]


def floyd(rows: list[int], numbers: list[int]) -> list[int]:
    """len(numbers) of the rows, all if they are fewer (Bentley & Floyd 1987)."""
    count = min(len(rows), len(numbers))
    chosen: list[int] = []
    for last, number in zip(range(len(rows) - count, len(rows)), numbers):
        place = number % (last + 1)
        chosen.append(last if place in chosen else place)
    return [rows[place] for place in chosen]
