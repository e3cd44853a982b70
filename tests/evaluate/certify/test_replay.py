"""Choices replayed on tables: what is trained, what is seen of it, and how far the choice is from
the best."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from par.core.errors import UsageError
from par.evaluate.certify import replay
from par.evaluate.certify.replay import World
from tables import make_table, without

SEEDS, EPOCHS, DEPTH = (0, 1, 2), 4, 4


def ordered_table(noise=0.0, seed_effect=0.3):
    """A table of four blocks in which network n is n thousandths of a nat a word above the best,
    in an order that has nothing to do with its name."""
    table = make_table(DEPTH, SEEDS, EPOCHS)
    draw = np.random.default_rng(5)
    size, per_word = len(table), table.tokens[0] / table.words[0]
    ranks = draw.permutation(size)
    word = 5 + ranks[:, None] / 1000 + seed_effect * np.arange(len(SEEDS))
    word = word + draw.normal(0, noise, word.shape) if noise else word
    nll = np.repeat((word / per_word)[:, :, None], EPOCHS, axis=2)
    return dataclasses.replace(table, valid_nll=nll, train_nll=nll + 1), ranks


TABLE, RANKS = ordered_table()
WORLD = World.of_table(TABLE)
BEST = WORLD.networks[int(np.argmin(RANKS))]


def test_a_world_holds_the_truth_and_what_each_seed_showed():
    assert WORLD.networks == tuple(TABLE.networks) and WORLD.num_seeds == 3
    assert WORLD.regret(BEST) == 0
    second = WORLD.networks[int(np.argsort(RANKS)[1])]
    assert WORLD.regret(second) == pytest.approx(math.expm1(1e-3), rel=1e-3)
    assert np.allclose(WORLD.scores[:, 1] - WORLD.scores[:, 0], 0.3, atol=1e-5)
    # the first of four epochs is the quarter
    first = dataclasses.replace(
        TABLE, train_nll=np.where(np.arange(4) < 1, 4.0, 9.0) * np.ones_like(TABLE.train_nll)
    )
    assert (World.of_table(first).early == 4).all()


def test_a_partial_table_counts_with_the_seeds_that_all_have():
    partial = dataclasses.replace(TABLE, **without(TABLE, BEST, 1, epochs=2))
    world = World.of_table(partial)
    assert world.num_seeds == 2 and world.networks == WORLD.networks
    assert world.truth[world.networks.index(BEST)] == pytest.approx(
        5 + 0.3, abs=1e-4
    )  # seeds 0, 2
    some = World.of_table(partial, ["a", "d", "i"])
    assert some.networks == ("a", "d", "i") and some.num_seeds == 3
    nothing = {
        name: np.full_like(getattr(TABLE, name), np.nan)
        for name in ("train_nll", "valid_nll", "seconds", "test_nll")
    }
    with pytest.raises(UsageError, match="a replay needs two networks"):
        World.of_table(dataclasses.replace(TABLE, **nothing))


def test_an_order_is_trained_from_its_head_and_the_best_so_far_is_chosen():
    worst_first = [WORLD.networks[n] for n in np.argsort(-RANKS)]
    played = replay.by_order(WORLD, worst_first, 40, seed=0)
    assert played.trainings == 31 and len(played.regrets) == 40
    expected = [math.expm1(rank / 1000) for rank in range(30, -1, -1)]
    assert np.allclose(played.regrets[:31], expected, atol=1e-5)
    assert (played.regrets[30:] == played.regrets[30]).all()
    found = replay.drawn(WORLD, 31, seed=3)
    assert found.regrets[-1] == 0 and (np.diff(found.regrets) <= 0).all()
    assert found.regrets.tolist() == replay.drawn(WORLD, 31, seed=3).regrets.tolist()
    assert found.regrets.tolist() != replay.drawn(WORLD, 31, seed=4).regrets.tolist()


def test_neighbours_differ_in_one_block():
    assert replay.neighbours("i") == ["a", "d"]
    assert replay.neighbours("ad") == sorted({"a", "d", "aa", "dd", "aad", "ada", "add", "dad"})
    for network in WORLD.networks:
        for near in replay.neighbours(network):
            assert network in replay.neighbours(near) or {network, near} == {"i"}


def test_local_search_trains_nothing_twice_and_goes_downhill():
    """Where each block of attention is worth the same, it climbs to all attention at once."""
    worth = np.array([each.count("a") * -0.1 for each in WORLD.networks])
    hill = dataclasses.replace(WORLD, truth=worth, scores=np.repeat(worth[:, None], 3, axis=1))
    ends = []
    for seed in range(10):
        played = replay.local_search(hill, 31, seed)
        assert played.trainings == 31 and played.regrets[-1] == 0
        ends.append(int(np.argmin(played.regrets)))  # the first training that found the best
    random = [int(np.argmin(replay.drawn(hill, 31, seed).regrets)) for seed in range(10)]
    assert np.mean(ends) < np.mean(random)


def test_a_certified_choice_sees_scores_and_ends_with_a_claim():
    played = replay.certified(WORLD, 20, seed=0)
    assert played.claim.leader and played.trainings <= 20
    assert played.regrets[-1] <= 0.005 and WORLD.regret(played.claim.leader) == played.regrets[-1]
    known = np.isfinite(played.regrets)
    assert not known[: math.ceil(31 / 4) - 1].any() and known[-5:].all()
    told = replay.certified(WORLD, 12, 0, log_probabilities=-100 * WORLD.truth, max_raced=5)
    assert told.regrets[-1] <= 0.0011  # the search knew


@pytest.mark.slow
def test_a_network_is_seldom_called_better_than_itself():
    world = World.of_table(ordered_table(noise=0.01)[0])
    found = replay.twins(world, 60, lambda twin, seed: replay.certified(twin, 32, seed).claim)
    assert found.trials == 60 and found.called <= 0.1
    # what would be called if the first comparison decided: the trial can see it
    hasty = replay.twins(
        world,
        60,
        lambda twin, seed: replay.certified(twin, 32, seed).claim._replace(probability=1.0),
    )
    assert hasty.called == 1
