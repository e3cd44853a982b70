"""A search while it trains: its figures, whether it has settled, collapsed or never moved."""

from __future__ import annotations

import math

import numpy as np

from par.core.text import plural
from par.search import derive, diagnostics, latency_table
from par.train.learner import Learner


class SearchWatch:
    """Observes the architecture probabilities of a learner; for a fixed network they are one-hot,
    and it has no stability to tell."""

    def __init__(self, learner: Learner):
        self.stability = diagnostics.Stability()
        self._learner, self._config = learner, learner.config
        self._costs = None
        if learner.logits:
            self._costs = latency_table.costs_from_settings(self._config.search.latency_ms)

    @property
    def likeliest(self) -> str:
        """The blocks of the likeliest kinds."""
        return derive.argmax(self._learner.pi)

    @property
    def has_settled(self) -> bool:
        """Whether --stop_when_stable ends the run."""
        search = self._config.search
        return self.stability.has_settled(search.stop_when_stable, search.stable_share)

    def state_after(self, step: int) -> tuple[float, np.ndarray] | None:
        """tau of the last of `step` updates, and pi; None for a fixed network."""
        return (self._learner.tau_at(step - 1), self._learner.pi) if self._learner.logits else None

    def figures(self) -> dict[str, float]:
        """The figures of par.search.diagnostics for pi."""
        return diagnostics.figures(self._learner.pi, self._config.architecture.blocks)

    def latency(self) -> dict[str, float]:
        """The figures of pi by the run's latencies; {} without latencies."""
        return self._costs.outlook(self._learner.pi, self.likeliest) if self._costs else {}

    def text(self) -> str:
        """Both as text; empty for a fixed network."""
        parts = [diagnostics.text(self.figures())] if self._learner.logits else []
        if self._costs:
            parts.append(latency_table.text(self.latency()))
        return " ".join(parts)

    def end_epoch(self, step: int) -> None:
        """Compares the likeliest kinds with those of the epoch before, once the logits are
        updated."""
        if step > self._config.frozen_steps:
            stochastic = diagnostics.stochastic(self._learner.pi, self._config.architecture.blocks)
            self.stability = self.stability.after_epoch(derive.argmax(stochastic))

    def new_warnings(self, step: int) -> list[str]:
        """The warnings that hold after `step` updates and have not been returned before."""
        frozen = self._config.frozen_steps
        found = diagnostics.warnings(
            self._learner.pi,
            self._config.architecture.blocks,
            (step - frozen) / (self._config.total_steps - frozen),
        )
        names = sorted(found.keys() - set(self.stability.warned))
        self.stability = self.stability.with_warning(*names)
        return [found[name] for name in names]

    def after_row(self, step: int, nll: float) -> str:
        """A warning, given once, of blocks that are decided early; '' if there are none. step:
        updates done. nll: the mean since the row of the history before."""
        self.stability = self.stability.after_row(nll)
        search = self._config.search
        found = diagnostics.early_decision(
            self._learner.pi,
            self._config.architecture.blocks,
            step / self._config.total_steps,
            self._learner.tau_at(step - 1),
            math.sqrt(search.tau_start * search.tau_end),
            self.stability.losses,
        )
        if not found or "early" in self.stability.warned:
            return ""
        self.stability = self.stability.with_warning("early")
        return found

    def settled_line(self, epoch: int) -> str:
        """The line that tells why the run ends after this epoch."""
        epochs = self._config.search.stop_when_stable
        share = self.stability.stable_share(epochs)
        return (
            f"ended after epoch {epoch} of {self._config.training.epochs}: the likeliest kind has"
            f" not changed for {plural(epochs, 'epoch')} in {share:.0%} of the stochastic blocks"
            f" (--stop_when_stable={epochs})"
        )
