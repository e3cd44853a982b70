"""What a comparison found (`par.evaluate.compare.findings`), as lines for people, as CSV,
and as the points of a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

from par.core.metrics import Figure
from par.core.stats import Interval
from par.core.text import table
from par.evaluate.compare.results import Findings, NetworkResult
from par.evaluate.compare.verdict import amount, less, own_direction
from par.search.baselines import DERIVED
from par.search.latency_table import CASES

HEADS = {"inference": "inference ms", "training_step": "step ms", "decoding": "decoding ms"}
LONGEST = 16  # blocks of a random network that the picture names by them


def note(found: Findings) -> str:
    """What the columns of the table are."""
    return (
        f"mean and 95 % interval over the seeds; against derived: {found.figures[0].label}, paired"
        " by seed; ms: medians; time: of training, all seeds"
    )


def lines(found: Findings, what: str) -> list[str]:
    """A report for people: a row a network, where the derived one stands, what it saves, whether
    the goal is met, and the verdict."""
    return [
        *table(rows(found, what), left=2),
        note(found),
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
        *(HEADS[name] for name in found.cases),
        *(figure.label for figure in found.figures),
    )
    return [
        (*heads, "against derived", "time"),
        *(_row(entry, what, found.figures, found.cases) for entry in found.networks),
    ]


def sentences(found: Findings) -> list[str]:
    """Where the derived network stands among the random ones, what it saves, and whether the goal
    is met."""
    figure, text = found.figures[0], []
    if rank := found.random:
        others, drawn = "random networks", "one more random network"
        if rank.is_whole:
            others, drawn = "all others of this cost", "a network drawn from all of them"
        line = (
            f"{others}: {figure.brief} of their mean {changed(figure, rank.change)}; the derived"
            f" network is better than {rank.better_than} of {rank.of}, a rank that {drawn} would"
            f" reach with probability {rank.chance:.2f}"
        )
        if rank.without_attention:
            line += f"; {rank.without_attention} of them without attention"
        text.append(line)
    beside = found.interleaved
    if beside.change:
        time = "".join(
            f"{less(saved.mean, name.replace('_', ' '))}, "
            for name in found.cases
            if (saved := beside.saving[name])
        )
        text.append(
            f"the derived network beside the interleaved one: {time}{figure.brief}"
            f" {changed(figure, beside.change)}"
        )
    return [*text, found.goal.sentence]


def _row(
    entry: NetworkResult, what: str, figures: Sequence[Figure], cases: Sequence[str]
) -> tuple[str, ...]:
    """The cells of a network."""
    against = ""
    if DERIVED not in entry.names:
        against = changed(figures[0], entry.change) if entry.change else "-"
    return (
        " = ".join(entry.names),
        entry.blocks,
        f"{entry.parameters:,}" if entry.parameters else "-",
        f"{entry.cost:.2f}" if what == "latency" else f"{entry.cost:,.0f}",
        *(f"{entry.latency[name].milliseconds:.2f}" if entry.latency else "-" for name in cases),
        *(spread(entry.figures[figure.name], figure.few_digits) for figure in figures),
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
        for name in found.cases:
            for key in ("milliseconds", "low", "high"):
                row[f"{name}_{key}"] = getattr(entry.latency[name], key) if entry.latency else None
        for name, estimate in (*entry.figures.items(), ("change", entry.change)):
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
    """The networks that are trained and whose figure does not overflow, and the label of x:
    latency where it was measured for all of them, else parameters."""
    shown = []
    for entry in found.networks:
        estimate = entry.figures[found.figures[0].name]
        if estimate and math.isfinite(estimate.mean):
            shown.append(entry)
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
        name, y = " = ".join(entry.names), entry.figures[found.figures[0].name]
        if entry.random and len(entry.blocks) <= LONGEST:
            name = entry.blocks
        made.append(Point(name, kind, x, tuple(y.to_json().values())))
    return made, (
        "milliseconds of inference, a window: median and quartiles" if measured else "parameters"
    )


def clock(seconds: float) -> str:
    """3723.9 as `1:02:03`: whole seconds, as the table of a run's evaluations has them
    (par.train.history)."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def changed(figure: Figure, gap: Interval) -> str:
    """How much worse a network is, as the change of its figure: `+1.4 % (+0.3 % to +2.5 %)`."""
    own, within = own_direction(figure, gap), ""
    if own.low is not None and math.isfinite(own.high):
        within = f" ({amount(figure, own.low, sign='+')} to {amount(figure, own.high, sign='+')})"
    return f"{amount(figure, own.mean, sign='+')}{within}"


def spread(estimate: Interval | None, digits: int) -> str:
    """`777.0 (770.1 to 784.0)`."""
    if estimate is None:
        return "-"
    mean, low, high = estimate
    within = "" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{mean:.{digits}f}{within}"
