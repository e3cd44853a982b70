"""What a network is described by, so that the scores of some say something of the others: how many
blocks of each kind it has, where they are, and what stands beside what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from par.search.networks import LETTERS, letters_of

PAIRS = tuple(left + right for left in LETTERS for right in LETTERS)


def features(networks: Sequence[str], depth: int) -> np.ndarray:
    """[N, 2L + 6] of networks of at most `depth` = L blocks: the number of blocks of each kind;
    for each of the first L and of the last L places +1 for attention, -1 for dense, 0 where the
    network is shorter; and how often each pair of kinds stands side by side. Each column has mean
    0 and variance 1 over the networks, or is 0 where it is the same for all of them."""
    rows = [_counted(letters_of(network), depth) for network in networks]
    return standardized(np.array(rows, np.float64).reshape(len(rows), -1))


def standardized(values: np.ndarray) -> np.ndarray:
    """Columns of [N, P] shifted and scaled to mean 0 and variance 1; 0 where all are equal."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.where(spread > 1e-9, centred / np.where(spread > 1e-9, spread, 1.0), 0.0)


def _counted(letters: str, depth: int) -> list[float]:
    signs = [1.0 if letter == LETTERS[0] else -1.0 for letter in letters]
    empty = [0.0] * (depth - len(letters))
    pairs = [letters[at : at + 2] for at in range(len(letters) - 1)]
    return [
        *(letters.count(letter) for letter in LETTERS),
        *signs,
        *empty,
        *empty,
        *signs,
        *(pairs.count(pair) for pair in PAIRS),
    ]
