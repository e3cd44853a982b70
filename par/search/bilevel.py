"""Which variables a step updates: weights, architecture logits, both or neither (Mandava et al.
2020, section 3; bilevel as in DARTS, Liu et al. 2019).

    --nobilevel     every step updates weights and logits
    --bilevel       step of the epoch   0 1 2 3 4 5 6 7 8 9      arch_fraction 0.2: a held-out step
                    updates weights     W W W W . W W W W .      updates only the logits, another
                    updates logits      . . . . A . . . . A      only the weights; memories pass
                                                                 through all steps
    --arch_warmup=N the logits are frozen for the first N steps; steps held out then update nothing

All of it is a function of the step, so that a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from par.core.config import SearchConfig


class Turn(NamedTuple):
    """The variables that a step updates."""

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
    steps of every epoch, evenly spaced.

    An epoch holds out round(arch_fraction * steps_per_epoch) steps, at least one and not all.
    """
    held = min(max(round(arch_fraction * steps_per_epoch), 1), steps_per_epoch - 1)
    position = step % steps_per_epoch
    return (position + 1) * held // steps_per_epoch > position * held // steps_per_epoch


def turns(search: SearchConfig) -> tuple[Turn, ...]:
    """The turns that occur in a search with these settings, in the order of `index`."""
    if search.bilevel:
        return (WEIGHTS, LOGITS, NEITHER) if search.arch_warmup else (WEIGHTS, LOGITS)
    return (BOTH, WEIGHTS) if search.arch_warmup else (BOTH,)


def index(step: Any, steps_per_epoch: int, search: SearchConfig) -> tf.Tensor:
    """Scalar int32, the index in `turns` of the turn of a step (0-based)."""
    frozen = tf.cast(step < search.arch_warmup, tf.int32)
    if not search.bilevel:
        return frozen
    held = tf.cast(held_out(step, steps_per_epoch, search.arch_fraction), tf.int32)
    return held * (1 + frozen)
