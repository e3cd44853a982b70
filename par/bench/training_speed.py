"""How fast this machine trains a network: steps per second on synthetic tokens, and the best
matrix product to hold them against."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.bench import softmax_speed
from par.core.config import LoggingConfig, SamplingConfig
from par.evaluate import sampling
from par.evaluate.generation import Decoder
from par.nn.forward_mode import EVALUATION
from par.search import diagnostics, flops
from par.search.architecture import Architecture
from par.train.checkpoints import Checkpoints
from par.train.distributed.replicas import Replicas
from par.train.learner import Learner
from par.train.run_config import RunConfig

PRODUCT_SIZE, PRODUCT_PARTS = 2048, 2
# block strings with one kind's branches taken out
WITHOUT = {"attention": str.maketrans("as", "id"), "dense": str.maketrans("ds", "ia")}


def synthetic_tokens(
    vocab_size: int, shape: tuple[int, ...], seed: int = 0, counts: np.ndarray | None = None
) -> np.ndarray:
    """Independent ids, int32, that occur as `counts` [V] says; Zipf-distributed without."""
    weights = flops.zipf_counts(vocab_size) if counts is None else np.asarray(counts, np.float64)
    return (
        np.random.default_rng(seed)
        .choice(vocab_size, p=weights / weights.sum(), size=shape)
        .astype(np.int32)
    )


def synthetic_windows(
    config: RunConfig, steps: int, seed: int = 0, counts: np.ndarray | None = None
) -> tf.data.Dataset:
    """`steps` windows [B, T+1] of `synthetic_tokens`, repeated for ever."""
    tokens = synthetic_tokens(
        config.data.vocab_size,
        (steps, config.data.batch_size, config.data.seq_len + 1),
        seed,
        counts,
    )
    return tf.data.Dataset.from_tensor_slices(tokens).repeat().prefetch(tf.data.AUTOTUNE)


def best_product(repeats: int = 8) -> float:
    """The best matrix product of this moment in FLOP/s, f32: what model FLOPs utilisation divides
    by.

    It is made in parts side by side, so that all cores work on it however many threads one product
    may take.
    """
    a = tf.random.stateless_normal((PRODUCT_SIZE, PRODUCT_SIZE), [0, 0])
    product = tf.function(
        lambda x: [tf.matmul(rows, x) for rows in tf.split(x, PRODUCT_PARTS)], autograph=False
    )
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        for part in product(a):
            part.numpy()
        best = max(best, 2.0 * PRODUCT_SIZE**3 / (time.perf_counter() - start))
    return best


def peak_memory() -> int:
    """The most resident memory that this process has had, in MB of 1024 kB.

    Not `ru_maxrss`: in a process that another one started, that begins at the other's.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def dry_run(
    config: RunConfig, counts: Sequence[float], steps: int = 5, runs: int = 1
) -> dict[str, Any]:
    """What `runs` such runs, one after another, will take: parameters, steps, FLOPs, and from
    `steps` updates on synthetic tokens the time (s) and this process' peak memory (MB).

    counts: [V] how often each id occurs, for the work of the adaptive softmax's tails. The time
    leaves out evaluation.
    """
    trial = TimedTraining(config, steps)
    rate = trial.run()
    data, total_steps = config.data, runs * config.total_steps
    return {
        "architecture": config.architecture.blocks,
        "parameters": trial.learner.parameters,
        "total_steps": total_steps,
        "gflop_per_step": round(
            flops.training_flops(
                config.architecture.blocks,
                config.model,
                data.batch_size,
                data.seq_len,
                counts,
                config.search,
            )
            / 1e9,
            3,
        ),
        "steps_per_second": round(rate, 2),
        "estimated_seconds": round(total_steps / rate, 1),
        "peak_memory_megabytes": peak_memory(),
    }


class TimedTraining:
    """A learner that trains on synthetic tokens that occur as `counts` [V] says (default: Zipf's),
    ready to be timed again and again."""

    def __init__(
        self,
        config: RunConfig,
        steps: int,
        counts: np.ndarray | None = None,
        replicas: Replicas | None = None,
    ):
        self.config, self.steps = config, steps
        self.counts = flops.zipf_counts(config.data.vocab_size) if counts is None else counts
        self.learner = Learner(config, replicas)
        self._windows = iter(synthetic_windows(config, steps, counts=self.counts))
        self.run()  # traces, and warms up

    def run(self) -> float:
        """Steps per second of one graph call of `steps` updates."""
        start = time.perf_counter()
        self.learner.train(self._windows, tf.constant(self.steps)).numpy()
        return self.steps / (time.perf_counter() - start)

    def run_update(self) -> float:
        """Milliseconds of one update alone: norm, clipping and Adam of all weights, with gradients
        that do not change."""
        start = time.perf_counter()
        self._updates(tf.constant(self.steps)).numpy()
        return 1e3 * (time.perf_counter() - start) / self.steps

    @functools.cached_property
    def _updates(self) -> Any:
        gradients = [
            tf.random.stateless_normal(weight.shape, [0, number], stddev=1e-3)
            for number, weight in enumerate(self.learner.weights)
        ]

        @tf.function
        def updates(count: tf.Tensor) -> tf.Tensor:
            norm = 0.0
            for _ in tf.range(count):
                norm = self.learner.update_weights(gradients)
            return norm

        updates(tf.constant(self.steps))  # traces, and warms up
        return updates

    @property
    def flops(self) -> float:
        """Model FLOPs of one training step on these tokens."""
        config, data = self.config, self.config.data
        return flops.training_flops(
            config.architecture.blocks,
            config.model,
            data.batch_size,
            data.seq_len,
            self.counts.tolist(),
            config.search,
        )


