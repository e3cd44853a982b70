"""The section of a report with the learning curves, and the table of the scores."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

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
        heads, *rows = history.evaluations(run.rows, run.contract)
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
    nll, tracked = (run.contract.figure(name) for name in ("nll_per_token", run.contract.tracked))
    alt = (
        f"{nll.label}: {'; '.join(losses)}. Learning rate from {_course(train, 'learning_rate')}."
    )
    if "s" in run.blocks:
        alt += f" tau from {_course(train, 'tau')}."
    right = f", with {tracked.brief} on the right" if tracked.is_perplexity else ""
    caption = f"Loss per token{right}; below it what the schedules did."
    levels = {name: figures["nll_per_token"] for name, figures in _baselines(artefacts).items()}
    alt += "".join(f" The {name} has {level:.4g} nats." for name, level in levels.items())
    return parts.png(alt, caption, line_plots.curves, run, levels)


def _baselines(artefacts: Artefacts) -> dict[str, dict[str, float]]:
    """The figures on the valid split of the models that the network must beat, by name."""
    return {
        model.name: model.figures(artefacts.manifest, "valid") for model in artefacts.baselines
    }


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


def scores_table(artefacts: Artefacts) -> Table | None:
    """The last evaluation on the valid split, the best one if it is another, and the scores of the
    models that the network must beat; None before the first evaluation."""
    valid = _valid_rows(artefacts.run)
    if not valid:
        return None
    last = valid[-1]
    contract = artefacts.run.contract
    best = min(
        (row for row in valid if row["evaluate_as"] != "argmax"),
        key=lambda row: contract.headline.loss(row[contract.headline.name]),
        default=last,
    )
    named = [("last", row) for row in valid if row["step"] == last["step"]]
    if best["step"] < last["step"]:
        named.append(("best", best))
    rows = [(_named(name, row), f"{row['step']:,}", row) for name, row in named]
    rows += [(name, "", figures) for name, figures in _baselines(artefacts).items()]
    return Table(
        "Scores",
        ("valid split", "step", *(figure.label for figure in contract.shown)),
        [
            (name, step, *(figure.text(row[figure.name]) for figure in contract.shown))
            for name, step, row in rows
        ],
    )


def doubts(artefacts: Artefacts) -> list[str]:
    """A sentence for each model without a network that beats the network's best evaluation."""
    contract = artefacts.config.contract
    figure = contract.comparison[0]
    rows = [row for row in _valid_rows(artefacts.run) if row["evaluate_as"] != "argmax"]
    values = [math.inf if row[figure.name] is None else row[figure.name] for row in rows]
    if not values:
        return []
    what = "This search" if artefacts.config.architecture.is_search else "This network"
    best = min(values, key=figure.loss)
    own = _baselines(artefacts)
    found = [
        model.warning(what, figure, [("valid", best, own[model.name][figure.name])])
        for model in artefacts.baselines
    ]
    best_row = rows[values.index(best)]
    return [line for line in found if line] + contract.warnings(what, "valid", best_row)


def _named(name: str, row: dict[str, Any]) -> str:
    way = row["evaluate_as"]
    return name if way == "fixed" else f"{name}, {way}"
