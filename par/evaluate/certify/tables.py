"""A certificate as lines for people, as CSV, and as the points of a picture."""

from __future__ import annotations

import csv
import io
import math

from par.core.metrics import Figure
from par.core.stats import Interval
from par.core.text import table
from par.evaluate.certify.results import CHOSEN, UNTRAINED, Candidate, Certificate
from par.evaluate.compare.tables import Point, clock, spread

SHOWN = 24  # networks in the table for people; the files have all
LONGEST = 16  # blocks of a network that the picture names by them
NOTE = (
    "valid, {}: mean and 95 % interval by all that was trained, paired by seed; P: probability of"
    " being better than the chosen one"
)


def lines(found: Certificate, figure: Figure) -> list[str]:
    """A report for people: a row a network, the claim, and the scores on test. figure: that
    decides."""
    left = len(found.candidates) - SHOWN
    return [
        *table(rows(found, figure), left=2),
        *([f"... and {left:,} more"] if left > 0 else []),
        NOTE.format(figure.label),
        "",
        found.sentence,
        *(
            f"test: {each.network}: {figure.label} {spread(each.score, figure.few_digits)},"
            f" {len(each.seeds)} seed{'s' if len(each.seeds) > 1 else ''}"
            for each in found.test
        ),
        f"{found.trainings:g} of at most {found.num_trainings} trainings,"
        f" {clock(found.seconds)} of training",
    ]


def rows(found: Certificate, figure: Figure) -> list[tuple[str, ...]]:
    """The heads, and the cells of the first SHOWN networks."""
    heads = ("network", "", "ms by table", "log p", "early loss", "seeds", "valid", "P")
    return [heads, *(_row(each, figure) for each in found.candidates[:SHOWN])]


def _row(entry: Candidate, figure: Figure) -> tuple[str, ...]:
    return (
        entry.network,
        entry.state,
        _cell(entry.milliseconds, 2),
        _cell(entry.log_probability, 2),
        _cell(entry.early_loss, 3),
        str(len(entry.seeds)),
        spread(entry.score, figure.few_digits) if entry.state != UNTRAINED else "-",
        "" if entry.state == CHOSEN else _cell(entry.probability_better, 2),
    )


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def csv_text(found: Certificate) -> str:
    """The networks as CSV, a line each; empty where nothing is known."""
    made = []
    for entry in found.candidates:
        score = entry.score
        values = score.to_json() if score else dict.fromkeys(Interval._fields)
        row = {
            name: getattr(entry, name)
            for name in ("network", "state", "milliseconds", "log_probability", "early_loss")
        }
        row |= {f"{found.figure}_{key}": value for key, value in values.items()}
        row |= {"probability_better": entry.probability_better, "seeds": len(entry.seeds)}
        made.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(made[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(made)
    return text.getvalue()


def points(found: Certificate) -> tuple[list[Point], str]:
    """The networks that were trained to the end, and the label of x: latency, or without a table
    the number of blocks."""
    by_latency = found.candidates[0].milliseconds is not None
    made = []
    for entry in found.candidates:
        score = entry.score
        if entry.state == UNTRAINED or not score or not math.isfinite(score.mean):
            continue
        x = entry.milliseconds if by_latency else float(len(entry.network.replace("i", "")))
        name = entry.network if len(entry.network) <= LONGEST else f"{len(entry.network)} blocks"
        made.append(Point(name, entry.state, (x, None, None), tuple(score.to_json().values())))
    label = f"milliseconds of {found.latency_of.replace('_', ' ')}, by the table"
    return made, label if by_latency else "blocks"
