"""The likeliest strings of a search for every latency: candidates for the likeliest networks,
where these are too many to enumerate.

The latency depends only on the numbers of attention and dense blocks. For every pair of counts
(a, d), dynamic programming over the stochastic blocks finds the highest
log pi = Σ_l log pi_l,kind(l):

    best_l[a, d] = max( best_l-1[a, d] + log pi_l,i,
                        best_l-1[a, d-1] + log pi_l,d,
                        best_l-1[a-1, d] + log pi_l,a )

Time and memory grow with the third power of the depth: 256 blocks took 0.1 s, 1,024 took 4.2 s and
200 MB, on one core of an AMD EPYC (Zen 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from par.search.architecture import KINDS
from par.search.latency_table import Costs

# sums are of integers in 2^-40 nats, so they do not depend on the order of adding; 1,024 times
# log 5e-324 fits
SCALE = 1 << 40
NEVER = -(1 << 61)  # marks counts without a string: below every sum, and without overflow


def front(pi: np.ndarray, blocks: str, costs: Costs) -> list[str]:
    """The strings that no other dominates, by increasing latency and log pi; of equal ones that
    with fewer attention, then fewer dense blocks.

    pi: [L, O]; only the stochastic blocks (s) of `blocks` [L] are chosen, and no kind of
    probability 0.
    """
    best, taken = _best(np.asarray(pi, np.float64)[[kind == "s" for kind in blocks]])
    a, d = np.nonzero(best > NEVER)
    milliseconds = costs.total(a + blocks.count("a"), d + blocks.count("d"))
    order = np.lexsort((d, a, -best[a, d], milliseconds))
    a, d = a[order], d[order]
    sums = best[a, d]
    better = np.concatenate([[True], sums[1:] > np.maximum.accumulate(sums)[:-1]])
    return _strings(blocks, taken, a[better], d[better])


def _best(rows: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The highest sums [S + 1, S + 1] by counts of attention and dense, in 1 / SCALE nats, from
    the rows [S, O] of pi; and for each block, as bits, for which counts its best choice is
    attention, and for which others it is dense."""
    best, taken = np.zeros([1, 1], np.int64), []
    for row in rows:
        ways = np.full([len(KINDS), len(best) + 1, len(best) + 1], NEVER)
        for way, (from_a, from_d), p in zip(ways, ((1, 0), (0, 1), (0, 0)), row):
            if p > 0:
                np.add(
                    best,
                    round(SCALE * float(np.log(p))),
                    out=way[from_a : from_a + len(best), from_d : from_d + len(best)],
                )
        rest = np.maximum(ways[1], ways[2])
        best = np.maximum(np.maximum(ways[0], rest), NEVER)
        taken.append(
            tuple(
                np.packbits(takes, axis=1, bitorder="little")
                for takes in (ways[0] > rest, ways[1] > ways[2])
            )
        )
    return best, taken


def _strings(
    blocks: str, taken: Sequence[tuple[np.ndarray, np.ndarray]], a: np.ndarray, d: np.ndarray
) -> list[str]:
    """The best strings with a and d [N] stochastic blocks chosen as attention and dense, by
    backtracking all of them at once."""
    letters = np.tile(np.array(list(blocks), "U1"), (len(a), 1))
    places = [place for place, kind in enumerate(blocks) if kind == "s"]
    for place, (takes_a, takes_d) in zip(reversed(places), reversed(taken)):
        attention, dense = (
            (takes[a, d >> 3] >> (d & 7) & 1).astype(bool) for takes in (takes_a, takes_d)
        )
        dense &= ~attention
        letters[:, place] = np.where(attention, KINDS[0], np.where(dense, KINDS[1], KINDS[2]))
        a, d = a - attention, d - dense
    return ["".join(row) for row in letters.tolist()]
