"""Networks of several objectives on the tokens that an evaluation masks: the same ones, by what
each network says of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from par.data import manifest, records
from par.evaluate import evaluation, masked_positions
from par.evaluate.eval_config import EvalConfig
from par.nn.forward_mode import EVALUATION
from par.train.learner import Learner
from small import small_config, small_data

READING = EvalConfig()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=700, valid=150)


@pytest.fixture(scope="module")
def learners(data_dir):
    """Of each objective, with weights that are not small, so that guesses differ."""
    own = small_config(data_dir, "aad", init_std=0.5)
    masked = dataclasses.replace(own, objective="masked_lm")
    return {"causal": Learner(own), "masked": Learner(masked)}


def scored(learner, data_dir, draws=3, reading=READING):
    of_data = manifest.load(data_dir)
    return evaluation.masked_scores(learner, data_dir, of_data, "valid", "fixed", reading, draws)


@pytest.mark.parametrize("reading", (READING, EvalConfig(batch_size=1, seq_len=13)))
def test_all_are_scored_on_the_same_tokens(learners, data_dir, reading):
    found = {name: scored(each, data_dir, 3, reading) for name, each in learners.items()}
    stream = records.read_stream(data_dir, manifest.load(data_dir), "valid")
    expected = masked_positions.scored(stream, reading.seq_len or 8, 3)[:, 1:]
    for each in found.values():
        assert set(each) == {"nll", "accuracy"}
        for values, weights in each.values():
            assert values.shape == weights.shape == (3 * (len(stream) - 2),)
            np.testing.assert_array_equal(weights.reshape(3, -1) > 0, expected)
    assert (found["causal"]["nll"][0] != found["masked"]["nll"][0]).all()


def test_a_causal_network_is_scored_by_what_it_says_of_the_next_token(learners, data_dir):
    learner, of_data = learners["causal"], manifest.load(data_dir)
    found = scored(learner, data_dir)
    plain = evaluation.token_scores(learner, data_dir, of_data, "valid", "fixed")
    assert set(plain) == {"nll"}
    for draw in found["nll"][0].reshape(3, -1):
        np.testing.assert_array_equal(draw, plain["nll"][0][:-1])
    stream = records.read_stream(data_dir, of_data, "valid")
    empty = learner.objective.trunk.empty_memories(1, 5)
    for place in range(1, 8):  # of the first window
        log_prob, _ = learner.objective.log_prob(
            tf.constant(stream[None, :place]), empty, EVALUATION
        )
        hit = int(np.argmax(log_prob[0])) == stream[place]
        assert bool(found["accuracy"][0][place - 1]) == hit
        nll = -float(log_prob[0, stream[place]])
        assert found["nll"][0][place - 1] == pytest.approx(nll, rel=1e-4)
    assert 0 < found["accuracy"][0].mean() < 1


def test_a_masked_network_has_its_own_scores_but_of_the_first_token(learners, data_dir):
    learner, of_data = learners["masked"], manifest.load(data_dir)
    own = evaluation.token_scores(learner, data_dir, of_data, "valid", "fixed")
    found = scored(learner, data_dir, 4)
    for name, pair in own.items():
        for mine, theirs in zip(found[name], pair):
            np.testing.assert_array_equal(mine.reshape(4, -1), theirs.reshape(4, -1)[:, 1:])


def test_one_graph_scores_every_draw(data_dir):
    config = small_config(data_dir, "ad", init_std=0.5)
    learner = Learner(dataclasses.replace(config, objective="masked_lm"))
    found = scored(learner, data_dir, 3)
    [graph] = learner._evaluation_graphs.values()
    assert graph.experimental_get_tracing_count() == 1
    drawn = found["nll"][1].reshape(3, -1)
    assert len(np.unique(drawn, axis=0)) == 3
