"""How well vectors tell authors apart, against going through all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from naive import sampling as naive
from par.data.documents import AUTHOR, COLUMNS, GROUP
from par.evaluate import discrimination
from par.evaluate.text_vectors import unit
from par.objectives.pools import pool


@pytest.fixture
def table():
    draw = np.random.default_rng(0)
    found = np.zeros([40, len(COLUMNS)], np.int64)
    found[:, AUTHOR], found[:, GROUP] = draw.integers(6, size=40), draw.integers(3, size=40)
    return found


def compared(table, most=3, seed=0):
    anchors, negatives = pool(table, AUTHOR, GROUP), pool(table, None, AUTHOR)
    targets = np.flatnonzero((anchors.count > 0) & (negatives.count > 0))
    return discrimination.compare(targets, anchors, negatives, most, seed)


def test_the_accuracy_is_that_of_all_pairs_of_a_text_and_a_negative(table):
    vectors = unit(np.random.default_rng(1).normal(size=(40, 5)))
    vectors[7] = vectors[3]  # a tie
    made = compared(table)
    found = discrimination.accuracy(discrimination.cosines(vectors), made)
    ties = 0
    for place, row in enumerate(made.targets):
        anchors = made.anchors[place]
        assert set(anchors) <= set(naive.candidates(table, row, AUTHOR, GROUP))
        assert len(anchors) == min(3, len(naive.candidates(table, row, AUTHOR, GROUP)))
        user = unit(vectors[anchors].mean(axis=0))
        against = naive.candidates(table, row, None, AUTHOR)
        assert sorted(made.negatives[place].tolist()) == against
        more = [vectors[row] @ user - vectors[other] @ user for other in against]
        ties += sum(abs(each) < 1e-9 for each in more)
        expected = np.mean([0.5 if abs(each) < 1e-9 else each > 0 for each in more])
        assert found[place] == pytest.approx(expected)
    assert ties > 0


def test_a_planted_code_is_told_without_an_error_and_equal_vectors_by_chance(table):
    code = np.eye(6)[table[:, AUTHOR]]
    made = compared(table)
    assert (discrimination.accuracy(discrimination.cosines(code), made) == 1).all()
    same = np.ones([40, 1])
    assert (discrimination.accuracy(discrimination.cosines(same), made) == 0.5).all()


def test_the_anchors_depend_on_the_seed_and_the_text_alone(table):
    one, again, other = compared(table), compared(table), compared(table, seed=1)
    for mine, theirs in zip(one.anchors, again.anchors, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert any(set(a) != set(b) for a, b in zip(one.anchors, other.anchors, strict=True))


def test_a_vector_of_zeros_stays_so():
    found = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert found.tolist() == [[0.6, 0.8], [0.0, 0.0]]
