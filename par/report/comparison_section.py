"""The part of a report that tells whether a search was worth it: what tools/compare.py left, by
itself and with --truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from par.core import schema
from par.core.errors import DataError
from par.evaluate.compare import supernet_ablation, tables
from par.evaluate.compare.tables import Point
from par.report import pareto_plot
from par.report.inputs import Artefacts, Command, missing
from par.report.markup import Html, code, element, paragraph, picture, several, table
from par.report.page import Section
from par.report.search_section import drawn

FOUND, TRUTH = "compare.json", "truth.json"
MAX_BYTES = 16 << 20
MOST = 1e300  # beyond it sums overflow
COSTS = ("latency", "parameters")


class Opponents(NamedTuple):
    """What a comparison found."""

    about: str
    verdict: str
    rows: Sequence[Sequence[str]]  # the heads first
    sentences: Sequence[str]
    points: Sequence[Point]
    label: str  # of what the networks cost


class Fate(NamedTuple):
    """What became of a search (par.evaluate.compare.supernet_ablation)."""

    search: str
    blocks: str
    about: str
    rows: Sequence[Sequence[str]]
    sentence: str


class Comparison(NamedTuple):
    """What a directory of tools/compare.py holds."""

    directory: Path
    opponents: Opponents | None
    fate: Fate | None


def places(of: Artefacts, named: Sequence[str]) -> list[Path]:
    """Directories of comparisons: those that were named, then those of the run and of the search
    it comes from, where they are by default."""
    search = of.config.architecture.search_run
    beside = [of.directory.with_name(f"{of.directory.resolve().name}-compare")]
    beside += (
        [of.directory.resolve().parent / f"{search}-compare"]
        if search and "\0" not in search
        else []
    )
    own = [path for path in beside if any((path / name).is_file() for name in (FOUND, TRUTH))]
    return list({path.resolve(): path for path in [*map(Path, named), *own]}.values())


def read(directory: Path) -> Comparison:
    """Raises: DataError if no comparison is there, or what is there is damaged."""
    made = Comparison(
        directory, _read(directory / FOUND, _opponents), _read(directory / TRUTH, _fate)
    )
    if not (made.opponents or made.fate):
        raise DataError(
            f"--comparison={directory} has neither {FOUND} nor {TRUTH}: give a directory that"
            " tools/compare.py made"
        )
    return made


def _read(path: Path, parse: Callable[[dict[str, Any]], Any]) -> Any:
    if not path.is_file():
        return None
    value = schema.read_json(path, "comparison", MAX_BYTES)
    try:
        return parse(value)
    except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError):
        raise DataError(
            f"comparison {path} is not what tools/compare.py writes: make it again with"
            " --report_only"
        ) from None


def _texts(*values: Any) -> tuple[str, ...]:
    """Raises: TypeError unless all are texts."""
    if not all(isinstance(value, str) for value in values):
        raise TypeError(values)
    return values


def _opponents(found: dict[str, Any]) -> Opponents:
    seeds, epochs = several(len(found["seeds"]), "seed"), several(found["epochs"], "epoch")
    about = (
        f"{seeds} of {epochs}, {found['split']} split; opponents of the search {found['search']}."
    )
    points, label = tables.points(found)
    if found["cost"] not in COSTS or not found["networks"] or not all(map(_can_be, points)):
        raise ValueError(found["cost"])
    rows, (verdict, *_) = (
        tables.rows(found, found["cost"]),
        _texts(found["verdict"], *(point.name for point in points)),
    )
    return Opponents(
        about,
        verdict,
        [_texts(*row) for row in rows],
        _texts(*tables.sentences(found)),
        points,
        label,
    )


def _can_be(point: Point) -> bool:
    """Whether a network can stand there: it costs something or nothing, a perplexity is 1 or more,
    both lie in their intervals."""
    spreads = ((0.0, point.x), (1.0, point.y))
    return all(
        least <= value <= MOST and (low is None or high is None or low <= value <= high)
        for least, (value, low, high) in spreads
    )


def _fate(found: dict[str, Any]) -> Fate:
    about = (
        f"{several(len(found['seeds']), 'seed')}, {several(found['epochs'], 'epoch')} from"
        f" scratch, {found['fine_tune_epochs']} of fine-tuning."
    )
    return Fate(
        *_texts(found["search"], found["blocks"]),
        about,
        [_texts(*row) for row in supernet_ablation.rows(found)],
        supernet_ablation.sentence(found),
    )


def _told(opponents: Opponents) -> Iterator[Html]:
    heads, *rows = opponents.rows
    yield paragraph(opponents.verdict, class_="verdict")
    yield paragraph(opponents.about)
    yield table("The networks, the derived one first", heads, rows, marked=[0])
    yield _sentence(tables.NOTE, class_="note")
    for line in opponents.sentences:
        yield _sentence(line)
    if opponents.points:
        places = "; ".join(
            f"{point.name} {point.y[0]:,.1f} at {point.x[0]:,.4g}" for point in opponents.points
        )
        caption = "What each network scores over what it costs, and their front."
        yield picture(
            drawn(pareto_plot.scatter, opponents.points, opponents.label),
            ".png",
            f"Perplexity per word over {opponents.label}: {places}",
            caption,
        )


def _became(fate: Fate) -> Iterator[Html]:
    heads, *rows = fate.rows
    yield paragraph(
        "What became of ", code(fate.search), " and of ", code(fate.blocks), f": {fate.about}"
    )
    yield table("The SuperNet and what it left", heads, rows)
    yield _sentence(supernet_ablation.NOTE, class_="note")
    if fate.sentence:
        yield _sentence(fate.sentence)


def _sentence(line: str, **attributes: Any) -> Html:
    return paragraph(f"{line[0].upper()}{line[1:]}.", **attributes)


def comparison(of: Artefacts, command: Command, made: Sequence[Comparison]) -> Section:
    """All comparisons; in words what is missing."""
    search, title = of.config.architecture.is_search, "Was the search worth it?"
    body: list[Html] = []
    for each in made:
        if len(made) > 1:
            body.append(element("h3", str(each.directory)))
        body += _told(each.opponents) if each.opponents else []
        if each.opponents and each.fate:
            body.append(element("h3", "What became of the SuperNet"))
        body += _became(each.fate) if each.fate else []
    if of.group:
        hints = (
            []
            if made
            else [
                missing(
                    "Several seeds together have no comparison; one of them can",
                    command("compare", run=of.first),
                )
            ]
        )
    elif not search:
        hints = (
            []
            if made
            else [
                paragraph(
                    "A comparison belongs to a search; this is a fixed network, and none lies"
                    " beside it.",
                    class_="missing",
                )
            ]
        )
    else:
        hints = (
            []
            if any(each.opponents for each in made)
            else [
                missing(
                    "It was not trained beside other networks yet",
                    command("compare", run=of.directory),
                )
            ]
        )
        if not any(each.fate for each in made):
            text = "The SuperNet was not put beside what was derived from it yet"
            hints.append(missing(text, f"{command('compare', run=of.directory)} --truth"))
    return Section("comparison", title, [*body, *hints])
