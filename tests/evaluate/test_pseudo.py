"""The pseudo-log-likelihood: each token masked in turn, alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from par.core.errors import UsageError
from par.data import manifest, records
from par.data.tokenizer import MASK
from par.evaluate import pseudo
from par.evaluate.eval_config import EvalConfig
from par.nn.forward_mode import EVALUATION
from par.train.learner import Learner
from small import small_config, small_data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=700, valid=150)


@pytest.fixture(scope="module")
def learner(data_dir):
    own = small_config(data_dir, "aad", init_std=0.5)
    return Learner(dataclasses.replace(own, objective="masked_lm"))


def test_the_pseudo_likelihood_masks_each_token_alone_beside_a_memory_of_all(learner, data_dir):
    """Against one pass a token."""
    of_data = manifest.load(data_dir)
    made, stream = learner.objective, records.read_stream(data_dir, of_data, "valid")
    stream[3] = 3  # a line end in the first window
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo.records, "read_stream", lambda *_: stream)
        told = []
        found = pseudo.pseudo_scores(
            learner, data_dir, of_data, "valid", "fixed", EvalConfig(), 21, told.append
        )
    assert sum(told) == found.read == 21 and len(found.nll) == 20
    memories, expected = made.trunk.empty_memories(1), []
    for start in (0, 8, 16):
        window = stream[start : start + 8]
        for place in range(8):
            if start + place >= 21 or window[place] < 8:
                continue
            seen = window.copy()
            seen[place] = MASK
            hidden, _ = made.trunk(
                tf.constant(seen[None]), memories, visibility="bidirectional", phase=EVALUATION
            )
            log_prob = made.head.log_prob(hidden[0, place : place + 1])
            expected.append(-float(log_prob[0, window[place]]))
        _, memories = made.trunk(
            tf.constant(window[None]), memories, visibility="bidirectional", phase=EVALUATION
        )
    np.testing.assert_allclose(found.nll, expected, rtol=1e-4)
    figures = found.figures(of_data, "valid")
    split = of_data.splits["valid"]
    assert figures["tokens"] == 20 and figures["words"] == split.words * 21 / split.tokens
    assert figures["nll_per_token"] == pytest.approx(np.mean(expected), rel=1e-4)
    per_word = np.exp(sum(expected) / figures["words"])
    assert figures["perplexity_per_word"] == pytest.approx(per_word, rel=1e-3)


def test_the_pseudo_likelihood_of_a_whole_split_has_its_last_token_and_no_other_is_refused(
    learner, data_dir
):
    of_data = manifest.load(data_dir)

    def found(tokens, **reading):
        return pseudo.pseudo_scores(
            learner, data_dir, of_data, "valid", "fixed", EvalConfig(**reading), tokens
        )

    whole = found(10_000)
    assert whole.read == len(whole.nll) == 150
    np.testing.assert_array_equal(found(50).nll, whole.nll[:50])
    # one window holds all of a short split, whatever is asked for
    np.testing.assert_allclose(
        found(150, seq_len=150).nll, found(150, seq_len=9_000).nll, rtol=1e-5
    )
    stream = np.full([20], 3, np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo.records, "read_stream", lambda *_: stream)
        with pytest.raises(UsageError, match="first 20 tokens of valid are special pieces"):
            found(100)
