"""Can a search be trusted: how undecided pi is, whether it has settled, and whether it has
collapsed or never moved.

Only stochastic blocks count; `stochastic` takes their rows from the pi [L, O] of all.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import numpy as np

from par.search import derive
from par.search.architecture import KINDS, NAMES

# share of the steps in which the logits learn; before it, the weights have hardly taught them
# anything
LOOKS_FROM = 1 / 3
# a probability nearer than this to 1 / O says nothing: a search at the weights' rate ends with
# 0.25 to 0.43
MOVED = 0.05
LATER = "lower --arch_lr, or let the weights learn first with --arch_warmup"
ATTENTION, IDENTITY = KINDS.index("a"), KINDS.index("i")


def stochastic(pi: np.ndarray, blocks: str) -> np.ndarray:
    """The rows of pi [L, O] whose block is stochastic."""
    return np.asarray(pi, np.float64)[[kind == "s" for kind in blocks]]


def entropy(pi: np.ndarray) -> np.ndarray:
    """[...] nats, -Σ_o pi_o ln pi_o of each row of pi [..., O]; from 0 (decided) to ln O
    (uniform)."""
    pi = np.asarray(pi, np.float64)
    return -np.sum(pi * np.log(np.where(pi > 0, pi, 1.0)), axis=-1)


def figures(pi: np.ndarray, blocks: str) -> dict[str, float]:
    """For the logs, of pi [L, O]: the mean entropy, in nats and as a share of ln O, and the
    likeliest kinds counted; {} for a fixed network."""
    if "s" not in blocks:
        return {}
    pi = stochastic(pi, blocks)
    mean, choice = float(entropy(pi).mean()), derive.argmax(pi)
    return {"entropy/mean": mean, "entropy/normalised": mean / math.log(len(KINDS))} | {
        f"argmax/{NAMES[kind]}": choice.count(kind) for kind in KINDS
    }


def text(values: dict[str, float]) -> str:
    """`figures` for a line of the log."""
    counts = " ".join(f"{values[f'argmax/{NAMES[kind]}']}{kind}" for kind in KINDS)
    return f"{counts} entropy {values['entropy/mean']:.3f} ({values['entropy/normalised']:.0%})"


def warnings(pi: np.ndarray, blocks: str, learnt: float) -> dict[str, str]:
    """What is wrong with a search among `blocks`, by a name and in a line each, at the end of an
    epoch. pi: [L, O], of all blocks.

    learnt: share of the steps in which the logits learn that is over; nothing is said below
    LOOKS_FROM. A kind leads where its probability is more than MOVED above every other.

    - identity: it leads in every stochastic block;
    - attention: another kind leads it in every stochastic block, and no fixed block attends: a
    prediction knows the last token alone;
    - still: no probability of a stochastic block is further than MOVED from 1 / O.
    """
    if learnt < LOOKS_FROM:
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


@dataclasses.dataclass(frozen=True)
class Stability:
    """What the guard remembers from epoch to epoch; a checkpoint's note holds it."""

    # the likeliest kinds of the stochastic blocks at the end of the last epoch that taught the
    # logits
    choice: str = ""
    unchanged: tuple[int, ...] = ()  # for how many epochs each of them has been so
    warned: tuple[str, ...] = ()  # what has been said, by its name

    def after_epoch(self, choice: str) -> Self:
        """With the likeliest kinds at the end of one more epoch. The first one has nothing to be
        compared with."""
        before = self.unchanged or (-1,) * len(choice)
        same = (kind == old for kind, old in zip(choice, self.choice or choice))
        return dataclasses.replace(
            self,
            choice=choice,
            unchanged=tuple(n + 1 if kept else 0 for n, kept in zip(before, same)),
        )

    def stable_share(self, epochs: int = 1) -> float:
        """Share of the blocks whose likeliest kind has not changed for so many epochs; 0 before
        there are any."""
        return float(np.mean([n >= epochs for n in self.unchanged])) if self.unchanged else 0.0

    def has_settled(self, epochs: int, share: float) -> bool:
        """Whether a search that stops after so many epochs of rest in such a share of its blocks
        ends here; epochs 0: it never does."""
        return epochs > 0 and self.stable_share(epochs) >= share - 1e-9

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "choice": self.choice,
            "unchanged": list(self.unchanged),
            "warned": list(self.warned),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Inverse of `to_json`. Raises: ValueError unless it is what `to_json` makes."""
        ok = (
            isinstance(value, dict)
            and set(value) == {"choice", "unchanged", "warned"}
            and isinstance(value["choice"], str)
        )
        ok = (
            ok
            and not set(value["choice"]) - set(KINDS)
            and isinstance(value["unchanged"], list)
            and isinstance(value["warned"], list)
        )
        ok = (
            ok
            and len(value["unchanged"]) == len(value["choice"])
            and all(type(n) is int and 0 <= n < 1 << 53 for n in value["unchanged"])
        )
        if not ok or not all(isinstance(name, str) for name in value["warned"]):
            raise ValueError(
                f"the watch over a search is not one of this program: {str(value)[:60]!r}"
            )
        return cls(value["choice"], tuple(value["unchanged"]), tuple(value["warned"]))
