"""How good each network is, trained or not, by what has been trained so far.

The loss of network n with seed s, for a perplexity in nats, is taken to be

    y_ns = f_n + b_s + e_ns     f_n = x_n w + z_n v + r_n
    w ~ N(0, σ² τ²/P)   v ~ N(0, σ² ζ²)   r_n ~ N(0, σ² ω²)   e_ns ~ N(0, σ²)

with x_n [P] the features of the network (par.evaluate.certify.features), z_n [Q] what else is
known of every network before it is trained (its log probability under a search, its loss after a
quarter of the steps), r_n what neither says, b_s what all networks have in common with a seed,
under a wide prior, and e_ns the noise of one training. σ² is integrated out (prior 1/σ²), and (τ,
ζ, ω) are averaged over a grid by their marginal likelihood instead of set to its best point: few
trainings leave them uncertain, and the answer has to show that. So the f of all networks have a
mixture of multivariate t distributions (Rasmussen and Williams 2006, section 2.7; O'Hagan 1978). f
is relative: only differences between networks have a meaning.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

TAU = (0.5, 2.0, 8.0, 32.0)  # of the features, in units of the noise of a training
ZETA = (0.5, 2.0, 8.0, 32.0)  # of what else is known
OMEGA = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of what is the network's own
WIDE = 1e3  # standard deviation of b_s, in units of the noise
LEAST_WEIGHT = 1e-2  # of a point of the grid that is kept, relative to the best
CHUNK = 4096  # networks whose moments are computed together


class Score(NamedTuple):
    """One training: the index of the network, the seed, and its loss."""

    network: int
    seed: int
    loss: float


class _Point(NamedTuple):
    """The posterior at one point of the grid, for scores of variance 1."""

    scales: tuple[float, float, float]  # τ, ζ, ω
    log_evidence: float
    factor: np.ndarray  # [n, n] Cholesky factor of the scores' covariance over σ²
    solved: np.ndarray  # [n] that covariance^-1 y
    square: float  # y covariance^-1 y


class Posterior:
    """What is known of f of N networks."""

    def __init__(self, features: np.ndarray, known: np.ndarray, scores: Sequence[Score]):
        """features: [N, P]; known: [N, Q], Q may be 0; both standardized over the networks.
        scores: at least one."""
        self._features, self._known = features / np.sqrt(features.shape[1]), known
        self._trained = np.array([score.network for score in scores])
        self._seeds = np.array([score.seed for score in scores])
        values = np.array([score.loss for score in scores], np.float64)
        self._unit = float(values.std()) or 1.0
        self._values = (values - values.mean()) / self._unit
        self._freedom = max(len(scores) - len(set(self._seeds.tolist())), 1)
        points = list(self._grid())
        best = max(point.log_evidence for point in points)
        weights = np.exp([point.log_evidence - best for point in points])
        kept = np.flatnonzero(weights > LEAST_WEIGHT)
        self._points = [points[n] for n in kept]
        self._weights = weights[kept] / weights[kept].sum()

    @property
    def count(self) -> int:
        """N."""
        return len(self._features)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [N] of f, in the loss's unit."""
        mean, square = np.zeros(self.count), np.zeros(self.count)
        for point, weight in zip(self._points, self._weights):
            for start in range(0, self.count, CHUNK):
                which = np.arange(start, min(start + CHUNK, self.count))
                centre, variance = self._moments(point, which)
                mean[which] += weight * centre
                square[which] += weight * (variance + centre**2)
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        return self._unit * mean, self._unit * deviation

    def draw(self, which: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
        """[number, len(which)] joint draws of f of some networks, by index, in the
        loss's unit."""
        counts = generator.multinomial(number, self._weights)
        drawn = [
            self._draws(point, which, count, generator)
            for point, count in zip(self._points, counts)
            if count
        ]
        return self._unit * np.concatenate(drawn)

    def _grid(self) -> Iterator[_Point]:
        trained, seeds = self._trained, self._seeds
        of_features, of_known = self._grams(trained, trained)
        own = (trained[:, None] == trained).astype(np.float64)
        rest = WIDE**2 * (seeds[:, None] == seeds) + np.eye(len(seeds))
        zetas = ZETA if self._known.shape[1] else ZETA[:1]
        for tau, zeta, omega in itertools.product(TAU, zetas, OMEGA):
            covariance = tau**2 * of_features + zeta**2 * of_known + omega**2 * own + rest
            factor = np.linalg.cholesky(covariance)
            solved = np.linalg.solve(factor.T, np.linalg.solve(factor, self._values))
            square = max(float(self._values @ solved), 1e-12)
            evidence = -np.log(np.diag(factor)).sum() - 0.5 * self._freedom * np.log(square)
            yield _Point((tau, zeta, omega), float(evidence), factor, solved, square)

    def _grams(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x_n x_m / P and z_n z_m [len(left), len(right)] of networks by index."""
        features, known = self._features, self._known
        return features[left] @ features[right].T, known[left] @ known[right].T

    def _covariance(self, point: _Point, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """[len(left), len(right)] prior covariance of f over σ²."""
        tau, zeta, omega = point.scales
        of_features, of_known = self._grams(left, right)
        own = (left[:, None] == right).astype(np.float64)
        return tau**2 * of_features + zeta**2 * of_known + omega**2 * own

    def _moments(self, point: _Point, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [len(which)] of f at a point of the grid, for scores of variance 1."""
        tau, zeta, omega = point.scales
        across = self._covariance(point, which, self._trained)
        reduced = np.linalg.solve(point.factor, across.T)
        prior = tau**2 * np.square(self._features[which]).sum(axis=1) + omega**2
        prior += zeta**2 * np.square(self._known[which]).sum(axis=1)
        variance = np.maximum(prior - np.square(reduced).sum(axis=0), 0.0)
        return across @ point.solved, variance * point.square / max(self._freedom - 2, 1)

    def _draws(
        self, point: _Point, which: np.ndarray, number: int, generator: np.random.Generator
    ) -> np.ndarray:
        across = self._covariance(point, which, self._trained)
        reduced = np.linalg.solve(point.factor, across.T)
        covariance = self._covariance(point, which, which) - reduced.T @ reduced
        # of a network with many seeds little is left; the least part of it keeps the factor real
        covariance[np.diag_indices_from(covariance)] += 1e-9 * covariance.trace()
        root = np.linalg.cholesky(covariance)
        sigma = np.sqrt(point.square / generator.chisquare(self._freedom, number))
        normal = generator.standard_normal([number, len(which)])
        return across @ point.solved + sigma[:, None] * (normal @ root.T)
