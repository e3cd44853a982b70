"""Whether a search won: the verdict and the goal, each in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from par.core.metrics import Figure
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
    derived, figure = networks[0], networks[0].figures[0]
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
                f"The search did not win for certain: {name} has only {_more(figure, gap)}{tail}.",
            )
    better = [f"better than every named network of equal or smaller {what}"] if named else []
    if among:
        better.append(among)
    name, gap = gaps[0]
    return Verdict(
        "won",
        f"The search won: the derived network {derived.blocks} is {' and '.join(better)}; {name}"
        f" has {_more(figure, gap)}.",
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
    figure = network.figures[0]
    text = f"{network.label} is {amount(figure, lead.mean)} better {_at(network.more, what)}"
    text += f" ({_range(figure, lead)})"
    if gap.high is None or gap.high >= 0:
        text += ", which so few seeds do not tell from chance"
    return text


def goal(gap: Interval | None, saved: Interval | None, figure: Figure) -> Goal:
    """Whether the derived network reaches the goal: GOAL_SAVING less latency than the interleaved
    one, its mean figure at most GOAL_RISE worse.

    gap: how much worse the derived network is than the interleaved one, in `figure`.
    """
    most = percent(GOAL_RISE, 0) if figure.is_perplexity else f"{GOAL_RISE:g}"
    beyond = "above" if figure.better == "lower" else "below"
    asked = (
        f"at least {percent(GOAL_SAVING, 0)} less latency than the interleaved network, its mean"
        f" {figure.brief} at most {most} {beyond}"
    )
    if gap is None or saved is None:
        return Goal(asked, None, None, f"goal ({asked}): not known yet")
    met = saved.mean >= GOAL_SAVING and gap.mean <= GOAL_RISE
    certain = met and saved.low >= GOAL_SAVING and gap.high is not None and gap.high <= GOAL_RISE
    outcome = "not met"
    if met:
        outcome = "met" if certain else "met by the means, not for certain"
    own = own_direction(figure, gap)
    found = (
        f"{less(saved.mean, 'latency')}, {figure.brief} {amount(figure, own.mean, sign='+')}"
        f" ({_range(figure, own, '+')})"
    )
    return Goal(asked, met, certain, f"goal ({asked}): {outcome}, {found}")


def percent(value: float, digits: int = 1, sign: str = "") -> str:
    """0.014 as `1.4 %`; sign `+` shows the plus, too."""
    return f"{100 * value:{sign}.{digits}f} %"


def amount(figure: Figure, value: float, sign: str = "") -> str:
    """How much a figure differs: `1.4 %` for a perplexity, else `0.0140`, with its unit."""
    if figure.is_perplexity:
        return percent(value, sign=sign)
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{value:{sign}.{figure.digits}f}{unit}"


def own_direction(figure: Figure, gap: Interval) -> Interval:
    """How much worse a network is, as the difference of its figure: negative where less is
    worse."""
    if figure.better == "lower":
        return gap
    mean, low, high = (None if value is None else -value for value in gap)
    return Interval(mean, high, low)


def _more(figure: Figure, gap: Interval) -> str:
    """`1.4 % more perplexity (95 % interval ...)`, or less of what should be high."""
    way = "more" if figure.better == "lower" else "less"
    return f"{amount(figure, gap.mean)} {way} {figure.brief} ({_range(figure, gap)})"


def _range(figure: Figure, gap: Interval, sign: str = "") -> str:
    if gap.low is None:
        return "one seed, no interval"
    low, high = (amount(figure, value, sign) for value in sorted((gap.low, gap.high)))
    return f"95 % interval {low} to {high}"


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
