"""Whose turn a step is: the weights', the logits', both or neither (Mandava et al. 2020, section
3; bilevel as in DARTS, Liu et al. 2019).

    --nobilevel     weights and logits learn on every step
    --bilevel       step of the epoch   0 1 2 3 4 5 6 7 8 9      arch_fraction 0.2: the weights
                    never learn from a held-out step,
                    weights learn       W W W W . W W W W .      the logits from no other; both
                                        learn in turns, and the memories
                    held out            . . . . A . . . . A      flow through all steps
    --arch_warmup=N the logits rest in the first N steps; what is held out stays so

All of it is a function of the step, so that a continued run equals one that never stopped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from par.core.config import SearchConfig


class Turn(NamedTuple):
    """What learns in a step."""

    weights: bool
    logits: bool


BOTH, WEIGHTS, LOGITS, NEITHER = (
    Turn(True, True),
    Turn(True, False),
    Turn(False, True),
    Turn(False, False),
)


def held_out(step: Any, steps_per_epoch: int, arch_fraction: float) -> Any:
    """Whether the step (0-based, an integer or a tensor) is held out from the weights: the same
    ones in every epoch, spread evenly.

    An epoch holds out round(arch_fraction * steps_per_epoch) steps, at least one and not all.
    """
    held = min(max(round(arch_fraction * steps_per_epoch), 1), steps_per_epoch - 1)
    position = step % steps_per_epoch
    return (position + 1) * held // steps_per_epoch > position * held // steps_per_epoch


def turns(search: SearchConfig) -> tuple[Turn, ...]:
    """The turns that occur in a search with these settings: what `index` points into."""
    if search.bilevel:
        return (WEIGHTS, LOGITS, NEITHER) if search.arch_warmup else (WEIGHTS, LOGITS)
    return (BOTH, WEIGHTS) if search.arch_warmup else (BOTH,)


def index(step: Any, steps_per_epoch: int, search: SearchConfig) -> tf.Tensor:
    """Scalar int32, the place in `turns` of the turn of a step (0-based)."""
    resting = tf.cast(step < search.arch_warmup, tf.int32)
    return (
        tf.cast(held_out(step, steps_per_epoch, search.arch_fraction), tf.int32) * (1 + resting)
        if search.bilevel
        else resting
    )
