"""What a comparison found (`par.evaluate.compare.statistics.report`), as lines for people, as CSV,
and as the points of a picture."""

from __future__ import annotations

import csv
import io
import math
from typing import Any, NamedTuple

from par.core.stats import Interval
from par.core.text import table
from par.evaluate.compare.statistics import less, share
from par.search.baselines import DERIVED
from par.search.latency_table import CASES

NOTE = (
    "mean and 95 % interval over the seeds; against derived: perplexity per word, paired by seed;"
    " ms: medians; time: of training, all seeds"
)
LONGEST = 16  # blocks of a random network that the picture names by them


def lines(found: dict[str, Any], what: str) -> list[str]:
    """A report for people: a row a network, where the derived one stands, what it saves, whether
    the goal is met, and the verdict."""
    return [
        *table(rows(found, what), left=2),
        NOTE,
        "",
        *sentences(found),
        f"verdict: {found['verdict']}",
    ]


def rows(found: dict[str, Any], what: str) -> list[tuple[str, ...]]:
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
        *(_row(entry, what) for entry in found["networks"]),
    ]


def sentences(found: dict[str, Any]) -> list[str]:
    """Where the derived network stands among the random ones, what it saves, and whether the goal
    is met."""
    text = []
    if rank := found["random"]:
        none = (
            f"; {rank['without_attention']} of them without attention"
            if rank["without_attention"]
            else ""
        )
        place = f"the derived network is better than {rank['better_than']} of {rank['of']}"
        chance = (
            f"a rank that one more random string would reach with probability {rank['chance']:.2f}"
        )
        text.append(
            f"random strings: perplexity of their mean {changed(rank['change'])}; {place},"
            f" {chance}{none}"
        )
    beside, saved = found["interleaved"]["change"], found["interleaved"]["saving"]
    if beside:
        time = "".join(
            f"{less(saved[name]['mean'], name.replace('_', ' '))}, "
            for name in CASES
            if saved[name]
        )
        text.append(
            f"the derived network beside the interleaved one: {time}perplexity {changed(beside)}"
        )
    return [*text, found["goal"]["sentence"]]


def _row(entry: dict[str, Any], what: str) -> tuple[str, ...]:
    """The cells of a network."""
    parameters, cost = entry["parameters"], entry["cost"]
    latency = [
        f"{entry['latency'][name]['milliseconds']:.2f}" if entry["latency"] else "-"
        for name in CASES
    ]
    perplexity, bits = (
        spread(entry[name], digits)
        for name, digits in (("perplexity_per_word", 1), ("bits_per_byte", 4))
    )
    against = (
        "" if DERIVED in entry["names"] else changed(entry["change"]) if entry["change"] else "-"
    )
    shown = f"{cost:.2f}" if what == "latency" else f"{cost:,.0f}"
    return (
        " = ".join(entry["names"]),
        entry["blocks"],
        f"{parameters:,}" if parameters else "-",
        shown,
        *latency,
        perplexity,
        bits,
        against,
        clock(entry["seconds"]),
    )


def csv_text(found: dict[str, Any]) -> str:
    """The networks of a report as CSV, a line each; empty where nothing is known."""
    rows = []
    for entry in found["networks"]:
        row = {"names": "; ".join(entry["names"])} | {
            name: entry[name]
            for name in ("blocks", "cost", "cost_above_derived", "parameters", "seconds")
        }
        row |= {
            f"{name}_{key}": (entry["latency"] or {}).get(name, {}).get(key)
            for name in CASES
            for key in ("milliseconds", "low", "high")
        }
        row |= {
            f"{name}_{key}": (entry[name] or {}).get(key)
            for name in ("perplexity_per_word", "bits_per_byte", "change")
            for key in Interval._fields
        }
        rows.append(row | {"seeds": len(entry["runs"])})
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


def points(found: dict[str, Any]) -> tuple[list[Point], str]:
    """The networks that are trained and whose perplexity does not overflow, and what x is: latency
    where it was measured, else parameters."""
    shown = [
        entry
        for entry in found["networks"]
        if entry["perplexity_per_word"] and entry["perplexity_per_word"]["mean"] is not None
    ]
    measured = all(entry["latency"] for entry in shown)
    made = []
    for entry in shown:
        kind = "derived" if DERIVED in entry["names"] else "random" if entry["random"] else "named"
        x = (
            tuple(entry["latency"][CASES[0]].values())
            if measured
            else (entry["parameters"], None, None)
        )
        name = (
            entry["blocks"]
            if entry["random"] and len(entry["blocks"]) <= LONGEST
            else " = ".join(entry["names"])
        )
        made.append(Point(name, kind, x, tuple(entry["perplexity_per_word"].values())))
    return made, (
        "milliseconds of inference, a window: median and quartiles" if measured else "parameters"
    )


def clock(seconds: float) -> str:
    """3723.9 as `1:02:03`: whole seconds, as the table of a run's evaluations has them
    (par.train.history)."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def changed(gap: dict[str, float | None]) -> str:
    """`+1.4 % (+0.3 % to +2.5 %)`."""
    mean, low, high = gap.values()
    within = (
        ""
        if low is None or high is None
        else f" ({share(low, sign='+')} to {share(high, sign='+')})"
    )
    return f"{share(math.inf if mean is None else mean, sign='+')}{within}"


def spread(gap: dict[str, float | None] | None, digits: int) -> str:
    """`777.0 (770.1 to 784.0)`."""
    if gap is None:
        return "-"
    mean, low, high = (math.inf if value is None else value for value in gap.values())
    return f"{mean:.{digits}f}" + (
        "" if gap["low"] is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    )
