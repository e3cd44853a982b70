"""The results of a search side by side: its SuperNet as a mixture and as its argmax, and the
derived network with the SuperNet's weights, fine-tuned from these, and trained from scratch.

RUN-compare/  supernet.json (scores of what is not trained any more)  <run>/ (fine-tuned and from
              scratch, one a seed, with scores.json)  truth.json

From scratch is the run of the derived network that a comparison trains: whichever command comes
first trains it for both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from par.core import schema
from par.core.errors import UsageError
from par.core.metrics import Figure
from par.core.stats import Interval, interval
from par.core.text import table
from par.evaluate.compare import statistics, tables
from par.evaluate.compare.plan import Job, Opponent
from par.evaluate.compare.results import (
    Ablation,
    AblationRow,
    AblationRun,
    Scores,
)
from par.evaluate.compare.statistics import SCORED
from par.search.architecture import Architecture
from par.train import run_config

UNTRAINED = {
    "soft": "SuperNet, soft",
    "argmax": "SuperNet, argmax",
    "inherited": "derived, inherited",
}
NOTE = (
    "mean and 95 % interval over the seeds; steps, time: of training one network, by itself and"
    " with the search"
)
FINE_TUNED, SCRATCH = "derived, fine-tuned", "derived, from scratch"


@dataclasses.dataclass(frozen=True)
class AblationPlan:
    """What is compared. config: the search's settings with the recipe of the
    comparison."""

    search: Path
    search_blocks: str
    seconds: float  # of the search
    config: run_config.RunConfig
    data_dir: Path
    directory: Path
    blocks: str
    init: run_config.Origin  # the search's last checkpoint
    seeds: range
    epochs: int  # of fine-tuning
    max_lr: float  # of fine-tuning

    def jobs(self) -> Iterator[Job]:
        """Every run, seed by seed."""
        for seed in self.seeds:
            spelled = dataclasses.replace(
                self.config.with_seed(seed), architecture=Architecture(self.blocks)
            )
            scratch = spelled.canonical
            # the same share of the steps
            warmup = round(scratch.warmup_steps * self.epochs / scratch.training.epochs)
            training = dataclasses.replace(
                scratch.training, epochs=self.epochs, max_lr=self.max_lr, warmup_steps=warmup
            )
            for name, config in (
                (
                    FINE_TUNED,
                    dataclasses.replace(spelled, training=training, init=self.init).canonical,
                ),
                (SCRATCH, scratch),
            ):
                yield Job(
                    Opponent((name,), self.blocks, False),
                    seed,
                    config,
                    self.directory / config.default_name(),
                )

    def unfinished(self) -> list[Job]:
        """The runs that are not trained and scored yet.

        Raises: UsageError, with the differences, if a run is there that began with other weights:
        the search has gone on since.
        """
        for job in self.jobs():
            if (job.run_dir / "config.json").is_file() and (
                changed := run_config.differences(run_config.load(job.run_dir)[0], job.config)
            ):
                raise UsageError(
                    f"run {job.run_dir} was made with other settings ({'; '.join(changed)}): give"
                    " another --output_dir=DIR"
                )
        return [job for job in self.jobs() if self._scores(job, SCORED[0]) is None]

    @property
    def _figures(self) -> tuple[Figure, ...]:
        return self.config.contract.comparison

    def _scores(self, job: Job, split: str) -> Scores | None:
        return statistics.read_scores(job.run_dir, split, self._figures)

    def untrained(self) -> dict[str, Any]:
        """The scores of supernet.json by the names of UNTRAINED, {} unless they are of this
        checkpoint and these blocks."""
        value = (
            schema.read_json(self._scored, "scores of a SuperNet")
            if self._scored.is_file()
            else {}
        )
        return (
            value
            if {key: value.get(key) for key in self._about} == self._about
            and set(UNTRAINED) <= set(value)
            else {}
        )

    def write_untrained(self, scores: dict[str, Any]) -> None:
        """Inverse of `untrained`."""
        schema.write_json(self._scored, self._about | scores)

    @property
    def _scored(self) -> Path:
        return self.directory / "supernet.json"

    @property
    def _about(self) -> dict[str, Any]:
        return {"init": self.init.to_json(), "blocks": self.blocks}

    def report(self) -> Ablation:
        """What is known: a row for each network, and how much worse fine-tuning is than training
        from scratch."""
        kept, rows = self.untrained(), []
        for way, name in UNTRAINED.items():
            blocks = self.blocks if way == "inherited" else self.search_blocks
            scores = {
                split: statistics.scores_from_json(kept[way], split, self._scored, self._figures)
                for split in (SCORED if kept else ())
            }
            runs = [self._run(None, self.search, scores)] if scores else []
            rows.append(self._row(name, blocks, 0, runs))
        rows += [self._trained_row(name) for name in (FINE_TUNED, SCRATCH)]
        figure = self._figures[0]
        compared = figure.scale_name or figure.name
        tuned, scratch = ({run.seed: run.test[compared] for run in row.runs} for row in rows[-2:])
        gaps = [tuned[seed] - scratch[seed] for seed in tuned if seed in scratch]
        return Ablation(
            search=self.init.run,
            blocks=self.blocks,
            seeds=tuple(self.seeds),
            epochs=self.config.training.epochs,
            fine_tune_epochs=self.epochs,
            fine_tune_lr=self.max_lr,
            rows=tuple(rows),
            fine_tuned_against_scratch=statistics.worse(figure, gaps) if gaps else None,
            objective=self.config.objective,
        )

    def _trained_row(self, name: str) -> AblationRow:
        """The row of the runs called `name`."""
        jobs = [job for job in self.jobs() if job.opponent.label == name]
        runs = []
        for job in jobs:
            scores = {split: self._scores(job, split) for split in SCORED}
            if all(scores.values()):
                runs.append(self._run(job.seed, job.run_dir, scores))
        return self._row(name, self.blocks, jobs[0].config.total_steps, runs)

    def _row(self, name: str, blocks: str, steps: int, runs: Sequence[AblationRun]) -> AblationRow:
        """What is known of one network. steps: of its own training, 0 where the weights are the
        search's."""
        seconds = 0.0 if not steps else None
        if steps and runs:
            seconds = fmean(run.seconds for run in runs)
        return AblationRow(
            name=name,
            blocks=blocks,
            steps=steps,
            seconds=seconds,
            steps_with_search=self.init.step + steps,
            seconds_with_search=None if seconds is None else self.seconds + seconds,
            **{split: self._over_seeds([getattr(run, split) for run in runs]) for split in SCORED},
            runs=tuple(runs),
        )

    def _over_seeds(self, scores: Sequence[dict[str, float]]) -> dict[str, Interval] | None:
        """Mean and interval of each figure; None without runs."""
        if not scores:
            return None
        first, *others = self._figures
        compared = interval([each[first.scale_name or first.name] for each in scores])
        return {first.name: compared.map(first.from_scale)} | {
            figure.name: interval([each[figure.name] for each in scores]) for figure in others
        }

    def _run(self, seed: int | None, run_dir: Path, scores: dict[str, Scores]) -> AblationRun:
        """One run of a row, from its scores by split."""
        first, figure = scores[SCORED[0]], self._figures[0]
        name = figure.scale_name or figure.name
        return AblationRun(
            seed=seed,
            run=str(run_dir),
            parameters=first.parameters,
            seconds=first.seconds,
            **{split: {name: scores[split].compared} | scores[split].others for split in SCORED},
        )


