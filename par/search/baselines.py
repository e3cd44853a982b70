"""The baselines of a derived network: architectures that are known without a search, and random
networks of equal cost.

A network is a string of a and d (par.search.architecture.network_of), of at most as many blocks as
the search has. A cost is linear: a constant plus a sum over the blocks. So whether a network fits
depends only on its numbers of a and d: the networks that fit are counted by those numbers, ranked,
and drawn by rank, all with exactly the same probability.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from par.search import derive
from par.search.architecture import network_of
from par.search.networks import LETTERS

DERIVED, INTERLEAVED = "derived", "interleaved"
SLACK = 1e-9  # for rounding, where a tolerance is met exactly
Counts = tuple[int, int]  # the number of attention and of dense blocks


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a network: constant + a sum over its blocks. what: `latency` (milliseconds) or
    `parameters` (of the blocks)."""

    what: str
    constant: float
    of_kind: tuple[float, float]  # of an attention and of a dense block

    @classmethod
    def linear(cls, what: str, cost: Callable[[str], float]) -> Self:
        """The linear function that equals `cost` for the network of no block and those of one
        block."""
        constant = float(cost(""))
        return cls(what, constant, tuple(float(cost(kind)) - constant for kind in LETTERS))

    def total_of_counts(self, counts: Counts) -> float:
        """The cost of a network with these numbers of blocks."""
        return self.constant + sum(n * cost for n, cost in zip(counts, self.of_kind))

    def total(self, blocks: str) -> float:
        """The cost of a network, however it is spelled."""
        return self.total_of_counts(counted(blocks))

    def more(self, blocks: str, than: str) -> float:
        """The relative difference in cost of a network and another: -0.1 is a tenth less; infinite
        over a cost of 0."""
        cost, base = self.total(blocks), self.total(than)
        return cost / base - 1 if base else math.inf if cost else 0.0


def counted(blocks: str) -> Counts:
    """The number of attention and of dense blocks."""
    return blocks.count("a"), blocks.count("d")


def references(derived: str, depth: int) -> dict[str, str]:
    """The derived network and the known architectures of `depth` blocks, by name."""
    known = {
        INTERLEAVED: derive.interleaved(depth),
        "sandwich": derive.sandwich(depth),
        "paper's rule": derive.paper(depth),
    }
    return {DERIVED: derived, **known, "all attention": "a" * depth, "all dense": "d" * depth}


def fitting(derived: str, depth: int, cost: Cost, tolerance: float | None) -> list[Counts]:
    """The numbers of a and d of all networks of at most `depth` blocks whose cost differs from
    that of `derived` by at most a share `tolerance`; None: any cost."""
    target = cost.total(derived)
    all_counts = ((a, d) for a in range(depth + 1) for d in range(depth + 1 - a))
    most = math.inf if tolerance is None else tolerance * target + SLACK * abs(target)
    return [counts for counts in all_counts if abs(cost.total_of_counts(counts) - target) <= most]


def arrangements(counts: Counts) -> int:
    """The number of networks with these numbers of blocks."""
    return math.comb(sum(counts), counts[0])


def unrank(counts: Counts, rank: int) -> str:
    """Network number `rank`, from 0, of those with these numbers of blocks, sorted in the order of
    LETTERS."""
    blocks, (a, d) = "", counts
    while a + d:
        # of the remaining networks, those whose next block is attention
        first = math.comb(a + d - 1, a - 1) if a else 0
        if rank < first:
            blocks, a = blocks + "a", a - 1
        else:
            blocks, d, rank = blocks + "d", d - 1, rank - first
    return network_of(blocks)


def count(fits: Sequence[Counts]) -> int:
    """The number of networks that fit."""
    return sum(map(arrangements, fits))


def free_networks(fits: Sequence[Counts], taken: Iterable[str]) -> int:
    """The number of networks that fit and are not taken."""
    allowed = set(fits)
    return count(fits) - sum(counted(blocks) in allowed for blocks in set(map(network_of, taken)))


def draw(number: int, fits: Sequence[Counts], taken: Iterable[str], seed: int) -> list[str]:
    """`number` distinct networks (or all, if fewer), each exactly uniform among those that fit and
    are neither taken nor drawn before.

    Equal seeds draw equal networks, and a larger number begins with those of a smaller one.
    """
    ends = list(itertools.accumulate(map(arrangements, fits)))
    seen, drawn = set(map(network_of, taken)), []
    number = min(number, free_networks(fits, seen))
    generator = random.Random(seed)
    while len(drawn) < number:
        rank = generator.randrange(ends[-1])
        which = bisect.bisect_right(ends, rank)
        blocks = unrank(fits[which], rank - (ends[which - 1] if which else 0))
        if blocks not in seen:
            seen.add(blocks)
            drawn.append(blocks)
    return drawn
