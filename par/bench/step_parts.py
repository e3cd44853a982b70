"""Where the time of a training step goes: whole steps that lack some parts, timed in turn, and the
parts by least squares.

A part alone, in a graph of its own, takes another time than inside a step, where operations run
side by side and share caches: parts that were measured alone may add up to more than the step. So
every measurement here is a step of the real loop that leaves parts out, and a part's time is what
leaving it out saves: alone, or together with others. No part is negative, and all of them add up
to the whole step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from par.bench.training_speed import TimedTraining
from par.core.stats import nonnegative_least_squares
from par.search.architecture import Architecture
from par.train.distributed.replicas import Replicas
from par.train.learner import Learner
from par.train.run_config import RunConfig

PARTS = ("attention", "dense", "softmax", "update", "rest")
# The parts that each measured step lacks. The update goes first: it grows with the weights, which
# networks with fewer branches have fewer of.
WHOLE, GRADIENTS = (), ("update",)
LACKING = (
    WHOLE,
    GRADIENTS,
    ("update", "attention"),
    ("update", "dense"),
    ("update", "attention", "dense"),
    ("update", "softmax"),
)
# How much more the whole step and its gradients weigh than the others: what they take is shared
# among the parts, while what the others save need not add up.
WEIGHT = 100.0
# block strings with the branches of one kind taken out
WITHOUT = {"attention": str.maketrans("as", "id"), "dense": str.maketrans("ds", "ia")}
# block strings with the branches of both kinds taken out
IDENTITY = str.maketrans("ads", "iii")


class GradientsOnly(Learner):
    """A learner that computes all gradients in every step and applies none to the weights."""

    def update_weights(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """The sum of one element of each gradient, so that the graph keeps all of them."""
        return tf.add_n([tf.reshape(gradient, [-1])[0] for gradient in gradients])


class _MeanOfHidden:
    """In place of the softmax: a loss that every hidden state has a gradient of."""

    def nll(self, hidden: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """[N] the mean of each hidden state [N, D], each feature with a weight of its own."""
        weights = tf.random.stateless_normal([hidden.shape[-1]], [0, 0])
        return tf.reduce_mean(tf.cast(hidden, tf.float32) * weights, axis=-1)


class WithoutSoftmax(GradientsOnly):
    """A learner of gradients only, whose network ends with the hidden states."""

    def __init__(self, config: RunConfig, replicas: Replicas | None = None):
        super().__init__(config, replicas)
        head = self.objective.head.trainable_variables
        self.weights = [w for w in self.weights if all(w is not of_head for of_head in head)]
        self.objective.head = _MeanOfHidden()


def timed_step(config: RunConfig, lacking: Sequence[str], steps: int) -> TimedTraining:
    """The training of a network whose steps lack some parts, one of LACKING."""
    blocks = config.architecture.blocks
    if {"attention", "dense"} <= set(lacking):
        blocks = blocks.translate(IDENTITY)
    else:
        for part in WITHOUT.keys() & set(lacking):
            blocks = blocks.translate(WITHOUT[part])
    config = dataclasses.replace(config, architecture=Architecture(blocks))
    learner = Learner
    if "update" in lacking:
        learner = WithoutSoftmax if "softmax" in lacking else GradientsOnly
    return TimedTraining(config, steps, make_learner=learner)


def split_step(milliseconds: Mapping[tuple[str, ...], Sequence[float]]) -> dict[str, float]:
    """The milliseconds of each of PARTS, which are never negative and add up to the last entry:
    `step`, the median of the whole step's.

    milliseconds: [rounds] of each step of LACKING, measured in the same rounds. Each is taken
    relative to its round's whole step, so that a change in the machine's speed cancels out.
    """
    whole = np.asarray(milliseconds[WHOLE], np.float64)
    step = float(np.median(whole))
    times = [step * float(np.median(np.asarray(milliseconds[each]) / whole)) for each in LACKING]
    kept = np.array([[part not in each for part in PARTS] for each in LACKING], np.float64)
    weights = np.array([WEIGHT if each in (WHOLE, GRADIENTS) else 1.0 for each in LACKING])
    found = nonnegative_least_squares(kept * weights[:, None], np.array(times) * weights)
    found *= step / found.sum()  # the weight leaves a ten-thousandth
    return dict(zip(PARTS, found.tolist())) | {"step": step}
