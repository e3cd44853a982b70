"""The section of a report with the learning curves, and the table of the scores."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from par.core.text import number
from par.report import line_plots, parts
from par.report.inputs import Artefacts
from par.report.parts import Command, Missing, Picture, Table
from par.search import derive, diagnostics
from par.search.architecture import KINDS
from par.train import history


@dataclasses.dataclass(frozen=True)
class CurvesSection:
    """Losses, rates, tau, entropy and latency over the steps, and the evaluations."""

    missing: Missing | None = None
    pictures: Sequence[Picture] = ()
    evaluations: Table | None = None

    name, title, template = "curves", "Learning curves", "curves.html.j2"


def curves_section(artefacts: Artefacts, command: Command) -> CurvesSection:
    """The course of a run's loss and of its schedules."""
    run = artefacts.run
    if not run.rows["train"]:
        return CurvesSection(missing=no_step_yet(artefacts, command))
    pictures, evaluations = [_curves(artefacts)], None
    if "s" in run.blocks:
        pictures.append(_decision(artefacts))
    if _valid_rows(run):
        heads, *rows = history.evaluations(run.rows)
        evaluations = Table("Evaluations on the valid split", heads, rows)
    return CurvesSection(pictures=pictures, evaluations=evaluations)


def no_step_yet(artefacts: Artefacts, command: Command) -> Missing:
    """The hint in place of the history of a run that has just begun."""
    return Missing(
        "No step is recorded yet, but will be while this runs",
        command("train", flagfile=artefacts.first / "flags.txt"),
    )


def _valid_rows(run: history.Run) -> list[dict[str, Any]]:
    return [row for row in run.rows["valid"] if row["split"] == "valid"]


def _curves(artefacts: Artefacts) -> Picture:
    run = artefacts.run
    train = run.rows["train"]
    losses = [f"train from {_course(train, 'nll_per_token')}"]
    valid = sorted(_valid_rows(run), key=lambda row: row["evaluate_as"])
    for way, rows in itertools.groupby(valid, key=lambda row: row["evaluate_as"]):
        name = "valid" if way == "fixed" else f"valid as {way}"
        losses.append(f"{name} from {_course(list(rows), 'nll_per_token')}")
    alt = (
        f"nll per token: {'; '.join(losses)}. Learning rate from"
        f" {_course(train, 'learning_rate')}."
    )
    if "s" in run.blocks:
        alt += f" tau from {_course(train, 'tau')}."
    caption = "Loss per token, with perplexity on the right; below it what the schedules did."
    baseline = _baseline(artefacts)
    if baseline:
        alt += f" The {baseline[0]} has {baseline[1]['nll_per_token']:.4g} nats."
    level = baseline and (baseline[0], baseline[1]["nll_per_token"])
    return parts.png(alt, caption, line_plots.curves, run, level)


def _baseline(artefacts: Artefacts) -> tuple[str, dict[str, float]] | None:
    """The name of the n-gram model of the run's data and its figures on the valid split."""
    if not artefacts.baseline:
        return None
    return artefacts.baseline.name, artefacts.baseline.figures(artefacts.manifest, "valid")


def _course(rows: Sequence[dict[str, Any]], key: str) -> str:
    first, last = rows[0], rows[-1]
    return (
        f"{first[key]:.4g} at step {first['step']:,} to {last[key]:.4g} at step {last['step']:,}"
    )


def _decision(artefacts: Artefacts) -> Picture:
    run, latencies = artefacts.run, artefacts.latencies
    ends = run.pi()[[0, -1]]
    first, last = (diagnostics.figures(state, run.blocks)["entropy/mean"] for state in ends)
    alt = (
        f"Mean entropy of pi from {first:.3f} to {last:.3f} nats,"
        f" of at most {math.log(len(KINDS)):.3f}."
    )
    caption = (
        "How undecided the search was: 0 is decided, the dotted line is no preference at all."
    )
    if latencies:
        start, end = (latencies.costs.outlook(state, derive.argmax(state)) for state in ends)
        alt += (
            f" Expected latency from {start['expected_ms']:.3f} to {end['expected_ms']:.3f} ms, of"
            f" the likeliest blocks {end['argmax_ms']:.3f} ms."
        )
        caption += f" Below it the latency ({latencies.case_name}) by {latencies.source}."
    costs = latencies.costs if latencies else None
    return parts.png(alt, caption, line_plots.decision, run, costs)


# heads of the table of scores, their keys in a row of the history, and their decimal places
SCORES = (
    ("nll per token", "nll_per_token", 4),
    ("perplexity per token", "perplexity_per_token", 2),
    ("perplexity per word", "perplexity_per_word", 2),
    ("bits per character", "bits_per_character", 4),
    ("bits per byte", "bits_per_byte", 4),
)


def scores_table(artefacts: Artefacts) -> Table | None:
    """The last evaluation on the valid split, the best one if it is another, and the scores of the
    n-gram model of the data; None before the first evaluation."""
    valid = _valid_rows(artefacts.run)
    if not valid:
        return None
    last = valid[-1]
    best = min(
        (row for row in valid if row["evaluate_as"] != "argmax"),
        key=lambda row: row["nll_per_token"],
        default=last,
    )
    named = [("last", row) for row in valid if row["step"] == last["step"]]
    if best["step"] < last["step"]:
        named.append(("best", best))
    rows = [_scores_row(_named(name, row), f"{row['step']:,}", row) for name, row in named]
    if baseline := _baseline(artefacts):
        rows.append(_scores_row(baseline[0], "", baseline[1]))
    return Table("Scores", ("valid split", "step", *(head for head, _, _ in SCORES)), rows)


def doubts(artefacts: Artefacts) -> list[str]:
    """A sentence if the n-gram model of the data beats the network's best evaluation."""
    perplexities = [
        row["perplexity_per_word"] or math.inf
        for row in _valid_rows(artefacts.run)
        if row["evaluate_as"] != "argmax"
    ]
    baseline = _baseline(artefacts)
    if not (perplexities and baseline):
        return []
    what = "This search" if artefacts.config.architecture.is_search else "This network"
    scores = [("valid", min(perplexities), baseline[1]["perplexity_per_word"])]
    line = artefacts.baseline.warning(what, scores)
    return [line] if line else []


def _named(name: str, row: dict[str, Any]) -> str:
    way = row["evaluate_as"]
    return name if way == "fixed" else f"{name}, {way}"


def _scores_row(name: str, step: str, figures: dict[str, Any]) -> tuple[str, ...]:
    values = ((figures[key], digits) for _, key, digits in SCORES)
    return (
        name,
        step,
        *("-" if value is None else number(value, digits) for value, digits in values),
    )
