"""What there is to report of a run, or of several seeds of one setting: every artefact that lies
in its directory, read strictly."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from par.core import schema
from par.core.errors import DataError
from par.data import manifest
from par.data.manifest import Manifest
from par.export import model_card
from par.report.markup import Html, code, paragraph
from par.search import architecture, latency_table
from par.search.architecture import Architecture
from par.train import history, run_config, run_directory, seeds

SAMPLES = Path("samples") / "training.txt"
SAMPLE_BYTES = 16_000  # the end of the texts, as much as a reader looks at
MAX_PARAMETERS = 1 << 62
Command = Callable[..., str]  # the line of another command: its name, and its flags by name


class Latencies(NamedTuple):
    """Costs of blocks, of which case they are, and the table that they are from; None: the search
    itself was given them."""

    of: str
    costs: latency_table.Costs
    table: Path | None

    @property
    def source(self) -> str:
        """For people."""
        return self.table.name if self.table else "the run's settings"


@dataclasses.dataclass(frozen=True)
class Artefacts:
    """What a report is made from; None and '' for what is not there."""

    directory: Path  # as it was named
    # the run whose settings are told: the directory itself, or the first of several seeds
    first: Path
    run: history.Run
    config: run_config.RunConfig
    data_dir: Path
    group: dict[int, history.Run]  # several seeds; {}: one run
    finished: bool
    parameters: int | None
    manifest: Manifest | None  # None, too, where other data is there by now
    chosen: Architecture | None  # what was derived from it
    origin: Architecture | None  # what it was derived as
    latencies: Latencies | None
    environment: dict[str, Any]
    samples: str

    @property
    def name(self) -> str:
        """Of the run or the group."""
        return self.directory.resolve().name if self.group else self.run.name

    @property
    def step(self) -> int:
        """How far the run, or the first of several seeds, has come."""
        return last_step(self.run)


def missing(said: str, command: str) -> Html:
    """What stands in the place of what is not there: what it is, and by which command it comes."""
    return paragraph(f"{said}: ", code(command), class_="missing")


def read(directory: Path) -> Artefacts:
    """Reads a run's directory, or that of several seeds.

    Raises: DataError if there is no run, or anything that belongs to it is damaged.
    """
    directory = Path(directory)
    # what lies beside it is found, and the commands are told, by its name
    if directory.name in ("", ".."):
        directory = directory.resolve()
    several = {} if (directory / "config.json").is_file() else seeds.find_runs(directory)
    # asked first: a live run may end while its history is read
    finished = all(map(run_directory.is_finished, several.values() or [directory]))
    group = seeds.read_runs(directory) if several else {}
    read_runs = {seeds.directory(directory, seed): run for seed, run in group.items()} or {
        directory: history.read_run(directory)
    }
    first, run = next(iter(read_runs.items()))
    if finished:
        for place, each in read_runs.items():
            _check_whole(place, each)
    config, data_dir = run_config.load(first)
    path = directory / "architecture.json"
    chosen = architecture.load(path) if path.is_file() else None
    return Artefacts(
        directory,
        first,
        run,
        config,
        data_dir,
        group,
        finished=finished,
        parameters=_parameters(_read_if_there(first / "summary.json"), first),
        manifest=_manifest(data_dir, config),
        chosen=chosen,
        origin=model_card.derived(first, config.architecture),
        latencies=_latencies((directory, first), config, chosen),
        environment=_read_if_there(first / "environment.json"),
        samples=_tail(first / SAMPLES),
    )


def _check_whole(place: Path, run: history.Run) -> None:
    """Raises: DataError if the history of a run that has ended does not go to its end."""
    step = last_step(run)
    if step < run.last_step:
        said = (
            f"ends at step {step:,}, but the run ended at step {run.last_step:,}"
            if step
            else f"has no step of the {run.last_step:,} of the run"
        )
        raise DataError(
            f"history {place / 'history.jsonl'} {said}: rows were lost; put a whole copy in its"
            " place"
        )


def last_step(run: history.Run) -> int:
    """How far it has come: the step of the last row, 0 before it."""
    return max((rows[-1]["step"] for rows in run.rows.values() if rows), default=0)


def _read_if_there(path: Path) -> dict[str, Any]:
    return schema.read_json(path, path.stem) if path.is_file() else {}


def _parameters(summary: dict[str, Any], first: Path) -> int | None:
    count = summary.get("parameters")
    if summary and not (type(count) is int and 0 < count < MAX_PARAMETERS):
        raise DataError(
            f"summary {first / 'summary.json'} must have parameters above 0, but has"
            f" {str(count)[:60]!r}"
        )
    return count


def _manifest(data_dir: Path, config: run_config.RunConfig) -> Manifest | None:
    if not (data_dir / "manifest.json").is_file():
        return None
    found = manifest.load(data_dir)
    return found if run_config.DataIdentity.from_manifest(found) == config.data else None


def _latencies(
    places: Sequence[Path], config: run_config.RunConfig, chosen: Architecture | None
) -> Latencies | None:
    """By the table beside the run, if it fits its shape, else by what the search itself was
    given."""
    data = config.data
    for path in [place / "latency.json" for place in places if (place / "latency.json").is_file()]:
        table = latency_table.load(path)
        of = chosen.latency.of if chosen and chosen.latency else latency_table.WHAT[0]
        if not table.misfits(of, config.model, data.vocab_size, data.batch_size, data.seq_len):
            return Latencies(of, table.costs(of), path)
    costs = latency_table.costs_of(config.search.latency_ms)
    return Latencies(config.search.latency_of, costs, None) if costs else None


def _tail(path: Path) -> str:
    """The end of a text, from the beginning of a line."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SAMPLE_BYTES))
        text = file.read(SAMPLE_BYTES).decode("utf-8", "replace")
    return text.strip() if size <= SAMPLE_BYTES else text.partition("\n")[2].strip()
