"""The likeliest network for every latency, without a new search: the Pareto front of latency and
log probability.

The probability of a network is the sum over all strings that spell it (par.search.networks), and
its latency depends only on its numbers of attention and dense blocks. Up to MAX_ENUMERATED blocks
all networks are looked at, so that the front is exact. Above, each point of it is found by
best-first search (par.search.best_first), which says how much likelier another network within the
same latency could be at most: 0 where that is proved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.search import best_first, likeliest_strings, networks
from par.search.architecture import KINDS, argmax, network_of
from par.search.best_first import TIE, BestFirst, Found
from par.search.latency_table import Costs
from par.search.networks import MAX_ENUMERATED

FREE = Costs(0.0, 0.0, 0.0, 0.0)  # where latency does not count
MAX_KNOWN = 256  # of the likeliest strings, evenly, that a front of networks begins with


class Choice(NamedTuple):
    """A network, and how a search of L blocks spells it."""

    network: str
    blocks: str  # [L] its likeliest spelling
    milliseconds: float
    log_probability: float  # nats
    # nats by which another network within the same latency could be likelier at most; 0 where this
    # one is proved the likeliest
    gap: float = 0.0

    def figures(self, costs: Costs) -> dict[str, Any]:
        """Its fields and its share of the interleaved network's latency."""
        return {
            "network": self.network,
            "blocks": self.blocks,
            "milliseconds": self.milliseconds,
            "share": costs.share_of_interleaved(self.blocks),
            "log_probability": self.log_probability,
            "gap": self.gap if math.isfinite(self.gap) else None,
        }

    @property
    def doubt(self) -> str:
        """How far the search got where it proved nothing, as a phrase, or ''."""
        if not self.gap:
            return ""
        most = (
            f"another could be likelier by {self.gap:.3f} nats at most"
            if math.isfinite(self.gap)
            else "so many blocks are not searched beyond the likeliest strings"
        )
        return f"not proved to be the likeliest network: {most}"


def front(pi: np.ndarray, blocks: str, costs: Costs) -> list[Choice]:
    """The networks that no other dominates, by increasing latency and probability; of equal ones
    that with fewer attention, then fewer dense blocks.

    pi: [L, O]; only the stochastic blocks (s) of `blocks` [L] are chosen. Raises: UsageError if pi
    has another shape.
    """
    rows = _rows(pi, blocks)
    if len(blocks) <= MAX_ENUMERATED:
        found = _enumerated(rows, costs)
    else:
        found = _searched(np.asarray(pi, np.float64), rows, blocks, costs)
    return [_choice(rows, each, costs) for each in found]


def likeliest(
    pi: np.ndarray, blocks: str, costs: Costs = FREE, budget_ms: float = math.inf
) -> Choice:
    """The likeliest network with a latency of at most `budget_ms`. Raises: UsageError, with the
    least latency, if there is none, or if pi has another shape than [L, O]."""
    if len(blocks) <= MAX_ENUMERATED:
        return choose(front(pi, blocks, costs), budget_ms)
    rows = _rows(pi, blocks)
    strings = _likeliest_strings(pi, rows, blocks, costs)
    fitting = [each for each in strings if costs.milliseconds(each) <= budget_ms]
    if not fitting:
        return choose([_choice(rows, _known(rows, strings[0]), costs)], budget_ms)
    best = _known(rows, fitting[-1])
    if len(blocks) <= best_first.MAX_DEPTH:
        best = BestFirst(rows, costs.total).search(lambda ms: ms <= budget_ms, best)
    return _choice(rows, best, costs)


def described(pi: np.ndarray, spelled: str, blocks: str, costs: Costs = FREE) -> Choice:
    """The network that fixed blocks spell, with its probability under a search. spelled: [L]."""
    log_probability = networks.log_probability(_rows(pi, blocks), spelled)
    network = network_of(spelled)
    return Choice(network, spelled, costs.milliseconds(network), log_probability)


def choose(found: Sequence[Choice], budget_ms: float) -> Choice:
    """The likeliest network of a front with a latency of at most `budget_ms`. Raises: UsageError,
    with the least latency, if there is none."""
    fits = [choice for choice in found if choice.milliseconds <= budget_ms]
    if not fits:
        least = found[0]
        raise UsageError(
            f"no network fits a budget of {budget_ms:.6g} ms: the least is"
            f" {least.milliseconds:.6g} ms, of {least.network[:60]}"
        )
    return fits[-1]