def lines(found: Ablation) -> list[str]:
    """A report for people: a row for each network, and fine-tuning beside training from
    scratch."""
    text = [*table(rows(found), left=2), NOTE]
    return [*text, "", said] if (said := sentence(found)) else text


def rows(found: Ablation) -> list[tuple[str, ...]]:
    """The heads, and the cells of each network."""
    heads = [f"{split} {figure.label}" for split in SCORED for figure in found.figures]
    made = [
        ("network", "blocks", *heads, "steps", "time", "steps with search", "time with search")
    ]
    for row in found.rows:
        scores = []
        for split in SCORED:
            result = getattr(row, split) or {}
            for figure in found.figures:
                scores.append(tables.spread(result.get(figure.name), figure.few_digits))
        own = (f"{row.steps:,}", _clock(row.seconds)) if row.steps else ("-", "-")
        whole = (f"{row.steps_with_search:,}", _clock(row.seconds_with_search))
        made.append((row.name, row.blocks, *scores, *own, *whole))
    return made


def sentence(found: Ablation) -> str:
    """Fine-tuning beside training from scratch; "" where that is not known."""
    gap = found.fine_tuned_against_scratch
    if not gap:
        return ""
    tuned, scratch = found.rows[-2:]
    return (
        f"fine-tuned beside from scratch: {tuned.steps:,} steps beside {scratch.steps:,},"
        f" {found.figures[0].label} on test {tables.changed(found.figures[0], gap)}"
    )


def _clock(seconds: float | None) -> str:
    return "-" if seconds is None else tables.clock(seconds)
