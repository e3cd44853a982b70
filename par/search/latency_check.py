"""What a network was promised to take and what it took: predicted and measured latency side by
side, as architecture.json keeps them.

The network and the interleaved one of its depth are timed in turn, so that a share of the two
hangs less on the minute than milliseconds do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from par.core.config import SearchConfig
from par.core.errors import UsageError
from par.core.stats import Quartiles, quartiles

CASES = SearchConfig.choices("latency_of")
MOST_ERROR = 0.1  # of a prediction: beyond it a table is no ground to choose networks by
MAX_MILLISECONDS = 1e9
MAX_PAIRS = 10_000
MEASURED = ("network", "interleaved", "share")


class Measured(NamedTuple):
    """What the pairs say of a case."""

    network: Quartiles
    interleaved: Quartiles
    share: Quartiles


class Case(NamedTuple):
    """Latency of a network and of the interleaved one of its depth in one case (CASES),
    milliseconds."""

    what: str
    network_ms: float  # predicted
    interleaved_ms: float
    measured: Measured | None = None

    @property
    def share(self) -> float:
        """Predicted, of the interleaved network's."""
        return self.network_ms / self.interleaved_ms

    @property
    def error(self) -> float:
        """Predicted against measured: 0.03 is 3 % too much."""
        return self.network_ms / self.measured.network.median - 1

    @property
    def name(self) -> str:
        """For people."""
        return self.what.replace("_", " ")

    def with_measured(self, times: np.ndarray) -> Case:
        """The same with what was measured: times [pairs, 2] of the network and of the interleaved
        one, milliseconds."""
        return self._replace(
            measured=Measured(
                quartiles(times[:, 0]),
                quartiles(times[:, 1]),
                quartiles(times[:, 0] / times[:, 1]),
            )
        )


@dataclasses.dataclass(frozen=True)
class LatencyCheck:
    """A budget, where there was one, and the latencies of the network that was chosen."""

    chosen_by: str  # the case that the network was chosen by
    cases: tuple[Case, ...]
    budget_ms: float | None = None
    # of the interleaved network's latency, where the budget was given so
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
                f"latencies must be of different cases of {', '.join(CASES)}, among them the one"
                f" chosen by, but are of {names}"
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
        """The same beside times [pairs, 2] of each case: of the network and of the interleaved
        one, milliseconds."""
        return dataclasses.replace(
            self,
            cases=tuple(case.with_measured(times[case.what]) for case in self.cases),
            pairs=len(times[self.chosen_by]),
        )

    @property
    def corrections(self) -> dict[str, float]:
        """Measured over predicted in each case."""
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
        """Inverse of `to_json`. Raises: UsageError unless it is what that makes."""
        try:
            cases = []
            for what, case in value["cases"].items():
                found = case["measured"]
                measured = (
                    None
                    if found is None
                    else Measured(*(Quartiles(**found[name]) for name in MEASURED))
                )
                cases.append(
                    Case(
                        what,
                        case["predicted"]["network"],
                        case["predicted"]["interleaved"],
                        measured,
                    )
                )
            made = cls(
                value["of"],
                tuple(cases),
                value["budget_ms"],
                value["budget_ratio"],
                value["pairs"],
            )
            same = made.to_json() == value
        except (LookupError, TypeError, AttributeError, ArithmeticError):
            same = False
        if not same:
            raise UsageError("latency is not what tools/derive.py writes")
        return made

    def lines(self, network: str, interleaved: str) -> list[str]:
        """Predicted beside measured, for people; of the two networks by their names."""
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
                    line += f"{spread.median:>13.3f}{f'{spread.low:.3f} to {spread.high:.3f}':>20}{ms / spread.median - 1:>+8.1%}"
                lines.append(line)
        shares = [f"{case.name} {case.share:.1%}" + _share(case.measured) for case in self.cases]
        return [*lines, f"share of {interleaved}, predicted: {'; '.join(shares)}"]

    def warnings(self, network: str) -> list[str]:
        """Where the promise was not kept, a line each."""
        lines = []
        for case in self.cases if self.pairs else ():
            measured = case.measured
            if abs(case.error) > MOST_ERROR:
                spread = (
                    f", whose quartiles lie {measured.network.width:.1%} apart"
                    if measured.network.width > MOST_ERROR
                    else ""
                )
                lines.append(
                    f"the prediction misses the {case.name} of {network} by"
                    f" {case.error:+.1%}{spread}: measure again, or use --calibrate"
                )
            if (
                case.what == self.chosen_by
                and self.budget_ratio is not None
                and measured.share.median > self.budget_ratio
            ):
                lines.append(
                    f"the {case.name} of {network} takes {measured.share.median:.1%} of the"
                    f" interleaved network's, above {self.budget_ratio:.1%}"
                )
            elif (
                case.what == self.chosen_by
                and self.budget_ratio is None
                and measured.network.median > (self.budget_ms or math.inf)
            ):
                lines.append(
                    f"the {case.name} of {network} takes {measured.network.median:.3f} ms, above"
                    f" the budget of {self.budget_ms:.3f} ms"
                )
        return lines


def _share(measured: Measured | None) -> str:
    return (
        ""
        if measured is None
        else (
            f" (measured {measured.share.median:.1%}, {measured.share.low:.1%} to"
            f" {measured.share.high:.1%})"
        )
    )
