"""The figures in the pages: what stands between two markers is made from docs/results/, and
compared with it.

    <!-- results:EXPERIMENT:PART -->
    a table, a picture or a transcript, and a line that tells where it is from
    <!-- /results -->
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from par.core import files, schema
from par.core.errors import DataError
from par.tools.experiments import record, settings
from par.tools.experiments.experiment import (
    Experiment,
    Part,
    Picture,
    Row,
    StepPicture,
    Table,
    Transcript,
    resolve,
)
from par.tools.experiments.record import Results

START = re.compile(r"<!-- results:([\w-]+):([\w-]+) -->")
END = "<!-- /results -->"
DIGEST = "rows"  # the text in a PNG that names the rows which it was drawn from


class Section(NamedTuple):
    """What stands between two markers of a page: experiment and part, the numbers of the first
    line after the start and of the end's line, and the text between, without the line end."""

    experiment: str
    part: str
    first: int
    end: int
    text: str


def names(root: Path) -> list[str]:
    """The pages of a clone that may show figures, relative to it."""
    found = [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))]
    return [path.relative_to(root).as_posix() for path in found]


def sections(page: str, text: str) -> list[Section]:
    """What stands between markers, in the order of the page.

    Raises: DataError for a start without an end, or an end without a start.
    """
    found, start, lines = [], None, text.splitlines()
    for number, line in enumerate(lines):
        opens = START.fullmatch(line)
        if (opens and start) or (line == END and not start):
            raise DataError(
                f"{page}, line {number + 1}: {line} must follow"
                f" {END if opens else '<!-- results:NAME:PART -->'}: each start needs one end"
            )
        if opens:
            start = (opens[1], opens[2], number + 1)
        elif line == END and start:
            found.append(Section(*start, number, "\n".join(lines[start[2] : number])))
            start = None
    if start:
        raise DataError(f"{page}, line {start[2]}: this start has no end: add {END}")
    return found


def rendered(part: Part, page: str, experiment: Experiment, results: Results | None) -> str:
    """What stands between the markers of a part: what it shows, and its source; without figures
    the commands of a transcript, and that it was not measured yet."""
    if results is None or not _holds(results, part):
        typed = [_typed(part, experiment, name) for name in _steps(part)]
        block = [_fenced("sh", "\n".join(typed)), ""] if typed else []
        return "\n".join([*block, not_measured(experiment.name)])
    return f"{_shown(part, page, experiment, results)}\n\n{source(page, results)}"


def not_measured(name: str) -> str:
    """The line in place of an experiment's figures before it was run."""
    return f"*Not measured yet: `python tools/results.py --run={name}` measures it.*"


def _holds(results: Results, part: Part) -> bool:
    """Whether figures have the texts and pictures of a part: those of former settings may not."""
    if isinstance(part, StepPicture):
        return part.name in results.pictures
    return set(_steps(part)) <= set(results.printed)


def _shown(part: Part, page: str, experiment: Experiment, results: Results) -> str:
    match part:
        case Table():
            return _markdown(part.cells(results.rows))
        case Picture():
            return f"![{part.alt}]({_relative(page, picture_name(results.name, part))})"
        case StepPicture():
            path = _relative(page, picture_name(results.name, part))
            width = f' width="{part.width}"' if part.width else ""
            return f'<img src="{path}"{width} alt="{part.alt}">'
        case Transcript():
            texts = {
                name: resolve(results.printed[name], experiment.directories) for name in part.steps
            }
            blocks = [
                f"$ {_typed(part, experiment, name)}\n{text}" for name, text in texts.items()
            ]
            return _fenced("console", "\n\n".join(blocks))


def _steps(part: Part) -> tuple[str, ...]:
    return part.steps if isinstance(part, Transcript) else ()


