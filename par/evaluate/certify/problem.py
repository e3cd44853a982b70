"""The question of a certified choice, what has been trained to answer it, and what is trained
next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

RUNG = 0.25  # share of the steps after which a network can be judged early


class Training(NamedTuple):
    """A network to be trained with a seed, for a share of the steps: RUNG, or 1 for all."""

    network: str
    seed: int
    share: float


@dataclasses.dataclass(frozen=True)
class Problem:
    """Which of `networks`, canonical and of at most `depth` blocks, is best?

    seeds: in the order in which they are used. log_probabilities: of each network under a search,
    nats; () without a search. num_trainings: the most trainings, in whole ones. within: a choice
    whose loss is at most this much above the true best one is good enough. random_seed: of
    what is drawn.
    """

    networks: tuple[str, ...]
    depth: int
    seeds: tuple[int, ...]
    log_probabilities: tuple[float, ...] = ()
    num_trainings: int = 32
    within: float = 0.005
    random_seed: int = 0


class Record(NamedTuple):
    """What has been trained. early: by network, the mean training loss up to RUNG of the steps
    with the first seed, nats a token. final: by network and seed, the figure that decides on valid
    after all steps, as a loss: for a perplexity per word, nats a word."""

    early: Mapping[str, float]
    final: Mapping[tuple[str, int], float]

    @property
    def spent(self) -> float:
        """Trainings, in whole ones: one that ended early counts RUNG."""
        whole = {network for network, _ in self.final}
        return len(self.final) + RUNG * sum(network not in whole for network in self.early)

    def cost(self, training: Training) -> float:
        """What a training adds to `spent`."""
        begun = training.network in self.early and not any(
            network == training.network for network, _ in self.final
        )
        return training.share - (RUNG if begun and training.share == 1 else 0.0)
