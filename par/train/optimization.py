"""Keras' Adam and AdamW with TensorFlow's fused update: one pass over a variable and its moments
instead of ten small ops."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class _FusedUpdate:
    """Replaces the update of one variable; everything else (schedules, decay, distribution,
    saving) stays Keras'."""

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Kingma & Ba 2015, algorithm 1, in its efficient order; Keras' own figures to 1e-5."""
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
        """Gradients come as sums over all replicas (par.train.learner clips them as such): Keras
        would add them up once more."""
        return grads_and_vars


class Adam(_FusedUpdate, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015)."""


class AdamW(_FusedUpdate, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
