"""The latency table of this machine: whole networks timed in turn (par.bench.in_turn), and the
latency of each of their parts by least squares.

Every round times each network in all cases (par.search.latency_table.CASES). The parts are those
of the medians over the rounds; their spread is that of single rounds.
"""

from __future__ import annotations

import dataclasses
import functools
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.bench import in_turn, synthetic, training_speed
from par.core.config import SamplingConfig
from par.core.errors import DataError
from par.core.machine import core_count
from par.core.progress import Progress
from par.core.stats import nonnegative_least_squares
from par.data import records
from par.evaluate.generation import Decoder
from par.search.architecture import KINDS, MAX_BLOCKS, Architecture, interleaved
from par.search.latency_table import CASES, PARTS, LatencyTable, Spread
from par.train.distributed.devices import device_names
from par.train.learner import Learner
from par.train.run_config import RunConfig

DECODED = 16  # tokens of one timing of decoding: one alone is too short to be timed well


class TimedNetwork:
    """One network, traced and warm, that can be timed again and again in some `cases` on tokens as
    frequent as `counts` [V] says (default: Zipf's)."""

    def __init__(
        self,
        config: RunConfig,
        steps: int,
        counts: np.ndarray | None = None,
        cases: Sequence[str] = CASES,
    ):
        self._steps = steps
        self._training = (
            training_speed.TimedTraining(config, 1, counts) if "training_step" in cases else None
        )
        self._learner = self._training.learner if self._training else Learner(config)
        data = config.data
        spec = self._learner.objective.element_spec(data.batch_size, data.seq_len)
        self._windows = list(synthetic.elements(config, spec, 1, counts=counts).take(steps + 1))
        self._prompt = synthetic.tokens(config.data.vocab_size, (1,), counts=counts).tolist()
        if "decoding" in cases:
            sizes = config.data.seq_len, config.model.mem_len
            self._decoder = Decoder(self._learner.objective, *sizes)
        timings = {
            "training_step": self._training_step,
            "inference": self._inference,
            "decoding": self._decoding,
        }
        self._timings = {what: timings[what] for what in cases}
        self.milliseconds()  # traces, and warms up

    def milliseconds(self) -> dict[str, float]:
        """The milliseconds of each case: one training step; the inference of one window [B, T]
        with memory, trunk and nll, as in evaluation; the decoding of one token of one text with
        memory: trunk, log-probabilities, and a token drawn, as in generation.

        The fastest of `steps` counts: other work on a machine only ever slows a step down.
        """
        return {what: timing() for what, timing in self._timings.items()}

    def _training_step(self) -> float:
        return 1e3 / max(self._training.run() for _ in range(self._steps))

    def _inference(self) -> float:
        ends: list[float] = []
        self._learner.evaluate(
            self._windows, progress=lambda made: ends.append(time.perf_counter())
        )
        return 1e3 * float(np.diff(ends).min())

    def _decoding(self) -> float:
        seconds = []
        for _ in range(self._steps):
            written = self._decoder.write(self._prompt, SamplingConfig(length=DECODED + 1))
            next(written)  # begins
            start = time.perf_counter()
            for _ in written:
                pass
            seconds.append(time.perf_counter() - start)
        return 1e3 * min(seconds) / DECODED


def rounds(
    configs: Sequence[RunConfig],
    counts: np.ndarray | None,
    repeats: int,
    steps: int,
    cases: Sequence[str] = CASES,
) -> dict[str, np.ndarray]:
    """Milliseconds [repeats, networks] of each of the `cases`, all networks timed in turn."""
    with Progress("measuring", "timing", (repeats + 1) * len(configs)) as progress:

        def on_done(number: int) -> None:
            progress(1, configs[number].architecture.short)

        networks = in_turn.prepare(
            {
                number: functools.partial(TimedNetwork, config, steps, counts, cases)
                for number, config in enumerate(configs)
            },
            on_done,
        )
        times = in_turn.measure(
            {number: network.milliseconds for number, network in networks.items()},
            repeats,
            on_done,
        )
    return {
        what: np.array([[found[what] for found in times[number]] for number in times]).T
        for what in cases
    }


