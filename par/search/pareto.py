"""The exact Pareto front of latency and log pi: the best architecture under any latency budget,
without a new search.

A block's latency depends only on its kind, so a network's depends only on its numbers of attention
and dense blocks. For every pair of counts (a, d), dynamic programming over the stochastic blocks
finds the highest log pi = Σ_l log pi_l,kind(l):

    best_l[a, d] = max( best_l-1[a, d] + log pi_l,i,
                        best_l-1[a, d-1] + log pi_l,d,
                        best_l-1[a-1, d] + log pi_l,a )

For any budget the best network is on the front of these pairs, which are not dominated: no other
is as cheap and as likely. Time and memory grow with the third power of the depth: 256 blocks took
0.1 s, 1,024 took 4.2 s and 200 MB, on one core of an AMD EPYC (Zen 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.search.architecture import KINDS
from par.search.latency_table import Costs

# sums are of integers in 2^-40 nats, so they do not depend on the order of adding; 1,024 times
# log 5e-324 fits
SCALE = 1 << 40
NEVER = -(1 << 61)  # marks counts without a string: below every sum, and without overflow


class Choice(NamedTuple):
    """A network of the front."""

    blocks: str
    milliseconds: float
    log_pi: float  # nats, summed over the stochastic blocks

    def figures(self, costs: Costs) -> dict[str, Any]:
        """Its fields and its share of the interleaved network's latency."""
        return {
            "blocks": self.blocks,
            "milliseconds": self.milliseconds,
            "share": costs.share_of_interleaved(self.blocks),
            "log_pi": self.log_pi,
        }


def front(pi: np.ndarray, blocks: str, costs: Costs) -> list[Choice]:
    """The networks that no other dominates, by increasing latency and log pi; of equal ones that
    with fewer attention, then fewer dense blocks.

    pi: [L, O]; only the stochastic blocks (s) of `blocks` [L] are chosen, and no kind of
    probability 0. Raises: UsageError if pi has another shape.
    """
    if np.shape(pi) != (len(blocks), len(KINDS)):
        raise UsageError(
            f"pi must have shape {(len(blocks), len(KINDS))} for the blocks {blocks[:60]!r}, but"
            f" has {np.shape(pi)}"
        )
    best, taken = _best(np.asarray(pi, np.float64)[[kind == "s" for kind in blocks]])
    a, d = np.nonzero(best > NEVER)
    counts = a + blocks.count("a"), d + blocks.count("d"), len(taken) - a - d + blocks.count("i")
    milliseconds = costs.total(counts)
    order = np.lexsort((d, a, -best[a, d], milliseconds))
    a, d, milliseconds = a[order], d[order], milliseconds[order]
    sums = best[a, d]
    better = np.concatenate([[True], sums[1:] > np.maximum.accumulate(sums)[:-1]])
    strings = _strings(blocks, taken, a[better], d[better])
    return [
        Choice(*point)
        for point in zip(strings, milliseconds[better].tolist(), (sums[better] / SCALE).tolist())
    ]


def choose(found: Sequence[Choice], budget_ms: float) -> Choice:
    """The likeliest network of a front with a latency of at most `budget_ms`. Raises: UsageError,
    with the least latency, if there is none."""
    fits = [choice for choice in found if choice.milliseconds <= budget_ms]
    if not fits:
        least = found[0]
        raise UsageError(
            f"no network fits a budget of {budget_ms:.6g} ms: the least is"
            f" {least.milliseconds:.6g} ms, of {least.blocks[:60]}"
        )
    return fits[-1]


def lines(found: Sequence[Choice], costs: Costs, what: str) -> list[str]:
    """A front as a table, one network per line. what: the case of the costs."""
    rows = [f"{what.replace('_', ' ') + ' ms':>16}{'of interleaved':>16}{'log pi':>12}  blocks"]
    for choice in found:
        share = costs.share_of_interleaved(choice.blocks)
        rows.append(
            f"{choice.milliseconds:>16.3f}{share:>16.1%}{choice.log_pi:>12.3f}  {choice.blocks}"
        )
    return rows


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