def _typed(part: Transcript, experiment: Experiment, name: str) -> str:
    """The command of a step as a reader types it, with the note for the tests of the pages."""
    typed = experiment.step(name).typed(experiment.directories)
    return f"{typed}  # {part.note}" if part.note else typed


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def source(page: str, results: Results) -> str:
    """The line below a table: the figures' file, command, commits, machine, versions, seeds."""
    commits = ", ".join(commit[:7] for commit in results.commits)
    computed, versions = results.machine, results.versions
    facts = [
        f"commit {commits}" + (" with changes" if results.is_dirty else ""),
        f"{computed.cores} core{'s' if computed.cores > 1 else ''} of {computed.processor}",
        f"CPython {versions['python']}, TensorFlow {versions['tensorflow']}",
    ]
    if results.seeds:
        listed = ", ".join(map(str, results.seeds))
        facts.append(f"seed{'s' if len(results.seeds) > 1 else ''} {listed}")
    path = _relative(page, f"docs/results/{results.name}.json")
    return (
        f"<sub>`python tools/results.py --run={results.name}`, [figures]({path}):"
        f" {'; '.join(facts)}</sub>"
    )


def render(root: Path, experiments: Mapping[str, Experiment]) -> list[str]:
    """Writes what the figures say between the markers of the pages, and draws pictures of them.
    Returns the paths of what has changed. Markers without an experiment are left as they are.

    Raises: DataError for figures that are damaged, and as `sections` does.
    """
    changed = []
    for page in names(root):
        text = (root / page).read_text(encoding="utf-8")
        lines = text.split("\n")
        for section in reversed(sections(page, text)):
            part = _part(experiments, section)
            if part is None:
                continue
            experiment = experiments[section.experiment]
            path = record.path_of(root, experiment.name)
            results = record.load(path) if path.is_file() else None
            text_of_part = rendered(part, page, experiment, results)
            lines[section.first : section.end] = text_of_part.split("\n")
            if isinstance(part, Picture) and results:
                changed += _draw(root, part, results)
        if (new := "\n".join(lines)) != text:
            files.write_text(root / page, new)
            changed.append(page)
    return changed


