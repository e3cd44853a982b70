"""Whether a search won: the verdict and the goal, each in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from par.core.stats import Interval
from par.evaluate.compare.results import Goal, Standing
from par.evaluate.compare.statistics import Network, change, standing
from par.search.baselines import DERIVED, SLACK

# the PAR paper's claim: share of latency saved beside the interleaved network, and the largest
# rise of perplexity
GOAL_SAVING, GOAL_RISE = 0.35, 0.01


def fair_opponents(networks: Sequence[Network], tolerance: float) -> list[Network]:
    """The networks that cost at most a share `tolerance` more than the derived one, which comes
    first in `networks` and is left out."""
    return [network for network in networks[1:] if network.more <= tolerance]


def rank(
    networks: Sequence[Network], tolerance: float, equal: bool, is_whole: bool
) -> Standing | None:
    """The rank of the derived network, the first of `networks`, among the random ones of equal or
    smaller cost; among all others of it where `is_whole`. Arguments as in `verdict`."""
    fair = fair_opponents(networks, tolerance)
    if not is_whole:
        return standing(networks[0], [network for network in fair if network.random])
    least = -tolerance - SLACK if equal else -math.inf
    return standing(networks[0], [each for each in fair if each.more >= least], is_whole=True)


class Verdict(NamedTuple):
    """outcome: won, uncertain, lost, or open (nothing to compare with yet)."""

    outcome: str
    sentence: str


def verdict(
    networks: Sequence[Network],
    what: str,
    tolerance: float,
    equal: bool = True,
    is_whole: bool = False,
) -> Verdict:
    """Whether the search won over the networks of equal or smaller cost: those that cost at most a
    share `tolerance` more than the derived one.

    It lost if the derived network is known without a search, if a named network is better, or if
    it is better than at most half of the random networks. It won if it is better than every named
    network and than the mean of the random networks, and no interval reaches 0.

    what: `latency` or `parameters`. equal: whether the random networks were drawn at equal cost.
    is_whole: whether all of equal cost are compared; then these take the place of the random ones.
    """
    derived = networks[0]
    if not derived.runs:
        return Verdict("open", "The derived network is not trained yet: there is no verdict.")
    if known := [name for name in derived.names if name not in (DERIVED, derived.blocks)]:
        return _lost(
            f"it derived {derived.blocks}, which is known without a search as {known[0]}."
        )
    fair = fair_opponents(networks, tolerance)
    named = [
        (network, gap)
        for network in fair
        if not network.random and (gap := change(network, derived))
    ]
    named.sort(key=lambda pair: pair[1].mean)
    own_rank = rank(networks, tolerance, equal, is_whole)
    if not named and not own_rank:
        return Verdict(
            "open",
            f"No other network of equal or smaller {what} has been trained: there is no verdict.",
        )
    among = _among(own_rank, what, tolerance, equal, has_named=bool(named))
    tail = f"; the derived network is {among}" if among else ""
    if named and named[0][1].mean < 0:
        return _lost(f"{_better(*named[0], what)}{tail}.")
    if own_rank and 2 * own_rank.better_than <= own_rank.of:
        return _lost(f"the derived network {derived.blocks} is only {among}.")
    gaps = [(network.label, gap) for network, gap in named]
    if own_rank:
        others = "the others" if own_rank.is_whole else "the random networks"
        gaps.append((f"the mean of {others}", own_rank.change))
    for name, gap in gaps:
        if gap.low is None or gap.low <= 0:
            return Verdict(
                "uncertain",
                f"The search did not win for certain: {name} has only {percent(gap.mean)} more"
                f" perplexity ({_range(gap)}){tail}.",
            )
    better = [f"better than every named network of equal or smaller {what}"] if named else []
    if among:
        better.append(among)
    name, gap = gaps[0]
    return Verdict(
        "won",
        f"The search won: the derived network {derived.blocks} is {' and '.join(better)}; {name}"
        f" has {percent(gap.mean)} more perplexity ({_range(gap)}).",
    )


def _lost(reason: str) -> Verdict:
    return Verdict("lost", f"The search did not win: {reason}")


def _among(
    rank: Standing | None, what: str, tolerance: float, equal: bool, has_named: bool
) -> str:
    """`better than 3 of 8 random networks of equal latency`, or `better than 3 of the 7 others of
    all 8 networks within 5 % of the latency`; "" without random networks."""
    text = ""
    if rank and rank.is_whole:
        cost = f"within {100 * tolerance:g} % of the {what}"
        if not equal:
            cost = f"of equal or smaller {what}"
        text = f"better than {rank.better_than} of the {rank.of} others of all {rank.of + 1}"
        text += f" networks {cost}"
    elif rank:
        cost = f"equal {what}" if equal else f"equal or smaller {what}"
        text = f"better than {rank.better_than} of {rank.of} random networks of {cost}"
    if not has_named:
        text += f" (no named network is of equal or smaller {what})"
    return text


def _better(network: Network, gap: Interval, what: str) -> str:
    """`interleaved adadad is 2.1 % better at 4 % more latency (95 % interval ...)`. gap: below
    0."""
    lead = Interval(*(None if value is None else -value for value in gap))
    text = f"{network.label} is {percent(lead.mean)} better {_at(network.more, what)}"
    text += f" ({_range(lead)})"
    if gap.high is None or gap.high >= 0:
        text += ", which so few seeds do not tell from chance"
    return text


def goal(gap: Interval | None, saved: Interval | None) -> Goal:
    """Whether the derived network reaches the goal: GOAL_SAVING less latency than the interleaved
    one, mean perplexity at most GOAL_RISE above.

    gap: the share by which the derived network's perplexity lies above the interleaved one's.
    """
    asked = (
        f"at least {percent(GOAL_SAVING, 0)} less latency than the interleaved network, its mean"
        f" perplexity at most {percent(GOAL_RISE, 0)} above"
    )
    if gap is None or saved is None:
        return Goal(asked, None, None, f"goal ({asked}): not known yet")
    met = saved.mean >= GOAL_SAVING and gap.mean <= GOAL_RISE
    certain = met and saved.low >= GOAL_SAVING and gap.high is not None and gap.high <= GOAL_RISE
    outcome = "not met"
    if met:
        outcome = "met" if certain else "met by the means, not for certain"
    found = (
        f"{less(saved.mean, 'latency')}, perplexity {percent(gap.mean, sign='+')}"
        f" ({_range(gap, '+')})"
    )
    return Goal(asked, met, certain, f"goal ({asked}): {outcome}, {found}")


def percent(value: float, digits: int = 1, sign: str = "") -> str:
    """0.014 as `1.4 %`; sign `+` shows the plus, too."""
    return f"{100 * value:{sign}.{digits}f} %"


def _range(gap: Interval, sign: str = "") -> str:
    low, high = sorted((gap.low, gap.high)) if gap.low is not None else (None, None)
    return (
        "one seed, no interval"
        if low is None
        else f"95 % interval {percent(low, sign=sign)} to {percent(high, sign=sign)}"
    )


def less(saved: float, what: str) -> str:
    """`12.3 % less latency`, or more."""
    return f"{percent(abs(saved))} {'less' if saved >= 0 else 'more'} {what}"


def _at(more: float, what: str) -> str:
    """`at 8 % more latency`."""
    return (
        f"at equal {what}"
        if abs(more) < 0.005
        else f"at {percent(abs(more), 0)} {'more' if more > 0 else 'less'} {what}"
    )
