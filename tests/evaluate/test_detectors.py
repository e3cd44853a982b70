"""What tells replaced tokens without a network: the bigrams of the tokens as they were seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from naive import two_sided as twins
from par.baselines import two_sided
from par.core.auc import auc
from par.data import manifest, records
from par.evaluate import detectors
from small import bigrams, small_data

V, FIRST, T = 40, 8, 7
WEIGHTS = {"both": (0.2, 0.3, 0.5), "before": (0.4, 0.6), "after": (0.5, 0.5)}


def test_scores_equal_the_naive_twin_and_the_end_of_a_window_hides_what_is_behind():
    draw = np.random.default_rng(1)
    train, seen = draw.integers(3, V, 900), draw.integers(3, V, 60)
    counts = two_sided.Counts.of(train, V, FIRST)
    found = detectors.scores(counts, WEIGHTS, seen, T)
    model = twins.Model(train.tolist(), V, FIRST)
    for place, token in enumerate(seen.tolist()):
        if token < FIRST:
            assert found[place] == detectors.NEVER
            continue
        before = int(seen[place - 1]) if place else None
        is_end = place % T == T - 1 or place + 1 == len(seen)
        after = None if is_end else int(seen[place + 1])
        before = before if before is not None and model.before(before) else None
        after = after if after is not None and model.after(after) else None
        models = model.models(token, before, after)
        names = {(True, True): "both", (True, False): "before", (False, True): "after"}
        name = names.get((before is not None, after is not None))
        weights = WEIGHTS[name] if name else (1.0,)
        expected = -math.log(sum(w * p for w, p in zip(weights, models, strict=True)))
        assert found[place] == pytest.approx(expected, rel=1e-9), place


def test_what_a_chain_does_not_say_is_found(tmp_path, monkeypatch, capsys):
    data_dir = small_data(tmp_path / "chain", bigrams, train=3_000, valid=600)
    about = manifest.load(data_dir)
    stream = records.read_stream(data_dir, about, "valid")
    draw = np.random.default_rng(2)
    is_replaced = draw.random(len(stream)) < 0.1
    seen = np.where(is_replaced, draw.integers(8, V, len(stream)), stream)
    is_replaced = seen != stream
    scores = detectors.bigrams(data_dir, about, seen, about.seq_len)
    assert auc(scores, is_replaced) > 0.9
    monkeypatch.setattr(detectors, "MOST_TOKENS", 10)
    assert detectors.bigrams(data_dir, about, seen, about.seq_len) is None
    assert "no bigram detector is fitted, as train has more than 10" in capsys.readouterr().err
