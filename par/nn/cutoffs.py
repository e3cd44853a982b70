"""The exact optimal cutoffs of an adaptive softmax for given counts, under a cost per cluster
(Grave et al. 2017, section 4).

    ids      0 ........ c_1 | c_1 ........ c_2 | c_2 .......... V       K = 3 clusters: two cutoffs
    cost     head(c_1 + 2)  +  tail_1(k, p)    +  tail_2(k, p)          k ids of a cluster, p their
             share of the tokens

With F the prefix sums of the shares, w(i, j) = (j - i) (F[j] - F[i]) satisfies the quadrangle
inequality w(a,c) + w(b,d) <= w(a,d) + w(b,c) for a <= b <= c <= d if F is nondecreasing, so for
counts in any order. So does w plus terms linear in j - i and in F[j] - F[i], and every convex
nondecreasing function of that. The best start of a cluster then never moves left when its end
moves right, and a layer of the dynamic programme takes O(V log V): ends at a wide stride are
solved first, and each end between two solved ones is searched only between their starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from par.core import files
from par.core.config import MAX_VOCAB_SIZE, NONE
from par.core.errors import DataError, UsageError
from par.core.stats import nonnegative_least_squares

MAX_BYTES = 32 * MAX_VOCAB_SIZE
ITERATIONS = 4  # of a fit, from each start
MOST_CLUSTERS = 5
# of a tail: by time alone ever narrower tails would win, which hardly distinguish their ids
LEAST_WIDTH = 8

Cost = Callable[[int, int, np.ndarray, np.ndarray], np.ndarray]
"""cost(i, K, k, p) -> [...], the cost of cluster i (0: the head) of K clusters, which has k [...]
ids and a share p [...] of the tokens."""


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Cutoffs (the exclusive end of every cluster but the last; none: plain softmax) and their
    cost."""

    cutoffs: tuple[int, ...]
    cost: float

    @property
    def clusters(self) -> int:
        """K, the head included."""
        return len(self.cutoffs) + 1

    @property
    def flags(self) -> str:
        """As flags of `train`."""
        return " ".join(f"--cutoffs={cutoff}" for cutoff in self.cutoffs or (NONE,))


def optimal(counts: np.ndarray, clusters: int, cost: Cost) -> Cuts:
    """The cheapest cut of the ids 0 to V-1, in this order, into K = `clusters` of at least one id
    each, by O(K V log V) evaluations of `cost`.

    counts: [V] counts or probabilities, in any order. cost: for a tail a convex nondecreasing
    function of λ k p + μ k + ν p with λ, μ, ν >= 0, for the head any function of k. Among equally
    cheap cuts, the last cutoff is the smallest possible, then the one before it, and so on.
    Raises: UsageError unless 1 <= clusters <= V.
    """
    v = len(counts)
    if not 1 <= clusters <= v:
        raise UsageError(f"clusters must be from 1 to the number of ids, {v}, but is {clusters}")
    below = prefix_shares(counts)
    best = np.full(v + 1, np.inf)  # best[j]: the ids below j, in the clusters so far
    best[1:] = cost(0, clusters, np.arange(1, v + 1), below[1:])
    starts = []
    for i in range(1, clusters):

        def tail(start: np.ndarray, end: np.ndarray, i: int = i) -> np.ndarray:
            return cost(i, clusters, end - start, below[end] - below[start])

        best, start = _add_cluster(best, i, tail, last=i == clusters - 1)
        starts.append(start)
    cutoffs = [v]
    for start in reversed(starts):
        cutoffs.insert(0, int(start[cutoffs[0]]))
    return Cuts(tuple(cutoffs[:-1]), float(best[v]))


