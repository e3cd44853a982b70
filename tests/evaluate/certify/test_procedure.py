"""Which networks are trained, and what is claimed in the end, in made-up worlds whose truth is
known."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from par.evaluate.certify import belief, procedure
from par.evaluate.certify.features import features
from par.evaluate.certify.problem import RUNG, Problem, Record, Training
from par.search import networks

ALL = tuple(networks.network_at(n) for n in range(1, 128))
SEEDS = tuple(range(6))


class World(NamedTuple):
    """Networks with a true quality, and what every training of theirs would give."""

    problem: Problem
    truth: dict[str, float]
    early: dict[str, float]
    nll: dict[tuple[str, int], float]

    def play(self, limit=10_000):
        """The record at the end, or after `limit` trainings; and all trainings in order."""
        record, made = Record({}, {}), []
        while len(made) < limit and (wanted := procedure.next_trainings(self.problem, record)):
            for each in wanted[: limit - len(made)]:
                made.append(each)
                early = record.early | {each.network: self.early[each.network]}
                final = dict(record.final)
                if each.share == 1:
                    final[each.network, each.seed] = self.nll[each.network, each.seed]
                record = Record(early, final)
        return record, made

    def regret(self, network):
        """Share of perplexity by which a network is above the best."""
        return math.expm1(self.truth[network] - min(self.truth.values()))


def world(seed, count, noise=0.006, twins=False, **settings):
    """Networks drawn from all of six blocks. twins: the best is there twice, under two names."""
    rng = np.random.default_rng(seed)
    chosen = tuple(ALL[n] for n in sorted(rng.choice(len(ALL), count, replace=False)))
    shape = features(chosen, 6)
    explained = shape @ rng.normal(size=shape.shape[1])
    truth = 0.03 * explained / (explained.std() or 1.0) + rng.normal(0, 0.01, count)
    if twins:
        truth[np.argsort(truth)[1]] = truth.min()
    shifts = rng.normal(0, 0.02, len(SEEDS))
    nll = truth[:, None] + shifts + rng.normal(0, noise, [count, len(SEEDS)])
    early = truth + rng.normal(0, 0.03, count)
    keys = [(network, s) for network in chosen for s in SEEDS]
    return World(
        Problem(chosen, 6, SEEDS, **settings),
        dict(zip(chosen, truth.tolist())),
        dict(zip(chosen, early.tolist())),
        dict(zip(keys, nll.ravel().tolist())),
    )


@pytest.mark.parametrize("count", (2, 7, 18, 60))
def test_no_training_is_made_twice_and_no_more_than_allowed(count):
    made = world(0, count, num_trainings=12)
    record, trainings = made.play()
    assert len(set(trainings)) == len(trainings) and record.spent <= 12
    shares = [each.share for each in trainings]
    if count == 18:  # a race: all have a quarter first
        assert shares[:18] == [RUNG] * 18 and set(shares[18:]) == {1}
        assert {each.seed for each in trainings[:18]} == {SEEDS[0]}
    else:
        assert RUNG not in shares if count == 60 else True
    assert record.spent == pytest.approx(
        sum(share == 1 for share in shares)
        + RUNG * sum(all(net != each for net, _ in record.final) for each in record.early)
        if count <= procedure.MAX_RACED
        else len(record.final)
    )


@pytest.mark.parametrize("count", (18, 60))
def test_a_choice_that_was_stopped_goes_on_with_the_same_trainings(count):
    made = world(1, count, num_trainings=16)
    record, trainings = made.play()
    stopped, first = made.play(limit=9)
    again = procedure.next_trainings(made.problem, stopped)
    assert first == trainings[:9]
    if len(trainings[:9]) % procedure.AT_ONCE == 0 or count == 18:
        assert again[0] == trainings[9]
    assert record == made.play()[0]


def test_a_race_finds_a_network_near_the_best_with_few_trainings_and_says_how_near():
    regrets, held, spent = [], [], []
    for seed in range(8):
        made = world(seed, 18)
        record, _ = made.play()
        claim = belief.Belief(made.problem, record).claim()
        regrets.append(made.regret(claim.leader))
        held.append(regrets[-1] <= claim.regret + 1e-12)
        spent.append(record.spent)
        best = min(made.truth, key=made.truth.get)
        assert not claim.is_certain or claim.leader == best
    assert np.mean(np.array(regrets) <= 0.005) >= 0.9 and np.mean(held) >= 0.9
    assert np.mean(spent) < 24


def test_among_many_a_surrogate_does_better_than_as_many_random_draws():
    guided, drawn = [], []
    for seed in range(3):
        made = world(100 + seed, 127)
        record, trainings = made.play()
        assert record.spent <= 32 and len({each.network for each in trainings}) == 24
        guided.append(made.regret(belief.Belief(made.problem, record).claim().leader))
        random = np.random.default_rng(seed).choice(made.problem.networks, 32, replace=False)
        drawn.append(min(made.regret(str(network)) for network in random))
    # the random draw knows the truth of what it drew, the surrogate only its noisy scores
    assert np.mean(guided) < np.mean(drawn) and np.mean(guided) < 0.01


def test_a_surrogate_of_fewer_networks_than_trainings_trains_each_and_ends():
    made = world(3, 7)
    record = Record({}, {})
    while wanted := procedure.next_trainings(made.problem, record, max_raced=0):
        final = {(each.network, each.seed): made.nll[each.network, each.seed] for each in wanted}
        assert not set(final) & set(record.final)
        record = Record({}, {**record.final, **final})
    assert {network for network, _ in record.final} == set(made.problem.networks)


@pytest.mark.slow
def test_of_two_equally_good_networks_neither_is_called_the_best():
    called = []
    for seed in range(40):
        made = world(200 + seed, 4, twins=True, within=0.0)
        record, _ = made.play()
        claim = belief.Belief(made.problem, record).claim()
        best = sorted(made.truth, key=made.truth.get)[:2]
        called.append(claim.is_certain and claim.leader in best)
    assert np.mean(called) <= 0.1


def test_the_log_probability_of_a_search_guides_the_surrogate():
    made = world(5, 127, num_trainings=8)
    best = min(made.truth, key=made.truth.get)
    log_probabilities = tuple(-100 * made.truth[each] for each in made.problem.networks)
    told = made._replace(
        problem=Problem(made.problem.networks, 6, SEEDS, log_probabilities, num_trainings=8)
    )
    _, trainings = told.play()
    assert best in {each.network for each in trainings}
    impossible = Problem(made.problem.networks, 6, SEEDS, (-math.inf,) * 127, num_trainings=4)
    assert len(made._replace(problem=impossible).play()[1]) == 4


def test_a_single_network_is_trained_once_and_is_certain():
    made = world(0, 1)
    record, trainings = made.play()
    assert trainings == [Training(made.problem.networks[0], SEEDS[0], 1)]
    claim = belief.Belief(made.problem, record).claim()
    assert claim == (made.problem.networks[0], 1.0, 0.0, made.problem.networks)
