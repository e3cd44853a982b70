"""Scores of a network on a split: deterministic, at any window length, batch size and memory
length."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.data import records, windows
from par.data.manifest import Manifest
from par.data.tokenizer import PAD
from par.evaluate.eval_config import EvalConfig, num_tokens
from par.nn.forward_mode import EVALUATION, EVALUATION_ARGMAX
from par.train.learner import Learner

PHASES = {"soft": EVALUATION, "argmax": EVALUATION_ARGMAX, "fixed": EVALUATION}
AS_TRAINED = EvalConfig()


def ways(learner: Learner) -> tuple[str, ...]:
    """The ways to evaluate a network: a SuperNet as its mixture (soft) and as its argmax, a fixed
    network only as `fixed`."""
    return ("soft", "argmax") if learner.logits else ("fixed",)


def split_windows(
    data_dir: Path, manifest: Manifest, split: str, eval_config: EvalConfig = AS_TRAINED
) -> Iterable[Any]:
    """The windows [B, T+1] of a split as they lie in the records, or its stream cut again for
    another B, T or a stride; padding has weight 0.

    The tail of train, fewer than B*T tokens that its records leave out, is not scored.
    """
    shape = eval_config.window_shape(manifest)
    if eval_config.stride is not None:
        return windows.sliding_windows(
            records.read_stream(data_dir, manifest, split), *shape, eval_config.stride, pad_id=PAD
        )
    if shape == (manifest.batch_size, manifest.seq_len):
        return records.dataset(data_dir, manifest, split)
    return tf.data.Dataset.from_tensor_slices(
        windows.windows(records.read_stream(data_dir, manifest, split), *shape, pad_id=PAD)
    )


def num_windows(manifest: Manifest, split: str, eval_config: EvalConfig = AS_TRAINED) -> int:
    """How many windows [B, T+1] `split_windows` yields."""
    tokens, shape = num_tokens(manifest, split), eval_config.window_shape(manifest)
    return (
        windows.num_steps(tokens, *shape, padded=True)
        if eval_config.stride is None
        else windows.num_sliding_steps(tokens, *shape, eval_config.stride)
    )


def token_nll(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    eval_config: EvalConfig = AS_TRAINED,
    progress: Callable[[int], None] = lambda made: None,
) -> tuple[np.ndarray, np.ndarray]:
    """nll (nats) and weight of every token of a split but the first, each [N - 1], in the order of
    the text."""
    eval_config = eval_config.fitted(learner.config, manifest, split)
    phase = dataclasses.replace(
        PHASES[evaluate_as], same_length=eval_config.same_length, clamp_len=eval_config.clamp_len
    )
    steps = learner.token_nll(
        split_windows(data_dir, manifest, split, eval_config),
        phase,
        eval_config.memory_length(learner.config),
        progress,
    )
    if eval_config.stride is None:
        nll, weight = (windows.in_order(np.stack(values)) for values in zip(*steps))
    else:
        shape = eval_config.window_shape(manifest)
        scored = (
            windows.sliding_scored(*shape, eval_config.stride, step) for step in itertools.count()
        )
        nll, weight = (
            np.concatenate(values)
            for values in zip(
                *((nll[mask], weight[mask]) for (nll, weight), mask in zip(steps, scored))
            )
        )
    targets = num_tokens(manifest, split) - 1
    return nll[:targets], weight[:targets]


def figures(
    manifest: Manifest, split: str, nll: np.ndarray, weight: np.ndarray
) -> dict[str, float]:
    """The figures of par.core.metrics for a split, from the values of `token_nll`."""
    return manifest.splits[split].figures(
        float(np.sum(nll * weight, dtype=np.float64)), float(np.sum(weight, dtype=np.float64))
    )


def score(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    eval_config: EvalConfig = AS_TRAINED,
    progress: Callable[[int], None] = lambda made: None,
) -> dict[str, float]:
    """The figures of par.core.metrics for a split. evaluate_as: one of `ways`."""
    return figures(
        manifest,
        split,
        *token_nll(learner, data_dir, manifest, split, evaluate_as, eval_config, progress),
    )
