"""The likeliest network of more blocks than can be enumerated: best-first search over the letters
of the network, with a bound that proves the result.

A node is the beginning w of a network. e_l(w) is the probability that the last letter of w is
block l, so that what follows is spelled by the blocks behind l. Prefix search for CTC (Graves et
al. 2006, section 3.2) bounds what begins with w by the probability of all of it together; the
bound here is closer, as it is per number of blocks that follow and never counts two networks:

    p(w v) = Σ_l e_l(w) p_l(v)  <=  Σ_l e_l(w) U_l[a, d]       v with a attention, d dense blocks

    U_l[a, d] = max( Σ_m>l stay_l,m pi_m,a U_m[a-1, d],  Σ_m>l stay_l,m pi_m,d U_m[a, d-1] )

where p_l is the probability under the blocks behind l alone, stay_l,m that those between l and m
are identities, and U_l >= max_v p_l(v), since the maximum of a sum is at most the sum of the
maxima. The latency of a network depends on its counts alone, so the same table bounds every
budget. When no open node has a bound above the best network found, that one is the likeliest.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from par.search.architecture import KINDS
from par.search.networks import LETTERS

MAX_DEPTH = 128  # blocks: the table has L^3 / 2 entries, 1 million for 128
MAX_WORK = 3e9  # entries of the table that are read; 7 s with 48 blocks, on an Intel Xeon
BATCH = 256  # nodes that are expanded together
BEAM = 32  # nodes a length that are followed first, for a good network to prune by
TIE = 1e-9  # nats: what differs by less is equal
FLOOR = -340.0  # nats: smaller terms of a bound count as this, so that products do not underflow


class Found(NamedTuple):
    """The likeliest network that was found, and log p; no network has a log p above `bound`."""

    network: str
    log_probability: float
    bound: float


class Nodes(NamedTuple):
    """Beginnings of networks, [n] each: letters as text; log e [n, L + 1]; counts."""

    text: list[str]
    log_e: np.ndarray
    attention: np.ndarray
    dense: np.ndarray

    def taken(self, which: np.ndarray) -> Nodes:
        """Some of them, by index."""
        text = [self.text[n] for n in which]
        return Nodes(text, self.log_e[which], self.attention[which], self.dense[which])


def bounds(rows: np.ndarray) -> np.ndarray:
    """log U [L + 1, L + 1, L + 1] by blocks passed, attention and dense blocks that follow. rows:
    [L, O] log pi."""
    depth = len(rows)
    table = np.full([depth + 1] * 3, -np.inf)
    table[depth, 0, 0] = 0.0
    sums = np.full([2, depth + 1, depth + 1], -np.inf)  # by the next letter
    for passed in range(depth - 1, -1, -1):
        of_attention, of_dense, of_identity = rows[passed]
        following, sums = table[passed + 1], sums + of_identity
        sums[0, 1:] = np.logaddexp(sums[0, 1:], of_attention + following[:-1])
        sums[1, :, 1:] = np.logaddexp(sums[1, :, 1:], of_dense + following[:, :-1])
        table[passed] = sums.max(axis=0)
        table[passed, 0, 0] = following[0, 0] + of_identity
    return table


class BestFirst:
    """Finds the likeliest networks under budgets, for one pi of a search.

    rows: [L, O] log pi; milliseconds: of arrays of counts (attention, dense).
    """

    def __init__(
        self, rows: np.ndarray, milliseconds: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ):
        self._rows, depth = rows, len(rows)
        attention, dense = np.indices([depth + 1, depth + 1])
        possible = attention + dense <= depth
        self._follows = attention[possible], dense[possible]  # [c] each
        table = bounds(rows)[:, possible]  # [L + 1, c]
        self._most = table.max(axis=0)
        with np.errstate(invalid="ignore"):
            relative = np.where(np.isfinite(self._most), table - self._most, -np.inf)
        self._table = np.exp(np.maximum(relative, FLOOR))
        grid = np.indices([2 * depth + 2, 2 * depth + 2])
        self._milliseconds = milliseconds(*grid)
        self.left = int(MAX_WORK / table.size)  # nodes that may still be looked at

    def search(self, fits: Callable[[np.ndarray], np.ndarray], known: Found) -> Found:
        """The likeliest network whose milliseconds fit. known: one that fits, to begin with.

        fits: of an array of milliseconds; true for all below one that fits.
        """
        best, fitting = known, fits(self._milliseconds)
        root = self._root()
        bound = float(self._bounds(root, fitting)[0])
        best = self._beam(root, fitting, best)
        waiting, number = [(-bound, 0, root)], 1
        while waiting and -waiting[0][0] > best.log_probability + TIE and self.left > 0:
            batch = []
            while waiting and len(batch) < BATCH and -waiting[0][0] > best.log_probability + TIE:
                batch.append(heapq.heappop(waiting)[2])
            children, limits, best = self._expand(_joined(batch), fitting, best)
            for n in np.flatnonzero(limits > best.log_probability + TIE):
                heapq.heappush(waiting, (-float(limits[n]), number, children.taken([n])))
                number += 1
        open_bound = -waiting[0][0] if waiting else -np.inf
        return best._replace(bound=max(open_bound, best.log_probability))

    def _root(self) -> Nodes:
        log_e = np.full([1, len(self._rows) + 1], -np.inf)
        log_e[0, 0] = 0.0
        return Nodes([""], log_e, np.zeros(1, np.int64), np.zeros(1, np.int64))

    def _beam(self, root: Nodes, fitting: np.ndarray, best: Found) -> Found:
        """The best network found when only the BEAM most promising nodes of each length are
        expanded."""
        nodes = root
        for _ in range(len(self._rows)):
            if self.left <= 0 or not nodes.text:
                break
            children, limits, best = self._expand(nodes, fitting, best)
            order = np.argsort(-limits, kind="stable")[:BEAM]
            nodes = children.taken(order[limits[order] > best.log_probability + TIE])
        return best

    def _expand(
        self, nodes: Nodes, fitting: np.ndarray, best: Found
    ) -> tuple[Nodes, np.ndarray, Found]:
        """The nodes with one letter more, their bounds, and the best network, which the nodes
        themselves may be."""
        log_f = self._forward(nodes.log_e)  # [n, L + 1]
        whole = np.where(fitting[nodes.attention, nodes.dense], log_f[:, -1], -np.inf)
        first = int(whole.argmax())
        if whole[first] > best.log_probability + TIE:
            best = Found(nodes.text[first], float(whole[first]), best.bound)
        texts, log_e = [], []
        for letter in LETTERS:
            texts += [text + letter for text in nodes.text]
            emitted = np.full_like(log_f, -np.inf)
            emitted[:, 1:] = log_f[:, :-1] + self._rows[:, KINDS.index(letter)]
            log_e.append(emitted)
        attention = np.concatenate([nodes.attention + 1, nodes.attention])
        dense = np.concatenate([nodes.dense, nodes.dense + 1])
        children = Nodes(texts, np.concatenate(log_e), attention, dense)
        self.left -= len(texts)
        return children, self._bounds(children, fitting), best

    def _forward(self, log_e: np.ndarray) -> np.ndarray:
        """log f [n, L + 1]: that the first l blocks spell a node, from log e [n, L + 1]."""
        log_f = log_e.copy()
        for passed, stay in enumerate(self._rows[:, KINDS.index("i")], 1):
            log_f[:, passed] = np.logaddexp(log_f[:, passed], log_f[:, passed - 1] + stay)
        return log_f

    def _bounds(self, nodes: Nodes, fitting: np.ndarray) -> np.ndarray:
        """[n] the largest log p that a network beginning with a node can have."""
        most = nodes.log_e.max(axis=1, keepdims=True)
        possible = np.isfinite(most)
        most = np.where(possible, most, 0.0)
        sums = np.exp(np.maximum(nodes.log_e - most, FLOOR)) @ self._table  # [n, c]
        attention, dense = self._follows
        fits = fitting[nodes.attention[:, None] + attention, nodes.dense[:, None] + dense]
        return np.where(fits & possible, np.log(sums) + most + self._most, -np.inf).max(axis=1)


def _joined(nodes: list[Nodes]) -> Nodes:
    return Nodes(
        [text for each in nodes for text in each.text],
        np.concatenate([each.log_e for each in nodes]),
        np.concatenate([each.attention for each in nodes]),
        np.concatenate([each.dense for each in nodes]),
    )
