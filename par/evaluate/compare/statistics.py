"""Is a search worth anything? Figures of the networks that were compared, and a verdict in one
sentence.

The unit is the nll per word x of a network and a seed, in nats: perplexity per word is e^x. So the
mean perplexity here is the geometric one,
e^mean(x), and networks are compared by the differences of x of equal seeds, which share the order
of the data, the initial weights of equal places
and dropout: their mean is the logarithm of the quotient of the mean perplexities. Intervals are
Student's t, 95 %, over the seeds; one seed has
none. There is no correction for several comparisons: to win, all must speak for the derived
network at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from par.core import metrics, schema
from par.core.errors import DataError
from par.core.stats import Interval, interval, quartiles
from par.evaluate.compare.results import (
    Findings,
    Goal,
    Interleaved,
    Milliseconds,
    NetworkResult,
    Scores,
    SeedResult,
    Standing,
)
from par.search.baselines import DERIVED, INTERLEAVED
from par.search.latency_table import CASES

OVERFLOWS = 700.0  # nats: e^709.8 is the largest float
SCORED = ("valid", "test")  # the splits that every run is scored on
# the PAR paper's claim: so much less latency than the interleaved network, perplexity at most so
# much above
GOAL_SAVING, GOAL_RISE = 0.35, 0.01


@dataclasses.dataclass(frozen=True)
class Network:
    """One string of the comparison under all its names, and what is known of it so far."""

    names: tuple[str, ...]
    blocks: str
    random: bool
    cost: float  # predicted: milliseconds, or parameters of the blocks
    more: float  # cost over the derived network's, less 1
    runs: dict[int, Scores]  # by seed
    measured: (
        dict[str, list[float]] | None
        # milliseconds by round, for each of par.search.latency_table.CASES; round i of all networks
        # is the same minute
    )

    @property
    def label(self) -> str:
        """The first name, and the blocks where they are not the name."""
        return self.names[0] if self.names[0] == self.blocks else f"{self.names[0]} {self.blocks}"

    def over_seeds(self, figure: str) -> Interval | None:
        """Mean and interval of a figure over the seeds, None before the first."""
        values = [getattr(scores, figure) for scores in self.runs.values()]
        return interval(values) if values else None


def scores_path(run_dir: Path) -> Path:
    """Where the scores of a run of a comparison are."""
    return Path(run_dir) / "scores.json"


def read_scores(run_dir: Path, split: str) -> Scores | None:
    """The scores of a run of a comparison on a split; None before it is scored. Raises: DataError
    if scores.json is damaged."""
    path = scores_path(run_dir)
    if not path.is_file():
        return None
    scores = scores_from_json(schema.read_json(path, "scores"), split, path)
    return dataclasses.replace(scores, run=str(run_dir))


def scores_from_json(value: Any, split: str, path: Path) -> Scores:
    """The scores on a split from the content of scores.json. Raises: DataError, naming `path`, if
    it is damaged."""
    try:
        split_scores = value[split]
        nll = split_scores["nll_per_token"] * split_scores["tokens"] / split_scores["words"]
        scores = Scores(
            parameters=value["parameters"],
            seconds=value["seconds"],
            bits_per_byte=split_scores["bits_per_byte"],
            nll_per_word=nll,
        )
        figures = (scores.parameters, scores.seconds, scores.bits_per_byte, scores.nll_per_word)
        ok = all(type(figure) in (int, float) and 0 <= figure < math.inf for figure in figures)
    except (LookupError, TypeError, ArithmeticError):
        ok = False
    if not ok:
        raise DataError(
            f"scores {path} are not those of a comparison: remove the file, and the run is scored"
            " again"
        )
    return scores


def rise(nll: float) -> float:
    """e^nll - 1: by what share a perplexity is higher whose nll is higher by so much; infinity
    where that overflows."""
    return math.expm1(nll) if nll < OVERFLOWS else math.inf


def change(network: Network, base: Network) -> Interval | None:
    """Share by which the perplexity per word of a network lies above another's, paired by seed;
    None if they share no seed."""
    seeds = sorted(set(network.runs) & set(base.runs))
    gaps = [network.runs[s].nll_per_word - base.runs[s].nll_per_word for s in seeds]
    return interval(gaps).map(rise) if gaps else None


def saving(network: Network, base: Network, what: str = "inference") -> Interval | None:
    """Share of time by which a network is faster than another: the median of the rounds'
    quotients, and their quartiles."""
    if not (network.measured and base.measured):
        return None
    saved = 1 - np.array(network.measured[what]) / np.array(base.measured[what])
    return Interval(*quartiles(saved))


def complete(derived: Network, drawn: Sequence[Network]) -> tuple[list[int], list[Network]]:
    """Seeds and random networks such that each of these, and the derived one, has a run of each of
    the seeds.

    While a comparison is trained, its last seed has only some of the networks. Means over the
    networks of every seed would be means over different networks: that seed waits until it is
    whole. Before the first one is whole, the networks that have it count.
    """
    started = [network for network in drawn if set(network.runs) & set(derived.runs)]
    if not started:
        return [], []
    counts = {
        seed: sum(seed in network.runs for network in started) for seed in sorted(derived.runs)
    }
    most = max(counts.values())
    first = next(seed for seed, count in counts.items() if count == most)
    networks = [network for network in started if first in network.runs]
    seeds = [seed for seed in counts if all(seed in network.runs for network in networks)]
    return seeds, networks


def standing(derived: Network, drawn: Sequence[Network]) -> Standing | None:
    """The rank of the derived network among random strings, by the perplexities of the seeds that
    all of them have; None without any."""
    seeds, drawn = complete(derived, drawn)
    if not drawn:
        return None
    gaps = [
        [network.runs[seed].nll_per_word - derived.runs[seed].nll_per_word for seed in seeds]
        for network in drawn
    ]
    as_good = sum(interval(of_network).mean <= 0 for of_network in gaps)
    means = [
        fmean(network.runs[seed].nll_per_word for network in drawn)
        - derived.runs[seed].nll_per_word
        for seed in seeds
    ]
    return Standing(
        better_than=len(drawn) - as_good,
        of=len(drawn),
        without_attention=sum("a" not in network.blocks for network in drawn),
        chance=(1 + as_good) / (1 + len(drawn)),
        change=interval(means).map(rise),
    )


def fair_opponents(networks: Sequence[Network], tolerance: float) -> list[Network]:
    """The networks that cost at most a share `tolerance` more than the derived one, which comes
    first in `networks` and is left out."""
    return [network for network in networks[1:] if network.more <= tolerance]


class Verdict(NamedTuple):
    """outcome: won, uncertain, lost, or open (nothing to compare with yet)."""

    outcome: str
    sentence: str


def verdict(
    networks: Sequence[Network], what: str, tolerance: float, equal: bool = True
) -> Verdict:
    """Whether the search won over the networks of equal or smaller cost: those that cost at most a
    share `tolerance` more than the derived one.

    It lost if the derived network is known without a search, if a named network is better, or if
    it is better than at most half of the random
    strings. It won if it is better than every named network and than the mean of the random
    strings, and no interval reaches 0.
    what: `latency` or `parameters`. equal: whether the random strings were drawn at equal cost.
    """
    derived = networks[0]
    if not derived.runs:
        return Verdict("open", "The derived network is not trained yet: there is no verdict.")
    if known := [name for name in derived.names if name not in (DERIVED, derived.blocks)]:
        return Verdict(
            "lost",
            f"The search did not win: it derived {derived.blocks}, which is known without a search"
            f" as {known[0]}.",
        )
    fair = fair_opponents(networks, tolerance)
    named = sorted(
        (
            (network, gap)
            for network in fair
            if not network.random and (gap := change(network, derived))
        ),
        key=lambda pair: pair[1].mean,
    )
    rank = standing(derived, [network for network in fair if network.random])
    if not named and not rank:
        return Verdict(
            "open",
            f"No other network of equal or smaller {what} has been trained: there is no verdict.",
        )
    among = (
        f"better than {rank.better_than} of {rank.of} random networks of equal"
        f" {'' if equal else 'or smaller '}{what}"
        if rank
        else ""
    )
    among += "" if named else f" (no named network is of equal or smaller {what})"
    if named and named[0][1].mean < 0:
        best, gap = named[0]
        better = (
            f"{best.label} is {share(-gap.mean)} better {_at(best.more, what)}"
            f" ({_range(Interval(*(None if v is None else -v for v in gap)))})"
        )
        chance = (
            ", which so few seeds do not tell from chance"
            if gap.high is None or gap.high >= 0
            else ""
        )
        return Verdict(
            "lost",
            "The search did not win:"
            f" {better}{chance}{f'; the derived network is {among}' if among else ''}.",
        )
    if rank and 2 * rank.better_than <= rank.of:
        return Verdict(
            "lost",
            f"The search did not win: the derived network {derived.blocks} is only {among}.",
        )
    gaps = [(network.label, gap) for network, gap in named] + (
        [("the mean of the random networks", rank.change)] if rank else []
    )
    if doubt := next(((name, gap) for name, gap in gaps if gap.low is None or gap.low <= 0), None):
        name, gap = doubt
        tail = f"; the derived network is {among}" if among else ""
        return Verdict(
            "uncertain",
            f"The search did not win for certain: {name} has only {share(gap.mean)} more"
            f" perplexity ({_range(gap)}){tail}.",
        )
    name, gap = gaps[0]
    better = ([f"better than every named network of equal or smaller {what}"] if named else []) + (
        [among] if among else []
    )
    nearest = f"{name} has {share(gap.mean)} more perplexity ({_range(gap)})"
    return Verdict(
        "won",
        f"The search won: the derived network {derived.blocks} is {' and '.join(better)};"
        f" {nearest}.",
    )


def goal(gap: Interval | None, saved: Interval | None) -> Goal:
    """Whether the derived network reaches the goal: GOAL_SAVING less latency than the interleaved
    one, mean perplexity at most GOAL_RISE above.

    gap: the share by which the derived network's perplexity lies above the interleaved one's.
    """
    asked = (
        f"at least {share(GOAL_SAVING, 0)} less latency than the interleaved network, its mean"
        f" perplexity at most {share(GOAL_RISE, 0)} above"
    )
    if gap is None or saved is None:
        return Goal(asked, None, None, f"goal ({asked}): not known yet")
    met = saved.mean >= GOAL_SAVING and gap.mean <= GOAL_RISE
    certain = met and saved.low >= GOAL_SAVING and gap.high is not None and gap.high <= GOAL_RISE
    outcome = "not met"
    if met:
        outcome = "met" if certain else "met by the means, not for certain"
    found = (
        f"{less(saved.mean, 'latency')}, perplexity {share(gap.mean, sign='+')}"
        f" ({_range(gap, '+')})"
    )
    return Goal(asked, met, certain, f"goal ({asked}): {outcome}, {found}")


def report(networks: Sequence[Network], what: str, tolerance: float, equal: bool) -> Findings:
    """The statistics of a comparison. networks: the derived one first. what, tolerance, equal: as
    in `verdict`."""
    derived = networks[0]
    interleaved = next((network for network in networks if INTERLEAVED in network.names), derived)
    gap, saved = change(derived, interleaved), saving(derived, interleaved)
    drawn = [network for network in fair_opponents(networks, tolerance) if network.random]
    outcome, sentence = verdict(networks, what, tolerance, equal)
    return Findings(
        networks=tuple(_result(network, derived) for network in networks),
        random=standing(derived, drawn),
        interleaved=Interleaved(gap, {name: saving(derived, interleaved, name) for name in CASES}),
        goal=goal(gap, saved),
        outcome=outcome,
        verdict=sentence,
        seconds=sum(scores.seconds for network in networks for scores in network.runs.values()),
    )


def _result(network: Network, derived: Network) -> NetworkResult:
    runs = tuple(
        SeedResult.from_scores(seed, scores) for seed, scores in sorted(network.runs.items())
    )
    nll, latency = network.over_seeds("nll_per_word"), None
    if network.measured:
        latency = {name: _milliseconds(network.measured[name]) for name in CASES}
    return NetworkResult(
        names=network.names,
        blocks=network.blocks,
        random=network.random,
        cost=network.cost,
        cost_above_derived=network.more if math.isfinite(network.more) else None,
        parameters=runs[0].parameters if runs else None,
        latency=latency,
        perplexity_per_word=nll and nll.map(metrics.perplexity),
        bits_per_byte=network.over_seeds("bits_per_byte"),
        change=change(network, derived),
        seconds=sum(run.seconds for run in runs),
        runs=runs,
    )


def _milliseconds(rounds: Sequence[float]) -> Milliseconds:
    found = quartiles(rounds)
    return Milliseconds(found.median, found.low, found.high)


def share(value: float, digits: int = 1, sign: str = "") -> str:
    """0.014 as `1.4 %`; sign `+` shows the plus, too."""
    return f"{100 * value:{sign}.{digits}f} %"


def _range(gap: Interval, sign: str = "") -> str:
    low, high = sorted((gap.low, gap.high)) if gap.low is not None else (None, None)
    return (
        "one seed, no interval"
        if low is None
        else f"95 % interval {share(low, sign=sign)} to {share(high, sign=sign)}"
    )


def less(saved: float, what: str) -> str:
    """`12.3 % less latency`, or more."""
    return f"{share(abs(saved))} {'less' if saved >= 0 else 'more'} {what}"


def _at(more: float, what: str) -> str:
    """`at 8 % more latency`."""
    return (
        f"at equal {what}"
        if abs(more) < 0.005
        else f"at {share(abs(more), 0)} {'more' if more > 0 else 'less'} {what}"
    )
