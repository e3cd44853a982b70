"""Diagnostics of a search: the entropy of pi, whether it is stable, and whether it has collapsed
or never moved.

Only stochastic blocks count; `stochastic` selects their rows from the pi [L, O] of all blocks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from par.search import derive
from par.search.architecture import KINDS, NAMES

# share of the steps that update the logits, before which nothing is reported: the weights are
# hardly trained
CHECK_FROM = 1 / 3
# distance from 1 / O below which a probability has not moved (a search at the learning rate of the
# weights ends with 0.25 to 0.43)
MOVED = 0.05
LATER = "lower --arch_lr, or let the weights learn first with --arch_warmup=0.4"
DECIDED = 0.9  # the probability from which on a block counts as decided
# a decision is early before this share of a run's steps, while tau is nearer to its start than to
# its end and the loss falls by more than FALLING (a share) from the older to the newer half of the
# last RECENT rows of the history
EARLY, FALLING, RECENT = 1 / 3, 0.005, 10
ATTENTION, IDENTITY = KINDS.index("a"), KINDS.index("i")


def stochastic(pi: np.ndarray, blocks: str) -> np.ndarray:
    """The rows of pi [L, O] whose block is stochastic."""
    return np.asarray(pi, np.float64)[[kind == "s" for kind in blocks]]


def entropy(pi: np.ndarray) -> np.ndarray:
    """[...] nats, -Σ_o pi_o ln pi_o of each row of pi [..., O], from 0 (decided) to ln O
    (uniform)."""
    pi = np.asarray(pi, np.float64)
    return -np.sum(pi * np.log(np.where(pi > 0, pi, 1.0)), axis=-1)


def figures(pi: np.ndarray, blocks: str) -> dict[str, float]:
    """Scalars of the logs for pi [L, O]: the mean entropy, in nats and as a share of ln O, and the
    number of blocks by likeliest kind; {} for a fixed network."""
    if "s" not in blocks:
        return {}
    pi = stochastic(pi, blocks)
    mean, choice = float(entropy(pi).mean()), derive.argmax(pi)
    return {"entropy/mean": mean, "entropy/normalised": mean / math.log(len(KINDS))} | {
        f"argmax/{NAMES[kind]}": choice.count(kind) for kind in KINDS
    }


def text(values: dict[str, float]) -> str:
    """`figures` as part of a line of the log."""
    counts = " ".join(f"{values[f'argmax/{NAMES[kind]}']}{kind}" for kind in KINDS)
    return f"{counts} entropy {values['entropy/mean']:.3f} ({values['entropy/normalised']:.0%})"


def warnings(pi: np.ndarray, blocks: str, elapsed: float) -> dict[str, str]:
    """Problems of a search among `blocks` at the end of an epoch, by name, a line each.

    pi: [L, O], of all blocks.

    elapsed: the share of the steps that update the logits that is over; {} below CHECK_FROM. A
    kind leads if its probability is more than MOVED above every other.

    - identity: it leads in every stochastic block;
    - attention: another kind leads it in every stochastic block, and no fixed block attends, so
      that a prediction depends only on the last token;
    - still: no probability of a stochastic block is further than MOVED from 1 / O.
    """
    if elapsed < CHECK_FROM:
        return {}
    pi, found = stochastic(pi, blocks), {}
    # [number of stochastic blocks, O], 0 for the likeliest kind
    behind = pi.max(axis=-1, keepdims=True) - pi
    others = np.sort(behind, axis=-1)[:, 1]
    if ((behind[:, IDENTITY] == 0) & (others > MOVED)).all():
        found["identity"] = (
            f"identity wins everywhere, with a probability of {pi[:, IDENTITY].min():.2f} or more:"
            f" {LATER}"
        )
    elif (behind[:, ATTENTION] > MOVED).all() and "a" not in blocks:
        found["attention"] = (
            f"attention wins nowhere: its probability is {pi[:, ATTENTION].max():.2f} or less in"
            f" every block: {LATER}"
        )
    if (distance := float(np.abs(pi - 1 / len(KINDS)).max())) < MOVED:
        found["still"] = (
            f"nothing moves: no probability is further than {distance:.3f} from 1/{len(KINDS)}:"
            " raise --arch_lr"
        )
    return found


def early_decision(
    pi: np.ndarray, blocks: str, share: float, tau: float, middle: float, losses: Sequence[float]
) -> str:
    """A warning of a search among `blocks` that decides before its time, '' if it does not.

    pi: [L, O], of all blocks. share: of the run's steps that are over. tau, and the `middle` of
    its range. losses: the last recorded nll, the oldest first.
    """
    decided = [
        place + 1
        for place, (kind, row) in enumerate(zip(blocks, np.asarray(pi)))
        if kind == "s" and row.max() > DECIDED
    ]
    if not decided or share >= EARLY or tau <= middle or not _is_falling(losses):
        return ""
    which = f"block {decided[0]} is" if len(decided) == 1 else f"{len(decided)} blocks are"
    return (
        f"{which} decided (above {DECIDED}) after {share:.0%} of the steps, at tau {tau:.2f},"
        " while the loss still falls; this favours the kind that learns fastest, not the best:"
        f" {LATER}"
    )


def _is_falling(losses: Sequence[float]) -> bool:
    half = len(losses) // 2
    older, newer = losses[:half], losses[half:]
    return half > 0 and float(np.mean(newer)) < (1 - FALLING) * float(np.mean(older))


@dataclasses.dataclass(frozen=True)
class Stability:
    """For how many epochs the likeliest kinds have not changed, and which warnings were given. It
    is saved with a checkpoint."""

    # the likeliest kinds of the stochastic blocks at the end of the last epoch that updated the
    # logits
    choice: str = ""
    unchanged: tuple[int, ...] = ()  # for how many epochs each of them has not changed
    warned: tuple[str, ...] = ()  # the names of the warnings that were given
    losses: tuple[float, ...] = ()  # the last RECENT recorded nll, the oldest first

    def after_epoch(self, choice: str) -> Self:
        """A copy after one more epoch, with the likeliest kinds at its end; the first epoch counts
        as unchanged for 0 epochs."""
        before = self.unchanged or (-1,) * len(choice)
        same = (kind == old for kind, old in zip(choice, self.choice or choice))
        return dataclasses.replace(
            self,
            choice=choice,
            unchanged=tuple(n + 1 if kept else 0 for n, kept in zip(before, same)),
        )

    def after_row(self, nll: float) -> Self:
        """A copy after one more row of the history."""
        return dataclasses.replace(self, losses=(*self.losses, nll)[-RECENT:])

    def with_warning(self, *names: str) -> Self:
        """A copy that knows that these warnings were given."""
        return dataclasses.replace(self, warned=(*self.warned, *names))

    def stable_share(self, epochs: int = 1) -> float:
        """The share of blocks whose likeliest kind has not changed for `epochs` epochs; 0 before
        the first epoch."""
        return float(np.mean([n >= epochs for n in self.unchanged])) if self.unchanged else 0.0

    def has_settled(self, epochs: int, share: float) -> bool:
        """Whether at least a share `share` of the blocks has not changed for `epochs` epochs, so
        that a search stops; never for epochs 0."""
        return epochs > 0 and self.stable_share(epochs) >= share - 1e-9

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "choice": self.choice,
            "unchanged": list(self.unchanged),
            "warned": list(self.warned),
            "losses": list(self.losses),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Inverse of `to_json`. Raises: ValueError unless `value` is a result of `to_json`."""
        if not cls._is_sound(value):
            raise ValueError(
                "the stability of a search must be a result of to_json, but is"
                f" {str(value)[:60]!r}"
            )
        lists = (tuple(value[name]) for name in ("unchanged", "warned", "losses"))
        return cls(value["choice"], *lists)

    @classmethod
    def _is_sound(cls, value: Any) -> bool:
        if not isinstance(value, dict) or set(value) != {
            "choice",
            "unchanged",
            "warned",
            "losses",
        }:
            return False
        choice, *lists = (value[name] for name in ("choice", "unchanged", "warned", "losses"))
        if not isinstance(choice, str) or not all(isinstance(each, list) for each in lists):
            return False
        unchanged, warned, losses = lists
        return (
            not set(choice) - set(KINDS)
            and len(unchanged) == len(choice)
            and all(type(n) is int and 0 <= n < 1 << 53 for n in unchanged)
            and all(isinstance(name, str) for name in warned)
            and len(losses) <= RECENT
            and all(type(nll) is float and 0 <= nll < math.inf for nll in losses)
        )
