"""A certified choice on disk: the networks within the budget, their runs, and what these have
shown so far.

DIRECTORY/  choice.json (which networks, and what the choice depends on)
            <run>/ (one for each network and seed, with scores.json when it has ended)
            architecture.json  certify.json  certify.csv  certify.png
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.core import schema
from par.core.errors import UsageError
from par.core.metrics import Figure
from par.evaluate.certify.problem import RUNG, Problem, Record, Training
from par.evaluate.certify.procedure import next_trainings
from par.evaluate.compare import statistics
from par.evaluate.compare.results import Scores
from par.search import networks
from par.search.architecture import Architecture
from par.search.latency_table import Costs
from par.train import history, run_config

SCHEMA = 1
VALID, TEST = statistics.SCORED
# what the next training depends on: another one is another choice
DECIDES = ("networks", "sha256", "random_seed")


class Budget(NamedTuple):
    """The latency that a network may have. milliseconds: inf where any will do; ratio: the same as
    a share of the interleaved network's, where it was given so; case: of
    par.search.latency_table.CASES."""

    milliseconds: float
    ratio: float | None
    case: str
    costs: Costs | None

    def within(self, depth: int) -> tuple[str, ...]:
        """The networks of at most `depth` blocks that fit, by their number. Raises: UsageError if
        there is none, or if there are too many blocks to list all networks."""
        if depth > networks.MAX_ENUMERATED:
            raise UsageError(
                f"all networks are listed of at most {networks.MAX_ENUMERATED} blocks, but there"
                f" are {depth}"
            )
        attention, dense = networks.counts_of_all(depth)
        fits = np.ones(len(attention), bool)
        if self.costs:
            fits = self.costs.total(attention, dense) <= self.milliseconds
        found = tuple(networks.network_at(int(n)) for n in np.flatnonzero(fits) if n)
        if not found:
            raise UsageError(
                f"no network fits a budget of {self.milliseconds:.6g} ms: the least is"
                f" {self.costs.constant:.6g} ms, of no block"
            )
        return found

    def cost(self, network: str) -> float | None:
        """Milliseconds of a network by the table; None without one."""
        return self.costs.milliseconds(network) if self.costs else None

    @property
    def phrase(self) -> str:
        """` within 5.20 ms of inference`, or '' where any latency will do."""
        if math.isinf(self.milliseconds):
            return ""
        return f" within {self.milliseconds:.2f} ms of {self.case.replace('_', ' ')}"


class Run(NamedTuple):
    """One run of a choice."""

    training: Training
    config: run_config.RunConfig
    run_dir: Path
    until: int  # the step at which it ends for now


@dataclasses.dataclass(frozen=True)
class Plan:
    """A problem, and where it is answered. config: the settings of every run but for network and
    seed; search_run: '' without a search; max_raced: of more networks some are chosen by a
    surrogate."""

    problem: Problem
    budget: Budget
    config: run_config.RunConfig
    data_dir: Path
    directory: Path
    search_run: str
    max_raced: int

    def run(self, training: Training) -> Run:
        """The run of a training."""
        config = dataclasses.replace(
            self.config.with_seed(training.seed), architecture=Architecture(training.network)
        )
        until = self.rung if training.share < 1 else config.total_steps
        return Run(training, config, self.directory / config.default_name(), until)

    @property
    def rung(self) -> int:
        """The step at which a network is judged early."""
        return math.ceil(RUNG * self.config.total_steps)

    def record(self) -> Record:
        """What the runs have shown. Raises: DataError if a run is damaged."""
        early, final = {}, {}
        for network, seed in self._begun():
            run = self.run(Training(network, seed, 1))
            if scores := self.scores(network, seed, VALID):
                final[network, seed] = self.figure.loss(scores.compared)
            if seed == self.problem.seeds[0] and (loss := self._early(run)) is not None:
                early[network] = loss
        return Record(early, final)

    def _begun(self) -> Iterator[tuple[str, int]]:
        """The networks and seeds of the runs in the directory that are this choice's."""
        networks, seeds = set(self.problem.networks), set(self.problem.seeds)
        for path in sorted(self.directory.glob("*/config.json")):
            config, _ = run_config.load(path.parent)
            network, seed = config.architecture.network, config.training.seed
            if network not in networks or seed not in seeds:
                continue
            if self.run(Training(network, seed, 1)).run_dir == path.parent:
                yield network, seed

    @property
    def figure(self) -> Figure:
        """The figure that decides."""
        return self.config.contract.comparison[0]

    def scores(self, network: str, seed: int, split: str) -> Scores | None:
        """The scores of a run on a split; None before it is scored."""
        run_dir = self.run(Training(network, seed, 1)).run_dir
        if not statistics.has_scores(run_dir, split):
            return None
        return statistics.read_scores(run_dir, split, self.config.contract.comparison)

    def next(self) -> list[Run]:
        """The runs that come next, [] at the end."""
        wanted = next_trainings(self.problem, self.record(), self.max_raced)
        return [self.run(training) for training in wanted]

    def keep(self) -> None:
        """Writes choice.json. Raises: UsageError if the directory holds another choice."""
        path, asked = self.directory / "choice.json", self._to_json()
        if path.is_file():
            kept = schema.read_json(path, "settings of the choice")
            if changed := [
                f"{name}: {kept.get(name)} -> {asked[name]}"
                for name in DECIDES
                if kept.get(name) != asked[name]
            ]:
                raise UsageError(
                    f"{self.directory} holds another choice ({'; '.join(changed)}): give the same"
                    " flags, or another --output_dir=DIR"
                )
        schema.write_json(path, asked)

    def _to_json(self) -> dict[str, Any]:
        budget, problem = self.budget.milliseconds, self.problem
        told = zip(problem.networks, problem.log_probabilities or itertools.repeat(0.0))
        listed = "".join(f"{network} {value:.9g}\n" for network, value in told)
        return {
            "schema": SCHEMA,
            "search_run": self.search_run,
            "depth": problem.depth,
            "budget_ms": None if math.isinf(budget) else budget,
            "latency_of": self.budget.case,
            "networks": len(problem.networks),
            "sha256": hashlib.sha256(listed.encode()).hexdigest(),
            "random_seed": problem.random_seed,
        }

    def _early(self, run: Run) -> float | None:
        """The mean training loss of a run up to the rung, nats a token: the sum of its training
        losses (Ru et al. 2020) over the number of steps. None before it has come so far."""
        path = run.run_dir / "history.jsonl"
        if not path.is_file():
            return None
        every, step, total = max(1, run.config.total_steps // 100), 0, 0.0
        for row in history.read_rows(path, run.config.contract)["train"]:
            if row["step"] > self.rung:
                break
            total += (row["step"] - step) * row["nll_per_token"]
            step = row["step"]
        reached = step >= self.rung // every * every
        return total / step if step and reached else None
