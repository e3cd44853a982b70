"""The section of a report that compares the search with other networks: the results of
tools/compare.py, with and without --truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from par.core import files, schema
from par.core.errors import DataError
from par.core.metrics import Figure
from par.core.text import number, plural
from par.evaluate.compare import results, supernet_ablation, tables
from par.evaluate.compare.tables import Point
from par.report import pareto_plot, parts
from par.report.inputs import Artefacts
from par.report.parts import Command, Missing, Picture, Table

FOUND, TRUTH = "compare.json", "truth.json"
MAX_BYTES = 16 << 20
MOST = 1e300  # sums of larger values overflow
COSTS = ("latency", "parameters")


@dataclasses.dataclass(frozen=True)
class Opponents:
    """The derived network beside others."""

    about: str
    verdict: str
    table: Table
    sentences: Sequence[str]
    points: Sequence[Point]
    label: str  # of what the networks cost
    figure: Figure  # by which they are compared
    note: str

    @property
    def picture(self) -> Picture | None:
        """Their scores over their costs."""
        if not self.points:
            return None
        places = "; ".join(
            f"{point.name} {number(point.y[0], self.figure.few_digits)} at {point.x[0]:,.4g}"
            for point in self.points
        )
        return parts.png(
            f"{self.figure.label.capitalize()} over {self.label}: {places}",
            "What each network scores over what it costs, and their front.",
            pareto_plot.scatter,
            self.points,
            self.label,
            self.figure,
        )


@dataclasses.dataclass(frozen=True)
class Fate:
    """The SuperNet of a search beside what was derived from it
    (par.evaluate.compare.supernet_ablation)."""

    search: str
    blocks: str
    about: str
    table: Table
    sentence: str

    note = supernet_ablation.NOTE


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a directory of tools/compare.py holds."""

    directory: Path
    opponents: Opponents | None
    fate: Fate | None


def comparison_dirs(artefacts: Artefacts, named: Sequence[str]) -> list[Path]:
    """Directories of comparisons: the named ones, then those of the run and of the search it comes
    from, if they are at their default places."""
    search = artefacts.config.architecture.search_run
    run = artefacts.directory.resolve()
    defaults = [files.beside(artefacts.directory, "compare")]
    if search and "\0" not in search:
        defaults.append(run.parent / f"{search}-compare")
    own = [path for path in defaults if any((path / name).is_file() for name in (FOUND, TRUTH))]
    return list({path.resolve(): path for path in [*map(Path, named), *own]}.values())


def load_comparison(directory: Path) -> Comparison:
    """Reads what tools/compare.py wrote into a directory.

    Raises: DataError if there is no comparison, or it is damaged.
    """
    comparison = Comparison(
        directory, _parsed(directory / FOUND, _opponents), _parsed(directory / TRUTH, _fate)
    )
    if not (comparison.opponents or comparison.fate):
        raise DataError(
            f"--comparison={directory} has neither {FOUND} nor {TRUTH}: give a directory that"
            " tools/compare.py made"
        )
    return comparison


def _parsed(path: Path, parse: Callable[[dict[str, Any]], Any]) -> Any:
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


def _opponents(value: dict[str, Any]) -> Opponents:
    result = results.Comparison.from_json(value, FOUND)
    settings, found = result.settings, result.findings
    seeds, epochs = plural(len(settings.seeds), "seed"), plural(settings.epochs, "epoch")
    about = (
        f"{seeds} of {epochs}, {settings.split} split; opponents of the search {settings.search}."
    )
    points, label = tables.points(found)
    if (
        settings.cost not in COSTS
        or not found.networks
        or not all(_can_be(point, found.figures[0]) for point in points)
    ):
        raise ValueError(settings.cost)
    heads, *rows = tables.rows(found, settings.cost)
    return Opponents(
        about,
        found.verdict,
        Table("The networks, the derived one first", heads, rows, marked=[0]),
        tables.sentences(found),
        points,
        label,
        found.figures[0],
        tables.note(found),
    )


def _can_be(point: Point, figure: Figure) -> bool:
    """Whether a network can be drawn: its cost is 0 or more, its figure such as can be, and both
    lie in their intervals."""
    spreads = ((0.0, point.x), (figure.least, point.y))
    return all(
        least <= value <= MOST and (low is None or high is None or low <= value <= high)
        for least, (value, low, high) in spreads
    )


def _fate(value: dict[str, Any]) -> Fate:
    found = results.Ablation.from_json(value, TRUTH)
    about = (
        f"{plural(len(found.seeds), 'seed')}, {plural(found.epochs, 'epoch')} from scratch,"
        f" {found.fine_tune_epochs} of fine-tuning."
    )
    heads, *rows = supernet_ablation.rows(found)
    table = Table("The SuperNet and what it left", heads, rows)
    return Fate(found.search, found.blocks, about, table, supernet_ablation.sentence(found))


@dataclasses.dataclass(frozen=True)
class ComparisonSection:
    """All comparisons, and what is missing."""

    comparisons: Sequence[Comparison]
    missing: Sequence[Missing]

    name, title, template = "comparison", "Was the search worth it?", "comparison.html.j2"


def comparison_section(
    artefacts: Artefacts, command: Command, comparisons: Sequence[Comparison]
) -> ComparisonSection:
    """The comparisons of a run, and the commands for those that are missing."""
    return ComparisonSection(comparisons, _missing(artefacts, command, comparisons))


def _missing(
    artefacts: Artefacts, command: Command, comparisons: Sequence[Comparison]
) -> list[Missing]:
    if comparisons and (artefacts.group or not artefacts.config.architecture.is_search):
        return []
    if artefacts.group:
        text = "Several seeds together have no comparison; one of them can"
        return [Missing(text, command("compare", run=artefacts.first))]
    if not artefacts.config.architecture.is_search:
        text = (
            "A comparison belongs to a search; this is a fixed network, and none lies beside it."
        )
        return [Missing(text)]
    missing, compare = [], command("compare", run=artefacts.directory)
    if not any(comparison.opponents for comparison in comparisons):
        missing.append(Missing("It was not trained beside other networks yet", compare))
    if not any(comparison.fate for comparison in comparisons):
        text = "The SuperNet was not put beside what was derived from it yet"
        missing.append(Missing(text, f"{compare} --truth"))
    return missing
