"""Which documents a probe reads: of the labels that have enough, as evenly as the bounds allow."""

from __future__ import annotations

import numpy as np
import pytest

from par.data.documents import COLUMNS, GROUP, NONE, PARENT
from par.evaluate.labelled_documents import choose, clusters

COUNTS = {3: 5, 4: 30, 7: 9, 9: 10, 12: 18, 20: 11}  # documents by label


@pytest.fixture(scope="module")
def names() -> np.ndarray:
    found = np.concatenate([np.full(6, NONE), *(np.full(n, name) for name, n in COUNTS.items())])
    return np.random.default_rng(0).permutation(found)


def sizes(names: np.ndarray, rows: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(names[rows], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def test_labels_of_too_few_documents_are_left_out_and_counted(names):
    chosen = choose(names, 10, 50, 1_000, seed=0)
    assert sizes(names, chosen.rows) == {4: 30, 9: 10, 12: 18, 20: 11}
    assert (chosen.rare, chosen.more, chosen.unlabelled) == ((2, 14), (0, 0), 6)
    assert (np.diff(chosen.rows) > 0).all()
    assert chosen.labels.tolist() == [[4, 9, 12, 20].index(names[row]) for row in chosen.rows]


@pytest.mark.parametrize("most", [40, 41, 44, 56, 57, 68, 69])
def test_what_is_too_much_is_taken_from_the_largest_labels(names, most):
    chosen = choose(names, 10, 50, most, seed=0)
    # naively: the largest loses one, again and again
    left = {4: 30, 9: 10, 12: 18, 20: 11}
    while sum(left.values()) > most:
        largest = max(left.values())
        left = {name: min(count, largest - 1) for name, count in left.items()}
    assert sizes(names, chosen.rows) == left and len(chosen.rows) <= most
    assert chosen.more == (0, 69 - len(chosen.rows))


def test_labels_are_drawn_where_there_are_too_many_and_documents_of_each(names):
    drawn = [choose(names, 5, 2, 20, seed) for seed in range(40)]
    labels = [tuple(sizes(names, chosen.rows)) for chosen in drawn]
    assert {len(each) for each in labels} == {2} and len(set(labels)) > 9
    assert {len(chosen.rows) for chosen in drawn} <= set(range(14, 21))
    assert drawn[0].more == (4, sum(COUNTS.values()) - len(drawn[0].rows))
    largest = [set(each.rows[names[each.rows] == 4].tolist()) for each in drawn]
    assert len(set().union(*largest)) == 30  # any of its documents may be drawn
    assert (choose(names, 5, 2, 20, 7).rows == drawn[7].rows).all()


def test_no_more_labels_are_drawn_than_can_have_enough_documents(names):
    chosen = choose(names, 10, 50, 29, seed=1)
    assert len(sizes(names, chosen.rows)) == 2
    assert all(count >= 10 for count in sizes(names, chosen.rows).values())


def test_without_a_frequent_label_nothing_is_chosen(names):
    chosen = choose(names, 31, 50, 100, seed=0)
    assert len(chosen.rows) == 0 and chosen.rare == (6, sum(COUNTS.values()))


def tables() -> list[np.ndarray]:
    """Two splits of four and three documents: threads 0, 0, 2, 2 and 0, 1, 1."""
    found = [np.full([number, len(COLUMNS)], NONE) for number in (4, 3)]
    found[0][:, PARENT] = NONE, 0, NONE, 2
    found[1][:, PARENT] = NONE, NONE, 1
    return found


def test_a_cluster_is_a_thread_of_one_split():
    kind, found = clusters(tables(), "group")
    assert kind == "thread" and found.tolist() == [-1, -1, -3, -3, -5, -6, -6]


def test_where_authors_are_told_apart_a_cluster_is_a_group_if_there_are_any():
    assert clusters(tables(), "author")[0] == "thread"
    given = tables()
    given[0][:, GROUP] = 8, NONE, 8, 9
    given[1][:, GROUP] = 9, 9, NONE
    kind, found = clusters(given, "author")
    assert kind == "group" and found.tolist() == [8, -1, 8, 9, 9, 9, -6]
    assert clusters(given, "group")[0] == "thread"
