"""The result of a certified choice as typed values: certify.json holds them. The order of the
fields is the order of the keys on disk."""

from __future__ import annotations

import dataclasses
from typing import Any

from par.core import schema
from par.core.stats import Interval

CHOSEN, OPEN, WORSE, UNTRAINED = "chosen", "undecided", "worse", "untrained"


@dataclasses.dataclass(frozen=True)
class SeedScore:
    """One whole training of a network, on valid. compared: on the scale on which it is averaged,
    nats for a perplexity. score: the figure itself; None where it overflows."""

    seed: int
    run: str
    compared: float | int
    score: float | int | None


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One network of the choice; None stands for what is not known.

    state: chosen; undecided, where it can't be told from the chosen one; worse; untrained, where
    it was never trained to the end. milliseconds: by the table. early_loss: mean training loss of
    the first quarter with the first seed, nats a token. score: on valid, by all that was trained:
    its seeds are compared with the chosen network's of the same seeds.
    probability_better: than the chosen one.
    """

    network: str
    state: str
    milliseconds: float | None
    log_probability: float | None
    early_loss: float | None
    score: Interval
    probability_better: float
    seeds: tuple[SeedScore, ...]


@dataclasses.dataclass(frozen=True)
class TestScore:
    """A network on the test split over its seeds; read once, at the end."""

    network: str
    seeds: tuple[int, ...]
    score: Interval


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is claimed, and of what. trainings: in whole ones, one that ended after a quarter
    counts a quarter. probability: that no network is better than the chosen one. regret: with a
    probability of 95 % the chosen network is at most so much worse than the best: a share of its
    perplexity, or the difference of another figure; within: likewise. figure: the key of the
    figure that decides. undecided: the networks that can't be told from the chosen one, itself
    first. test: of these. is_finished: nothing is left to train."""

    search: str
    data: str
    depth: int
    networks: int
    budget_ms: float | None
    budget_ratio: float | None
    latency_of: str
    epochs: int
    figure: str
    num_trainings: int
    trainings: float | int
    within: float | int
    seconds: float | int
    is_finished: bool
    chosen: str
    probability: float
    regret: float | None
    undecided: tuple[str, ...]
    sentence: str
    candidates: tuple[Candidate, ...]
    test: tuple[TestScore, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of certify.json."""
        return schema.encode(self)

    @classmethod
    def from_json(cls, value: Any, where: str) -> Certificate:
        """Inverse of `to_json`. Raises: UsageError if a key is missing, unknown or of another
        type."""
        return schema.decode(cls, value, where)
