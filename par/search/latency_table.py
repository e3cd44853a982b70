"""Latency tables: milliseconds of each kind of block on one device for one shape, and the latency
of a network by such a table.

The latency of a network is a constant (embedding or base, softmax, final norm, and the update of
their weights) plus the sum over its blocks. tools/measure_latency.py makes the table; a search
that has one can keep its expected latency below a target (par.search.latency_penalty).
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

SCHEMA = 3
BEFORE = {"visibility": "causal", "objective": "causal_lm"}  # of tables of schema 2
INDIFFERENT = {  # settings on which the latency of a case does not depend
    "inference": {"dropout_rate", "init_std"},
    "training_step": {"init_std"},
    "decoding": {"dropout_rate", "init_std", "batch_size", "seq_len"},
}
# the cases that are reported of every derived network, by whichever it was chosen
REPORTED = ("inference", "decoding")
CASES_OF_SOME = {"decoding"}  # of objectives that write texts, which see the past alone
NO_BASE = "none"
STEPS = 5  # repetitions of one timing, of which the fastest counts
PARTS = ("constant", *KINDS)
MAX_BYTES = 1 << 16  # a table has about 2 kB
MAX_REPEATS = 1_000_000
MAX_FACTOR = 1e6  # of a calibration, and its reciprocal


def expected_latency(pi: np.ndarray, block_ms: np.ndarray, constant: float) -> float:
    """constant + Σ_l Σ_o pi_lo ms_o: the expected milliseconds of a network whose blocks are drawn
    from pi (Latifi et al. 2022, arXiv 2208.14580).

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
        """Milliseconds of the network of fixed blocks. Raises: UsageError if a block is
        stochastic: its latency depends on pi."""
        if set(blocks) - set(KINDS):
            raise UsageError(
                f"blocks must be letters of {KINDS} to have a latency, but are {blocks[:60]!r}"
            )
        return float(self.total(blocks.count("a"), blocks.count("d")))

    def total(self, attention: Any, dense: Any) -> Any:
        """Milliseconds of a network of so many blocks of each kind, numbers or arrays [...]: the
        same to the last bit for both. Identity is not a part of it."""
        return self.constant + (attention * self.attention + dense * self.dense)

    def expected_ms(self, pi: np.ndarray) -> float:
        """Expected milliseconds of a network whose blocks are drawn from pi [L, O]."""
        return expected_latency(pi, self.block_ms, self.constant)

    def interleaved_ms(self, depth: int) -> float:
        """Milliseconds of the interleaved network of `depth` blocks, the reference of shares and
        targets."""
        return self.milliseconds(interleaved(depth))

    def share_of_interleaved(self, blocks: str) -> float:
        """Latency of fixed blocks as a share of the interleaved network's of the same depth."""
        return self.milliseconds(blocks) / self.interleaved_ms(len(blocks))

    def figures(self, blocks: str) -> dict[str, Any]:
        """The latency of fixed blocks, that of the interleaved network, and their ratio."""
        return {
            "milliseconds": self.milliseconds(blocks),
            "interleaved_milliseconds": self.interleaved_ms(len(blocks)),
            "share": self.share_of_interleaved(blocks),
        }

    def line(self, blocks: str, what: str) -> str:
        """`figures` in a line of text. what: the case."""
        both = (Architecture(each) for each in (blocks, interleaved(len(blocks))))
        names = [each.canonical.short for each in both]
        return (
            f"latency of {names[0]}: {self.milliseconds(blocks):.2f} ms {what.replace('_', ' ')},"
            f" {self.share_of_interleaved(blocks):.1%} of the"
            f" {self.interleaved_ms(len(blocks)):.2f} ms of {names[1]}"
        )

    def outlook(self, pi: np.ndarray, likeliest: str) -> dict[str, float]:
        """The latency of a search, in milliseconds and as a share of the interleaved network's:
        expected under pi [L, O], and of its likeliest blocks."""
        reference = self.interleaved_ms(len(likeliest))
        milliseconds = {"expected": self.expected_ms(pi), "argmax": self.milliseconds(likeliest)}
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
    """The predicted latencies of fixed blocks by the costs of each case, of which the blocks were
    chosen by `chosen_by`."""
    cases = tuple(
        Case(what, costs[what].milliseconds(blocks), costs[what].interleaved_ms(len(blocks)))
        for what in CASES
        if what in costs
    )
    return LatencyCheck(chosen_by, cases, budget_ms, budget_ratio)


def text(outlook: dict[str, float]) -> str:
    """`Costs.outlook` as part of a line of the log."""
    return (
        "latency {expected_ms:.3f} ms expected ({expected_share:.1%} of interleaved, argmax"
        " {argmax_share:.1%})".format(**outlook)
    )


class Shape(NamedTuple):
    """The settings of a run on which latencies depend."""

    model: ModelConfig
    vocab_size: int
    batch_size: int
    seq_len: int
    visibility: str  # causal or bidirectional: how many distances a window has
    objective: str  # everything but the blocks depends on it
    base: str = NO_BASE  # what it reads instead of embeddings: par.nn.base.Base.networks

    def settings(self) -> dict[str, Any]:
        """All settings by name."""
        _, *sizes = self
        return dict(zip(self._fields[1:], sizes)) | self.model.to_json()


class Spread(NamedTuple):
    """Milliseconds over the rounds of a measurement."""

    milliseconds: float  # median
    low: float  # of the fastest round
    high: float  # of the slowest


