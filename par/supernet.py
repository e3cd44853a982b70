"""The stochastic block and its mixture weights; weights and architecture logits told apart (Mandava et al. 2020, section 3)."""

from __future__ import annotations

import tensorflow as tf

from par import gumbel
from par.architecture import KINDS
from par.blocks import Block
from par.config import ModelConfig
from par.initial import Initial
from par.phase import Phase

NOISE_PLACE = 0  # place 0 of the random numbers is the Gumbel noise; dropout has 1 (embedding) and up (blocks)


class StochasticBlock(Block):
    """A block that holds every kind; its call takes the mixture weights [O]. Identity has no branch: it adds nothing."""

    def __init__(self, config: ModelConfig, initial: Initial, place: int):
        super().__init__(KINDS.replace("i", ""), config, initial, place)


def mixture(alpha: tf.Tensor, sampling: str, phase: Phase) -> tf.Tensor:
    """Mixture weights of all stochastic blocks for one pass.

    alpha: [number of stochastic blocks, O] logits. Training draws one Gumbel sample per block and step: `soft` relaxes it with the
    temperature tau, `straight_through` makes it one-hot forward. Evaluation draws nothing: softmax(alpha), or its argmax.
    """
    if phase.training:
        noise = gumbel.gumbel_noise(phase.seed_of(NOISE_PLACE), alpha.shape)
        weight = gumbel.relaxed_one_hot(alpha, noise, phase.tau)
        return gumbel.straight_through(weight) if sampling == "straight_through" else weight
    return gumbel.one_hot(alpha) if phase.argmax else tf.nn.softmax(alpha)
