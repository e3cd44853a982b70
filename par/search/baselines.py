"""The baselines of a derived network: architectures that are known without a search, and random
strings of equal cost.

A cost is linear: a constant plus a sum over the blocks. So whether a string fits depends only on
its numbers of a, d and i: the strings that fit are counted by those numbers, ranked, and drawn by
rank, all with exactly the same probability.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from par.search import derive
from par.search.architecture import KINDS

DERIVED, INTERLEAVED = "derived", "interleaved"
SLACK = 1e-9  # for rounding, where a tolerance is met exactly
Counts = tuple[int, ...]  # how many blocks are of each kind, in the order of KINDS


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a network by its string: constant + a sum over its blocks. what: `latency`
    (milliseconds) or `parameters` (of the blocks)."""

    what: str
    constant: float
    of_kind: tuple[float, ...]  # in the order of KINDS

    @classmethod
    def linear(cls, what: str, cost: Callable[[str], float]) -> Self:
        """The linear function that equals `cost` for the string of no block and those of one
        block."""
        constant = float(cost(""))
        return cls(what, constant, tuple(float(cost(kind)) - constant for kind in KINDS))

    def total_of_counts(self, counts: Counts) -> float:
        """The cost of a string with these numbers of blocks of each kind."""
        return self.constant + sum(n * cost for n, cost in zip(counts, self.of_kind))

    def total(self, blocks: str) -> float:
        """The cost of a string."""
        return self.total_of_counts(counted(blocks))

    def more(self, blocks: str, than: str) -> float:
        """The relative difference in cost of a string and another: -0.1 is a tenth less; infinite
        over a cost of 0."""
        cost, base = self.total(blocks), self.total(than)
        return cost / base - 1 if base else math.inf if cost else 0.0


def counted(blocks: str) -> Counts:
    """The number of blocks of each kind."""
    return tuple(blocks.count(kind) for kind in KINDS)


def references(derived: str) -> dict[str, str]:
    """The derived network and the known architectures of the same depth, by name."""
    depth = len(derived)
    known = {
        INTERLEAVED: derive.interleaved(depth),
        "sandwich": derive.sandwich(depth),
        "paper's rule": derive.paper(depth),
    }
    return {DERIVED: derived, **known, "all attention": "a" * depth, "all dense": "d" * depth}


def fitting(derived: str, cost: Cost, tolerance: float | None) -> list[Counts]:
    """The numbers of a, d and i of all strings of the depth of `derived` whose cost differs from
    its cost by at most a share `tolerance`; None: any cost."""
    depth, target = len(derived), cost.total(derived)
    all_counts = ((a, d, depth - a - d) for a in range(depth + 1) for d in range(depth + 1 - a))
    most = math.inf if tolerance is None else tolerance * target + SLACK * abs(target)
    return [counts for counts in all_counts if abs(cost.total_of_counts(counts) - target) <= most]


@functools.cache
def arrangements(counts: Counts) -> int:
    """The number of strings with these numbers of blocks of each kind."""
    left, product = sum(counts), 1
    for n in counts:
        product *= math.comb(left, n)
        left -= n
    return product


def unrank(counts: Counts, rank: int) -> str:
    """String number `rank`, from 0, of those with these numbers of blocks of each kind, sorted in
    the order of KINDS."""
    blocks, left, remaining = "", list(counts), arrangements(counts)
    for depth in range(sum(counts), 0, -1):
        for option, kind in enumerate(KINDS):
            # of the remaining strings, those whose next block is of this kind
            first = remaining * left[option] // depth
            if rank < first:
                blocks, remaining = blocks + kind, first
                left[option] -= 1
                break
            rank -= first
    return blocks


def free_strings(fits: Sequence[Counts], taken: Iterable[str]) -> int:
    """The number of strings that fit and are not taken."""
    allowed = set(fits)
    return sum(map(arrangements, fits)) - sum(counted(blocks) in allowed for blocks in set(taken))


def draw(number: int, fits: Sequence[Counts], taken: Iterable[str], seed: int) -> list[str]:
    """`number` distinct strings (or all, if fewer), each exactly uniform among those that fit and
    are neither taken nor drawn before.

    Equal seeds draw equal strings, and a larger number begins with those of a smaller one.
    """
    ends = list(itertools.accumulate(map(arrangements, fits)))
    seen, drawn = set(taken), []
    number = min(number, free_strings(fits, seen))
    generator = random.Random(seed)
    while len(drawn) < number:
        rank = generator.randrange(ends[-1])
        which = bisect.bisect_right(ends, rank)
        blocks = unrank(fits[which], rank - (ends[which - 1] if which else 0))
        if blocks not in seen:
            seen.add(blocks)
            drawn.append(blocks)
    return drawn
