"""Which documents are related: all of a kind and none else, by comparing every pair."""

from __future__ import annotations

import numpy as np
import pytest

from par.baselines import relations
from par.baselines.relations import KINDS, Relations
from par.data.documents import AUTHOR, COLUMNS, GROUP, NONE, PARENT


def drawn(seed, rows=60):
    """A table of documents of which some have no author, no group or no parent."""
    draw = np.random.default_rng(seed)
    table = np.zeros([rows, len(COLUMNS)], np.int64)
    table[:, AUTHOR] = draw.integers(-1, 8, rows)
    table[:, GROUP] = draw.integers(-1, 6, rows)
    table[:, PARENT] = [draw.integers(-1, row) if row % 3 else NONE for row in range(rows)]
    return table


def root(table, row):
    while table[row, PARENT] != NONE:
        row = table[row, PARENT]
    return row


def related(table, kind, row, other):
    author, group = (
        (table[row, column], table[other, column], NONE not in table[[row, other], column])
        for column in (AUTHOR, GROUP)
    )
    same = {"author": author[0] == author[1], "group": group[0] == group[1]}
    known = {"author": author[2], "group": group[2]}
    return (
        row != other
        and {
            "group": known["group"] and same["group"],
            "group_other_authors": all(known.values()) and same["group"] and not same["author"],
            "author": known["author"] and same["author"],
            "author_elsewhere": all(known.values()) and same["author"] and not same["group"],
        }[kind]
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ancestors"])
def test_the_contexts_of_a_kind_are_all_that_are_related_so_and_none_else(kind):
    table, draw = drawn(1), np.random.default_rng(0)
    found = Relations(table)
    for row in range(len(table)):
        expected = {other for other in range(len(table)) if related(table, kind, row, other)}
        rows = found.contexts(kind, row, 1_000, draw).tolist()
        assert set(rows) == expected and len(rows) == len(expected)
        few = found.contexts(kind, row, 3, draw).tolist()
        assert len(set(few)) == min(3, len(expected)) and set(few) <= expected


def test_each_of_them_is_drawn_equally_often():
    table = np.zeros([9, len(COLUMNS)], np.int64)
    table[:, PARENT] = NONE
    found, draw = Relations(table), np.random.default_rng(0)
    rows = [found.contexts("group", 4, 2, draw) for _ in range(4_000)]
    times = np.bincount(np.concatenate(rows), minlength=9)
    assert times[4] == 0 and times[np.arange(9) != 4] == pytest.approx(1_000, abs=130)


def test_ancestors_come_from_the_nearest_on():
    table = drawn(2)
    found, draw = Relations(table), np.random.default_rng(0)
    for row in range(len(table)):
        expected = []
        up = table[row, PARENT]
        while up != NONE:
            expected.append(up)
            up = table[up, PARENT]
        assert found.contexts("ancestors", row, 100, draw).tolist() == expected
        assert found.contexts("ancestors", row, 2, draw).tolist() == expected[:2]
        assert found.root[row] == root(table, row)


def test_a_chain_of_any_length_has_one_root_and_parents_may_come_later():
    parent = np.arange(-1, 999)
    assert (relations.roots(parent) == 0).all()
    assert (relations.roots(np.append(np.arange(1, 1_000), -1)) == 999).all()


@pytest.mark.parametrize("tries", [0, 8])
def test_the_unrelated_share_no_author_no_group_and_no_thread(tries, monkeypatch):
    monkeypatch.setattr(relations, "TRIES", tries)
    table, draw = drawn(3), np.random.default_rng(0)
    found = Relations(table)
    for row in range(len(table)):
        expected = {
            other
            for other in range(len(table))
            if not related(table, "group", row, other)
            and not related(table, "author", row, other)
            and root(table, row) != root(table, other)
        }
        rows = found.unrelated(row, 1_000, draw).tolist()
        assert set(rows) == expected and len(rows) == len(expected)
        few = found.unrelated(row, 5, draw).tolist()
        assert len(set(few)) == min(5, len(expected)) and set(few) <= expected
