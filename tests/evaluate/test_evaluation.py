"""Scores token by token: the order of the text whatever the windows, the reach of the memory, and
sliding windows against a naive twin."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from naive import batching as naive
from par.data import manifest, records
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.nn import positions
from par.nn.forward_mode import EVALUATION
from par.train.learner import Learner
from small import small_config, small_data

T, TOKENS = 8, 61


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(
        tmp_path_factory.mktemp("data") / "copies", train=100, valid=TOKENS, seq_len=T
    )


@pytest.fixture(scope="module")
def nll(data_dir):
    """Reads valid with an untrained network of large weights, whose scores depend on every
    token that it sees: [N - 1]."""
    learner = Learner(small_config(data_dir, "aad", init_std=0.5))

    def read(**reading):
        return evaluation.token_scores(
            learner, data_dir, manifest.load(data_dir), "valid", "fixed", EvalConfig(**reading)
        )["nll"][0]

    read.learner = learner
    return read


def test_every_token_is_scored_once_in_the_order_of_the_text(nll):
    whole = nll(batch_size=1, seq_len=TOKENS - 1, mem_len=0)
    assert whole.shape == (TOKENS - 1,)
    for t in (7, T):
        np.testing.assert_allclose(
            nll(batch_size=1, seq_len=t, mem_len=TOKENS), whole, rtol=1e-3, atol=1e-4
        )
    alone = nll(batch_size=1, seq_len=T, mem_len=0)
    # as the records have them: two windows a row
    np.testing.assert_allclose(nll(batch_size=4, mem_len=0), alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(nll(batch_size=3, mem_len=0), alone, rtol=1e-4, atol=1e-5)
    assert np.abs(whole - alone).max() > 0.1


def test_the_figures_are_those_of_the_sums_over_all_tokens(nll, data_dir):
    loaded = manifest.load(data_dir)
    for reading in (EvalConfig(), EvalConfig(batch_size=2, seq_len=5), EvalConfig(stride=3)):
        found = evaluation.token_scores(nll.learner, data_dir, loaded, "valid", "fixed", reading)
        assert found["nll"][1].tolist() == [1.0] * (TOKENS - 1)
        score = evaluation.score(nll.learner, data_dir, loaded, "valid", "fixed", reading)
        assert score["tokens"] == TOKENS - 1 and score["nll_per_token"] == pytest.approx(
            found["nll"][0].mean(), rel=1e-6
        )
    sums = nll.learner.evaluate(evaluation.split_windows(data_dir, loaded, "valid"), EVALUATION)
    assert sums == pytest.approx((nll().sum(), TOKENS - 1), rel=1e-6)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize(
    "reading",
    [
        EvalConfig(),
        EvalConfig(batch_size=3, seq_len=5),
        EvalConfig(stride=3),
        EvalConfig(batch_size=1, stride=8),
    ],
    ids=str,
)
def test_the_windows_are_as_many_as_was_said(data_dir, split, reading):
    loaded = manifest.load(data_dir)
    assert len(
        list(evaluation.split_windows(data_dir, loaded, split, reading))
    ) == evaluation.num_windows(loaded, split, reading)


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("huge", "same"),
    [
        ({"batch_size": 1 << 20, "mem_len": 0}, {"batch_size": 1, "mem_len": 0}),
        ({"batch_size": 1, "mem_len": 1 << 20}, {"batch_size": 1, "mem_len": TOKENS}),
        ({"seq_len": 1 << 20}, {"batch_size": 1, "seq_len": TOKENS - 1}),
        (
            {"batch_size": 1, "seq_len": 5, "mem_len": 1 << 20, "same_length": True},
            {"batch_size": 1, "seq_len": TOKENS - 1, "mem_len": 0},
        ),
        ({"batch_size": 1 << 20, "stride": 3}, {"batch_size": 1, "stride": 3}),
        ({"seq_len": 1 << 20, "stride": 3}, {"batch_size": 1, "seq_len": TOKENS - 1}),
    ],
    ids=str,
)
def test_sizes_beyond_the_split_are_scored_with_what_it_fills(nll, huge, same):
    np.testing.assert_allclose(nll(**huge), nll(**same), rtol=1e-3, atol=1e-4)


def test_sliding_by_a_whole_window_is_reading_without_a_memory(nll):
    np.testing.assert_allclose(nll(stride=T), nll(mem_len=0), rtol=1e-4, atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("stride", [3, 1])
def test_sliding_windows_equal_the_naive_twin(nll, data_dir, stride):
    learner, expected = nll.learner, []
    for tokens in naive.sliding(
        records.read_stream(data_dir, manifest.load(data_dir), "valid"), T, stride
    ):
        window = tf.constant([tokens], tf.int32)
        scores, _ = learner.objective.token_scores(
            learner.objective.prepare(window),
            learner.objective.trunk.empty_memories(1, 0),
            EVALUATION,
        )
        expected.append(float(scores["nll"][0][0, -1]))
    np.testing.assert_allclose(nll(stride=stride), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_with_same_length_it_does_not_matter_where_in_its_window_a_token_stands(nll):
    banded = nll(batch_size=1, seq_len=1, mem_len=6, same_length=True)
    for t in (5, T):
        np.testing.assert_allclose(
            nll(batch_size=1, seq_len=t, mem_len=6, same_length=True), banded, rtol=1e-3, atol=1e-4
        )
    assert np.abs(nll(batch_size=1, seq_len=T, mem_len=6) - banded).max() > 0.1
    np.testing.assert_allclose(
        nll(batch_size=1, seq_len=1, mem_len=6), banded, rtol=1e-3, atol=1e-4
    )


def test_clamp_len_codes_distances_beyond_it_as_itself(nll, monkeypatch):
    exact, shape = positions.distances, {"batch_size": 1, "seq_len": 4, "mem_len": 9}
    plain, clamped = nll(**shape), nll(**shape, clamp_len=3)
    np.testing.assert_array_equal(nll(**shape, clamp_len=12), plain)
    assert np.abs(clamped - plain).max() > 0.01
    monkeypatch.setattr(positions, "distances", lambda *args: np.minimum(exact(*args[:3]), 3))
    monkeypatch.setattr(nll.learner, "_evaluation_graphs", {})
    np.testing.assert_array_equal(nll(**shape), clamped)
