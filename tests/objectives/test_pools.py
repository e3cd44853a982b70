"""Which documents may be drawn for a document, and how they are drawn."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from naive import sampling as naive
from par.data.documents import AUTHOR, COLUMNS, GROUP
from par.nn.forward_mode import Phase, row_integers
from par.objectives.document_reader import EMPTY, PoolTensors
from par.objectives.pools import pool

RULES = [(AUTHOR, None), (AUTHOR, GROUP), (GROUP, AUTHOR), (None, AUTHOR), (None, None)]
each_rule = pytest.mark.parametrize(("shared", "other"), RULES)


def table(size: int, authors: int, groups: int, seed: int = 0) -> np.ndarray:
    """Documents of which some have no author, some no group."""
    draw = np.random.default_rng(seed)
    found = np.zeros([size, len(COLUMNS)], np.int64)
    found[:, AUTHOR] = draw.integers(-1, authors, size)
    found[:, GROUP] = draw.integers(-1, groups, size)
    return found


def numbers(rows: int, count: int, step: int = 0) -> tf.Tensor:
    phase = Phase(training=True, seed=5, step=tf.constant(step, tf.int64))
    return row_integers(phase.row_seeds("documents", tf.range(rows, dtype=tf.int64)), count)


@each_rule
@pytest.mark.parametrize("size", [0, 1, 2, 61])
def test_the_candidates_are_those_that_going_through_all_documents_finds(size, shared, other):
    for seed in range(3):
        made = table(size, authors=5, groups=3, seed=seed)
        found = pool(made, shared, other)
        for row in range(size):
            expected = naive.candidates(made, row, shared, other)
            assert sorted(found.candidates(row)) == expected
            assert found.count[row] == len(expected)


@each_rule
def test_a_draw_is_that_of_going_from_candidate_to_candidate(shared, other):
    made, size, count = table(61, 5, 3), 61, 7
    found = pool(made, shared, other)
    rows, drawn_from = np.arange(size, dtype=np.int32), numbers(size, count)
    drawn = tf.function(PoolTensors.of(found).draw)(tf.constant(rows), drawn_from).numpy()
    for row in rows:
        expected = naive.floyd(found.candidates(row).tolist(), drawn_from[row].numpy().tolist())
        assert drawn[row].tolist() == expected + [EMPTY] * (count - len(expected))
        assert len(set(expected)) == len(expected) and row not in expected
        assert set(expected) <= set(naive.candidates(made, row, shared, other))


def test_every_subset_of_the_others_is_equally_probable():
    """15 pairs of 6 candidates, 900 draws; chi-square below what is exceeded once in 10,000."""
    made = np.zeros([7, len(COLUMNS)], np.int64)
    tensors, draws = PoolTensors.of(pool(made, AUTHOR, None)), 900
    rows = tf.fill([draws], 2)
    pairs = collections.Counter(
        tuple(sorted(each)) for each in tensors.draw(rows, numbers(draws, 2)).numpy().tolist()
    )
    expected = draws / math.comb(6, 2)
    assert set(pairs) == set(itertools.combinations([0, 1, 3, 4, 5, 6], 2))
    assert sum((seen - expected) ** 2 / expected for seen in pairs.values()) < 42.6


def test_integers_depend_on_their_row_s_seed_alone_and_fill_63_bits():
    some, more = numbers(4, 3).numpy(), numbers(9, 3).numpy()
    np.testing.assert_array_equal(some, more[:4])
    assert (more >= 0).all() and more.max() > 1 << 61 and len(np.unique(more)) == more.size
    assert (numbers(4, 3, step=1).numpy() != some).all()
