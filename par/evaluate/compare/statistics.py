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
    runs: dict[int, dict[str, Any]]  # by seed: what `read_scores` returns
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
        return interval([run[figure] for run in self.runs.values()]) if self.runs else None


def scores_path(run_dir: Path) -> Path:
    """Where the scores of a run of a comparison are."""
    return Path(run_dir) / "scores.json"


def read_scores(run_dir: Path, split: str) -> dict[str, Any] | None:
    """What is compared of a run: nll per word in nats and bits per byte on a split, parameters,
    training seconds; None before it is scored.

    Raises: DataError if scores.json is damaged.
    """
    path = scores_path(run_dir)
    return figures_of(schema.read_json(path, "scores"), split, path) if path.is_file() else None


def figures_of(value: Any, split: str, path: Path) -> dict[str, Any]:
    """What `read_scores` returns, from the content of scores.json. Raises: DataError, naming
    `path`, if it is damaged."""
    try:
        scores = value[split]
        figures = {name: value[name] for name in ("parameters", "seconds")} | {
            "bits_per_byte": scores["bits_per_byte"]
        }
        figures["nll_per_word"] = scores["nll_per_token"] * scores["tokens"] / scores["words"]
        ok = all(
            type(figure) in (int, float) and 0 <= figure < math.inf for figure in figures.values()
        )
    except (LookupError, TypeError, ArithmeticError):
        ok = False
    if not ok:
        raise DataError(
            f"scores {path} are not those of a comparison: remove the file, and the run is scored"
            " again"
        )
    return figures


def rise(nll: float) -> float:
    """e^nll - 1: by what share a perplexity is higher whose nll is higher by so much; infinity
    where that overflows."""
    return math.expm1(nll) if nll < OVERFLOWS else math.inf


def change(network: Network, base: Network) -> Interval | None:
    """By what share the perplexity per word of a network lies above another's, paired by seed;
    None if they share no seed."""
    seeds = sorted(set(network.runs) & set(base.runs))
    return (
        interval(
            [network.runs[s]["nll_per_word"] - base.runs[s]["nll_per_word"] for s in seeds]
        ).map(rise)
        if seeds
        else None
    )


def saving(network: Network, base: Network, what: str = "inference") -> dict[str, float] | None:
    """By what share a network takes less time than another: the median of the rounds' quotients,
    and their quartiles."""
    if not (network.measured and base.measured):
        return None
    saved = quartiles(1 - np.array(network.measured[what]) / np.array(base.measured[what]))
    return {"mean": saved.median, "low": saved.low, "high": saved.high}


