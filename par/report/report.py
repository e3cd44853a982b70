"""One page of a run: what was searched, how it went, what came out, what that takes and is worth,
and how to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from par.core import files
from par.evaluate.compare.tables import clock
from par.report import comparison_section, network_section, page, search_section, setup_section
from par.report.inputs import Artefacts, Command
from par.report.markup import Html, code, facts, paragraph, several

NAME = "report.html"


def write(path: Path, of: Artefacts, command: Command, comparisons: Sequence[str] = ()) -> None:
    """Writes the page of a run (`par.report.inputs.read`): the same bytes for the same files.

    command: tells the command line of a tool by its name and flags. comparisons: directories of
    tools/compare.py beside those found by themselves.
    Raises: DataError if a comparison is missing or damaged, before anything is written.
    """
    files.write_text(path, html(of, command, comparisons))


def html(of: Artefacts, command: Command, comparisons: Sequence[str] = ()) -> str:
    """The page."""
    # what is refused is refused before all the drawing
    made = [comparison_section.read(path) for path in comparison_section.places(of, comparisons)]
    search, first = (
        of.config.architecture.is_search,
        (search_section.together if of.group else search_section.pi),
    )
    sections = [
        first(of, command),
        *([] if of.group else [search_section.curves(of, command)]),
        network_section.network(of, command),
    ]
    sections += [
        network_section.latency(of, command),
        comparison_section.comparison(of, command, made),
    ]
    sections += [
        part(of, command)
        for part in (
            setup_section.samples,
            setup_section.configuration,
            setup_section.environment,
            setup_section.repeat,
        )
    ]
    what = "Search" if search else "Network"
    title = f"{what} {of.config.architecture.short} on {of.config.data.name}"
    begin = [
        paragraph(state(of), class_="state"),
        facts(_facts(of)),
        *([] if of.group else [search_section.scores(of)]),
    ]
    return page.page(title, of.name, begin, sections)


def state(of: Artefacts) -> str:
    """How far it has come."""
    last, total = of.run.last_step, of.config.total_steps
    if of.group:
        return f"{len(of.group)} seeds, {'all finished' if of.finished else 'not all finished'}"
    if not of.finished:
        return f"so far: step {of.step:,} of {total:,}"
    return f"finished: step {last:,} of {total:,}" + (
        ", where the search had settled" if last < total else ""
    )


def _facts(of: Artefacts) -> list[tuple[str, str]]:
    config, data = of.config, of.config.data
    seconds = [
        run.rows["train"][-1]["seconds"]
        for run in of.group.values() or [of.run]
        if run.rows["train"]
    ]
    size = f", {of.manifest.splits['train'].tokens:,} tokens to train on" if of.manifest else ""
    pairs: list[tuple[str, str | Html]] = [
        ("Blocks", code(config.architecture.short)),
        *(
            [("Came out", code(of.chosen.blocks))]
            if of.chosen and config.architecture.is_search
            else []
        ),
        ("Data", f"{data.name}: {data.vocab_size:,} pieces{size}"),
        ("Recipe", config.recipe),
        ("Seeds" if of.group else "Seed", ", ".join(map(str, of.group or [config.training.seed]))),
        (
            "Steps",
            (
                f"{config.total_steps:,}: {several(config.training.epochs, 'epoch')} of"
                f" {data.steps_per_epoch:,}"
            ),
        ),
        ("Window", f"{data.batch_size} x {data.seq_len} tokens, memory {config.model.mem_len}"),
        ("Parameters", f"{of.parameters:,}" if of.parameters else "told when it has ended"),
        (
            "Training time" + ", all seeds" * bool(of.group),
            clock(sum(seconds)) if seconds else "not begun",
        ),
    ]
    if config.init:
        pairs.append(
            ("Begun with", f"the weights of {config.init.run}, step {config.init.step:,}")
        )
    return pairs
