"""Synthetic tokens occur as often as they should."""

from __future__ import annotations

import numpy as np
import pytest

from par.bench import synthetic
from par.search import flops


def test_tokens_follow_zipf_and_depend_on_the_seed_alone():
    tokens = synthetic.tokens(50, (200, 100), seed=3)
    np.testing.assert_array_equal(tokens, synthetic.tokens(50, (200, 100), seed=3))
    assert np.any(tokens != synthetic.tokens(50, (200, 100), seed=4)) and tokens.dtype == np.int32
    expected = flops.zipf_counts(50) / flops.zipf_counts(50).sum()
    np.testing.assert_allclose(
        np.bincount(tokens.ravel(), minlength=50) / tokens.size, expected, atol=0.01
    )


def test_tokens_occur_as_the_counts_say():
    tokens = synthetic.tokens(5, (100, 100), counts=np.array([0, 5, 0, 15, 0]))
    assert set(np.unique(tokens)) == {1, 3}
    assert np.mean(tokens == 3) == pytest.approx(0.75, abs=0.02)
