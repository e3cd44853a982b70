"""Learning rate and temperature as pure functions of the step."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


def warmup_cosine(step: Any, total_steps: int, max_lr: float, warmup_steps: int) -> tf.Tensor:
    """Learning rate at the step number `step` (0-based), float32: linear to max_lr over the
    warm-up, then a cosine that reaches 0 at total_steps.

    A warm-up as long as the run or longer only rises.
    """
    done = tf.cast(step, tf.float32)
    rising = (done + 1.0) / max(warmup_steps, 1)
    share = (done - warmup_steps) / max(total_steps - warmup_steps, 1)
    falling = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
    return max_lr * tf.where(done < warmup_steps, tf.minimum(rising, 1.0), falling)


def tau(step: Any, total_steps: int, start: float, end: float, schedule: str) -> tf.Tensor:
    """Temperature at the step number `step` (0-based), float32: `start` at the first, exactly
    `end` at the last."""
    share = tf.cast(step, tf.float32) / max(total_steps - 1, 1)
    if schedule == "exponential":
        value = start * tf.pow(end / start, share)
    elif schedule == "linear":
        value = start + (end - start) * share
    else:
        value = end + (start - end) * 0.5 * (1.0 + tf.cos(math.pi * share))
    return tf.where(share >= 1.0, end, value)