class TimedSaving:
    """A training whose state is saved again and again, as a run's is: in `directory`, where the
    newest stay and older ones go."""

    def __init__(self, config: RunConfig, steps: int, directory: Path):
        self._training = TimedTraining(config, steps)
        self._checkpoints = Checkpoints(
            directory, self._training.learner.state, LoggingConfig().keep
        )
        self._note = {"run": config.identity(), "watch": diagnostics.Watch().to_json()}
        self._step = 0
        self.save()

    def milliseconds_per_step(self) -> float:
        """Of `steps` steps in one graph call."""
        return 1e3 / self._training.run()

    def save(self) -> float:
        """Milliseconds until the program goes on."""
        self._step += 1  # each checkpoint has a name of its own
        start = time.perf_counter()
        self._checkpoints.save(self._step, self._note)
        return 1e3 * (time.perf_counter() - start)

    @property
    def megabytes(self) -> float:
        """Size of a checkpoint in millions of bytes."""
        return sum(path.stat().st_size for path in self._checkpoints.files(self._step)) / 1e6


class TimedParts:
    """Where the time of a training step goes: measurements in turn, of which differences of
    medians are taken.

    Two networks have the branches of one kind taken out. What is computed side by side on several
    cores counts as what leaving it out saves.
    """

    def __init__(self, whole: TimedTraining):
        config, data = whole.config, whole.config.data
        blocks = {
            part: config.architecture.blocks.translate(table) for part, table in WITHOUT.items()
        }
        fewer = {
            part: dataclasses.replace(config, architecture=Architecture(kinds))
            for part, kinds in blocks.items()
        }
        self._networks = {"step": whole} | {
            part: TimedTraining(other, whole.steps) for part, other in fewer.items()
        }
        rows = data.batch_size * data.seq_len
        self._softmax = softmax_speed.TimedSoftmax(config.model, data.vocab_size, rows).timing(
            synthetic_tokens(data.vocab_size, (rows,))
        )
        self._measured: dict[str, list[float]] = {}

    def run(self) -> None:
        """One round of measurements."""
        figures = {"softmax": self._softmax()}
        for name, network in self._networks.items():
            figures |= {name: 1e3 / network.run(), f"{name} update": network.run_update()}
        for name, milliseconds in figures.items():
            self._measured.setdefault(name, []).append(milliseconds)

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds of each part, of the rest, and of the whole step: the parts and the rest
        add up to it."""
        median = {name: statistics.median(values) for name, values in self._measured.items()}
        step, update = median["step"], median["step update"]
        parts = {
            part: (step - update) - (median[part] - median[f"{part} update"]) for part in WITHOUT
        }
        parts |= {"softmax": median["softmax"], "update": update}
        return parts | {"rest": step - sum(parts.values()), "step": step}


class TimedGeneration:
    """A network that writes, timed with its memory carried along, and with its whole context
    computed again for every token."""

    def __init__(self, config: RunConfig, mem_len: int):
        self.objective, self._config = Learner(config).objective, SamplingConfig(length=1)
        # tokens that can reach a prediction through the memories of memories
        self.context = mem_len * config.architecture.blocks.count("a")
        self._decoder = Decoder(self.objective, config.data.seq_len, mem_len)
        self._text = synthetic_tokens(config.data.vocab_size, (max(self.context, 2),)).tolist()
        self.recomputed(1)

    def carried(self, length: int) -> float:
        """Tokens per second of one text, its prompt read before."""
        written = self._decoder.write(
            self._text, dataclasses.replace(self._config, length=length + 1)
        )
        next(written)  # reads the prompt, and traces
        start = time.perf_counter()
        for _ in written:
            pass
        return length / (time.perf_counter() - start)

    def recomputed(self, length: int) -> float:
        """Tokens per second where each is drawn from one window of the whole context."""
        window = tf.constant([self._text])
        start = time.perf_counter()
        for place in range(length):
            token = self._from_window(window, tf.constant(place)).numpy()
            window = tf.concat([window[:, 1:], token[:, None]], axis=1)
        return length / (time.perf_counter() - start)

    @functools.cached_property
    def _from_window(self) -> Any:
        def draw(window: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
            log_prob, _ = self.objective.log_prob(
                window, self.objective.trunk.empty_memories(1, 0), EVALUATION
            )
            return sampling.draw(log_prob, self._config, place)

        return tf.function(draw, autograph=False)
