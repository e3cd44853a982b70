"""How well one ranking of networks predicts another: Kendall's tau-b, Spearman's rho, also within
groups, the bootstrap interval of a correlation, and the simple regret of a choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from par.core.stats import CONFIDENCE, Interval

NUM_SAMPLES = 2_000  # of a bootstrap: the bounds' own error is a few hundredths of their distance


def kendall_tau_b(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """Kendall's tau-b of two sequences of n values, from -1 to 1; NaN if one of them is constant.

    tau_b = (C - D) / sqrt((P - T_x) (P - T_y)) with C concordant and D discordant pairs of the
    P = n (n - 1) / 2, of which T_x are tied in x and T_y in y (Kendall 1945, The treatment of ties
    in ranking problems). All pairs are compared: for a few thousand values at most.
    Raises: ValueError unless both have the same number of finite values.
    """
    x, y = _checked(x, y)
    order_x, order_y = (np.sign(values[:, None] - values[None, :]) for values in (x, y))
    untied = float(np.abs(order_x).sum()) * float(np.abs(order_y).sum())  # 4 (P - T_x) (P - T_y)
    return float(np.sum(order_x * order_y) / np.sqrt(untied)) if untied else float("nan")


def ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The ranks of values [n], from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def spearman_rho(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """Spearman's rho of two sequences of n values, from -1 to 1: Pearson's correlation of their
    ranks (Spearman 1904); NaN if one of them is constant. Raises: ValueError as `kendall_tau_b`
    does."""
    x, y = _checked(x, y)
    return _cosine(_centred(ranks(x)), _centred(ranks(y)))


def spearman_rho_within(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    groups: Sequence[float] | np.ndarray,
) -> float:
    """Spearman's partial rho of x and y with the group held fixed: Pearson's correlation of their
    ranks, each less the mean rank of its group; NaN if nothing varies within the groups.

    It is the partial correlation of the ranks given a constant for each group, so that nothing of
    what is a function of the group is left, increasing or not. A group of one value adds nothing.
    Raises: ValueError as `kendall_tau_b` does.
    """
    x, y = _checked(x, y)
    _, groups = _checked(x, groups)
    return _cosine(_centred(ranks(x), groups), _centred(ranks(y), groups))


def _centred(values: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Values [n] less the mean of their group, or of all."""
    groups = np.zeros(len(values)) if groups is None else groups
    _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return values - (np.bincount(places, values) / counts)[places]


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    """x y / (|x| |y|); NaN if one of them is 0 up to rounding: ranks are multiples of 1/2."""
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm > 1e-6 else float("nan")


def bootstrap_interval(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    seed: int,
    correlation: Callable[..., float] = kendall_tau_b,
    num_samples: int = NUM_SAMPLES,
    groups: Sequence[float] | np.ndarray | None = None,
) -> Interval:
    """A correlation of n pairs, with its 95 % percentile interval over draws of n pairs with
    replacement (Efron 1979): how much it depends on which networks were compared.

    correlation: a function of x and y, and of `groups`, where these are given. Draws without a
    correlation, which have one value alone on a side, do not count; without any other draw there
    are no bounds. Equal seeds give equal intervals.
    Raises: ValueError as `kendall_tau_b` does.
    """
    columns = [*_checked(x, y)]
    if groups is not None:
        columns.append(_checked(x, groups)[1])
    count = len(columns[0])
    draws = np.random.default_rng(seed).integers(count, size=(num_samples, count))
    found = np.array([correlation(*(each[draw] for each in columns)) for draw in draws])
    found = found[np.isfinite(found)]
    if not found.size:
        return Interval(correlation(*columns), None, None)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Interval(correlation(*columns), low, high)


def simple_regret(losses: Sequence[float] | np.ndarray, choice: int | np.ndarray) -> np.ndarray:
    """How much more the chosen networks lose than the best of all, in the unit of the losses [N];
    0 for the best (Bubeck et al. 2009, arXiv 0802.2655). choice: their places, of any shape, which
    the result has, too. Losses that are not known are NaN, and are not the best."""
    losses = np.asarray(losses, np.float64)
    return losses[choice] - np.nanmin(losses)


def _checked(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            f"two sequences of equally many finite values are needed, but there are {x.size} of"
            f" shape {x.shape} and {y.size} of shape {y.shape}, or some are not finite"
        )
    return x, y
