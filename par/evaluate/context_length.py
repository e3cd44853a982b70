"""How much context a network uses, from its scores at several lengths of it: effective and
relative effective context length.

l_i(c, t) is the nll, in nats, of token t under network i of a group, at context length c. Dai et
al. 2019, section 4.3 and appendix C:

    b(c, t)    = min_i l_i(c, t)                                             what the best of the
               group makes of the short context
    f_i(c, c') = mean over t in T of min(b(c, t), l_i(c', t))                 T: the share r of the
    tokens with the largest b(c, t)
    g_i(c, c') = (exp f_i(c, c) - exp f_i(c, c')) / exp f_i(c, c)            relative gain of the
    longer context c'

The relative effective context length (RECL) is the first c whose g_i to the next c' is below 0.01.
In the paper all steps c' - c are equal; here they are those of the lengths that were measured. As
only gains count in f_i, g_i is never negative: what changes losses at random passes for a gain,
the more so the larger the group is.

The effective context length of a network by itself takes, in the place of g_i, the reduction of
its own perplexity,
1 - exp(mean l_i(c') - mean l_i(c)), in which losses count, too. It is the first c, again, whose
next step brings less than 0.01.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LEAST_GAIN = 0.01
SHARES = (1.0, 0.5, 0.1)  # r, as in the paper's table 8


class Length(NamedTuple):
    """A context length in tokens. or_more: it is the longest that was measured, and even the last
    step to it was a gain."""

    tokens: int
    or_more: bool

    def __str__(self) -> str:
        return f"{self.tokens:,}{' or more' * self.or_more}"


def relative_gain(short: np.ndarray, long: np.ndarray, share: float = 1.0) -> np.ndarray:
    """g_i(c, c') [I] from l_i(c, t) and l_i(c', t), [I, N] nats each. share: r, of the tokens; at
    least one token counts."""
    baseline = np.min(short, axis=0).astype(np.float64)
    hardest = np.argsort(-baseline, kind="stable")[: max(round(share * len(baseline)), 1)]
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


def of_group(lengths: Sequence[int], nll: Sequence[Sequence[np.ndarray]]) -> list[dict[str, Any]]:
    """What the networks of a group use: nll [I][C] arrays [N] in nats, of the same tokens in the
    same order -> for each network

    effective: its `Length`; gains: [C - 1]; relative: by r, its RECL, {} where it is alone.
    """
    steps = [
        (np.stack(short), np.stack(long))
        for short, long in zip(list(zip(*nll)), list(zip(*nll))[1:])
    ]
    own = np.array([own_gain(short, long) for short, long in steps]).T  # [I, C - 1]
    shares = SHARES if len(nll) > 1 else ()
    relative = {
        share: np.array([relative_gain(short, long, share) for short, long in steps]).T
        for share in shares
    }
    found = []
    for i, gains in enumerate(own):
        of_shares = {
            share: effective(lengths, of_share[i]) for share, of_share in relative.items()
        }
        found.append(
            {
                "effective": effective(lengths, gains),
                "gains": gains.tolist(),
                "relative": of_shares,
            }
        )
    return found


def to_json(found: dict[str, Any]) -> dict[str, Any]:
    """One network of `of_group` as JSON values."""
    relative = [{"share": share} | length._asdict() for share, length in found["relative"].items()]
    return {
        "effective_context": found["effective"]._asdict(),
        "gains": found["gains"],
        "relative_effective_context": relative,
    }
