"""The report of a run as one HTML page: the search, the network, its latency, comparisons, and the
commands that repeat it.

The page is a single file that loads nothing (par.core.markup).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from par import __version__
from par.core import files, markup
from par.core.text import plural
from par.evaluate.compare.tables import clock
from par.report import heat_map, rendering
from par.report.comparison_section import comparison_dirs, comparison_section, load_comparison
from par.report.curves_section import curves_section, doubts, scores_table
from par.report.inputs import Artefacts
from par.report.network_section import latency_section, network_section
from par.report.parts import Command, Section
from par.report.search_section import pi_section
from par.report.seeds_section import seeds_section
from par.report.setup_section import (
    configuration_section,
    environment_section,
    repeat_section,
    samples_section,
)


@dataclasses.dataclass(frozen=True)
class Fact:
    """An entry at the head of the page. is_code: its text is shown as code."""

    term: str
    text: str
    is_code: bool = False


def write(
    path: Path, artefacts: Artefacts, command: Command, comparisons: Sequence[str] = ()
) -> None:
    """Writes the page of a run (`par.report.inputs.load_artefacts`): the same bytes for the same
    files.

    command: gives the command line of a tool by its name and flags. comparisons: directories of
    tools/compare.py beside those found by themselves.
    Raises: DataError if a comparison is missing or damaged, before anything is written.
    """
    files.write_text(path, html(artefacts, command, comparisons))


def html(artefacts: Artefacts, command: Command, comparisons: Sequence[str] = ()) -> str:
    """The page of a run; see `write`."""
    config, style, script = artefacts.config, style_sheet(), _file("page.js")
    what = "Search" if config.architecture.is_search else "Network"
    page = rendering.render(
        "page.html.j2",
        policy=markup.policy(style, script),
        version=__version__,
        style=style,
        script=script,
        title=f"{what} {config.architecture.short} on {config.data.name}",
        name=artefacts.name,
        state=state(artefacts),
        facts=list(facts(artefacts)),
        scores=None if artefacts.group else scores_table(artefacts),
        doubts=() if artefacts.group else doubts(artefacts),
        sections=sections(artefacts, command, comparisons),
    )
    return f"{page}\n"


def sections(
    artefacts: Artefacts, command: Command, comparisons: Sequence[str] = ()
) -> list[Section]:
    """The sections of the page, in their order."""
    # errors come before the drawing, which takes seconds
    found = [load_comparison(path) for path in comparison_dirs(artefacts, comparisons)]
    if artefacts.group:
        first = [seeds_section(artefacts, command)]
    else:
        first = [pi_section(artefacts, command), curves_section(artefacts, command)]
    return [
        *first,
        network_section(artefacts, command),
        latency_section(artefacts, command),
        comparison_section(artefacts, command, found),
        samples_section(artefacts, command),
        configuration_section(artefacts, command),
        environment_section(artefacts, command),
        repeat_section(artefacts, command),
    ]


def state(artefacts: Artefacts) -> str:
    """Whether the run is finished, and its last step."""
    last, total = artefacts.run.last_step, artefacts.config.total_steps
    if artefacts.group:
        ended = "all finished" if artefacts.finished else "not all finished"
        return f"{len(artefacts.group)} seeds, {ended}"
    if not artefacts.finished:
        return f"so far: step {artefacts.step:,} of {total:,}"
    settled = ", where the search had settled" if last < total else ""
    return f"finished: step {last:,} of {total:,}{settled}"


def facts(artefacts: Artefacts) -> Iterator[Fact]:
    """The entries at the head of the page."""
    config, data, group = artefacts.config, artefacts.config.data, artefacts.group
    yield Fact("Blocks", config.architecture.short, is_code=True)
    if artefacts.chosen and config.architecture.is_search:
        yield Fact("Came out", artefacts.chosen.named, is_code=True)
    size = ""
    if artefacts.manifest:
        size = f", {artefacts.manifest.splits['train'].tokens:,} tokens to train on"
    yield Fact("Data", f"{data.name}: {data.vocab_size:,} pieces{size}")
    if not config.is_default:
        yield Fact("Objective", config.objective)
    yield Fact("Recipe", config.recipe)
    seeds = ", ".join(map(str, group or [config.training.seed]))
    yield Fact("Seeds" if group else "Seed", seeds)
    epochs = plural(config.training.epochs, "epoch")
    yield Fact("Steps", f"{config.total_steps:,}: {epochs} of {data.steps_per_epoch:,}")
    model, _, seq_len = config.read_shape
    joined = f", {factor} as one position" if (factor := model.downsample) > 1 else ""
    window = f"{config.read_rows} x {seq_len} tokens, memory {model.mem_len}{joined}"
    yield Fact("Window", window)
    parameters = artefacts.parameters
    yield Fact("Parameters", f"{parameters:,}" if parameters else "told when it has ended")
    histories = [run.rows["train"] for run in group.values() or [artefacts.run]]
    seconds = [rows[-1]["seconds"] for rows in histories if rows]
    yield Fact(
        "Training time, all seeds" if group else "Training time",
        clock(sum(seconds)) if seconds else "not begun",
    )
    if config.init:
        begun = f"{config.init.what}, step {config.init.step:,}"
        yield Fact("Begun with", begun)


def style_sheet() -> str:
    """The style of the page, with a class for the colours of each level of probability in the map
    of pi and in passages."""
    levels = (heat_map.colours(level / heat_map.LEVELS) for level in range(heat_map.LEVELS + 1))
    return (
        markup.base_style()
        + _file("page.css")
        + "".join(
            f".p{level} {{ background: {cell}; color: {text}; }}\n"
            for level, (cell, text) in enumerate(levels)
        )
    )


@functools.cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
