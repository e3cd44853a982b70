"""Synthetic tokens to train on and to score: how long a step takes depends on how often each id
occurs, not on the text."""

from __future__ import annotations

from typing import Any

import numpy as np

from par.search import flops
from par.train.run_config import DataIdentity, RunConfig

STEPS_PER_EPOCH = 10_000  # for the schedules; as long as no benchmark runs


def data(vocab_size: int, batch_size: int, seq_len: int) -> DataIdentity:
    """A data set of these sizes that exists only in memory."""
    return DataIdentity("synthetic", vocab_size, batch_size, seq_len, STEPS_PER_EPOCH, "", "")


def tokens(
    vocab_size: int, shape: tuple[int, ...], seed: int = 0, counts: np.ndarray | None = None
) -> np.ndarray:
    """Independent ids, int32, as frequent as `counts` [V] says; without, Zipf-distributed."""
    weights = flops.zipf_counts(vocab_size) if counts is None else np.asarray(counts, np.float64)
    rng = np.random.default_rng(seed)
    return rng.choice(vocab_size, p=weights / weights.sum(), size=shape).astype(np.int32)


def elements(
    config: RunConfig, spec: Any, steps: int, seed: int = 0, counts: np.ndarray | None = None
) -> Any:
    """A tf.data.Dataset that repeats `steps` elements of `tokens` endlessly. spec: the
    element_spec of the objective, int32."""
    import tensorflow as tf

    made = tf.nest.map_structure(
        lambda each: tokens(config.data.vocab_size, (steps, *each.shape), seed, counts), spec
    )
    return tf.data.Dataset.from_tensor_slices(made).repeat().prefetch(tf.data.AUTOTUNE)
