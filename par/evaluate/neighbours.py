"""Which rows of a table of vectors point the same way as one of them."""

from __future__ import annotations

import numpy as np


def cosines(table: np.ndarray, row: int) -> np.ndarray:
    """cos(e_row, e_i) = e_row·e_i / (|e_row| |e_i|) for every row i of a table [V, D] -> [V]
    float64; 0 where a vector is all zeros."""
    table = np.asarray(table, np.float64)
    lengths = np.linalg.norm(table, axis=1)
    products, scales = table @ table[row], lengths * lengths[row]
    return np.divide(products, scales, out=np.zeros_like(products), where=scales > 0)


def nearest(table: np.ndarray, row: int, k: int, first: int = 0) -> list[tuple[int, float]]:
    """The k rows with the largest cosines, largest first, of equal ones the lower row; without
    `row` itself and the rows below `first`."""
    found = cosines(table, row)
    order = [int(i) for i in np.argsort(-found, kind="stable") if i >= first and i != row]
    return [(i, float(found[i])) for i in order[:k]]
