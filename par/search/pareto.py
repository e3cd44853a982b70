"""The best architecture under any latency budget, exactly, and all of them at once as a front: no
new search for a new budget.

A block's latency hangs on its kind alone, so a network's hangs on how many attention and dense
blocks it has. For every pair of counts (a, d) a dynamic programme over the stochastic blocks finds
the highest log pi = Σ_l log pi_l,kind(l):

    best_l[a, d] = max( best_l-1[a, d] + log pi_l,i ,  best_l-1[a, d-1] + log pi_l,d ,
    best_l-1[a-1, d] + log pi_l,a )

Whatever the budget, the best network is then on the front of these pairs: none is both as cheap
and as likely. Time and memory grow with the
third power of the depth: 256 blocks took 0.1 s, 1,024 took 4.2 s and 200 MB, on one core of an AMD
EPYC (Zen 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.search.architecture import KINDS
from par.search.latency_table import Costs

# sums are of integers in 2^-40 nats, which no order of adding changes: equal is equal. 1,024 times
# log 5e-324 fits
SCALE = 1 << 40
NEVER = -(1 << 61)  # what no string reaches: below every sum, and no sum of it overflows


class Choice(NamedTuple):
    """A network of the front."""

    blocks: str
    milliseconds: float
    log_pi: float  # nats, summed over the stochastic blocks

    def figures(self, costs: Costs) -> dict[str, Any]:
        """What is reported of it."""
        return {
            "blocks": self.blocks,
            "milliseconds": self.milliseconds,
            "share": costs.share_of_interleaved(self.blocks),
            "log_pi": self.log_pi,
        }


def front(pi: np.ndarray, blocks: str, costs: Costs) -> list[Choice]:
    """The networks that no other beats, by latency and log pi: both increase. Of equal ones that
    with fewer attention, then fewer dense blocks.

    pi: [L, O]; only stochastic blocks (s) of `blocks` [L] are chosen, and never as a kind of
    probability 0.
    Raises: UsageError if pi has another shape.
    """
    if np.shape(pi) != (len(blocks), len(KINDS)):
        raise UsageError(
            f"pi must have shape {(len(blocks), len(KINDS))} for the blocks {blocks[:60]!r}, but"
            f" has {np.shape(pi)}"
        )
    best, taken = _best(np.asarray(pi, np.float64)[[kind == "s" for kind in blocks]])
    a, d = np.nonzero(best > NEVER)
    counts = a + blocks.count("a"), d + blocks.count("d"), len(taken) - a - d + blocks.count("i")
    # adds as Costs.of does: the same to the last bit
    milliseconds = costs.constant + sum(count * ms for count, ms in zip(counts, costs))
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
    """The likeliest network of a front that takes at most `budget_ms`. Raises: UsageError, with
    the least latency there is, if none does."""
    fits = [choice for choice in found if choice.milliseconds <= budget_ms]
    if not fits:
        least = found[0]
        raise UsageError(
            f"no network fits a budget of {budget_ms:.6g} ms: the least is"
            f" {least.milliseconds:.6g} ms, of {least.blocks[:60]}"
        )
    return fits[-1]


def lines(found: Sequence[Choice], costs: Costs, what: str) -> list[str]:
    """A front for people, one network a line."""
    head = f"{what.replace('_', ' ') + ' ms':>16}{'of interleaved':>16}{'log pi':>12}  blocks"
    return [
        head,
        *(
            f"{each.milliseconds:>16.3f}{costs.share_of_interleaved(each.blocks):>16.1%}{each.log_pi:>12.3f} "
            f" {each.blocks}"
            for each in found
        ),
    ]


def _best(rows: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Sums [S + 1, S + 1] by counts of attention and dense, in 1 / SCALE nats, from the rows [S,
    O] of pi; and for each block, bit by bit, where its best choice is attention, and where, if not
    that, dense."""
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
    """The best strings with a and d [N] stochastic blocks chosen as attention and dense: the way
    back, all at once."""
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
