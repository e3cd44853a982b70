"""What a comparison found (`par.evaluate.compare.findings`), as lines for people, as CSV,
and as the points of a picture."""

from __future__ import annotations

import csv
import io
import math
from typing import NamedTuple

from par.core.stats import Interval
from par.core.text import table
from par.evaluate.compare.results import Findings, NetworkResult
from par.evaluate.compare.verdict import less, percent
from par.search.baselines import DERIVED
from par.search.latency_table import CASES

NOTE = (
    "mean and 95 % interval over the seeds; against derived: perplexity per word, paired by seed;"
    " ms: medians; time: of training, all seeds"
)
LONGEST = 16  # blocks of a random network that the picture names by them


def lines(found: Findings, what: str) -> list[str]:
    """A report for people: a row a network, where the derived one stands, what it saves, whether
    the goal is met, and the verdict."""
    return [
        *table(rows(found, what), left=2),
        NOTE,
        "",
        *sentences(found),
        f"verdict: {found.verdict}",
    ]


def rows(found: Findings, what: str) -> list[tuple[str, ...]]:
    """The heads, and the cells of each network. what: `latency` or `parameters`, the unit of the
    costs."""
    unit = "ms by table" if what == "latency" else "in blocks"
    heads = (
        "network",
        "blocks",
        "parameters",
        unit,
        "inference ms",
        "step ms",
        "decoding ms",
        "perplexity per word",
        "bits per byte",
    )
    return [
        (*heads, "against derived", "time"),
        *(_row(entry, what) for entry in found.networks),
    ]


def sentences(found: Findings) -> list[str]:
    """Where the derived network stands among the random ones, what it saves, and whether the goal
    is met."""
    text = []
    if rank := found.random:
        others, drawn = "random networks", "one more random network"
        if rank.is_whole:
            others, drawn = "all others of this cost", "a network drawn from all of them"
        line = (
            f"{others}: perplexity of their mean {changed(rank.change)}; the derived network is"
            f" better than {rank.better_than} of {rank.of}, a rank that {drawn} would reach with"
            f" probability {rank.chance:.2f}"
        )
        if rank.without_attention:
            line += f"; {rank.without_attention} of them without attention"
        text.append(line)
    beside = found.interleaved
    if beside.change:
        time = "".join(
            f"{less(saved.mean, name.replace('_', ' '))}, "
            for name in CASES
            if (saved := beside.saving[name])
        )
        text.append(
            f"the derived network beside the interleaved one: {time}perplexity"
            f" {changed(beside.change)}"
        )
    return [*text, found.goal.sentence]


def _row(entry: NetworkResult, what: str) -> tuple[str, ...]:
    """The cells of a network."""
    against = ""
    if DERIVED not in entry.names:
        against = changed(entry.change) if entry.change else "-"
    return (
        " = ".join(entry.names),
        entry.blocks,
        f"{entry.parameters:,}" if entry.parameters else "-",
        f"{entry.cost:.2f}" if what == "latency" else f"{entry.cost:,.0f}",
        *(f"{entry.latency[name].milliseconds:.2f}" if entry.latency else "-" for name in CASES),
        spread(entry.perplexity_per_word, 1),
        spread(entry.bits_per_byte, 4),
        against,
        clock(entry.seconds),
    )


def csv_text(found: Findings) -> str:
    """The networks of a report as CSV, a line each; empty where nothing is known."""
    rows = []
    for entry in found.networks:
        row = {"names": "; ".join(entry.names)}
        for name in ("blocks", "cost", "cost_above_derived", "parameters", "seconds"):
            row[name] = getattr(entry, name)
        for name in CASES:
            for key in ("milliseconds", "low", "high"):
                row[f"{name}_{key}"] = getattr(entry.latency[name], key) if entry.latency else None
        for name in ("perplexity_per_word", "bits_per_byte", "change"):
            estimate = getattr(entry, name)
            values = estimate.to_json() if estimate else dict.fromkeys(Interval._fields)
            row |= {f"{name}_{key}": value for key, value in values.items()}
        rows.append(row | {"seeds": len(entry.runs)})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Point(NamedTuple):
    """A network in the picture: its kind (derived, named, random), and on each axis a value and
    between what it lies, None where that is unknown."""

    name: str
    kind: str
    x: tuple[float, float | None, float | None]
    y: tuple[float, float | None, float | None]


def points(found: Findings) -> tuple[list[Point], str]:
    """The networks that are trained and whose perplexity does not overflow, and the label of x:
    latency where it was measured for all of them, else parameters."""
    shown = [
        entry
        for entry in found.networks
        if entry.perplexity_per_word and math.isfinite(entry.perplexity_per_word.mean)
    ]
    measured = all(entry.latency for entry in shown)
    made = []
    for entry in shown:
        kind = "random" if entry.random else "named"
        if DERIVED in entry.names:
            kind = "derived"
        x = (entry.parameters, None, None)
        if measured:
            latency = entry.latency[CASES[0]]
            x = (latency.milliseconds, latency.low, latency.high)
        name = " = ".join(entry.names)
        if entry.random and len(entry.blocks) <= LONGEST:
            name = entry.blocks
        made.append(Point(name, kind, x, tuple(entry.perplexity_per_word.to_json().values())))
    return made, (
        "milliseconds of inference, a window: median and quartiles" if measured else "parameters"
    )


def clock(seconds: float) -> str:
    """3723.9 as `1:02:03`: whole seconds, as the table of a run's evaluations has them
    (par.train.history)."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def changed(gap: Interval) -> str:
    """`+1.4 % (+0.3 % to +2.5 %)`."""
    within = ""
    if gap.low is not None and math.isfinite(gap.high):
        within = f" ({percent(gap.low, sign='+')} to {percent(gap.high, sign='+')})"
    return f"{percent(gap.mean, sign='+')}{within}"


def spread(estimate: Interval | None, digits: int) -> str:
    """`777.0 (770.1 to 784.0)`."""
    if estimate is None:
        return "-"
    mean, low, high = estimate
    within = "" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{mean:.{digits}f}{within}"
