"""The stochastic block, the weights of its kinds, and pruning of kinds (Mandava et al. 2020,
section 3)."""

from __future__ import annotations

import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.nn.blocks import Block, Mixture
from par.nn.forward_mode import Phase
from par.nn.ops import Initial
from par.search import gumbel
from par.search.architecture import KINDS

PRUNED = -1e4  # logit of a kind that was pruned: its probability is exactly 0


class StochasticBlock(Block):
    """A block with a branch for every kind but identity, which adds nothing; its call takes the
    mixture weights [O]."""

    def __init__(self, config: ModelConfig, initial: Initial, place: str):
        super().__init__(KINDS.replace("i", ""), config, initial, place)


def mixture(alpha: tf.Tensor, search: SearchConfig, phase: Phase) -> Mixture:
    """The mixture of all stochastic blocks for one pass.

    alpha: [number of stochastic blocks, O] logits. Training draws one Gumbel sample per block,
    step and path: `soft` relaxes it with the temperature tau, `straight_through` makes it one-hot
    in the forward pass, `single_path` also in the backward pass; `warmup_sampling` has another way
    for the steps before the logits learn. Evaluation draws nothing:
    softmax(alpha), or its argmax. With several paths a step, the gradient of alpha is that of
    `gumbel.leave_one_out` instead of the one through these weights.
    """
    weights = _weights(alpha, search, phase)
    if phase.argmax or (phase.training and _sampling(search, phase) == "single_path"):
        return Mixture(weights, weights > 0, single=True)
    return Mixture(weights, tf.nn.softmax(alpha) > 0 if search.prune_below else None)


def _sampling(search: SearchConfig, phase: Phase) -> str:
    """How a pass in training samples. While the logits are frozen they are equal, so that single
    paths are uniform ones (Guo et al. 2020)."""
    own = phase.is_warmup and search.warmup_sampling != "same"
    return search.warmup_sampling if own else search.sampling


def _weights(alpha: tf.Tensor, search: SearchConfig, phase: Phase) -> tf.Tensor:
    if phase.training:
        noise = gumbel.gumbel_noise(phase.seed_of(f"gumbel/path_{phase.path}"), alpha.shape)
        weight = gumbel.relaxed_one_hot(alpha, noise, phase.tau)
        sample = {
            "soft": tf.identity,
            "straight_through": gumbel.straight_through,
            "single_path": gumbel.single_path,
        }
        return sample[_sampling(search, phase)](weight)
    return gumbel.one_hot(alpha) if phase.argmax else tf.nn.softmax(alpha)


def prune(alpha: tf.Tensor, below: tf.Tensor, search: SearchConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """Removes unlikely kinds from the search permanently (anneal and prune; Noy et al. 2019, arXiv
    1904.04123).

    alpha: [number of stochastic blocks, O] logits after a step; below: same shape, int32, for how
    many steps in a row the probability has been below prune_below. Returns both after this step;
    the logit of a removed kind is PRUNED. The likeliest kind of a block always stays.
    """
    below = tf.where(tf.nn.softmax(alpha) < search.prune_below, below + 1, 0)
    return tf.where(below >= search.prune_patience, PRUNED, alpha), below


def entropy(alpha: tf.Tensor) -> tf.Tensor:
    """Scalar, nats: the entropies of pi = softmax(alpha), summed over the blocks. alpha: [number
    of stochastic blocks, O] logits."""
    return -tf.reduce_sum(tf.nn.softmax(alpha) * tf.nn.log_softmax(alpha))
