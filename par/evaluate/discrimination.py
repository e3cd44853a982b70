"""How well vectors of texts tell their authors apart: whether a text is nearer to other texts of
its author than the texts of others are.

All is computed from the cosines [n, n] of n texts, whatever their vectors are: that of text j with
the mean of the anchors a is the sum of theirs, cos(a, j), but for a factor that is the same for
all j.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from par.objectives.pools import Pool

EQUAL = 1e-6  # cosines so near are equal


class Compared(NamedTuple):
    """targets: [m] texts. anchors: of each, the texts that stand for its author. negatives: those
    that it is compared with."""

    targets: np.ndarray
    anchors: list[np.ndarray]
    negatives: list[np.ndarray]


def compare(targets: np.ndarray, anchors: Pool, negatives: Pool, most: int, seed: int) -> Compared:
    """The targets, for each at most so many anchors, drawn by the seed, and all negatives."""
    drawn = []
    for row in targets:
        found = anchors.candidates(row)
        draw = np.random.default_rng([seed, row])
        drawn.append(draw.choice(found, min(most, len(found)), replace=False))
    return Compared(targets, drawn, [negatives.candidates(row) for row in targets])


def accuracy(cosines: np.ndarray, compared: Compared) -> np.ndarray:
    """[m] of each target, the share of its negatives that are less near to its anchors' mean than
    it is; equal ones count half."""
    found = np.empty([len(compared.targets)])
    for place, (row, anchors, negatives) in enumerate(zip(*compared, strict=True)):
        near = cosines[anchors].sum(axis=0, dtype=np.float64) / len(anchors)
        more = near[row] - near[negatives]
        found[place] = np.mean((more > EQUAL) + 0.5 * (np.abs(more) <= EQUAL))
    return found


def cosines(vectors: np.ndarray) -> np.ndarray:
    """[n, n] float32 of vectors [n, D] of length 1."""
    vectors = np.asarray(vectors, np.float32)
    return vectors @ vectors.T
