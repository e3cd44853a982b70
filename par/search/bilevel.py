"""Which variables a step updates: weights, architecture logits, both or neither (Mandava et al.
2020, section 3; bilevel as in DARTS, Liu et al. 2019).

    --nobilevel     every step updates weights and logits
    --bilevel       step of the epoch   0 1 2 3 4 5 6 7 8 9      arch_fraction 0.2: a held-out step
                    updates weights     W W W W . W W W W .      updates only the logits, another
                    updates logits      . . . . A . . . . A      only the weights; memories pass
                                                                 through all steps
    --arch_warmup=N the logits are frozen for the first N steps; steps held out then update nothing
    --arch_alone=N  the weights are frozen for the last N steps

All of it is a function of the step, so that a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import tensorflow as tf

from par.core.config import SearchConfig, in_steps


class Turn(NamedTuple):
    """The variables that a step updates, and whether the logits are still frozen."""

    weights: bool
    logits: bool
    is_warmup: bool = False


BOTH, WEIGHTS, LOGITS = Turn(True, True), Turn(True, False), Turn(False, True)
WARMUP, NEITHER = Turn(True, False, True), Turn(False, False, True)


def held_out(step: Any, steps_per_epoch: int, arch_fraction: float) -> Any:
    """Whether the step (0-based, an integer or a tensor) is held out from the weights: the same
    steps of every epoch, evenly spaced.

    An epoch holds out round(arch_fraction * steps_per_epoch) steps, at least one and not all.
    """
    held = min(max(round(arch_fraction * steps_per_epoch), 1), steps_per_epoch - 1)
    position = step % steps_per_epoch
    return (position + 1) * held // steps_per_epoch > position * held // steps_per_epoch


@dataclasses.dataclass(frozen=True)
class Turns:
    """The turn of every step of a run."""

    steps_per_epoch: int
    total_steps: int
    held_out_share: float  # of an epoch's steps, which only the logits learn from; 0: none
    frozen: int  # steps at the start that do not update the logits
    alone: int  # steps at the end that do not update the weights

    @classmethod
    def of(cls, search: SearchConfig, steps_per_epoch: int, total_steps: int) -> Turns:
        """Those of a search with these settings."""
        return cls(
            steps_per_epoch,
            total_steps,
            search.arch_fraction if search.bilevel else 0.0,
            in_steps(search.arch_warmup, total_steps),
            in_steps(search.arch_alone, total_steps),
        )

    @functools.cached_property
    def kinds(self) -> tuple[Turn, ...]:
        """The turns that occur, in the order of `index`."""
        found = []
        if self.frozen:
            found += [WARMUP, NEITHER] if self.held_out_share else [WARMUP]
        if self.frozen + self.alone < self.total_steps:
            found += [WEIGHTS, LOGITS] if self.held_out_share else [BOTH]
        if self.alone:
            found.append(LOGITS)
        return tuple(dict.fromkeys(found))

    def index(self, step: Any) -> tf.Tensor:
        """Scalar int32, the index in `kinds` of the turn of a step (0-based)."""
        first, middle = self._number(WARMUP), self._number(BOTH)
        if self.held_out_share:
            held = held_out(step, self.steps_per_epoch, self.held_out_share)
            first = tf.where(held, self._number(NEITHER), first)
            middle = tf.where(held, self._number(LOGITS), self._number(WEIGHTS))
        late = tf.where(step >= self.total_steps - self.alone, self._number(LOGITS), middle)
        return tf.where(step < self.frozen, first, late)

    def _number(self, turn: Turn) -> tf.Tensor:
        """The index of a turn; of one that never comes, any."""
        return tf.constant(self.kinds.index(turn) if turn in self.kinds else 0)
