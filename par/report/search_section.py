"""The section of a report on the course of a search: pi with a slider over its steps."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from par.report import heat_map, parts, pi_plots
from par.report.curves_section import no_step_yet
from par.report.inputs import Artefacts
from par.report.parts import Command, Missing, Picture
from par.search import derive
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
        """Number of the last state, from 0."""
        return len(self.states["steps"]) - 1


@dataclasses.dataclass(frozen=True)
class PiSection:
    """The map of pi with its slider, and pi over the steps; or the reason why there is none."""

    note: str = ""
    missing: Missing | None = None
    map: PiMap | None = None
    lines: Picture | None = None
    missing_lines: Missing | None = None

    name, title, template = "pi", "How the search went", "pi.html.j2"


def pi_section(artefacts: Artefacts, command: Command) -> PiSection:
    """The course of pi in a run."""
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
        return PiSection(missing=no_step_yet(artefacts, command))
    if len(run.blocks) > MAX_PANELS:
        text = f"{len(run.blocks)} panels are a picture of their own, which is written by"
        missing = Missing(text, command("plot_pi", run=artefacts.directory))
        return PiSection(map=pi_map(run), missing_lines=missing)
    caption = "Probability of each kind, a panel a block, and tau below."
    lines = parts.png(_last_state_in_words(run), caption, pi_plots.pi_over_time, run)
    return PiSection(map=pi_map(run), lines=lines)


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
    """The states that page.js shows: all recorded ones, or evenly spaced ones if they are too many
    for a page."""
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
    """The last state in words, for readers who can't see the picture."""
    last = run.pi()[-1]
    blocks = [
        f"block {number} {NAMES[kind]} " + (f"{max(row):.2f}" if letter == "s" else "(fixed)")
        for number, (letter, kind, row) in enumerate(zip(run.blocks, derive.argmax(last), last), 1)
    ]
    return (
        f"Lines of pi over {run.rows['train'][-1]['step']:,} steps; in the end the likeliest are"
        f" {', '.join(blocks)}."
    )
