"""The plan of a comparison: which networks are trained with which seeds, and the files of its
directory.

RUN-compare/  plan.json (the settings of the draw)  measured.json
              <run>/ (one for each network and seed, with scores.json)
              compare.csv  compare.json  compare.png
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from par.core import schema
from par.core.errors import UsageError
from par.evaluate.compare import statistics
from par.evaluate.compare.results import Scores
from par.search import baselines
from par.search.architecture import Architecture
from par.search.baselines import Cost
from par.train import run_config

SCHEMA = 2  # 1: of an earlier version, which drew strings with identities
MAX_MEASURED_BYTES = 64 << 20


class Opponent(NamedTuple):
    """One network under all its names."""

    names: tuple[str, ...]
    blocks: str  # canonical (par.search.architecture.network_of)
    random: bool

    @property
    def label(self) -> str:
        """All names as one."""
        return " = ".join(self.names)


class Job(NamedTuple):
    """One run of a comparison."""

    opponent: Opponent
    seed: int
    config: run_config.RunConfig
    run_dir: Path


@dataclasses.dataclass(frozen=True)
class Draw:
    """The settings that determine which networks are drawn. depth: the search's number of blocks,
    the most that a network has. tolerance: share of the derived network's cost. match: `none`
    draws from networks of any cost."""

    search_run: str
    derived: str  # canonical
    depth: int
    match: str
    cost: Cost
    tolerance: float
    random_seed: int

    @property
    def fits(self) -> list[baselines.Counts]:
        """The numbers of a and d of the networks that may be drawn."""
        return baselines.fitting(
            self.derived, self.depth, self.cost, None if self.match == "none" else self.tolerance
        )

    @property
    def number_fitting(self) -> int:
        """How many networks there are of this cost, the derived and known ones among them."""
        return baselines.count(self.fits)

    @property
    def references(self) -> list[tuple[str, str]]:
        """Names and blocks of the derived network, which comes first, and of the known ones."""
        return list(baselines.references(self.derived, self.depth).items())

    def networks(
        self, named: Sequence[tuple[str, str]], num_random: int
    ) -> tuple[list[Opponent], int]:
        """The named networks, each a name and blocks, and random ones, equal networks once; and
        how many could be drawn."""
        names: dict[str, list[str]] = {}
        for name, blocks in named:
            names.setdefault(blocks, []).append(name)
        fits = self.fits
        drawn = baselines.draw(num_random, fits, names, self.random_seed)
        found = [
            Opponent(tuple(dict.fromkeys(given)), blocks, False) for blocks, given in names.items()
        ]
        found += [
            Opponent((f"random {number}",), blocks, True) for number, blocks in enumerate(drawn, 1)
        ]
        return found, baselines.free_networks(fits, names)

    def to_json(self) -> dict[str, Any]:
        """The content of plan.json."""
        return {
            "schema": SCHEMA,
            **dataclasses.asdict(self),
            "cost": dataclasses.asdict(self.cost) | {"of_kind": list(self.cost.of_kind)},
        }


@dataclasses.dataclass(frozen=True)
class Plan:
    """The networks and seeds that are compared. config: the search's settings with the recipe of
    the comparison; networks: the derived one first."""

    config: run_config.RunConfig
    data_dir: Path
    directory: Path
    draw: Draw
    networks: list[Opponent]
    free: int  # networks that could be drawn
    seeds: range

    @property
    def is_whole(self) -> bool:
        """Whether all networks of the cost are compared."""
        return sum(each.random for each in self.networks) == self.free

    def jobs(self) -> Iterator[Job]:
        """Every run, seed by seed: a comparison that was stopped has fewer seeds."""
        for seed in self.seeds:
            for opponent in self.networks:
                config = dataclasses.replace(
                    self.config.with_seed(seed), architecture=Architecture(opponent.blocks)
                )
                yield Job(opponent, seed, config, self.directory / config.default_name())

    def unfinished(self, split: str) -> list[Job]:
        """The runs that are not trained and scored yet."""
        return [job for job in self.jobs() if self._scores(job, split) is None]

    def _scores(self, job: Job, split: str) -> Scores | None:
        return statistics.read_scores(job.run_dir, split, self.config.contract.comparison)

    def keep(self) -> None:
        """Writes plan.json. Raises: UsageError, with the differences, if the directory was begun
        with another draw."""
        path, asked = self.directory / "plan.json", self.draw.to_json()
        if not path.is_file():
            schema.write_json(path, asked)
            return
        kept = schema.read_json(path, "plan of the comparison")
        if changed := [
            f"{name}: {kept.get(name)} -> {asked.get(name)}"
            for name in sorted(asked | kept)
            if kept.get(name) != asked.get(name)
        ]:
            raise UsageError(
                f"comparison {self.directory} draws other networks ({'; '.join(changed)}): give"
                " the same flags, or another --output_dir=DIR"
            )

    def measured(self, repeats: int, steps: int) -> dict[str, dict[str, list[float]]]:
        """Milliseconds by blocks and round from measured.json, {} unless they are of these
        networks, and of so many rounds and steps."""
        path, cases = self.directory / "measured.json", self.config.contract.cases
        value = (
            schema.read_json(path, "measured latencies", MAX_MEASURED_BYTES)
            if path.is_file()
            else {}
        )
        try:
            same = set(value["networks"]) == {each.blocks for each in self.networks} and (
                value["repeats"],
                value["steps"],
            ) == (repeats, steps)
            times = (
                [value["networks"][each.blocks][what] for each in self.networks for what in cases]
                if same
                else []
            )
            same = same and all(
                len(rounds) == repeats
                and all(type(ms) is float and 0 < ms < math.inf for ms in rounds)
                for rounds in times
            )
        except (LookupError, TypeError, AttributeError):
            same = False
        return value["networks"] if same else {}

    def write_measured(
        self, networks: dict[str, dict[str, list[float]]], repeats: int, steps: int
    ) -> None:
        """Inverse of `measured`."""
        schema.write_json(
            self.directory / "measured.json",
            {"repeats": repeats, "steps": steps, "networks": networks},
        )

    def so_far(self, split: str, repeats: int, steps: int) -> list[statistics.Network]:
        """What is known of every network."""
        measured, cost, derived = self.measured(repeats, steps), self.draw.cost, self.draw.derived
        scored: dict[str, dict[int, Scores]] = {each.blocks: {} for each in self.networks}
        for job in self.jobs():
            if scores := self._scores(job, split):
                scored[job.opponent.blocks][job.seed] = scores
        return [
            statistics.Network(
                names=each.names,
                blocks=each.blocks,
                random=each.random,
                cost=cost.total(each.blocks),
                more=cost.more(each.blocks, derived),
                runs=scored[each.blocks],
                measured=measured.get(each.blocks),
                contract=self.config.contract,
            )
            for each in self.networks
        ]
