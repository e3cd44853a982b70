"""How well each sampling of a block estimates the gradient of the logits, compared with the exact
gradient by enumeration.

The exact gradient is that of the expected loss Σ_path P(path) loss(path), where a path is one kind
for every block. A small network has few enough paths to compute it; every sampling then draws many
gradients on the same window.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.nn.forward_mode import EVALUATION_ARGMAX, Phase
from par.search import bilevel
from par.search.architecture import KINDS, parse
from par.train import run_config
from par.train.learner import Learner

# a token is the one LAG back with this probability: attention can learn something
SYMBOLS, LAG, LIKELY = 24, 5, 0.9
MODEL = ModelConfig(d_model=16, num_heads=2, d_ffn=32, mem_len=8, dropout_rate=0.0)
DATA = run_config.DataIdentity("copies", 8 + SYMBOLS, 8, 16, 600, "", "")
# uniform pi, so that no path is better only because it was trained more often
TRAINED = SearchConfig(sampling="single_path", arch_lr=0.0)
WAYS = {
    f"{sampling} tau {tau}": (SearchConfig(sampling=sampling, paths=1), tau)
    for sampling in SearchConfig.choices("sampling")
    for tau in (1.0, 0.1)
}
WAYS |= {
    f"single_path paths {paths}": (SearchConfig(sampling="single_path", paths=paths), 1.0)
    for paths in (2, 4)
}


class Estimate(NamedTuple):
    """How well one sampling estimates: norms relative to that of the exact gradient, and a
    cosine."""

    bias: float  # of mean - exact
    error: float  # standard error of the mean
    deviation: float  # standard deviation of one draw
    cosine: float  # of the angle between mean and exact


def copies(windows: int, seed: int) -> np.ndarray:
    """[windows, B, T+1] int32: streams cut into windows that overlap by one token."""
    rows, length, rng = DATA.batch_size, windows * DATA.seq_len + 1, np.random.default_rng(seed)
    tokens = rng.integers(8, 8 + SYMBOLS, [rows, length])
    for i in range(LAG, length):
        tokens[:, i] = np.where(rng.random(rows) < LIKELY, tokens[:, i - LAG], tokens[:, i])
    return np.stack(
        [tokens[:, i * DATA.seq_len : (i + 1) * DATA.seq_len + 1] for i in range(windows)]
    ).astype(np.int32)


def measure(blocks: int, draws: int, seed: int = 0) -> tuple[np.ndarray, dict[str, Estimate]]:
    """The exact gradient [blocks, O] on a window, and the estimate of each sampling, for a network
    of `blocks` stochastic blocks trained by single paths at uniform pi."""
    windows = copies(DATA.steps_per_epoch + 1, seed)
    trained = _learner(blocks, TRAINED, seed)
    trained.train(
        iter(tf.data.Dataset.from_tensor_slices(windows[:-1])), tf.constant(DATA.steps_per_epoch)
    )
    window, exact = tf.constant(windows[-1]), exact_gradient(trained, tf.constant(windows[-1]))
    estimates = {}
    for name, (search, tau) in WAYS.items():
        learner = _learner(blocks, search, seed)
        for mine, theirs in zip(learner.weights, trained.weights, strict=True):
            mine.assign(theirs)
        drawn = drawn_gradients(learner, window, tau, draws)
        mean, size = drawn.mean(axis=0), np.linalg.norm(exact)
        deviation = np.linalg.norm(drawn.std(axis=0)) / size
        cosine = (mean * exact).sum() / max(np.linalg.norm(mean) * size, 1e-30)
        estimates[name] = Estimate(
            float(np.linalg.norm(mean - exact) / size),
            float(deviation / draws**0.5),
            float(deviation),
            float(cosine),
        )
    return exact, estimates


def _learner(blocks: int, search: SearchConfig, seed: int) -> Learner:
    training = TrainingConfig(epochs=1, max_lr=5e-3, warmup_steps=20, seed=seed)
    return Learner(run_config.RunConfig(parse(f"{blocks}s"), MODEL, search, training, DATA))


def _arguments(learner: Learner, window: tf.Tensor) -> tuple[Any, Any]:
    return learner.objective.prepare(window), learner.objective.trunk.empty_memories(
        DATA.batch_size
    )


def exact_gradient(learner: Learner, window: tf.Tensor) -> np.ndarray:
    """[blocks, O] the gradient of the expected loss (nats per token) with respect to the logits:
    all paths, weighted by probability."""
    alpha, (batch, memories) = learner.logits[0], _arguments(learner, window)
    before = tf.identity(alpha)
    paths = np.array(
        [
            np.eye(len(KINDS))[list(path)]
            for path in itertools.product(range(len(KINDS)), repeat=alpha.shape[0])
        ],
        np.float32,
    )
    losses = []
    for path in paths:
        alpha.assign(path)  # its argmax
        nll, weight, _, _ = learner.objective.loss(batch, memories, EVALUATION_ARGMAX)
        losses.append(nll / weight)
    alpha.assign(before)
    with tf.GradientTape() as tape:
        tape.watch(before)
        expected = tf.reduce_sum(
            tf.exp(tf.reduce_sum(tf.nn.log_softmax(before) * paths, axis=[1, 2]))
            * tf.stack(losses)
        )
    return tape.gradient(expected, before).numpy()


def drawn_gradients(learner: Learner, window: tf.Tensor, tau: float, draws: int) -> np.ndarray:
    """[draws, blocks, O] the estimated gradients of the logits in `draws` steps on one window."""
    batch, memories = _arguments(learner, window)

    @tf.function(autograph=False)
    def draw(step: tf.Tensor) -> tf.Tensor:
        phase = Phase(training=True, seed=learner.config.training.seed, step=step, tau=tau)
        return learner.gradients(batch, memories, phase, bilevel.LOGITS)[-1][0]

    return np.stack([draw(tf.constant(step, tf.int64)).numpy() for step in range(draws)])
