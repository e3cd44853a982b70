"""The penalty for latency above the target: a term of the loss whose gradient reaches only the
architecture logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from par.core.config import SearchConfig
from par.search import latency_table
from par.search.architecture import KINDS


def expected_share(alpha: tf.Tensor, fixed: str, costs: latency_table.Costs) -> tf.Tensor:
    """Expected latency under pi = softmax(alpha) as a share of the interleaved network's of the
    same depth; deterministic, without tau.

    alpha: [number of stochastic blocks, O] logits; fixed: the kinds of the other blocks.
    """
    milliseconds = costs.milliseconds(fixed) + tf.reduce_sum(
        tf.linalg.matvec(tf.nn.softmax(alpha), tf.constant(costs.block_ms, alpha.dtype))
    )
    return milliseconds / costs.interleaved_ms(len(fixed) + alpha.shape[0])


def penalty(share: tf.Tensor, target: float, weight: float) -> tf.Tensor:
    """weight · max(0, share / target - 1), nats per token: 0 below the target (after Latifi et al.
    2022, arXiv 2208.14580)."""
    return weight * tf.nn.relu(share / target - 1.0)


def search_penalty(
    blocks: str, search: SearchConfig
) -> Callable[[Sequence[tf.Variable]], tf.Tensor] | None:
    """The penalty of a run as a function of its architecture logits [alpha]; None for a fixed
    network, and without a target."""
    costs = latency_table.costs_from_settings(search.latency_ms)
    fixed = "".join(kind for kind in blocks if kind in KINDS)
    if costs is None or not search.target_latency or fixed == blocks:
        return None
    return lambda logits: penalty(
        expected_share(tf.convert_to_tensor(logits[0]), fixed, costs),
        search.target_latency,
        search.latency_weight,
    )