def check(root: Path, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """What is wrong, a line each: commands that a tool refuses, figures of settings that no longer
    exist, pages that differ from the figures, and experiments that no page shows."""
    for experiment in experiments.values():
        for line in settings.check_commands(experiment):
            yield f"experiment {experiment.name}, {line}"
    found, damaged = _load_all(root), []
    for name, results in found.items():
        if isinstance(results, DataError):
            damaged.append(name)
            yield str(results)
        elif name not in experiments:
            yield f"docs/results/{name}.json: there is no experiment {name}: remove the file"
        else:
            now = settings.of_experiment(experiments[name])
            for line in settings.differences(results.settings, now):
                yield f"docs/results/{name}.json is of other settings: {line}: run it again"
    usable = {name: each for name, each in found.items() if isinstance(each, Results)}
    yield from _check_pages(root, experiments, usable, damaged)


def _check_pages(
    root: Path,
    experiments: Mapping[str, Experiment],
    found: Mapping[str, Results],
    damaged: Sequence[str],
) -> Iterator[str]:
    shown = set()
    for page in names(root):
        try:
            parts = sections(page, (root / page).read_text(encoding="utf-8"))
        except DataError as error:
            yield str(error)
            continue
        for number in _transcripts_by_hand(root / page, parts):
            yield (
                f"{page}, line {number}: what a command printed must stand between the markers of"
                " an experiment"
            )
        for section in parts:
            shown.add((section.experiment, section.part, page))
            if section.experiment not in damaged:
                yield from _check_section(root, page, section, experiments, found)
    for name, experiment in experiments.items():
        for part in experiment.parts:
            if (name, part.name, part.page) not in shown:
                yield (
                    f"{part.page} does not show experiment {name}: put <!--"
                    f" results:{name}:{part.name} --> and {END} into it"
                )


def _transcripts_by_hand(path: Path, parts: Sequence[Section]) -> Iterator[int]:
    """The numbers of the lines with which transcripts begin that no experiment made."""
    made = {number for part in parts for number in range(part.first, part.end)}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        if line.strip() == "```console" and number not in made:
            yield number + 1


def _check_section(
    root: Path,
    page: str,
    section: Section,
    experiments: Mapping[str, Experiment],
    found: Mapping[str, Results],
) -> Iterator[str]:
    where = f"{page}, line {section.first}, results:{section.experiment}:{section.part}"
    part = _part(experiments, section)
    if part is None:
        yield f"{where}: there is no such experiment or part: see --list"
        return
    experiment, path = experiments[section.experiment], f"docs/results/{section.experiment}.json"
    results = found.get(section.experiment)
    if section.text != rendered(part, page, experiment, results):
        about = f"differs from {path}" if results else f"says otherwise, but there is no {path}"
        yield f"{where}: it {about}: --render it"
    elif results and not _is_drawn(root, part, results):
        yield f"{where}: its picture differs from {path}: --render it, or run the experiment again"


def _is_drawn(root: Path, part: Part, results: Results) -> bool:
    """Whether the picture of a part is there and that of the figures; of other parts true."""
    if isinstance(part, Picture):
        return _drawn_from(root, part, results) == _digest(results.rows)
    if isinstance(part, StepPicture) and _holds(results, part):
        path = root / picture_name(results.name, part)
        return path.is_file() and files.sha256(path) == results.pictures[part.name]
    return True


def picture_name(name: str, part: Picture | StepPicture) -> str:
    """Where the picture of an experiment lies in the clone; one that a step drew may be shown by
    several parts."""
    if isinstance(part, StepPicture):
        return f"docs/results/{name}-{part.step}-{Path(part.file).name}"
    return f"docs/results/{name}-{part.name}.png"


def keep_pictures(root: Path, experiment: Experiment, drawn: Mapping[str, Path]) -> None:
    """Copies the pictures that the steps of an experiment drew, by part, into the clone."""
    for part in experiment.step_pictures:
        content = drawn[part.name].read_bytes()
        files.write_bytes(root / picture_name(experiment.name, part), content)


def _part(experiments: Mapping[str, Experiment], section: Section) -> Part | None:
    experiment = experiments.get(section.experiment)
    parts = {part.name: part for part in experiment.parts} if experiment else {}
    return parts.get(section.part)


def _load_all(root: Path) -> dict[str, Results | DataError]:
    """The figures of a clone by experiment, or why they can't be read."""
    found: dict[str, Results | DataError] = {}
    for path in sorted((root / "docs" / "results").glob("*.json")):
        try:
            found[path.stem] = record.load(path)
        except DataError as error:
            found[path.stem] = error
    return found


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *lines = rows
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def _relative(page: str, path: str) -> str:
    return os.path.relpath(path, os.path.dirname(page) or ".")


def _draw(root: Path, part: Picture, results: Results) -> list[str]:
    """Draws a picture anew if it is of other rows; returns its path if so."""
    name, digest = picture_name(results.name, part), _digest(results.rows)
    if _drawn_from(root, part, results) == digest:
        return []
    from PIL import Image, PngImagePlugin

    part.draw(results.rows, root / name)
    described = PngImagePlugin.PngInfo()
    described.add_text(DIGEST, digest)
    with Image.open(root / name) as drawn:
        drawn.load()
    with files.replacing(root / name) as partial:
        drawn.save(partial, format="png", pnginfo=described)
    return [name]


def _drawn_from(root: Path, part: Picture, results: Results) -> str | None:
    """The digest of the rows that a picture was drawn from; None without a picture or digest."""
    from PIL import Image

    try:
        with Image.open(root / picture_name(results.name, part)) as drawn:
            return drawn.info.get(DIGEST)
    except OSError:
        return None


def _digest(rows: Sequence[Row]) -> str:
    return hashlib.sha256(schema.canonical_json(list(rows)).encode()).hexdigest()