def most_clusters(d_model: int, proj_factor: float, v: int) -> int:
    """The largest K worth trying for V ids: at most MOST_CLUSTERS, each with an id, and no tail
    narrower than LEAST_WIDTH."""
    wide = sum(d_model // proj_factor**i >= LEAST_WIDTH for i in range(1, MOST_CLUSTERS))
    return min(1 + wide, v)


def cheapest(cuts: Sequence[Cuts]) -> Cuts:
    """The cuts of least cost; of equals those with the fewest clusters."""
    return min(cuts, key=lambda cut: (cut.cost, cut.clusters))


def prefix_shares(counts: np.ndarray) -> np.ndarray:
    """[V] counts -> [V+1] F, the share of all tokens that have a smaller id: from 0 to 1,
    nondecreasing."""
    # scaled by a power of two, integers stay exact and the sum can't overflow
    exponent = np.frexp(np.max(counts))[1]
    sums = np.concatenate([[0.0], np.cumsum(np.ldexp(np.asarray(counts, np.float64), -exponent))])
    return sums / sums[-1]


def _add_cluster(
    before: np.ndarray, first: int, cost: Callable, last: bool
) -> tuple[np.ndarray, np.ndarray]:
    """after[end] = min over first <= start < end of before[start] + cost(start, end), with the
    smallest such start, for all ends: both [V+1].

    last: only the end V is computed.
    """
    v = len(before) - 1
    after, starts = np.full(v + 1, np.inf), np.full(v + 1, first)
    starts[v] = v - 1
    stride, ends = 1 << (v - first - 1).bit_length(), np.array([v])
    while True:
        low = starts[np.maximum(ends - stride, first)]
        high = np.minimum(starts[np.minimum(ends + stride, v)], ends - 1)
        widths = high - low + 1
        offsets = np.cumsum(widths) - widths
        row = np.repeat(np.arange(len(ends)), widths)
        start = np.arange(len(row)) + (low - offsets)[row]
        costs = before[start] + cost(start, ends[row])
        after[ends] = np.minimum.reduceat(costs, offsets)
        hits = np.flatnonzero(costs == after[ends][row])
        starts[ends] = start[hits[np.searchsorted(row[hits], np.arange(len(ends)))]]
        if last or stride == 1:
            return after, starts
        stride //= 2
        ends = np.arange(v - stride, first, -2 * stride)


def area(i: int, clusters: int, k: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Expected number of logits per token, (k_0 + K - 1) + Σ k_i p_i: the head is evaluated for
    every token and has a slot for each tail."""
    return k + (clusters - 1.0) if i == 0 else k * p


@dataclasses.dataclass(frozen=True)
class Fit:
    """Milliseconds of a cluster of one width: max(c + λ k0 B0, c + λ k B + μ k + ν B) for k ids
    and B rows (Grave et al. 2017, section 4).

    λ k B: the output product, the softmax and their gradients. μ k: reading the weights and
    writing their gradient, independent of the rows. ν B: the products of the projection. Below
    k0 B0 logits the cost is constant, floor = c + λ k0 B0.
    """

    width: int
    floor: float
    c: float
    rate: float  # λ
    per_id: float  # μ
    per_row: float  # ν
    timings: int
    median_error: float  # relative, over the timings
    worst_error: float

    @property
    def k0b0(self) -> float:
        """k0 B0, the number of logits below which the cost is constant."""
        return (self.floor - self.c) / self.rate if self.rate else 0.0

    def __call__(self, k: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Milliseconds for k [...] ids and B = rows [...]."""
        return np.maximum(
            self.floor, self.c + self.rate * k * rows + self.per_id * k + self.per_row * rows
        )

    def to_json(self) -> dict[str, float]:
        """All fields, and k0 B0."""
        return dataclasses.asdict(self) | {"k0b0": self.k0b0}

    def __str__(self) -> str:
        terms = "".join(
            f" + {value:.2e} {what}"
            for value, what in ((self.rate, "k B"), (self.per_id, "k"), (self.per_row, "B"))
            if value
        )
        error = (
            f"error {self.median_error:.0%} (median), {self.worst_error:.0%} (worst) of"
            f" {self.timings} timings"
        )
        return f"max({self.floor:.3f}, {self.c:.3f}{terms}) ms; k0 B0 = {self.k0b0:,.0f}; {error}"


def fit(
    width: int, k: np.ndarray, rows: np.ndarray, milliseconds: np.ndarray, beside: float = 0.0
) -> Fit:
    """The cost model of one width, fitted to timings [n] of k [n] ids and B = rows [n] by least
    squares of the relative error, with no term negative.

    beside: milliseconds of a step that were subtracted from the timings; errors are relative to
    the sum of both. Which timings lie on the floor and which on the line is found by alternating
    with the fit, from every number of timings on the floor (those with the fewest logits).
    """
    k, rows, times = (np.asarray(values, np.float64) for values in (k, rows, milliseconds))
    terms = np.stack([np.ones(len(k)), k * rows, k, rows], 1)
    weights = 1 / (times + beside)
    rank = np.argsort(np.argsort(k * rows, kind="stable"))
    best, found = np.inf, None
    for start in range(len(k)):
        flat = rank < start
        for _ in range(ITERATIONS):
            x = nonnegative_least_squares(
                terms[~flat] * weights[~flat, None], times[~flat] * weights[~flat]
            )
            floor = max(
                np.average(times[flat], weights=weights[flat] ** 2) if flat.any() else 0.0, x[0]
            )
            error = weights * np.abs(np.maximum(floor, terms @ x) - times)
            if np.sum(error**2) < best - 1e-9:  # of equals the one with the fewest on the floor
                c, rate, per_id, per_row = x.tolist()
                best = np.sum(error**2)
                found = Fit(
                    width=width,
                    floor=float(floor),
                    c=c,
                    rate=rate,
                    per_id=per_id,
                    per_row=per_row,
                    timings=len(k),
                    median_error=float(np.median(error)),
                    worst_error=float(np.max(error)),
                )
            flat = terms @ x < floor
    return found


def device_cost(fits: Sequence[Fit], rows: int) -> Cost:
    """Milliseconds of a step of `rows` tokens. fits: that of the head, then those of the tails."""

    def cost(i: int, clusters: int, k: np.ndarray, p: np.ndarray) -> np.ndarray:
        return fits[0](k + clusters - 1, rows) if i == 0 else fits[i](k, rows * p)

    return cost


def read_counts(path: str | Path) -> np.ndarray:
    """[V] float64, the counts or probabilities in a file, one per line.

    Raises: DataError if the file can't be read, is too large, or is not at least two finite
    numbers >= 0, of which one is above 0.
    """
    lines = (
        files.read_bytes(Path(path), "counts", MAX_BYTES)
        .decode("utf-8", "replace")
        .removesuffix("\n")
        .split("\n")
    )
    if len(lines) > MAX_VOCAB_SIZE:
        raise DataError(
            f"counts {path} must hold at most {MAX_VOCAB_SIZE:,} lines of 32 bytes, one for each"
            " id of a vocabulary"
        )
    counts = np.array([_number(line) for line in lines])
    wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)))
    if len(wrong):
        line = lines[wrong[0]].strip()[:40]
        raise DataError(
            f"counts {path} must hold one count or probability a line, finite and not negative,"
            f" but line {wrong[0] + 1} is {line!r}"
        )
    if len(counts) < 2 or not counts.any():
        raise DataError(
            f"counts {path} must hold at least two counts, not all 0, but holds {len(counts)} with"
            f" the largest {counts.max():g}"
        )
    return counts


def _number(line: str) -> float:
    """A number in decimal digits, else NaN: float() alone accepts 1_0 and digits of other scripts
    too."""
    try:
        return float(line) if line.isascii() and "_" not in line else np.nan
    except ValueError:
        return np.nan
