"""How the weights learn: learning rate and temperature as pure functions of the step, and Keras'
Adam and AdamW with TensorFlow's fused update.

The fused update is one pass over a variable and its moments instead of ten small operations.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf


def warmup_cosine(step: Any, total_steps: int, max_lr: float, warmup_steps: int) -> tf.Tensor:
    """The learning rate at step `step` (0-based), float32: linear to max_lr over the warm-up, then
    a cosine that reaches 0 at total_steps.

    With a warm-up as long as the run, or longer, it only rises.
    """
    done = tf.cast(step, tf.float32)
    rising = (done + 1.0) / max(warmup_steps, 1)
    share = (done - warmup_steps) / max(total_steps - warmup_steps, 1)
    falling = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
    return max_lr * tf.where(done < warmup_steps, tf.minimum(rising, 1.0), falling)


def tau(
    step: Any, total_steps: int, start: float, end: float, schedule: str, hold: int = 0
) -> tf.Tensor:
    """The temperature at step `step` (0-based), float32: `start` at the first step and for `hold`
    steps, exactly `end` at the last."""
    falling = tf.cast(step, tf.float32) - hold
    share = tf.maximum(falling / max(total_steps - 1 - hold, 1), 0.0)
    if schedule == "exponential":
        value = start * tf.pow(end / start, share)
    elif schedule == "linear":
        value = start + (end - start) * share
    else:
        value = end + (start - end) * 0.5 * (1.0 + tf.cos(math.pi * share))
    return tf.where(share >= 1.0, end, value)


def rising(step: Any, total_steps: int, frozen: int) -> tf.Tensor:
    """float32, linear in the step (0-based) from 0 at step `frozen` to 1 at the last."""
    done = tf.cast(step, tf.float32) - frozen
    return tf.maximum(done / max(total_steps - 1 - frozen, 1), 0.0)


class _FusedUpdate:
    """Replaces the update of one variable; schedules, decay, distribution and saving are
    Keras' own."""

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Kingma & Ba 2015, algorithm 1, in its efficient order; within 1e-5 of Keras."""
        step = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """`grads_and_vars`, unchanged: par.train.learner has summed them over all replicas before
        it clipped them, and Keras would sum them again."""
        return grads_and_vars


class Adam(_FusedUpdate, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015)."""


class AdamW(_FusedUpdate, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
