"""Predicted and measured latency of a derived network, as kept in architecture.json.

The network and the interleaved one of its depth are timed in turn, so that their ratio depends
less on the load of the machine than milliseconds do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from par.core.config import SearchConfig
from par.core.errors import UsageError
from par.core.stats import Quartiles, quartiles

CASES = SearchConfig.choices("latency_of")
MAX_ERROR = 0.1  # relative error of a prediction, beyond which a table is not reliable
MAX_MILLISECONDS = 1e9
MAX_PAIRS = 10_000
MEASURED = ("network", "interleaved", "share")


class Measured(NamedTuple):
    """Quartiles over the pairs of measurements in one case."""

    network: Quartiles
    interleaved: Quartiles
    share: Quartiles


class Case(NamedTuple):
    """Latency (milliseconds) of a network and of the interleaved one of its depth in one case of
    CASES."""

    what: str
    network_ms: float  # predicted
    interleaved_ms: float
    measured: Measured | None = None

    @property
    def share(self) -> float:
        """Predicted share of the interleaved network's latency."""
        return self.network_ms / self.interleaved_ms

    @property
    def error(self) -> float:
        """Relative error of the prediction: 0.03 is 3 % too much."""
        return self.network_ms / self.measured.network.median - 1

    @property
    def name(self) -> str:
        """The case as shown in tables and messages."""
        return self.what.replace("_", " ")

    def with_measured(self, times: np.ndarray) -> Case:
        """A copy with measurements: times [pairs, 2] of the network and of the interleaved one,
        milliseconds."""
        return self._replace(
            measured=Measured(
                quartiles(times[:, 0]),
                quartiles(times[:, 1]),
                quartiles(times[:, 0] / times[:, 1]),
            )
        )


