"""How much context a network uses, from its scores at several lengths of it: effective and
relative effective context length.

l_i(c, t) is the nll, in nats, of token t under network i of a group, at context length c. Dai et
al. 2019, section 4.3 and appendix C:

    b(c, t)    = min_i l_i(c, t)                               the best of the group at length c
    f_i(c, c') = mean over t in T of min(b(c, t), l_i(c', t))
    g_i(c, c') = (exp f_i(c, c) - exp f_i(c, c')) / exp f_i(c, c)

T is the fraction r of the tokens with the largest b(c, t), and g_i the relative gain of the longer
context c'.

The relative effective context length (RECL) is the first c whose g_i to the next c' is below 0.01.
In the paper all steps c' - c are equal; here they are those of the lengths that were measured. As
only gains count in f_i, g_i is never negative: random changes of the losses count as gains, the
more so the larger the group is.

The effective context length of a network by itself uses, instead of g_i, the reduction of its own
perplexity, 1 - exp(mean l_i(c') - mean l_i(c)), in which losses count, too. Again it is the first
c whose next step brings less than 0.01.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LEAST_GAIN = 0.01
FRACTIONS = (1.0, 0.5, 0.1)  # r, as in the paper's table 8


class Length(NamedTuple):
    """A context length in tokens. or_more: it is the longest that was measured, and the last step
    to it was still a gain."""

    tokens: int
    or_more: bool

    def __str__(self) -> str:
        return f"{self.tokens:,} or more" if self.or_more else f"{self.tokens:,}"


def relative_gain(short: np.ndarray, long: np.ndarray, fraction: float = 1.0) -> np.ndarray:
    """g_i(c, c') [I] from l_i(c, t) and l_i(c', t), [I, N] nats each. fraction: r, of the tokens;
    at least one token counts."""
    baseline = np.min(short, axis=0).astype(np.float64)
    hardest = np.argsort(-baseline, kind="stable")[: max(round(fraction * len(baseline)), 1)]
    counted = np.minimum(baseline, long)[:, hardest]
    return -np.expm1(counted.mean(axis=-1) - baseline[hardest].mean())


def own_gain(short: np.ndarray, long: np.ndarray) -> np.ndarray:
    """1 - PPL(c') / PPL(c) [I] from [I, N] nats each; negative where the longer context does
    harm."""
    return -np.expm1(
        np.mean(long, axis=-1, dtype=np.float64) - np.mean(short, axis=-1, dtype=np.float64)
    )


def effective(lengths: Sequence[int], gains: Sequence[float]) -> Length:
    """The length [C] after which the next step's gain [C - 1] is, for the first time, below
    LEAST_GAIN."""
    for length, gain in zip(lengths, gains):
        if gain < LEAST_GAIN:
            return Length(length, False)
    return Length(lengths[-1], True)


@dataclasses.dataclass(frozen=True)
class ContextUse:
    """How much context a network uses. gains: [C - 1], of each step to the next length. relative:
    by fraction r, its RECL; {} where it is alone."""

    effective: Length
    gains: list[float]
    relative: dict[float, Length]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "effective_context": self.effective._asdict(),
            "gains": self.gains,
            "relative_effective_context": [
                {"share": fraction} | length._asdict()
                for fraction, length in self.relative.items()
            ],
        }


def context_use(lengths: Sequence[int], nll: Sequence[Sequence[np.ndarray]]) -> list[ContextUse]:
    """How much context each network of a group uses. nll: [I][C] arrays [N] in nats, of the same
    tokens in the same order."""
    by_length = [np.stack(values) for values in zip(*nll)]
    steps = list(itertools.pairwise(by_length))
    own = np.array([own_gain(short, long) for short, long in steps]).T  # [I, C - 1]
    relative = {
        fraction: np.array([relative_gain(short, long, fraction) for short, long in steps]).T
        for fraction in (FRACTIONS if len(nll) > 1 else ())
    }
    return [
        ContextUse(
            effective=effective(lengths, gains),
            gains=gains.tolist(),
            relative={
                fraction: effective(lengths, of_group[i])
                for fraction, of_group in relative.items()
            },
        )
        for i, gains in enumerate(own)
    ]