def measure_networks(
    configs: Sequence[RunConfig], data_dir: Path, repeats: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each network by its blocks, case and round, all networks timed in turn on
    tokens that occur as often as in a data set."""
    counts = records.read_counts(data_dir, records.load(data_dir))
    times = rounds(configs, counts, repeats, steps, configs[0].contract.cases)
    return {
        config.architecture.blocks: {what: found[:, n].tolist() for what, found in times.items()}
        for n, config in enumerate(configs)
    }


def timed_blocks(depth: int) -> tuple[str, ...]:
    """The blocks of the networks that are timed for networks of about `depth` blocks: none, and
    of each kind fewer and more than `depth`."""
    few, many = (depth + 1) // 2, min(depth + 1, MAX_BLOCKS)
    return ("", *(kind * count for kind in KINDS[:-1] for count in (few, many)), KINDS[-1] * many)


def parts(blocks: Sequence[str], milliseconds: np.ndarray) -> np.ndarray:
    """The parts [1 + O] of the milliseconds [networks] of whole networks of `blocks`: the constant
    and each kind, by least squares without negative parts."""
    counts = np.array([[1.0, *(each.count(kind) for kind in KINDS)] for each in blocks])
    return nonnegative_least_squares(counts, milliseconds)


class Check(NamedTuple):
    """A whole network, measured in the rounds of the table but not used for it."""

    blocks: str
    what: str
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """Predicted against measured: 0.03 is 3 % too much."""
        return self.predicted_ms / self.measured_ms - 1


def measure(
    config: RunConfig, counts: np.ndarray | None, repeats: int, steps: int
) -> tuple[LatencyTable, list[Check]]:
    """The table of a run's shape, for networks of about as many blocks as the run has, and how
    well it predicts whole networks.

    counts: [V] how often each id occurs, for the work of the adaptive softmax's tails; None: by
    Zipf's law. steps: tries of one timing. Raises: DataError if the timings contradict each other.
    """
    depth = len(config.architecture)
    fitted, checked = (
        timed_blocks(depth),
        tuple(dict.fromkeys((interleaved(depth), KINDS[0] * depth))),
    )
    networks = (*fitted, *checked)
    times = rounds(
        [dataclasses.replace(config, architecture=Architecture(blocks)) for blocks in networks],
        counts,
        repeats,
        steps,
        cases := config.contract.cases,
    )
    found = {what: spreads(fitted, times[what][:, : len(fitted)]) for what in cases}
    if not all(found[what]["constant"].milliseconds > 0 for what in cases):
        raise DataError(
            "the timings do not add up, as the machine's speed changed too much: measure when it"
            " is quieter, or with more --repeats"
        )
    table = LatencyTable(
        device(),
        *config.latency_shape,
        repeats,
        **dict.fromkeys(CASES) | found,
    )
    measured = {what: np.median(times[what], axis=0)[len(fitted) :].tolist() for what in cases}
    return table, [
        Check(blocks, what, table.milliseconds(blocks, what), ms)
        for what in cases
        for blocks, ms in zip(checked, measured[what])
    ]


def spreads(blocks: Sequence[str], times: np.ndarray) -> dict[str, Spread]:
    """The latency of each part, from times [rounds, networks] of networks of `blocks`: that of the
    networks' medians, which one slow timing does not move, and the lowest and highest over the
    medians and the single rounds."""
    found = np.array(
        [
            parts(blocks, np.median(times, axis=0)),
            *(parts(blocks, milliseconds) for milliseconds in times),
        ]
    )
    figures = zip(found[0].tolist(), found.min(axis=0).tolist(), found.max(axis=0).tolist())
    return {name: Spread(*spread) for name, spread in zip(PARTS, figures)}


def device() -> dict[str, Any]:
    """The machine and software that the figures depend on; no host name."""
    return {
        "machine": platform.machine(),
        "cpus": core_count(),
        "devices": device_names(),
        "tensorflow": tf.__version__,
    }
