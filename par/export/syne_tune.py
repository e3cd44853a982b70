"""Tables of all networks as a black box of Syne Tune (Salinas et al. 2022): its searchers then run
on them in simulated time, without training.

configspace.json  fidelityspace.json  hyperparameters.parquet  fidelities_values.npy
objectives_evaluations.npy [tasks, configurations, seeds, fidelities, objectives]  metadata.json

A task is a table, a fidelity the number of epochs. A configuration is a string: its kinds by
place are the hyperparameters hp_x0, hp_x1 and so on. Every spelling of a network is a
configuration, with the network's figures, as Syne Tune's searchers draw the places independently
and know no networks.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from par.core import schema
from par.core.errors import UsageError
from par.search.architecture import KINDS
from par.search.block_table import BlockTable

MARK = "configspace.json"
FILES = (
    MARK,
    "fidelityspace.json",
    "hyperparameters.parquet",
    "fidelities_values.npy",
    "objectives_evaluations.npy",
    "metadata.json",
)
EPOCH = "hp_epoch"
# the objectives of every epoch: `runtime` of the epoch alone, `elapsed_time` from the beginning
BY_EPOCH = ("valid_nll", "train_nll", "runtime", "elapsed_time")
# those that have one value for a network; only where it is known of all of them
BY_NETWORK = ("parameters", "latency_ms", "measured_latency_ms")


@dataclasses.dataclass(frozen=True)
class BlackBox:
    """What the files hold. evaluations: float32 [tasks, C, S, E, objectives]; networks: how many
    the C configurations spell."""

    tasks: tuple[str, ...]
    configurations: tuple[str, ...]
    seeds: tuple[int, ...]
    objectives: tuple[str, ...]
    evaluations: np.ndarray
    networks: int
    about: dict[str, Any]  # of each task's table

    @property
    def num_blocks(self) -> int:
        """L, the length of every configuration."""
        return len(self.configurations[0])

    @property
    def num_epochs(self) -> int:
        """E."""
        return self.evaluations.shape[3]


def black_box(tables: Mapping[str, BlockTable]) -> BlackBox:
    """The black box of tables by task.

    Syne Tune draws a seed for each trial and knows no missing values. So the configurations are
    those networks that have been trained to the end in all tables with the first of the seeds that
    most have, and the seeds are those that all of these networks have.
    Raises: UsageError if the tables differ in their number of blocks or epochs, or if no network
    has been trained to the end with a seed in all of them.
    """
    first = next(iter(tables.values()))
    for task, table in tables.items():
        sizes = [(each.num_blocks, each.num_epochs) for each in (first, table)]
        if sizes[0] != sizes[1]:
            raise UsageError(
                "the tables of one black box must have the same number of blocks and epochs, but"
                f" {next(iter(tables))} has {sizes[0]} and {task} has {sizes[1]}: export them one"
                " by one"
            )
    chosen, seeds = _complete(tables)
    names = [*BY_EPOCH, *(name for name in BY_NETWORK if _is_known(tables, name, chosen))]
    by_network = np.stack([_objectives(table, seeds, names) for table in tables.values()])
    strings = map("".join, itertools.product(KINDS, repeat=first.num_blocks))
    spelled = [(each, place) for each in strings if chosen[place := first.index(each)]]
    return BlackBox(
        tasks=tuple(tables),
        configurations=tuple(each for each, _ in spelled),
        seeds=tuple(seeds),
        objectives=tuple(f"metric_{name}" for name in names),
        evaluations=by_network[:, [place for _, place in spelled]],
        networks=int(chosen.sum()),
        about={task: table.about for task, table in tables.items()},
    )


def _complete(tables: Mapping[str, BlockTable]) -> tuple[np.ndarray, list[int]]:
    """[N] the networks, and the seeds, of which every table has all runs to the end."""
    shared = sorted(set.intersection(*(set(table.seeds.tolist()) for table in tables.values())))
    columns = [
        np.all([table.is_whole[:, table.seeds == seed] for table in tables.values()], axis=0)[:, 0]
        for seed in shared
    ]
    if not any(column.any() for column in columns):
        raise UsageError(
            "a black box needs a network that was trained to the end with one seed in every table,"
            f" but {', '.join(tables)} have none"
        )
    chosen = max(columns, key=np.sum)  # the first of those with the most
    return chosen, [seed for seed, column in zip(shared, columns) if column[chosen].all()]


def _is_known(tables: Mapping[str, BlockTable], name: str, chosen: np.ndarray) -> bool:
    return all(np.isfinite(getattr(table, name)[chosen]).all() for table in tables.values())


def _objectives(table: BlockTable, seeds: list[int], names: list[str]) -> np.ndarray:
    """[N, S, E, objectives] float32 of one table."""
    columns = np.searchsorted(table.seeds, seeds)
    curves = {name: getattr(table, name)[:, columns] for name in ("valid_nll", "train_nll")}
    curves["elapsed_time"] = elapsed = table.seconds[:, columns]
    curves["runtime"] = np.diff(elapsed, axis=2, prepend=0)
    curves |= {
        name: np.broadcast_to(getattr(table, name)[:, None, None], elapsed.shape)
        for name in BY_NETWORK
    }
    return np.stack([curves[name] for name in names], axis=-1).astype(np.float32)


def require_pyarrow() -> None:
    """Raises: UsageError unless pyarrow is installed, which writes Parquet."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            "a black box of Syne Tune needs pyarrow, which is not installed: pip install"
            ' "par-transformer-xl[syne-tune]"'
        )


def write(box: BlackBox, directory: Path) -> None:
    """Writes the files of a black box into a directory."""
    import pyarrow
    from pyarrow import parquet

    directory = Path(directory)
    places = [f"hp_x{place}" for place in range(box.num_blocks)]
    kinds = {"categories": list(KINDS)}
    schema.write_json(directory / MARK, {place: _domain("Categorical", kinds) for place in places})
    epochs = {"lower": 1, "upper": box.num_epochs}
    schema.write_json(directory / "fidelityspace.json", {EPOCH: _domain("Integer", epochs)})
    letters = np.array([list(each) for each in box.configurations])
    columns = {place: letters[:, i].tolist() for i, place in enumerate(places)}
    parquet.write_table(
        pyarrow.table(columns), directory / "hyperparameters.parquet", compression="gzip"
    )
    np.save(directory / "fidelities_values.npy", np.arange(1, box.num_epochs + 1))
    np.save(directory / "objectives_evaluations.npy", box.evaluations, allow_pickle=False)
    schema.write_json(
        directory / "metadata.json",
        {
            "objectives_names": list(box.objectives),
            "task_names": list(box.tasks),
            "metric_default": "metric_valid_nll",
            "metric_elapsed_time": "metric_elapsed_time",
            "time_attr": EPOCH,
            "seeds": list(box.seeds),
            "about": box.about,
        },
    )


def _domain(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A hyperparameter's domain as Syne Tune writes it."""
    return {
        "domain_cls": kind,
        "domain_kwargs": arguments,
        "sampler_cls": "Uniform",
        "sampler_kwargs": {},
    }