@dataclasses.dataclass(frozen=True)
class LatencyCheck:
    """The latencies of a derived network, and its budget if it has one."""

    chosen_by: str  # the case by which the network was chosen
    cases: tuple[Case, ...]
    budget_ms: float | None = None
    # the budget as a share of the interleaved network's latency, if given so
    budget_ratio: float | None = None
    pairs: int = 0  # of measurements; 0: not measured

    def __post_init__(self) -> None:
        figures = [ms for case in self.cases for ms in (case.network_ms, case.interleaved_ms)]
        figures += [budget for budget in (self.budget_ms, self.budget_ratio) if budget is not None]
        figures += [
            figure
            for case in self.cases
            if case.measured
            for spread in case.measured
            for figure in spread
        ]
        if not all(
            type(figure) in (int, float) and 0 < figure <= MAX_MILLISECONDS for figure in figures
        ):
            raise UsageError(
                f"latencies and budgets must be above 0 and at most {MAX_MILLISECONDS:.0e}"
            )
        if self.budget_ratio is not None and self.budget_ms is None:
            raise UsageError(
                f"a budget as a share needs its milliseconds too, but budget_ratio is"
                f" {self.budget_ratio} and budget_ms None"
            )
        if not all(
            spread.low <= spread.median <= spread.high
            for case in self.cases
            if case.measured
            for spread in case.measured
        ):
            raise UsageError("measured latencies must be low <= median <= high")
        names = [case.what for case in self.cases]
        if len(set(names)) < len(names) or not {self.chosen_by} <= set(names) <= set(CASES):
            raise UsageError(
                f"latencies must be of different cases of {', '.join(CASES)}, among them the"
                f" one by which the network was chosen, but are of {names}"
            )
        if (
            type(self.pairs) is not int
            or not 0 <= self.pairs <= MAX_PAIRS
            or any(bool(case.measured) != bool(self.pairs) for case in self.cases)
        ):
            raise UsageError(
                f"pairs must be from 0 to {MAX_PAIRS}, and 0 where nothing was measured, but are"
                f" {str(self.pairs)[:60]!r}"
            )

    def with_measured(self, times: Mapping[str, np.ndarray]) -> LatencyCheck:
        """A copy with measurements of each case: times [pairs, 2] of the network and of the
        interleaved one, milliseconds."""
        return dataclasses.replace(
            self,
            cases=tuple(case.with_measured(times[case.what]) for case in self.cases),
            pairs=len(times[self.chosen_by]),
        )

    @property
    def corrections(self) -> dict[str, float]:
        """Measured latency over predicted latency, by case."""
        return {case.what: case.measured.network.median / case.network_ms for case in self.cases}

    def to_json(self) -> dict[str, Any]:
        """The section `latency` of architecture.json."""
        cases = {}
        for case in self.cases:
            measured = case.measured and {
                name: spread._asdict() for name, spread in zip(MEASURED, case.measured)
            }
            cases[case.what] = {
                "predicted": {
                    "network": case.network_ms,
                    "interleaved": case.interleaved_ms,
                    "share": case.share,
                }
            } | {
                "measured": measured,
                "error": case.error if case.measured else None,
            }
        return {
            "of": self.chosen_by,
            "budget_ms": self.budget_ms,
            "budget_ratio": self.budget_ratio,
            "pairs": self.pairs,
            "cases": cases,
        }

    @classmethod
    def from_json(cls, value: Any) -> LatencyCheck:
        """Inverse of `to_json`. Raises: UsageError unless `value` is a result of `to_json`."""
        try:
            cases = []
            for what, case in value["cases"].items():
                found, expected = case["measured"], case["predicted"]
                measured = None
                if found is not None:
                    measured = Measured(**{name: Quartiles(**found[name]) for name in MEASURED})
                cases.append(Case(what, expected["network"], expected["interleaved"], measured))
            made = cls(
                chosen_by=value["of"],
                cases=tuple(cases),
                budget_ms=value["budget_ms"],
                budget_ratio=value["budget_ratio"],
                pairs=value["pairs"],
            )
            same = made.to_json() == value
        except (LookupError, TypeError, AttributeError, ArithmeticError):
            same = False
        if not same:
            raise UsageError("latency is not what tools/derive.py writes")
        return made

    def lines(self, network: str, interleaved: str) -> list[str]:
        """A table of predicted and measured latencies of the two networks of these names."""
        width = max(len("network"), len(network), len(interleaved))
        lines = [
            f"{'network':<{width}}  {'':<14}{'predicted ms':>12}"
            + (f"{'measured ms':>13}{'quartiles':>20}{'error':>8}" if self.pairs else "")
        ]
        for case in self.cases:
            rows = [(network, case.network_ms), (interleaved, case.interleaved_ms)]
            for (name, ms), spread in zip(rows, case.measured or (None, None)):
                line = f"{name:<{width}}  {case.name:<14}{ms:>12.3f}"
                if spread:
                    quartiles = f"{spread.low:.3f} to {spread.high:.3f}"
                    line += f"{spread.median:>13.3f}{quartiles:>20}{ms / spread.median - 1:>+8.1%}"
                lines.append(line)
        shares = [
            f"{case.name} {case.share:.1%}{_measured_share(case.measured)}" for case in self.cases
        ]
        return [*lines, f"share of {interleaved}, predicted: {'; '.join(shares)}"]

    def warnings(self, network: str) -> list[str]:
        """Warnings about wrong predictions and an exceeded budget, a line each."""
        lines = []
        for case in self.cases if self.pairs else ():
            measured = case.measured
            if abs(case.error) > MAX_ERROR:
                spread = ""
                if measured.network.width > MAX_ERROR:
                    spread = f", whose quartiles lie {measured.network.width:.1%} apart"
                lines.append(
                    f"the prediction misses the {case.name} of {network} by"
                    f" {case.error:+.1%}{spread}: measure again, or use --calibrate"
                )
            if case.what != self.chosen_by:
                continue
            if self.budget_ratio is not None:
                if measured.share.median > self.budget_ratio:
                    lines.append(
                        f"the {case.name} of {network} takes {measured.share.median:.1%} of the"
                        f" interleaved network's, above {self.budget_ratio:.1%}"
                    )
            elif self.budget_ms is not None and measured.network.median > self.budget_ms:
                lines.append(
                    f"the {case.name} of {network} takes {measured.network.median:.3f} ms, above"
                    f" the budget of {self.budget_ms:.3f} ms"
                )
        return lines


def _measured_share(measured: Measured | None) -> str:
    if measured is None:
        return ""
    median, low, high = measured.share
    return f" (measured {median:.1%}, {low:.1%} to {high:.1%})"
