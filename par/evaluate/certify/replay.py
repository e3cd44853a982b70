"""Ways to choose a network, replayed on a table of finished trainings (par.search.block_table):
what each would have trained, and how far its choice would have been from the true best.

The truth of a network is its mean nll per word on valid over all its seeds. A replay draws an
order of the seeds that all networks have; a way that trains a network sees the score of the next
seed of that order, never the truth. The distance of a choice is its simple regret, the share by
which its true perplexity is above the lowest.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.evaluate.certify.belief import Belief, Claim
from par.evaluate.certify.problem import RUNG, Problem, Record
from par.evaluate.certify.procedure import MAX_RACED, next_trainings
from par.search.block_table import BlockTable
from par.search.networks import LETTERS, letters_of

Order = Sequence[str]


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """The networks that a choice is made of, and what their trainings showed. truth: [N] and
    scores: [N, S] nats a word, S the seeds that all of them have; early: [N, S] mean training loss
    of the first quarter, nats a token."""

    depth: int  # the most blocks of a network
    networks: tuple[str, ...]
    truth: np.ndarray
    scores: np.ndarray
    early: np.ndarray

    @classmethod
    def of_table(cls, table: BlockTable, networks: Sequence[str] | None = None) -> World:
        """The networks of a table, or some of them, without those that are not trained at all.
        Raises: UsageError unless two are trained with the same seed."""
        names = table.networks if networks is None else list(networks)
        whole = table.is_whole[[table.index(name) for name in names]]
        names = [name for name, trained in zip(names, whole.any(axis=1)) if trained]
        places = np.array([table.index(name) for name in names], int)
        whole = table.is_whole[places]
        common = whole.all(axis=0)
        if len(names) < 2 or not common.any():
            raise UsageError(
                "a replay needs two networks that are trained with the same seed, but the table"
                " has not: train more with compare --all"
            )
        per_word = table.tokens[0] / table.words[0]
        last = table.valid_nll[places, :, -1].astype(np.float64) * per_word
        quarter = math.ceil(RUNG * table.num_epochs)
        return cls(
            depth=table.num_blocks,
            networks=tuple(names),
            truth=np.nanmean(np.where(whole, last, np.nan), axis=1),
            scores=last[:, common],
            early=table.train_nll[places][:, common, :quarter].mean(axis=2),
        )

    @property
    def num_seeds(self) -> int:
        """S, the seeds that all networks have."""
        return self.scores.shape[1]

    @property
    def residuals(self) -> np.ndarray:
        """[N, S] what is left of the scores without the means of network and seed, scaled to the
        variance of a single training."""
        of_seed = self.scores.mean(axis=0) - self.scores.mean()
        left = self.scores - self.scores.mean(axis=1, keepdims=True) - of_seed
        freedom = max((len(self.networks) - 1) * (self.num_seeds - 1), 1)
        return left * math.sqrt(self.scores.size / freedom)

    @property
    def noise(self) -> float:
        """Standard deviation of a training's score around its network's, without what the seed
        adds to all networks: nats a word, about the share of perplexity."""
        return float(np.sqrt(np.mean(np.square(self.residuals))))

    def regret(self, network: str) -> float:
        """Share of perplexity by which a network is truly above the best."""
        return math.expm1(self.truth[self.networks.index(network)] - self.truth.min())


class Played(NamedTuple):
    """One replay. regrets: [num_trainings] of what would be chosen after each training, the last
    one repeated where it ended before; claim: of a certified choice."""

    regrets: np.ndarray
    trainings: float
    claim: Claim | None = None


def by_order(world: World, order: Order, num_trainings: int, seed: int) -> Played:
    """Trains the networks of an order one after another with one seed, and chooses the best."""
    column = random.Random(seed).randrange(world.num_seeds)
    places = [world.networks.index(network) for network in order[:num_trainings]]
    return _of_trained(world, places, column, num_trainings)


def drawn(world: World, num_trainings: int, seed: int) -> Played:
    """Trains networks at random."""
    order = random.Random(seed).sample(world.networks, len(world.networks))
    return by_order(world, order, num_trainings, seed)


def local_search(world: World, num_trainings: int, seed: int) -> Played:
    """Trains the neighbours of the best network so far, in random order, and goes on from the
    first that is better (White et al. 2021, arXiv 2005.02960); from a new random network where
    none is. A neighbour has one block more, less or of another kind."""
    generator = random.Random(seed)
    column = generator.randrange(world.num_seeds)
    index = {network: n for n, network in enumerate(world.networks)}
    places: list[int] = []
    while len(places) < min(num_trainings, len(world.networks)):
        left = [n for n in range(len(world.networks)) if n not in places]
        at = generator.choice(left)
        places.append(at)
        improved = True
        while improved and len(places) < num_trainings:
            around = [index[each] for each in neighbours(world.networks[at]) if each in index]
            around = [n for n in around if n not in places]
            generator.shuffle(around)
            improved = False
            for n in around[: num_trainings - len(places)]:
                places.append(n)
                if world.scores[n, column] < world.scores[at, column]:
                    at, improved = n, True
                    break
    return _of_trained(world, places, column, num_trainings)


def neighbours(network: str) -> list[str]:
    """The networks that differ in one block: one more, one less, or one of another kind."""
    letters = letters_of(network)
    found = [letters[:n] + letters[n + 1 :] or "i" for n in range(len(letters))]
    for letter in LETTERS:
        found += [letters[:n] + letter + letters[n + 1 :] for n in range(len(letters))]
        found += [letters[:n] + letter + letters[n:] for n in range(len(letters) + 1)]
    return sorted(set(found) - {letters or "i"})


def certified(
    world: World,
    num_trainings: int,
    seed: int,
    log_probabilities: Sequence[float] = (),
    within: float = 0.005,
    max_raced: int = MAX_RACED,
) -> Played:
    """A certified choice, with as many seeds as all networks have."""
    order = random.Random(seed).sample(range(world.num_seeds), world.num_seeds)
    problem = Problem(
        world.networks,
        world.depth,
        tuple(range(world.num_seeds)),
        tuple(log_probabilities),
        num_trainings,
        math.log1p(within),
        seed,
    )
    index = {network: n for n, network in enumerate(world.networks)}
    record, regrets = Record({}, {}), np.full(num_trainings, np.nan)
    while wanted := next_trainings(problem, record, max_raced):
        early, final = dict(record.early), dict(record.final)
        for network, number, share in wanted:
            early[network] = float(world.early[index[network], order[0]])
            if share == 1:
                final[network, number] = float(world.scores[index[network], order[number]])
        record = Record(early, final)
        if record.final:
            leader = problem.networks[Belief(problem, record).leader]
            regrets[max(math.ceil(record.spent) - 1, 0) :] = world.regret(leader)
    claim = Belief(problem, record).claim()
    return Played(regrets, record.spent, claim)


def _of_trained(world: World, places: Sequence[int], column: int, num_trainings: int) -> Played:
    """The replay of networks that are trained one after another with one seed."""
    scores = world.scores[list(places), column]
    best = np.array([places[int(np.argmin(scores[: n + 1]))] for n in range(len(places))])
    regrets = np.expm1(world.truth[best] - world.truth.min())
    repeated = np.append(regrets, np.full(num_trainings - len(regrets), regrets[-1]))
    return Played(repeated, float(len(places)))


class TwinTrial(NamedTuple):
    """A network against itself under another name. called: the share of trials in which one of
    both was called the best."""

    trials: int
    called: float


def twins(
    world: World,
    num_replays: int,
    choose: Callable[[World, int], Claim],
    seed: int = 0,
) -> TwinTrial:
    """How often a choice between a network and itself is called. Both have the same truth: each
    training of either is the network's mean, what the seed adds to all networks, and the noise of
    a training drawn from all that the table has, with replacement.

    choose: the claim in a world of the two, by a number.
    """
    generator = np.random.default_rng(seed)
    of_seed = world.scores.mean(axis=0) - world.scores.mean()  # [S]
    noise = world.residuals.ravel()
    called = 0
    for number in range(num_replays):
        n = int(generator.integers(len(world.networks)))
        twin = World(
            world.depth,
            _two_names(world.networks[n]),
            np.full(2, world.truth[n]),
            world.truth[n] + of_seed + generator.choice(noise, [2, world.num_seeds]),
            np.repeat(world.early[n : n + 1], 2, axis=0),
        )
        called += choose(twin, number).is_certain
    return TwinTrial(num_replays, called / num_replays)


def _two_names(network: str) -> tuple[str, str]:
    """Two names of equal length: that of the network, and another one."""
    letters = letters_of(network) or LETTERS[0]
    return letters, letters[:-1] + LETTERS[1 - LETTERS.index(letters[-1])]
