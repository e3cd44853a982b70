"""The sections of a report that tell how a search went: pi with a slider over its steps, and the
learning curves with the scores."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from par.report import heat_map, line_plots, parts, pi_plots
from par.report.inputs import Artefacts
from par.report.parts import Command, Missing, Picture, Table
from par.search import derive, diagnostics
from par.search.architecture import KINDS, NAMES
from par.train import history

MAX_PROBABILITIES = 150_000  # of all states of the slider together: about 1.3 MB
# blocks of which the page has a picture over the steps: drawing 64 takes ten seconds
MAX_PANELS = 32
DIGITS = 6  # of a probability in the page


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of the map of pi: the level of its colour, its text, and whether its kind is the
    likeliest of the block. The text is seen in the likeliest cells alone."""

    level: int
    text: str
    is_best: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """A kind of block in the map of pi, with a cell for each block."""

    kind: str
    cells: list[Cell]


@dataclasses.dataclass(frozen=True)
class PiMap:
    """The map of pi in its last state, and all states that the slider shows."""

    state: str
    rows: list[Row]
    ramp: range  # levels of the legend
    states: dict[str, Any]  # for page.js

    @property
    def last(self) -> int:
        """Place of the last state."""
        return len(self.states["steps"]) - 1


@dataclasses.dataclass(frozen=True)
class PiSection:
    """The map of pi with its slider, and pi over the steps; in words why there is none."""

    note: str = ""
    missing: Missing | None = None
    map: PiMap | None = None
    lines: Picture | None = None
    missing_lines: Missing | None = None

    name, title, template = "pi", "How the search went", "pi.html.j2"


def pi_section(artefacts: Artefacts, command: Command) -> PiSection:
    """How pi developed in a run."""
    run, architecture = artefacts.run, artefacts.config.architecture
    if not architecture.is_search:
        note = (
            f"Every block of {architecture.short} is fixed, so there is no distribution to watch."
        )
        if not architecture.search_run:
            return PiSection(note)
        search = artefacts.directory.parent / architecture.search_run
        text = f"{note} The search that it comes from has one"
        return PiSection(missing=Missing(text, command("report", run=search)))
    if not run.rows["train"]:
        return PiSection(missing=nothing_yet(artefacts, command))
    if len(run.blocks) > MAX_PANELS:
        text = f"{len(run.blocks)} panels are a picture of their own, which is written by"
        missing = Missing(text, command("plot_pi", run=artefacts.directory))
        return PiSection(map=pi_map(run), missing_lines=missing)
    caption = "Probability of each kind, a panel a block, and tau below."
    lines = parts.png(_last_state_in_words(run), caption, pi_plots.pi_over_time, run)
    return PiSection(map=pi_map(run), lines=lines)


def nothing_yet(artefacts: Artefacts, command: Command) -> Missing:
    """Stands for the history of a run that has just begun."""
    return Missing(
        "No step is recorded yet, but will be while this runs",
        command("train", flagfile=artefacts.first / "flags.txt"),
    )


def pi_map(run: history.Run) -> PiMap:
    """The map of a run with at least one recorded step."""
    states = slider_states(run)
    step, tau, probabilities = (states[key][-1] for key in ("steps", "tau", "pi"))
    return PiMap(
        f"step {step:,} of {run.last_step:,}, tau {tau:.3f}",
        _rows(run.blocks, np.array(probabilities)),
        range(0, heat_map.LEVELS + 1, heat_map.LEVELS // 8),
        states,
    )


def slider_states(run: history.Run) -> dict[str, Any]:
    """What page.js shows: all recorded states, or evenly spaced ones where they are too many for a
    page."""
    most = max(2, MAX_PROBABILITIES // (len(run.blocks) * len(KINDS)))
    rows = [run.rows["train"][place] for place in pi_plots.thinned(len(run.rows["train"]), most)]
    return {
        "steps": [row["step"] for row in rows],
        "total": run.last_step,
        "tau": [round(row["tau"], DIGITS) for row in rows],
        "pi": np.round([row["pi"] for row in rows], DIGITS).tolist(),
        "stochastic": [kind == "s" for kind in run.blocks],
        "levels": heat_map.LEVELS,
    }


def _rows(blocks: str, probabilities: np.ndarray) -> list[Row]:
    """One state of pi [L, O] as page.js shows it."""
    likeliest = derive.argmax(probabilities)
    return [
        Row(
            NAMES[kind],
            [
                _cell(letter, best == kind, p)
                for letter, best, p in zip(blocks, likeliest, probabilities[:, option].tolist())
            ],
        )
        for option, kind in enumerate(KINDS)
    ]


def _cell(letter: str, is_best: bool, p: float) -> Cell:
    level = math.floor(p * heat_map.LEVELS + 0.5)
    if letter == "s":
        return Cell(level, f"{p:.2f}", is_best)
    return Cell(level, "fixed" if is_best else "", is_best)


def _last_state_in_words(run: history.Run) -> str:
    """The last state, for readers who can't see the picture."""
    last = run.pi()[-1]
    blocks = [
        f"block {number} {NAMES[kind]} " + (f"{max(row):.2f}" if letter == "s" else "(fixed)")
        for number, (letter, kind, row) in enumerate(zip(run.blocks, derive.argmax(last), last), 1)
    ]
    return (
        f"Lines of pi over {run.rows['train'][-1]['step']:,} steps; in the end the likeliest are"
        f" {', '.join(blocks)}."
    )


@dataclasses.dataclass(frozen=True)
class CurvesSection:
    """Losses, rates, tau, entropy and latency over the steps, and the evaluations."""

    missing: Missing | None = None
    pictures: Sequence[Picture] = ()
    evaluations: Table | None = None

    name, title, template = "curves", "Learning curves", "curves.html.j2"


def curves_section(artefacts: Artefacts, command: Command) -> CurvesSection:
    """How the loss of a run developed, and what the schedules did meanwhile."""
    run = artefacts.run
    if not run.rows["train"]:
        return CurvesSection(missing=nothing_yet(artefacts, command))
    pictures, evaluations = [_curves(run)], None
    if "s" in run.blocks:
        pictures.append(_decision(artefacts))
    if _valid_rows(run):
        heads, *rows = history.evaluations(run.rows)
        evaluations = Table("Evaluations on the valid split", heads, rows)
    return CurvesSection(pictures=pictures, evaluations=evaluations)


def _valid_rows(run: history.Run) -> list[dict[str, Any]]:
    return [row for row in run.rows["valid"] if row["split"] == "valid"]


def _curves(run: history.Run) -> Picture:
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
    return parts.png(alt, caption, line_plots.curves, run)


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


def scores_table(run: history.Run) -> Table | None:
    """The last evaluation on the valid split, and the best one if it is another; None before the
    first."""
    valid = _valid_rows(run)
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
    heads = ("valid split", "step", *(head for head, _, _ in SCORES))
    return Table("Scores", heads, [_scores_row(name, row) for name, row in named])


def _scores_row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    way = row["evaluate_as"]
    figures = ((row[key], digits) for _, key, digits in SCORES)
    return (
        name if way == "fixed" else f"{name}, {way}",
        f"{row['step']:,}",
        *("-" if value is None else f"{value:,.{digits}f}" for value, digits in figures),
    )
