"""How fast this machine trains a network: steps per second on synthetic tokens, and the fastest
matrix product to compare them with."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from par.bench import synthetic
from par.search import flops
from par.train.distributed.replicas import Replicas
from par.train.learner import Learner
from par.train.run_config import RunConfig

PRODUCT_SIZE, PRODUCT_PARTS = 2048, 2


def best_product(repeats: int = 8) -> float:
    """The speed of the fastest of `repeats` matrix products, f32, in FLOP/s: the divisor of model
    FLOPs utilisation.

    The product is split in parts that run side by side, so that all cores work on it however many
    threads one product may use.
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


def step_flops(config: RunConfig, counts: Sequence[float]) -> float:
    """Model FLOPs of one training step on tokens with frequencies `counts` [V], those of trunks
    and softmaxes: of a network that is not trained one pass."""
    _, rows, seq_len = config.read_shape
    seen = config.contract.visibility
    found = flops.training_flops(
        config.architecture.blocks,
        *config.read_shape,
        counts,
        seen,
        config.search,
        config.predicted,
    )
    for blocks, model, predicted, is_trained, texts, _ in config.helpers:
        shape = (model, rows * (texts or 1), seq_len, counts, seen)
        once = flops.forward_flops(blocks, *shape, predicted=predicted)
        found += 3 * once if is_trained else once
    return found


class TimedTraining:
    """A learner on synthetic tokens, as frequent as `counts` [V] says (default: Zipf's), traced
    and warm, whose training can be timed again and again."""

    def __init__(
        self,
        config: RunConfig,
        steps: int,
        counts: np.ndarray | None = None,
        replicas: Replicas | None = None,
        make_learner: Callable[[RunConfig, Replicas | None], Learner] = Learner,
    ):
        self.config, self.steps = config, steps
        self.counts = flops.zipf_counts(config.data.vocab_size) if counts is None else counts
        self.learner = make_learner(config, replicas)
        data = config.data
        spec = self.learner.objective.element_spec(data.batch_size, data.seq_len)
        self._windows = iter(synthetic.elements(config, spec, steps, counts=self.counts))
        self.run()  # traces, and warms up

    def run(self) -> float:
        """Steps per second of one graph call of `steps` updates."""
        start = time.perf_counter()
        self.learner.train(self._windows, tf.constant(self.steps)).numpy()
        return self.steps / (time.perf_counter() - start)

    @property
    def flops(self) -> float:
        """Model FLOPs of one training step on these tokens."""
        return step_flops(self.config, self.counts.tolist())
