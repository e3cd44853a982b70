"""Gumbel-Softmax: samples of a kind with gradients for its logits (Jang et al. 2016)."""

from __future__ import annotations

import tensorflow as tf

SMALLEST = 1e-9  # keeps log(-log(u)) finite


def gumbel_noise(seed: tf.Tensor, shape: list[int]) -> tf.Tensor:
    """Standard Gumbel noise of a shape: -log(-log(u)), u uniform in (0, 1). seed: [2] integers;
    the same seed gives the same noise."""
    uniform = tf.random.stateless_uniform(shape, seed, minval=SMALLEST, maxval=1.0)
    return -tf.math.log(-tf.math.log(uniform))


def relaxed_one_hot(
    alpha: tf.Tensor, noise: tf.Tensor | float, tau: tf.Tensor | float
) -> tf.Tensor:
    """[..., O] softmax((log pi + g) / tau) with pi = softmax(alpha); a one-hot sample of pi as tau
    goes to 0 (equation 2)."""
    return tf.nn.softmax((tf.nn.log_softmax(alpha) + noise) / tau)


def one_hot(weight: tf.Tensor) -> tf.Tensor:
    """[..., O] the likeliest option as one-hot, the last (cheapest) of equal ones; no gradient."""
    last = weight.shape[-1] - 1
    return tf.one_hot(
        last - tf.argmax(tf.reverse(weight, [-1]), axis=-1), last + 1, dtype=weight.dtype
    )


def straight_through(weight: tf.Tensor) -> tf.Tensor:
    """[..., O] one-hot forward, the gradient of the relaxed weight backward (section 2.2)."""
    return weight + tf.stop_gradient(one_hot(weight) - weight)


def single_path(weight: tf.Tensor) -> tf.Tensor:
    """[..., O] one-hot forward; backward, the chosen option alone: its weight is 1 + w -
    stop_gradient(w) (Dong & Yang 2019, equation 5)."""
    return one_hot(weight) * (1.0 + (weight - tf.stop_gradient(weight)))


def leave_one_out(losses: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
    """Unbiased gradient of the expected loss E[loss(sample)] for the logits from which P >= 2
    independent one-hot samples were drawn.

    losses: [P]; samples: [P, ..., O] -> [..., O]. REINFORCE with the mean loss of the other
    samples as baseline (Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!"):
    1/P Σ_p (L_p - mean_(q≠p) L_q) ∇log p(s_p). With ∇log p(s) = s - pi, pi cancels, as the
    differences of the losses add up to 0.
    """
    # subtracted first, so that differences as small as the last digits of a loss add up to 0
    centred = losses - losses[0]
    centred -= tf.reduce_mean(centred)
    return tf.tensordot(centred, samples, axes=1) / tf.cast(tf.shape(losses)[0] - 1, samples.dtype)