def standing(derived: Network, drawn: Sequence[Network]) -> dict[str, Any] | None:
    """Where the derived network ranks among random strings, by mean perplexity of the seeds in
    common; None without any.

    chance: if the derived network were one more random string, how probable a rank as good as this
    would be, (1 + as good) / (1 + all).
    change: by what share the perplexity of the random strings' mean (of the nll) lies above the
    derived network's, paired by seed.
    """
    drawn = [network for network in drawn if change(network, derived)]
    if not drawn:
        return None
    as_good = sum(change(network, derived).mean <= 0 for network in drawn)
    by_seed = {
        seed: [network.runs[seed]["nll_per_word"] for network in drawn if seed in network.runs]
        for seed in sorted(derived.runs)
    }
    mean = interval(
        [fmean(nll) - derived.runs[seed]["nll_per_word"] for seed, nll in by_seed.items() if nll]
    ).map(rise)
    facts = {
        "better_than": len(drawn) - as_good,
        "of": len(drawn),
        "without_attention": sum("a" not in network.blocks for network in drawn),
    }
    return facts | {"chance": (1 + as_good) / (1 + len(drawn)), "change": mean}


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
        f"better than {rank['better_than']} of {rank['of']} random networks of equal"
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
    if rank and 2 * rank["better_than"] <= rank["of"]:
        return Verdict(
            "lost",
            f"The search did not win: the derived network {derived.blocks} is only {among}.",
        )
    gaps = [(network.label, gap) for network, gap in named] + (
        [("the mean of the random networks", rank["change"])] if rank else []
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


def goal(gap: Interval | None, saved: dict[str, float] | None) -> dict[str, Any]:
    """Whether the derived network keeps the promise: GOAL_SAVING less latency than the interleaved
    one, mean perplexity at most GOAL_RISE above.

    gap: the share by which the derived network's perplexity lies above the interleaved one's.
    certain: whether the intervals say so, too.
    """
    asked = (
        f"at least {share(GOAL_SAVING, 0)} less latency than the interleaved network, its mean"
        f" perplexity at most {share(GOAL_RISE, 0)} above"
    )
    if gap is None or saved is None:
        return {
            "asked": asked,
            "met": None,
            "certain": None,
            "sentence": f"goal ({asked}): not known yet",
        }
    met = saved["mean"] >= GOAL_SAVING and gap.mean <= GOAL_RISE
    certain = (
        met and saved["low"] >= GOAL_SAVING and gap.high is not None and gap.high <= GOAL_RISE
    )
    found = (
        f"{less(saved['mean'], 'latency')}, perplexity {share(gap.mean, sign='+')}"
        f" ({_range(gap, '+')})"
    )
    return {
        "asked": asked,
        "met": met,
        "certain": certain,
        "sentence": (
            f"goal ({asked}):"
            f" {'met' if certain else 'met by the means, not for certain' if met else 'not met'},"
            f" {found}"
        ),
    }


def report(
    networks: Sequence[Network], what: str, tolerance: float, equal: bool
) -> dict[str, Any]:
    """All that is found, as JSON values. networks: the derived one first. what, tolerance, equal:
    as in `verdict`."""
    derived = networks[0]
    interleaved = next((network for network in networks if INTERLEAVED in network.names), derived)
    gap, saved = change(derived, interleaved), saving(derived, interleaved)
    rank = standing(
        derived, [network for network in fair_opponents(networks, tolerance) if network.random]
    )
    outcome, sentence = verdict(networks, what, tolerance, equal)
    return {
        "networks": [_entry(network, derived) for network in networks],
        "random": rank and rank | {"change": rank["change"].to_json()},
        "interleaved": {
            "change": gap and gap.to_json(),
            "saving": {name: saving(derived, interleaved, name) for name in CASES},
        },
        "goal": goal(gap, saved),
        "outcome": outcome,
        "verdict": sentence,
        "seconds": sum(run["seconds"] for network in networks for run in network.runs.values()),
    }


def _entry(network: Network, derived: Network) -> dict[str, Any]:
    nll, bits, gap = (
        network.over_seeds("nll_per_word"),
        network.over_seeds("bits_per_byte"),
        change(network, derived),
    )
    runs = [
        {"seed": seed}
        | metrics.finite({"perplexity_per_word": metrics.perplexity(run["nll_per_word"])})
        | run
        for seed, run in sorted(network.runs.items())
    ]
    return {
        "names": list(network.names),
        "blocks": network.blocks,
        "random": network.random,
        "cost": network.cost,
        "cost_above_derived": metrics.finite({"more": network.more})["more"],
        "parameters": next((run["parameters"] for run in runs), None),
        "latency": (
            network.measured and {name: _milliseconds(network.measured[name]) for name in CASES}
        ),
        "perplexity_per_word": nll and nll.map(metrics.perplexity).to_json(),
        "bits_per_byte": bits and bits.to_json(),
        "change": gap and gap.to_json(),
        "seconds": sum(run["seconds"] for run in runs),
        "runs": runs,
    }


def _milliseconds(rounds: Sequence[float]) -> dict[str, float]:
    found = quartiles(rounds)
    return {"milliseconds": found.median, "low": found.low, "high": found.high}


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