def lines(found: Sequence[Choice], costs: Costs, what: str) -> list[str]:
    """A front as a table, one network per line. what: the case of the costs."""
    case = f"{what.replace('_', ' ')} ms"
    rows = [f"{case:>16}{'of interleaved':>16}{'log probability':>17}  network"]
    for choice in found:
        share = costs.share_of_interleaved(choice.blocks)
        rows.append(
            f"{choice.milliseconds:>16.3f}{share:>16.1%}{choice.log_probability:>17.3f}"
            f"  {choice.network}"
        )
    if unproved := [choice for choice in found if choice.gap]:
        rows.append(f"{len(unproved)} of these networks are {unproved[-1].doubt}")
    return rows


def _rows(pi: np.ndarray, blocks: str) -> np.ndarray:
    """Raises: UsageError if pi has another shape than [L, O]."""
    if np.shape(pi) != (len(blocks), len(KINDS)):
        raise UsageError(
            f"pi must have shape {(len(blocks), len(KINDS))} for the blocks {blocks[:60]!r}, but"
            f" has {np.shape(pi)}"
        )
    return networks.log_rows(pi, blocks)


def _choice(rows: np.ndarray, found: Found, costs: Costs) -> Choice:
    network = network_of(found.network)
    gap = found.bound - found.log_probability
    return Choice(
        network,
        networks.spelling(rows, network),
        costs.milliseconds(network),
        found.log_probability,
        gap if gap > TIE else 0.0,
    )


def _enumerated(rows: np.ndarray, costs: Costs) -> list[Found]:
    """The front of all networks of at most L blocks."""
    log_p = networks.all_log_probabilities(rows)
    attention, dense = networks.counts_of_all(len(rows))
    possible = np.flatnonzero(log_p > -np.inf)
    a, d, ties = attention[possible], dense[possible], np.round(log_p[possible] / TIE)
    order = np.lexsort((d, a, -ties, costs.total(a, d)))
    ties = ties[order]
    better = np.concatenate([[True], ties[1:] > np.maximum.accumulate(ties)[:-1]])
    return [
        Found(networks.network_at(number), float(log_p[number]), float(log_p[number]))
        for number in possible[order][better].tolist()
    ]


def _likeliest_strings(
    pi: np.ndarray, rows: np.ndarray, blocks: str, costs: Costs
) -> Sequence[str]:
    """The likeliest strings for every latency, the cheapest first; the likeliest of all where
    latency does not count."""
    if costs == FREE:
        return [argmax(np.exp(rows))]
    return likeliest_strings.front(pi, blocks, costs)


def _known(rows: np.ndarray, spelled: str) -> Found:
    """The network of a string, without a bound."""
    network = network_of(spelled)
    return Found(network, networks.log_probability(rows, network), math.inf)


def _searched(pi: np.ndarray, rows: np.ndarray, blocks: str, costs: Costs) -> list[Found]:
    """The front by one search for each of its points, from the likeliest of all networks down to
    the cheapest: the next point is the likeliest that takes less. Above MAX_DEPTH blocks, and
    where the searches have done all their work, the points are networks of likeliest strings."""
    strings = _likeliest_strings(pi, rows, blocks, costs)
    strings = [*strings[: -1 : -(-len(strings) // MAX_KNOWN)], strings[-1]]
    known = [_known(rows, each) for each in dict.fromkeys(map(network_of, strings))]
    search = BestFirst(rows, costs.total) if len(blocks) <= best_first.MAX_DEPTH else None
    found, limit = [], math.inf
    while fitting := [each for each in known if costs.milliseconds(each.network) < limit]:
        best = max(fitting, key=lambda each: each.log_probability)
        if search:
            best = search.search(lambda ms, limit=limit: ms < limit, best)
        found.append(best)
        limit = costs.milliseconds(network_of(best.network))
    cheapest_first = found[::-1]
    better = [cheapest_first[0]]
    for each in cheapest_first[1:]:
        if each.log_probability > better[-1].log_probability + TIE:
            better.append(each)
    return better
