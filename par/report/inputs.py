"""The inputs of a report: every artefact in the directory of a run, or of a group of seeds, read
and checked."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from par.core import schema
from par.core.errors import DataError
from par.data import manifest
from par.data.manifest import Manifest
from par.evaluate.yardsticks import store
from par.evaluate.yardsticks.base import Yardstick
from par.export import model_card
from par.search import architecture, latency_table
from par.search.architecture import Architecture
from par.train import history, run_config, run_directory, seeds

SAMPLES = Path("samples") / "training.txt"
SAMPLE_BYTES = 16_000  # of the end of the texts
MAX_PARAMETERS = 1 << 62


@dataclasses.dataclass(frozen=True)
class Latencies:
    """Costs of blocks in one case (`inference`, ...), and the table that they are from; None: they
    are from the settings of the search."""

    case: str
    costs: latency_table.Costs
    table: Path | None

    @property
    def case_name(self) -> str:
        """The case as words."""
        return self.case.replace("_", " ")

    @property
    def source(self) -> str:
        """Name of the table, or `the run's settings`."""
        return self.table.name if self.table else "the run's settings"


@dataclasses.dataclass(frozen=True)
class Artefacts:
    """The artefacts that a report is made from; None or '' for those that do not exist."""

    directory: Path  # as it was named
    # the run whose settings are shown: the directory itself, or the first of several seeds
    first: Path
    run: history.Run
    config: run_config.RunConfig
    data_dir: Path
    group: dict[int, history.Run]  # the runs of several seeds; {}: a single run
    finished: bool
    parameters: int | None
    manifest: Manifest | None  # None also if the data directory now holds other data
    baselines: list[Yardstick]  # of that data, and of what the run predicts
    chosen: Architecture | None  # derived from this search
    origin: Architecture | None  # of a fixed network, how it was derived
    latencies: Latencies | None
    environment: dict[str, Any]
    samples: str

    @property
    def name(self) -> str:
        """Name of the run or the group."""
        return self.directory.resolve().name if self.group else self.run.name

    @property
    def step(self) -> int:
        """The last recorded step of the run, or of the first of several seeds."""
        return self.run.recorded_step


def load_artefacts(directory: Path) -> Artefacts:
    """Reads the directory of a run or of a group of seeds.

    Raises: DataError if there is no run, or anything that belongs to it is damaged.
    """
    directory = Path(directory)
    # artefacts beside it are found by its name, which the shown commands hold, too
    if directory.name in ("", ".."):
        directory = directory.resolve()
    several = {} if (directory / "config.json").is_file() else seeds.find_runs(directory)
    # asked first: a live run may end while its history is read
    finished = all(map(run_directory.is_finished, several.values() or [directory]))
    group = seeds.read_runs(directory) if several else {}
    runs = {seeds.directory(directory, seed): run for seed, run in group.items()} or {
        directory: history.read_run(directory)
    }
    first, run = next(iter(runs.items()))
    if finished:
        for place, own in runs.items():
            own.require_whole(place)
    config, data_dir = run_config.load(first)
    path, data_manifest = directory / "architecture.json", _manifest(data_dir, config)
    chosen = architecture.load(path) if path.is_file() else None
    return Artefacts(
        directory,
        first,
        run,
        config,
        data_dir,
        group,
        finished=finished,
        parameters=_parameters(first / "summary.json"),
        manifest=data_manifest,
        baselines=(store.load_all(data_dir, config.contract.yardsticks) if data_manifest else []),
        chosen=chosen,
        origin=model_card.find_origin(first, config.architecture),
        latencies=_latencies((directory, first), config, chosen),
        environment=_read_if_there(first / "environment.json"),
        samples=_tail(first / SAMPLES),
    )


def _read_if_there(path: Path) -> dict[str, Any]:
    return schema.read_json(path, path.stem) if path.is_file() else {}


def _parameters(path: Path) -> int | None:
    summary = _read_if_there(path)
    count = summary.get("parameters")
    if summary and not (type(count) is int and 0 < count < MAX_PARAMETERS):
        raise DataError(
            f"summary {path} must have parameters above 0, but has {str(count)[:60]!r}"
        )
    return count


def _manifest(data_dir: Path, config: run_config.RunConfig) -> Manifest | None:
    if not (data_dir / "manifest.json").is_file():
        return None
    found = manifest.load(data_dir)
    if config.contract.reads_documents and found.documents is None:
        return None
    identity = run_config.DataIdentity.from_manifest(found, config.contract)
    return found if identity == config.data else None


def _latencies(
    places: Sequence[Path], config: run_config.RunConfig, chosen: Architecture | None
) -> Latencies | None:
    """Costs from the table beside the run if that fits the run's shape, else from its settings."""
    case = chosen.latency.chosen_by if chosen and chosen.latency else latency_table.CASES[0]
    for path in [place / "latency.json" for place in places if (place / "latency.json").is_file()]:
        table = latency_table.load(path)
        if not table.misfits(case, config.latency_shape):
            return Latencies(case, table.costs(case), path)
    costs = latency_table.costs_from_settings(config.search.latency_ms)
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