@dataclasses.dataclass(frozen=True)
class LatencyTable:
    """Measured milliseconds of every part of a network (PARTS) on one device at one shape, for
    each of CASES, and factors that correct them.

    training_step: one update of all weights; inference: a window of B x T tokens with memory, and
    its nll; decoding: one token of one text with memory, and the draw of the next one; None where
    the objective does not write texts.
    calibration: a factor for each of CASES, 1 until a whole network was measured and compared with
    its prediction (tools/derive.py --calibrate).
    """

    device: dict[str, Any]
    model: ModelConfig
    vocab_size: int
    batch_size: int
    seq_len: int
    visibility: str
    objective: str
    base: str
    repeats: int
    training_step: dict[str, Spread]
    inference: dict[str, Spread]
    decoding: dict[str, Spread] | None
    calibration: dict[str, float] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(CASES, 1.0)
    )

    @property
    def cases(self) -> tuple[str, ...]:
        """Those of CASES that were measured."""
        return tuple(what for what in CASES if getattr(self, what) is not None)

    def costs(self, what: str) -> Costs:
        """The medians times the calibration; 0 for identity, which adds nothing to a network, so
        that what was measured for it is noise. Raises: UsageError unless `what` was
        measured."""
        if what not in self.cases:
            raise UsageError(f"a latency is one of {', '.join(self.cases)}, but is {what!r}")
        parts, factor = getattr(self, what), self.calibration[what]
        attention, dense, constant = (
            factor * parts[part].milliseconds for part in ("a", "d", "constant")
        )
        return Costs(attention, dense, 0.0, constant)

    def calibrated(self, factors: Mapping[str, float]) -> LatencyTable:
        """A copy whose calibration is multiplied by the factors of some of CASES.

        Raises: UsageError if a product is out of bounds.
        """
        products = {
            what: float(factor * factors.get(what, 1.0))
            for what, factor in self.calibration.items()
        }
        return dataclasses.replace(self, calibration=_calibration(products))

    @property
    def calibration_line(self) -> str:
        """The calibration as text."""
        return ", ".join(
            f"{what.replace('_', ' ')} x {factor:.3f}" for what, factor in self.calibration.items()
        )

    def milliseconds(self, blocks: str, what: str) -> float:
        """Milliseconds of a network of fixed blocks."""
        return self.costs(what).milliseconds(blocks)

    @property
    def shape(self) -> Shape:
        """The shape at which the table was measured."""
        return Shape(*(getattr(self, name) for name in Shape._fields))

    def misfits(self, what: str, shape: Shape) -> list[str]:
        """Settings on which the latency `what` depends and that differ from those of the table,
        with both values."""
        there, here = self.shape.settings(), shape.settings()
        return [
            f"{name} {there[name]} there, {here[name]} here"
            for name in here
            if there[name] != here[name] and name not in INDIFFERENT[what]
        ]

    def check_fits(self, what: str, shape: Shape, path: Path | str) -> None:
        """Raises: DataError, which names what `misfits`, if anything does."""
        if changed := self.misfits(what, shape):
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
            "visibility": self.visibility,
            "objective": self.objective,
            "base": self.base,
            "repeats": self.repeats,
        }
        parts = {
            what: {part: getattr(self, what)[part]._asdict() for part in PARTS}
            for what in self.cases
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
        if schema.is_schema(value, 2):
            value = value | BEFORE | {"schema": SCHEMA}
        if schema.is_schema(value, SCHEMA):
            value = {"base": NO_BASE} | value  # of tables that are older than bases
        if isinstance(value, dict) and value.get("visibility") == "bidirectional":
            keys -= CASES_OF_SOME - set(value)
        if schema.is_schema(value, 1) and set(value) == keys - {
            "decoding",
            "calibration",
            "base",
            *BEFORE,
        }:
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
        texts = (*BEFORE, "base")
        bounds = {"vocab_size": MAX_VOCAB_SIZE, "repeats": MAX_REPEATS} | {
            name: DataConfig.maximum(name) for name in ("batch_size", "seq_len")
        }
        for name, most in bounds.items():
            if type(value[name]) is not int or not 1 <= value[name] <= most:
                raise UsageError(
                    f"{name} must be an integer from 1 to {most}, but is {str(value[name])[:60]!r}"
                )
        for name in texts:
            schema.decode(str, value[name], name)
        if value["visibility"] not in ("causal", "bidirectional"):
            raise UsageError(
                f"visibility must be causal or bidirectional, but is {value['visibility'][:60]!r}"
            )
        model = ModelConfig.from_json(value["model"])
        model.check_vocabulary(value["vocab_size"])
        parts = {what: _parts(what, value[what]) if what in value else None for what in CASES}
        return cls(
            value["device"],
            model,
            **{name: value[name] for name in (*bounds, *texts)},
            **parts,
            calibration=_calibration(value["calibration"]),
        )

    def save(self, path: Path | str) -> None:
        """Writes the table."""
        schema.write_json(Path(path), self.to_json())


def _parts(what: str, value: Any) -> dict[str, Spread]:
    """The spreads by part. Raises: UsageError unless `value` has the milliseconds of every part,
    at least 0, and above 0 for the constant."""
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
    """The factors by case. Raises: UsageError unless `value` has one for each of CASES."""
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
    """Reads a table. Raises: DataError if the file is missing or is not a latency table."""
    value = schema.read_json(Path(path), "latency table", MAX_BYTES)
    try:
        return LatencyTable.from_json(value)
    except UsageError as error:
        raise DataError(f"latency table {path} is not valid: {error}") from None


def costs_from_settings(latency_ms: Sequence[float]) -> Costs | None:
    """The costs in a run's settings (SearchConfig.latency_ms), None if there are none."""
    return Costs(*latency_ms) if latency_ms else None
