"""What a network takes in milliseconds: a table of one device for one shape, and the cost of any
blocks by it.

The latency of a network is the constant (everything that is no block: embedding, softmax, final
norm, the update of their weights) plus the sum
over its blocks. tools/measure_latency.py makes the table; a search that has one can hold its
expected latency to a target (par.search.latency_penalty).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.core import schema
from par.core.config import MAX_VOCAB_SIZE, DataConfig, ModelConfig
from par.core.errors import DataError, UsageError
from par.search.architecture import KINDS, Architecture, interleaved
from par.search.latency_check import CASES, MAX_MILLISECONDS, Case, LatencyCheck

SCHEMA = 2
# The cases: a window of B x T tokens with memory and its nll; one update of all weights; one token
# of one text with memory, and the next one drawn.
INDIFFERENT = {  # settings that do not change a case's time
    "inference": {"dropout_rate", "init_std"},
    "training_step": {"init_std"},
    "decoding": {"dropout_rate", "init_std", "batch_size", "seq_len"},
}
# the cases that are told of every derived network, whichever it was chosen by
REPORTED = ("inference", "decoding")
STEPS = 5  # tries of one timing, of which the fastest counts
PARTS = ("constant", *KINDS)
MAX_BYTES = 1 << 16  # a table has about 2 kB
MAX_REPEATS = 1_000_000
MAX_FACTOR = 1e6  # of a calibration, and its reciprocal


def expected_latency(pi: np.ndarray, block_ms: np.ndarray, constant: float) -> float:
    """constant + Σ_l Σ_o pi_lo ms_o, milliseconds: what blocks drawn from pi take in the mean
    (Latifi et al. 2022, arXiv 2208.14580).

    pi: [L, O], rows are distributions, one-hot where a block is fixed; block_ms: [O] in the order
    of par.search.architecture.KINDS.
    """
    return float(
        constant
        + np.sum(
            np.asarray(pi, np.float64).reshape(-1, len(KINDS)) @ np.asarray(block_ms, np.float64)
        )
    )


class Costs(NamedTuple):
    """Milliseconds of each kind of block, in the order of KINDS, and of everything else."""

    attention: float
    dense: float
    identity: float
    constant: float

    @property
    def block_ms(self) -> np.ndarray:
        """[O] milliseconds of a block of each kind."""
        return np.array(self[: len(KINDS)], np.float64)

    def milliseconds(self, blocks: str) -> float:
        """Milliseconds of a network of fixed blocks. Raises: UsageError if a block is stochastic:
        what it takes hangs on pi."""
        if set(blocks) - set(KINDS):
            raise UsageError(
                f"blocks must be letters of {KINDS} to have a latency, but are {blocks[:60]!r}"
            )
        return float(self.constant + sum(blocks.count(kind) * ms for kind, ms in zip(KINDS, self)))

    def expected_ms(self, pi: np.ndarray) -> float:
        """Milliseconds of a network of blocks drawn from pi [L, O]."""
        return expected_latency(pi, self.block_ms, self.constant)

    def interleaved_ms(self, depth: int) -> float:
        """Milliseconds of the interleaved network of `depth` blocks: what shares and targets refer
        to."""
        return self.milliseconds(interleaved(depth))

    def share_of_interleaved(self, blocks: str) -> float:
        """Latency of fixed blocks as a share of the interleaved network's of the same depth."""
        return self.milliseconds(blocks) / self.interleaved_ms(len(blocks))

    def figures(self, blocks: str) -> dict[str, Any]:
        """What is reported of a network of fixed blocks."""
        return {
            "milliseconds": self.milliseconds(blocks),
            "interleaved_milliseconds": self.interleaved_ms(len(blocks)),
            "share": self.share_of_interleaved(blocks),
        }

    def line(self, blocks: str, what: str) -> str:
        """The same in a line."""
        names = [Architecture(each).short for each in (blocks, interleaved(len(blocks)))]
        reference = f"{self.share_of_interleaved(blocks):.1%} of the {self.interleaved_ms(len(blocks)):.2f} ms of {names[1]}"
        return (
            f"latency of {names[0]}: {self.milliseconds(blocks):.2f} ms {what.replace('_', ' ')},"
            f" {reference}"
        )

    def outlook(self, pi: np.ndarray, likeliest: str) -> dict[str, float]:
        """How a search stands: milliseconds and shares of the interleaved network, expected under
        pi [L, O] and of its likeliest blocks."""
        reference, milliseconds = (
            self.interleaved_ms(len(likeliest)),
            {
                "expected": self.expected_ms(pi),
                "argmax": self.milliseconds(likeliest),
            },
        )
        return {f"{name}_ms": ms for name, ms in milliseconds.items()} | {
            f"{name}_share": ms / reference for name, ms in milliseconds.items()
        }


