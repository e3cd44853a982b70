"""What is known of networks after some trainings: against the formula written out, and against the
truth of made-up worlds."""

from __future__ import annotations

import numpy as np
import pytest

from par.evaluate.certify import features, posterior
from par.evaluate.certify.posterior import Posterior, Score
from par.search import networks

NETWORKS = tuple(networks.network_at(n) for n in range(1, 32))  # of at most 4 blocks
FEATURES = features.features(NETWORKS, 4)
NOTHING = np.zeros([len(NETWORKS), 0])


def scores(rng, truth, count=12, seeds=2, noise=0.01):
    """Trainings of some networks with each seed; a seed moves all of them."""
    trained = rng.choice(len(truth), count, replace=False)
    shifts = rng.normal(0, 0.05, seeds)
    return [
        Score(int(n), seed, float(truth[n] + shifts[seed] + rng.normal(0, noise)))
        for n in trained
        for seed in range(seeds)
    ]


def world(rng, own=0.01):
    """The quality of every network: a part that features explain, and one that is its own."""
    explained = FEATURES @ rng.normal(0, 0.01, FEATURES.shape[1])
    return explained + rng.normal(0, own, len(NETWORKS))


def test_features_count_blocks_places_and_pairs():
    counted = features._counted("adda", 6)
    assert counted == [
        *(2, 2),
        *(1, -1, -1, 1, 0, 0),
        *(0, 0, 1, -1, -1, 1),
        *(0, 1, 1, 1),  # aa, ad, da, dd
    ]
    assert np.allclose(FEATURES.mean(axis=0), 0) and np.allclose(FEATURES.std(axis=0), 1)
    assert not features.features(["ad", "ad"], 2).any()  # nothing tells them apart


def test_the_moments_are_those_of_the_formula(monkeypatch):
    monkeypatch.setattr(posterior, "TAU", (2.0,))
    monkeypatch.setattr(posterior, "ZETA", (3.0,))
    monkeypatch.setattr(posterior, "OMEGA", (0.5,))
    rng = np.random.default_rng(1)
    known = rng.normal(size=[len(NETWORKS), 2])
    made = scores(rng, world(rng), count=5)
    mean, deviation = Posterior(FEATURES, known, made).moments()
    values = np.array([score.loss for score in made])
    unit = values.std()
    values = (values - values.mean()) / unit

    def prior(n, m):
        shared = 4 * sum(a * b for a, b in zip(FEATURES[n], FEATURES[m])) / FEATURES.shape[1]
        return shared + 9 * sum(known[n] * known[m]) + 0.25 * (n == m)

    def noise(one, other):
        return 1e6 * (one.seed == other.seed) + (one is other)

    covariance = np.array(
        [[prior(a.network, b.network) + noise(a, b) for b in made] for a in made]
    )
    inverse = np.linalg.inv(covariance)
    square = values @ inverse @ values
    for n in (made[0].network, 3):
        across = np.array([prior(n, score.network) for score in made])
        variance = (prior(n, n) - across @ inverse @ across) * square / (len(made) - 2 - 2)
        assert mean[n] == pytest.approx(unit * (across @ inverse @ values), rel=1e-4, abs=1e-7)
        assert deviation[n] == pytest.approx(unit * np.sqrt(variance), rel=1e-4)


def test_draws_have_the_moments_and_a_common_shift_of_a_seed_changes_nothing():
    rng = np.random.default_rng(2)
    made = scores(rng, world(rng))
    found = Posterior(FEATURES, NOTHING, made)
    mean, deviation = found.moments()
    drawn = found.draw(np.arange(len(NETWORKS)), 20_000, np.random.default_rng(0))
    assert np.allclose(drawn.mean(axis=0), mean, atol=4 * deviation.max() / np.sqrt(20_000))
    assert np.allclose(drawn.std(axis=0), deviation, rtol=0.1)
    moved = [score._replace(loss=score.loss + (0.1 if score.seed else 0)) for score in made]
    shifted = Posterior(FEATURES, NOTHING, moved).moments()[0]
    assert np.allclose(shifted - shifted.mean(), mean - mean.mean(), atol=2e-4)


def test_intervals_of_differences_hold_the_truth_as_often_as_they_say():
    hits = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = world(rng)
        found = Posterior(FEATURES, NOTHING, scores(rng, truth))
        drawn = found.draw(np.arange(len(NETWORKS)), 1_000, rng)
        gaps = drawn[:, 1:] - drawn[:, :-1]
        low, high = np.quantile(gaps, [0.05, 0.95], axis=0)
        hits.append((low <= np.diff(truth)) & (np.diff(truth) <= high))
    assert 0.86 <= np.mean(hits) <= 0.97  # said: 90 %


def test_what_is_known_before_training_is_used_as_far_as_it_agrees_with_what_is_trained():
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 0.05, len(NETWORKS))  # no feature explains it
    made = scores(rng, truth)
    trained = {score.network for score in made}
    others = [n for n in range(len(NETWORKS)) if n not in trained]
    blind = np.zeros_like(FEATURES)

    def error(known):
        mean = Posterior(blind, known, made).moments()[0]
        gaps = (mean - truth)[others]
        return np.std(gaps)

    good = features.standardized(truth[:, None] + rng.normal(0, 0.005, [len(truth), 1]))
    noise = features.standardized(rng.normal(size=[len(truth), 1]))
    assert error(good) < 0.3 * error(NOTHING) and error(noise) < 1.3 * error(NOTHING)
