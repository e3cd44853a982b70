"""The logits learn: attention where the past decides, none where it does not."""

from __future__ import annotations

import pytest

from par.data import manifest
from par.evaluate import evaluation
from par.search import derive
from small import bigrams, copies, small_config, small_data, trainer

SHAPE = {"d_model": 32, "num_heads": 2, "d_ffn": 64, "mem_len": 8, "dropout_rate": 0.0}


def trained(run_dir, data_dir, blocks, **settings):
    run = trainer(run_dir / blocks, small_config(data_dir, blocks, **SHAPE | settings), data_dir)
    run.run()
    return run.learner


def perplexity(learner, data_dir, way="fixed"):
    return evaluation.score(learner, data_dir, manifest.load(data_dir), "valid", way)[
        "perplexity_per_token"
    ]


@pytest.fixture
def data_of(tmp_path):
    return lambda stream: small_data(
        tmp_path / "data", stream, train=40_000, valid=4_000, batch_size=16, seq_len=16
    )


@pytest.mark.slow  # three trainings of 40,000 tokens
@pytest.mark.parametrize("sampling", ["soft", pytest.param("single_path", marks=pytest.mark.slow)])
def test_the_search_finds_attention_where_the_next_token_is_a_copy_of_one_five_back(
    tmp_path, data_of, sampling
):
    data_dir = data_of(copies)
    search = trained(tmp_path, data_dir, "3s", sampling=sampling)
    blocks = derive.argmax(search.pi)
    assert "a" in blocks
    derived = perplexity(trained(tmp_path, data_dir, blocks, seed=1), data_dir)
    without = perplexity(trained(tmp_path, data_dir, blocks.replace("a", "d"), seed=1), data_dir)
    assert derived < 0.9 * without
    assert perplexity(search, data_dir, "argmax") < 0.9 * without


@pytest.mark.slow
def test_dense_is_enough_where_the_next_token_hangs_on_the_last_one_alone(tmp_path, data_of):
    data_dir = data_of(bigrams)
    blocks = derive.argmax(trained(tmp_path, data_dir, "3s").pi)
    derived = perplexity(trained(tmp_path, data_dir, blocks, seed=1), data_dir)
    dense = perplexity(trained(tmp_path, data_dir, "ddd", seed=2), data_dir)
    assert dense < 1.01 * derived
