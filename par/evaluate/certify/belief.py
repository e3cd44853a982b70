"""What can be said of the networks of a problem after some trainings: which is the leader, how
probable it is that another one is better, and how far the leader can be from the best."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from par.core.stats import CONFIDENCE, Interval
from par.evaluate.certify.features import features, standardized
from par.evaluate.certify.posterior import Posterior, Score
from par.evaluate.certify.problem import Problem, Record

DRAWS = 4_000
MOST_DRAWN = 256  # networks that are drawn jointly: those trained, and the most promising others
CLEARLY_WORSE = 0.01  # probability of being better than the leader below which a network is out
# probability of being the best from which it is called so: as it is looked at after every few
# trainings, 0.95 would call one of two equals the best in a third of the cases
CERTAIN = 0.99
LEAST_LOG_PROBABILITY = -50.0  # nats: an impossible network is not infinitely far


class Claim(NamedTuple):
    """What is claimed at the end.

    leader: the network that is chosen. probability: that no other network is better. regret: with
    a probability of 95 % the leader's loss is at most this much above that of the best.
    undecided: the leader and the networks that can't be told from it: those that are better with
    a probability above 5 %, the most probable first.
    """

    leader: str
    probability: float
    regret: float
    undecided: tuple[str, ...]

    @property
    def is_certain(self) -> bool:
        """Whether the leader can be called the best."""
        return self.probability >= CERTAIN


class Belief:
    """The posterior of a problem after at least one whole training."""

    def __init__(self, problem: Problem, record: Record):
        self._problem, self._record = problem, record
        index = {network: n for n, network in enumerate(problem.networks)}
        self._posterior = Posterior(
            _features(problem.networks, problem.depth),
            _known(problem, record),
            [
                Score(index[network], seed, loss)
                for (network, seed), loss in sorted(record.final.items())
            ],
        )
        self.mean, self.deviation = self._posterior.moments()  # [N] of f
        trained = sorted({index[network] for network, _ in record.final})
        self.leader = min(trained, key=lambda n: self.mean[n])
        promising = np.argsort(self.mean - 2 * self.deviation, kind="stable")[:MOST_DRAWN]
        self._which = np.array(sorted({*trained, *promising.tolist()}))

    @functools.cached_property
    def _gaps(self) -> np.ndarray:
        """[DRAWS, those that are drawn] by how much networks are above the leader."""
        generator = np.random.default_rng(self._problem.random_seed)
        drawn = self._posterior.draw(self._which, DRAWS, generator)
        return drawn - drawn[:, self._which == self.leader]

    @functools.cached_property
    def better(self) -> np.ndarray:
        """[N] the probability that a network is better than the leader; 0 of the leader, and of
        those that are too far to be drawn."""
        found = np.zeros(len(self._problem.networks))
        found[self._which] = (self._gaps < 0).mean(axis=0)
        return found

    @property
    def alive(self) -> list[int]:
        """The leader and the networks that are not clearly worse, the most promising first."""
        order = np.argsort(-self.better, kind="stable")
        others = [int(n) for n in order if self.better[n] >= CLEARLY_WORSE]
        return [self.leader, *(n for n in others if n != self.leader)]

    def against_leader(self) -> dict[int, Interval]:
        """By how much a network's loss is above the leader's, with its 95 % interval, for those
        that are drawn; the leader's has no bounds."""
        gaps = self._gaps
        tails = (1 - CONFIDENCE) / 2
        low, high = np.quantile(gaps, [tails, 1 - tails], axis=0)
        return {
            int(n): Interval(
                float(gaps[:, column].mean()), float(low[column]), float(high[column])
            )
            for column, n in enumerate(self._which)
        }

    def claim(self) -> Claim:
        """What can be claimed now."""
        gaps = -self._gaps.min(axis=1)
        networks = self._problem.networks
        return Claim(
            leader=networks[self.leader],
            probability=float((gaps <= 0).mean()),
            regret=float(np.quantile(gaps, CONFIDENCE)),
            undecided=tuple(
                networks[n] for n in self.alive if n == self.leader or self._is_open(n)
            ),
        )

    def _is_open(self, n: int) -> bool:
        return self.better[n] > 1 - CONFIDENCE


@functools.lru_cache(maxsize=8)
def _features(networks: tuple[str, ...], depth: int) -> np.ndarray:
    return features(networks, depth)


def _known(problem: Problem, record: Record) -> np.ndarray:
    """[N, Q] the search's log probability, and the loss early in training where all networks have
    it."""
    columns = []
    if problem.log_probabilities:
        columns.append(np.maximum(problem.log_probabilities, LEAST_LOG_PROBABILITY))
    if all(network in record.early for network in problem.networks):
        columns.append([record.early[network] for network in problem.networks])
    if not columns:
        return np.zeros([len(problem.networks), 0])
    return standardized(np.array(columns, np.float64).T)
