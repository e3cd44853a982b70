"""How fast this machine trains a network: steps per second on synthetic tokens, and the best matrix product to hold them against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par import cost
from par.learner import Learner
from par.runs import RunConfig

PRODUCT_SIZE = 2048


def zipf_counts(vocab_size: int) -> np.ndarray:
    """[V] unnormalised frequencies of words by rank, 1 / (rank + 2.7) (Mandelbrot 1953): synthetic text for measurements."""
    return 1.0 / (np.arange(vocab_size) + 2.7)


def synthetic_tokens(vocab_size: int, shape: tuple[int, ...], seed: int = 0, counts: np.ndarray | None = None) -> np.ndarray:
    """Independent ids, int32, that occur as `counts` [V] says; Zipf-distributed without."""
    weights = zipf_counts(vocab_size) if counts is None else np.asarray(counts, np.float64)
    return np.random.default_rng(seed).choice(vocab_size, p=weights / weights.sum(), size=shape).astype(np.int32)


def synthetic_windows(config: RunConfig, steps: int, seed: int = 0, counts: np.ndarray | None = None) -> tf.data.Dataset:
    """`steps` windows [B, T+1] of `synthetic_tokens`, repeated for ever."""
    tokens = synthetic_tokens(config.data.vocab_size, (steps, config.data.batch_size, config.data.seq_len + 1), seed, counts)
    return tf.data.Dataset.from_tensor_slices(tokens).repeat().prefetch(tf.data.AUTOTUNE)


def best_product(repeats: int = 8) -> float:
    """The best matrix product of this moment in FLOP/s, f32: what model FLOPs utilisation divides by."""
    a = tf.random.stateless_normal((PRODUCT_SIZE, PRODUCT_SIZE), [0, 0])
    product = tf.function(lambda x: tf.matmul(x, x), autograph=False)
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        product(a).numpy()
        best = max(best, 2.0 * PRODUCT_SIZE**3 / (time.perf_counter() - start))
    return best


def peak_memory() -> int:
    """The most resident memory that this process has had, in MB of 1024 kB.

    Not `ru_maxrss`: in a process that another one started, that begins at the other's.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def dry_run(config: RunConfig, counts: Sequence[float], steps: int = 5) -> dict[str, Any]:
    """What a run will take: parameters, steps, FLOPs, and from `steps` updates on synthetic tokens the time (s) and this process' peak memory (MB).

    counts: [V] how often each id occurs, for the work of the adaptive softmax's tails. The time leaves out evaluation.
    """
    trial = TimedTraining(config, steps)
    rate = trial.run()
    data = config.data
    return {
        "architecture": config.architecture.blocks,
        "parameters": trial.learner.parameters,
        "total_steps": config.total_steps,
        "gflop_per_step": round(cost.training_flops(config.architecture.blocks, config.model, data.batch_size, data.seq_len, counts) / 1e9, 3),
        "steps_per_second": round(rate, 2),
        "estimated_seconds": round(config.total_steps / rate, 1),
        "peak_memory_megabytes": peak_memory(),
    }


class TimedTraining:
    """A learner that trains on synthetic tokens that occur as `counts` [V] says (default: Zipf's), ready to be timed again and again."""

    def __init__(self, config: RunConfig, steps: int, counts: np.ndarray | None = None):
        self.config, self.steps = config, steps
        self.counts = zipf_counts(config.data.vocab_size) if counts is None else counts
        self.learner = Learner(config)
        self._windows = iter(synthetic_windows(config, steps, counts=self.counts))
        self.run()  # traces, and warms up

    def run(self) -> float:
        """Steps per second of one graph call of `steps` updates."""
        start = time.perf_counter()
        self.learner.train(self._windows, tf.constant(self.steps)).numpy()
        return self.steps / (time.perf_counter() - start)

    @property
    def flops(self) -> float:
        """Model FLOPs of one training step on these tokens."""
        data = self.config.data
        return cost.training_flops(self.config.architecture.blocks, self.config.model, data.batch_size, data.seq_len, self.counts.tolist())