def predicted(
    blocks: str,
    chosen_by: str,
    costs: Mapping[str, Costs],
    budget_ms: float | None = None,
    budget_ratio: float | None = None,
) -> LatencyCheck:
    """What fixed blocks should take by the costs of each case, chosen by the latency `chosen_by`."""
    cases = tuple(
        Case(what, costs[what].milliseconds(blocks), costs[what].interleaved_ms(len(blocks)))
        for what in CASES
        if what in costs
    )
    return LatencyCheck(chosen_by, cases, budget_ms, budget_ratio)


def text(outlook: dict[str, float]) -> str:
    """`Costs.outlook` for a line of the log."""
    return (
        "latency {expected_ms:.3f} ms expected ({expected_share:.1%} of interleaved, argmax"
        " {argmax_share:.1%})".format(**outlook)
    )


class Spread(NamedTuple):
    """Milliseconds by the rounds of a measurement."""

    milliseconds: float  # median
    low: float  # the least of a round
    high: float  # the most


@dataclasses.dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of every part of a network (PARTS) on one device at one shape, for each of
    CASES, as measured; and by what to multiply them.

    calibration: a factor for each of CASES, 1 until a whole network was measured beside its
    prediction (tools/derive.py --calibrate).
    """

    device: dict[str, Any]
    model: ModelConfig
    vocab_size: int
    batch_size: int
    seq_len: int
    repeats: int
    training_step: dict[str, Spread]
    inference: dict[str, Spread]
    decoding: dict[str, Spread]
    calibration: dict[str, float] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(CASES, 1.0)
    )

    def costs(self, what: str) -> Costs:
        """The medians, times the calibration. Raises: UsageError unless `what` is one of CASES."""
        if what not in CASES:
            raise UsageError(f"a latency is one of {', '.join(CASES)}, but is {what!r}")
        parts, factor = getattr(self, what), self.calibration[what]
        return Costs(*(factor * parts[part].milliseconds for part in (*KINDS, "constant")))

    def calibrated(self, factors: Mapping[str, float]) -> LatencyTable:
        """The same, predicting so many times as much: the factors of some of CASES are multiplied
        onto those that the table has.

        Raises: UsageError if a product is out of bounds.
        """
        products = {
            what: float(factor * factors.get(what, 1.0))
            for what, factor in self.calibration.items()
        }
        return dataclasses.replace(self, calibration=_calibration(products))

    @property
    def calibration_line(self) -> str:
        """The factors, for people."""
        return ", ".join(
            f"{what.replace('_', ' ')} x {factor:.3f}" for what, factor in self.calibration.items()
        )

    def milliseconds(self, blocks: str, what: str) -> float:
        """Milliseconds of a network of fixed blocks."""
        return self.costs(what).milliseconds(blocks)

    def misfits(
        self, what: str, model: ModelConfig, vocab_size: int, batch_size: int, seq_len: int
    ) -> list[str]:
        """In what the table was measured at another shape, as far as the latency `what` hangs on
        it: both values of each setting."""
        there = {
            "vocab_size": self.vocab_size,
            "batch_size": self.batch_size,
            "seq_len": self.seq_len,
            **self.model.to_json(),
        }
        here = {
            "vocab_size": vocab_size,
            "batch_size": batch_size,
            "seq_len": seq_len,
            **model.to_json(),
        }
        return [
            f"{name} {there[name]} there, {here[name]} here"
            for name in here
            if there[name] != here[name] and name not in INDIFFERENT[what]
        ]

    def check_fits(
        self,
        what: str,
        model: ModelConfig,
        vocab_size: int,
        batch_size: int,
        seq_len: int,
        path: Path | str,
    ) -> None:
        """Raises: DataError, with what `misfits`."""
        if changed := self.misfits(what, model, vocab_size, batch_size, seq_len):
            raise DataError(
                f"latency table {path} is for another shape ({'; '.join(changed)}): measure this"
                " one with tools/measure_latency.py"
            )

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        sizes = {
            "vocab_size": self.vocab_size,
            "batch_size": self.batch_size,
            "seq_len": self.seq_len,
            "repeats": self.repeats,
        }
        parts = {
            what: {part: getattr(self, what)[part]._asdict() for part in PARTS} for what in CASES
        }
        return {
            "schema": SCHEMA,
            "device": self.device,
            "model": self.model.to_json(),
            **sizes,
            **parts,
            "calibration": self.calibration,
        }

    @classmethod
    def from_json(cls, value: Any) -> LatencyTable:
        """Inverse of `to_json`. Raises: UsageError unless every field has the right type and a
        value that a measurement can have."""
        keys = {"schema", *(field.name for field in dataclasses.fields(cls))}
        if schema.is_schema(value, 1) and set(value) == keys - {"decoding", "calibration"}:
            raise UsageError(
                "it has schema 1, of an earlier version that did not time decoding: measure again"
                " with tools/measure_latency.py"
            )
        if not schema.is_schema(value, SCHEMA) or set(value) != keys:
            raise UsageError(
                f"it must have schema {SCHEMA} and the keys {', '.join(sorted(keys))}"
            )
        if not isinstance(value["device"], dict):
            raise UsageError("device must be a JSON object")
        bounds = {"vocab_size": MAX_VOCAB_SIZE, "repeats": MAX_REPEATS} | {
            name: DataConfig.maximum(name) for name in ("batch_size", "seq_len")
        }
        for name, most in bounds.items():
            if type(value[name]) is not int or not 1 <= value[name] <= most:
                raise UsageError(
                    f"{name} must be an integer from 1 to {most}, but is {str(value[name])[:60]!r}"
                )
        model = ModelConfig.from_json(value["model"])
        model.check_vocabulary(value["vocab_size"])
        parts = {what: _parts(what, value[what]) for what in CASES}
        return cls(
            value["device"],
            model,
            **{name: value[name] for name in bounds},
            **parts,
            calibration=_calibration(value["calibration"]),
        )

    def save(self, path: Path | str) -> None:
        """Writes the table."""
        schema.write_json(Path(path), self.to_json())


def _parts(what: str, value: Any) -> dict[str, Spread]:
    """Raises: UsageError unless `value` has the milliseconds of every part; a block may take
    nothing, what is no block takes some."""
    if not isinstance(value, dict) or set(value) != set(PARTS):
        raise UsageError(f"{what} must have the keys {', '.join(PARTS)}")
    for part, figures in value.items():
        ok = (
            isinstance(figures, dict)
            and set(figures) == set(Spread._fields)
            and all(type(ms) in (int, float) for ms in figures.values())
        )
        if (
            not ok
            or not 0
            <= figures["low"]
            <= figures["milliseconds"]
            <= figures["high"]
            <= MAX_MILLISECONDS
        ):
            raise UsageError(
                f"{what} of {part} must be milliseconds, 0 <= low <= milliseconds <= high <="
                f" {MAX_MILLISECONDS:.0e}"
            )
    if not value["constant"]["milliseconds"] > 0:
        raise UsageError(f"{what} of constant must be above 0 milliseconds")
    return {
        part: Spread(**{name: float(ms) for name, ms in value[part].items()}) for part in PARTS
    }


def _calibration(value: Any) -> dict[str, float]:
    """Raises: UsageError unless `value` has a factor for each of CASES."""
    if not isinstance(value, dict) or set(value) != set(CASES):
        raise UsageError(f"calibration must have the keys {', '.join(CASES)}")
    if not all(
        type(factor) in (int, float) and 1 / MAX_FACTOR <= factor <= MAX_FACTOR
        for factor in value.values()
    ):
        raise UsageError(
            f"calibration must be factors from {1 / MAX_FACTOR:.0e} to {MAX_FACTOR:.0e}, but is"
            f" {str(value)[:120]}"
        )
    return {what: float(value[what]) for what in CASES}


def load(path: Path | str) -> LatencyTable:
    """Reads a table. Raises: DataError if it is missing, damaged, or none."""
    value = schema.read_json(Path(path), "latency table", MAX_BYTES)
    try:
        return LatencyTable.from_json(value)
    except UsageError as error:
        raise DataError(f"latency table {path} is not valid: {error}") from None


def costs_from_settings(latency_ms: Sequence[float]) -> Costs | None:
    """The costs that a run's settings hold (SearchConfig.latency_ms), None if it has none."""
    return Costs(*latency_ms) if latency_ms else None
