"""Scores of a network on a split: deterministic, at any window length, batch size and memory length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from par import batching, metrics, records
from par.learner import Learner
from par.manifest import Manifest
from par.phase import EVALUATION, EVALUATION_ARGMAX
from par.tokenizer import PAD

PHASES = {"soft": EVALUATION, "argmax": EVALUATION_ARGMAX, "fixed": EVALUATION}


def ways(learner: Learner) -> tuple[str, ...]:
    """How a network can be evaluated: a SuperNet as its mixture (soft) and as its argmax, a fixed one as it is."""
    return ("soft", "argmax") if learner.logits else ("fixed",)


def windows(data_dir: Path, manifest: records.Manifest, split: str, batch_size: int | None = None, seq_len: int | None = None) -> tf.data.Dataset:
    """The windows [B, T+1] of a split as they lie in the records, or the one stream cut anew for another B or T; padding has weight 0.

    Of the train split, the tail of fewer than B*T tokens that its records leave out is not scored.
    """
    batch_size, seq_len = batch_size or manifest.batch_size, seq_len or manifest.seq_len
    if (batch_size, seq_len) == (manifest.batch_size, manifest.seq_len):
        return records.dataset(data_dir, manifest, split)
    stream = records.read_stream(data_dir, manifest, split)
    return tf.data.Dataset.from_tensor_slices(batching.windows(stream, batch_size, seq_len, pad_id=PAD))


def score(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    batch_size: int | None = None,
    seq_len: int | None = None,
    mem_len: int | None = None,
    progress: Callable[[int], None] = lambda made: None,
) -> dict[str, float]:
    """The figures of par.metrics for a split. evaluate_as: one of `ways`. Defaults for B, T, M are those of training."""
    nll_sum, scored = learner.evaluate(windows(data_dir, manifest, split, batch_size, seq_len), PHASES[evaluate_as], mem_len, progress)
    info = manifest.splits[split]
    return metrics.figures(nll_sum, scored, info.tokens, info.words, info.characters, info.bytes)
