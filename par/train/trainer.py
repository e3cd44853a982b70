"""The training loop: search and fixed networks alike.

    restore -> [ chunk of steps -> rows of history, lines of the log -> checkpoint -> at an epoch's
    end: evaluation ] -> summary

A run that was stopped and continued equals one that was not: the step is the position in the data,
random numbers depend on (seed, step), partial sums are saved, and the log files are cut back to
what they were when the checkpoint was written.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.core import metrics, schema
from par.core.config import LoggingConfig
from par.core.errors import DivergedError, StoppedError
from par.data import records
from par.search import diagnostics
from par.train import base_weights, elements, weight_transfer
from par.train.checkpoints import Checkpoints, check_settings
from par.train.distributed.workers import Workers
from par.train.hooks import EpochEnd, Hooks
from par.train.learner import Learner
from par.train.logs import RunLogs
from par.train.run_config import RunConfig
from par.train.search_watch import SearchWatch
from par.train.signals import stop_signals
from par.train.status_line import Chunk

NORM = 2  # the column of the gradient's norm in the rows of a step
CHUNK = 10  # the most steps in one graph call, and so for a signal to wait for


class Trainer:
    """One run: its learner, data, checkpoints and logs. `restore` comes before `run`."""

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        data_dir: Path,
        logging: LoggingConfig,
        *,
        hooks: Hooks,
        announce: Callable[[str], None],
        source: Path | None = None,
        base_run: Path | None = None,
        team: Workers | None = None,
    ):
        """Builds the network and reads nothing of the run but the settings of its checkpoint.

        hooks: what evaluates the network, and what is shown at the end of an epoch. source: the
        run that `config.init` names. base_run: that of `config.base`, or one that carries the
        same. team: the workers that train the run together.
        Raises: DataError if the data is damaged, or the run was made with other settings.
        """
        self.team = team or Workers()
        self.run_dir, self.config, self.data_dir, self.logging = run_dir, config, data_dir, logging
        self.hooks, self.announce, self.source = hooks, announce, source
        self.base_run = base_run
        self.manifest = records.load(data_dir)
        self.total, self.per_epoch = config.total_steps, config.data.steps_per_epoch
        self.record_every = logging.record_every or max(1, self.total // 100)
        self.team.from_chief(lambda: check_settings(run_dir / "checkpoints", config))
        self.learner = Learner(config, self.team.replicas)
        self.team.on_all(lambda: self.learner.objective.read_data(data_dir))
        self.search = SearchWatch(self.learner)
        self.checkpoints = Checkpoints(run_dir / "checkpoints", self.learner.state, logging.keep)
        self.logs = RunLogs(run_dir, config.contract)
        self.step = 0
        self.note: dict[str, Any] = {
            "sums": {name: self._no_sums() for name in ("log", "record", "evaluation")},
            "seconds": 0.0,
            "best": None,
            "files": {},
            "run": config.identity(),
            "watch": self.search.stability.to_json(),
        }
        self._saved_at = time.monotonic()
        # Signals that came while it ran: one in the last steps does not stop this run, but the
        # caller, who may have more to do.
        self.received: list[int] = []

    def restore(self) -> None:
        """Continues from the newest checkpoint that is whole; a run without one begins, with the
        weights of `source` and of `base_run` if its settings name other runs. Log files are cut
        back to what they were at that step.

        Raises: DataError if there are checkpoints, but none can be loaded, or `source` is damaged.
        """

        def begin() -> dict[str, Any]:
            restored = self.checkpoints.restore(warn=self.announce)
            if restored is None and self.config.base:
                base_weights.initialize(self.learner, self.base_run, self.announce)
            if restored is None and self.config.init:
                weight_transfer.initialize(self.learner, self.source, self.announce)
            if restored is None:
                weight_transfer.take_teacher(self.learner, self.data_dir, self.announce)
            return restored or self.note

        self.note = self.team.from_chief(begin)
        self.team.broadcast(self.checkpoints.variables)
        self.learner.take_memories()
        self.step = int(self.learner.step.numpy())
        self.search.stability = diagnostics.Stability.from_json(self.note["watch"])
        self.logs.open(self.note["files"])

    @property
    def ended(self) -> bool:
        """Whether training is complete: all steps are made, or the search has settled
        (--stop_when_stable)."""
        return self.step == self.total or self.search.has_settled

    def run(
        self,
        progress: Callable[[int, Chunk], None] = lambda steps, chunk: None,
        should_stop: Callable[[int], bool] = lambda step: False,
        until: int | None = None,
    ) -> None:
        """Trains to the end of the run, or to step `until`, where the state is saved.

        progress is called with the number of steps just made and their sums; should_stop with the
        step, after every chunk.
        Raises: StoppedError (state saved) on a signal or should_stop; DivergedError on a loss or
        gradient that is not finite.
        """
        self._saved_at = time.monotonic()
        with stop_signals() as received:
            self.received = received
            if self.step == 0:
                self.logs.begin(self.config, self.learner)
                if self.config.warning:
                    self._say(f"warning: {self.config.warning}")
            last = self.total if until is None else min(until, self.total)
            while not self.ended and self.step < last:
                self._train_epoch(progress, should_stop, last)
            if self.ended:
                self.team.from_chief(self._finish)

    def _train_epoch(
        self,
        progress: Callable[[int, Chunk], None],
        should_stop: Callable[[int], bool],
        last: int,
    ) -> None:
        """Trains to the end of the epoch, and evaluates there, or to step `last` within it; saves
        whenever that is due."""
        start = self.step % self.per_epoch
        windows = iter(elements.of_epoch(self.learner, self.data_dir, self.manifest, self.step))
        if start == 0:
            self.learner.empty_memories()
        end_of_epoch = self.step - start + self.per_epoch
        end = min(end_of_epoch, last)
        while self.step < end:
            self._chunk(windows, min(end, self._next_boundary()) - self.step, progress)
            if self.step == end_of_epoch:
                self._evaluate()
                self.team.from_chief(self._call_hooks)
            stop, due = self.team.any(
                [bool(self.received) or should_stop(self.step), self._save_is_due()]
            )
            if stop or due or self.step == end:
                self._save()
            if stop and not self.ended:
                raise self._stopped()

    def _next_boundary(self) -> int:
        """The next step at which a row, a line or a checkpoint is due; at most CHUNK steps
        away."""
        due = [
            self.step - self.step % every + every
            for every in (
                CHUNK,
                self.logging.log_every,
                self.record_every,
                self.logging.save_every,
            )
        ]
        return min(due)

    def _chunk(
        self, windows: Iterator, count: int, progress: Callable[[int, Chunk], None]
    ) -> None:
        start = time.perf_counter()
        rows = self.learner.train(windows, tf.constant(count)).numpy().astype(np.float64)
        seconds = time.perf_counter() - start
        self.note["seconds"] += seconds
        if not np.isfinite(rows).all():
            raise self._diverged(rows)
        for row in np.delete(rows, NORM, axis=1):
            for sums in self.note["sums"].values():
                for place, value in enumerate(row):
                    sums[place] += value
        self.step += count
        nll, weight, *parts = np.delete(rows, NORM, axis=1).sum(axis=0)
        chunk = Chunk(nll, weight, seconds, self._search_state, tuple(parts))
        progress(count, chunk)
        if self.learner.logits and self.step % self.per_epoch == 0:
            self._check_search()
        if self.step % self.record_every == 0 or self.ended:
            self._record(self._take("record"))
        if self.step % self.logging.log_every == 0 or self.ended:
            self._log_line(self._take("log"))

    def _no_sums(self) -> list[float]:
        """nll and tokens; then sum and weight of each of the objective's training_parts."""
        return [0.0] * (2 + 2 * len(self.config.contract.training_parts))

    def _take(self, name: str) -> dict[str, float | None]:
        """The mean nll per token since the last call with this name, and that of each part, None
        without any weight; begins new means."""
        sums, self.note["sums"][name] = self.note["sums"][name], self._no_sums()
        means = [
            total / weight if weight else None for total, weight in zip(sums[::2], sums[1::2])
        ]
        # of a checkpoint of before, what was summed then may be more
        return dict(zip(("nll_per_token", *self.config.contract.training_parts), means))

    def _search_state(self) -> tuple[float, np.ndarray] | None:
        return self.search.state_after(self.step)

    def _check_search(self) -> None:
        """Writes at the end of an epoch how the search stands, and what to be warned of."""
        epoch = self.step // self.per_epoch
        self.search.end_epoch(self.step)
        share = self.search.stability.stable_share()
        self.logs.epoch_line(self.step, epoch, self.search.figures(), share)
        for warning in self.search.new_warnings(self.step):
            self._say(f"warning: epoch {epoch}: {warning}")
        self.note["watch"] = self.search.stability.to_json()
        if self.ended and self.step < self.total:
            self._say(self.search.settled_line(epoch))

    def _say(self, line: str) -> None:
        self.logs.text(line)
        self.announce(line)

    def _position(self) -> dict[str, Any]:
        """Step, epoch and schedules of the last update."""
        last = max(self.step - 1, 0)
        rate, arch_rate = self.learner.rates(last)
        return {
            "step": self.step,
            "epoch": last // self.per_epoch + 1,
            "tau": self.learner.tau_at(last),
            "learning_rate": rate,
            "arch_lr": arch_rate,
        }

    def _record(self, means: dict[str, float | None]) -> None:
        row = self._position() | means
        row |= {
            "pi": self.learner.pi.tolist(),
            "seconds": round(self.note["seconds"], 3),
        }
        latency = {f"latency/{name}": value for name, value in self.search.latency().items()}
        self.logs.train_row(row, self.search.figures() | latency)
        if self.learner.logits:
            if warning := self.search.after_row(self.step, row["nll_per_token"]):
                self._say(f"warning: step {self.step:,}: {warning}")
            self.note["watch"] = self.search.stability.to_json()

    def _log_line(self, means: dict[str, float | None]) -> None:
        tokens = self.step * self.config.read_tokens
        self.logs.line(
            self._position(),
            self.total,
            means,
            tokens / max(self.note["seconds"], 1e-9),
            self.search.likeliest,
            self.search.text(),
        )

    def _evaluate(self) -> None:
        so_far = {
            "train_nll_per_token": self._take("evaluation")["nll_per_token"],
            "seconds": round(self.note["seconds"], 3),
        }
        contract, by_way = self.config.contract, {}
        headline = contract.headline
        for way, scores in self.hooks.evaluate(self.learner, self.data_dir, self.manifest):
            by_way[way] = scores
            self.logs.valid_row(self._position(), way, scores, **so_far)
            name = f"{self.config.architecture.short}{'' if way == 'fixed' else f' {way}'}"
            for warning in contract.warnings(name, "valid", scores):
                self._say(f"warning: step {self.step:,}: {warning}")
            best, own = self.note["best"], scores[headline.name]
            if way != "argmax" and (best is None or headline.is_better(own, best[headline.name])):
                self.note["best"] = {"step": self.step, headline.name: own}
                self._save("best")
        if len(by_way) > 1:
            gap = metrics.gap(by_way["soft"], by_way["argmax"], contract.comparison[0])
            self.logs.gap_line(self.step, gap)

    def _call_hooks(self) -> None:
        end = EpochEnd(
            learner=self.learner,
            logs=self.logs,
            data_dir=self.data_dir,
            logging=self.logging,
            step=self.step,
            epoch=self.step // self.per_epoch,
            is_last=self.ended,
        )
        for hook in self.hooks.epoch_end:
            hook(end)

    def _save_is_due(self) -> bool:
        """Whether a save is due by steps or by the clock, which is read between two chunks and so
        changes no figure."""
        seconds = self.logging.save_every_seconds
        return (
            self.step % self.logging.save_every == 0
            or 0 < seconds <= time.monotonic() - self._saved_at
        )

    def _save(self, which: str = "last") -> None:
        self.learner.keep_memories()
        self.team.from_chief(lambda: self._write(which))

    def _write(self, which: str) -> None:
        self.note["files"] = self.logs.lengths()
        self.checkpoints.save(self.step, self.note, which)
        if which == "last":
            self._saved_at = time.monotonic()

    def _stopped(self) -> StoppedError:
        reason = "request"
        if self.received:
            reason = signal.Signals(self.received[0]).name
        elif self.team.count > 1:
            reason = "request of another worker"
        return StoppedError(
            f"stopped by {reason} at step {self.step} of {self.total}; the state is saved: the"
            " same command continues"
        )

    def _diverged(self, rows: np.ndarray) -> DivergedError:
        bad = int(np.argmin(np.isfinite(rows).all(axis=-1)))
        at = self.step + bad
        nll, weight, norm = rows[bad, : NORM + 1]
        rate, arch_rate = self.learner.rates(at)
        state, remedy = "", "a lower --max_lr or a smaller --clip_norm"
        if self.learner.logits and not self.learner.logits_are_finite and np.isfinite(nll):
            state = f", architecture logits not finite at their learning rate {arch_rate:.3g}"
            remedy = "a lower --arch_lr"
        message = (
            f"diverged at step {at + 1}: loss {nll / weight:.4g}, gradient norm {norm:.4g},"
            f" learning rate {rate:.3g}{state}; the last checkpoint is finite: start a run with"
            f" {remedy}"
        )
        self.logs.text(message)
        return DivergedError(message)

    def _finish(self) -> None:
        self.logs.end()
        summary = {
            "step": self.step,
            "seconds": self.note["seconds"],
            "best": self.note["best"],
            "parameters": self.learner.parameters,
        }
        schema.write_json(
            self.run_dir / "summary.json",
            summary | {"pi": self.learner.pi.tolist(), "blocks": self.search.likeliest},
        )
