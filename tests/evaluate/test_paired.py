"""Networks compared on the same tokens of documents."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from par.core.stats import Interval
from par.evaluate.paired import DEEPEST, Targets, differences
from par.tools.evaluations.compared import Pair, alone


def targets(draws=2, length=4):
    """Of three documents of two groups and depths 0, 1 and 7; some of their tokens are scored."""
    table = np.array([[0, 4, -1, 0, -1, 0], [4, 4, -1, 0, 0, 1], [8, 2, -1, 1, 1, 7]])
    weights = np.zeros([draws, len(table), length], np.float32)
    weights[0, 0, 1] = weights[0, 1, 2] = weights[0, 2, 0] = weights[1, 2, 1] = 1

    manifest = SimpleNamespace(documents=SimpleNamespace(split_by="group"))
    order = np.array([1, 0, 2])  # in which the documents are scored
    return Targets.of(weights[:, order].reshape(-1), table, order, manifest, draws)


def test_a_target_belongs_to_its_document_in_every_draw():
    found = targets()
    assert found.places.tolist() == [2, 5, 8, 21]
    assert found.clusters.tolist() == [0, 0, 1, 1]
    assert found.depths.tolist() == [1, 0, DEEPEST, DEEPEST] and found.cluster == "group"
    assert found.are_those_of(targets()) and not found.are_those_of(targets(length=5))


def test_differences_are_of_pairs_by_depth_and_by_cluster():
    nll, other = np.array([1.0, 2.0, 4.0, 6.0]), np.array([2.0, 2.0, 2.0, 2.0])
    whole, *by_depth = differences(nll, other, targets())
    assert (whole.depth, whole.targets, whole.clusters) == (None, 4, 2)
    assert whole.nats.mean == pytest.approx(1.25)
    assert whole.nats.low < -0.4 and whole.nats.high > 2.9  # one of the clusters alone
    assert [(each.depth, each.nats) for each in by_depth] == [
        (0, Interval(0.0, None, None)),
        (1, Interval(-1.0, None, None)),
        (DEEPEST, Interval(3.0, None, None)),
    ]


def test_a_network_that_scores_other_tokens_than_those_before_it_is_told():
    first, same, other, elsewhere, plain = (
        SimpleNamespace(about={"split": split}, targets=targets)
        for split, targets in (
            ("valid", [1]),
            ("valid", [1]),
            ("valid", [2]),
            ("test", [3]),
            ("valid", []),
        )
    )
    lines = [first, same, other, elsewhere, plain]
    assert alone(lines, [Pair(first, same, [])]) == [other]
    assert alone([first], []) == []
