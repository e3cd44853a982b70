"""Which other documents of a split a document has something in common with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from par.data.documents import AUTHOR, GROUP, NONE, PARENT

CLUSTERS = {"group": GROUP, "author": AUTHOR}  # that documents are divided by, beside threads
TRIES = 8  # draws of unrelated documents before all are looked through


class Kind(NamedTuple):
    """A kind of contexts.

    shared: the column that is the same, None for ancestors; other: one that must be known of both
    and differ. none: what is true of a split in which no document has such contexts.
    """

    label: str
    shared: int | None
    other: int | None
    none: str


KINDS = {
    "group": Kind("same group", GROUP, None, "no group has two texts"),
    "group_other_authors": Kind(
        "same group, other authors", GROUP, AUTHOR, "no group has texts of two authors"
    ),
    "author": Kind("same author", AUTHOR, None, "no author has two texts"),
    "author_elsewhere": Kind(
        "same author, other groups", AUTHOR, GROUP, "no author has texts in two groups"
    ),
    "ancestors": Kind("ancestors", None, None, "no text has a parent"),
}


class Relations:
    """The relations of the documents of one split: a table [R, 6] as of par/data/documents.py."""

    def __init__(self, table: np.ndarray):
        self._names = {column: np.array(table[:, column]) for column in (AUTHOR, GROUP)}
        self._members = {column: _Members(names) for column, names in self._names.items()}
        self._parent = np.array(table[:, PARENT])
        self.root = roots(self._parent)  # [R] the first document of each one's thread

    def __len__(self) -> int:
        return len(self._parent)

    def contexts(self, kind: str, row: int, most: int, draw: np.random.Generator) -> np.ndarray:
        """Rows of at most so many documents of a kind, without the document itself: ancestors from
        the nearest on, others in random order."""
        _, shared, other, _ = KINDS[kind]
        if shared is None:
            return self._ancestors(row, most)
        found = self._members[shared].beside(row)
        if other is not None:
            names = self._names[other]
            differs = (names[found] != names[row]) & (names[found] != NONE)
            found = found[differs & (names[row] != NONE)]
        return _some(found, most, draw)

    def unrelated(self, row: int, most: int, draw: np.random.Generator) -> np.ndarray:
        """Rows of at most so many documents that share neither author nor group nor thread with
        it, in random order."""
        found = np.zeros([0], np.int64)
        for _ in range(TRIES):
            drawn = draw.integers(len(self), size=2 * most)
            found = np.concatenate([found, drawn[self._is_unrelated(row, drawn)]])
            found = found[np.sort(np.unique(found, return_index=True)[1])]
            if len(found) >= most:
                return found[:most]
        every = np.arange(len(self))
        every = every[self._is_unrelated(row, every)]
        return _some(every, most, draw)

    def _ancestors(self, row: int, most: int) -> np.ndarray:
        found: list[int] = []
        while len(found) < most and (row := int(self._parent[row])) != NONE:
            found.append(row)
        return np.array(found, np.int64)

    def _is_unrelated(self, row: int, others: np.ndarray) -> np.ndarray:
        related = self.root[others] == self.root[row]
        for names in self._names.values():
            if names[row] != NONE:
                related |= names[others] == names[row]
        return ~related


class _Members:
    """The rows of each name."""

    def __init__(self, names: np.ndarray):
        self._names, self._order = names, np.argsort(names, kind="stable")
        self._sorted = names[self._order]

    def beside(self, row: int) -> np.ndarray:
        """The other rows [n] of a row's name; none if it has no name."""
        if (name := self._names[row]) == NONE:
            return np.zeros([0], np.int64)
        first, stop = np.searchsorted(self._sorted, [name, name + 1])
        found = self._order[first:stop]
        return found[found != row]


def _some(rows: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    """At most so many of the rows, in random order."""
    return rows[draw.choice(len(rows), min(most, len(rows)), replace=False)]


def roots(parent: np.ndarray) -> np.ndarray:
    """[R] the first ancestor of each row, itself if it has no parent [R], a row or NONE."""
    found = np.where(parent < 0, np.arange(len(parent)), parent)
    while np.any((up := found[found]) != found):  # each pass doubles how far it goes
        found = up
    return found


def cluster_kind(split_by: str, tables: Sequence[np.ndarray]) -> str:
    """What intervals are for others of, `group`, `author` or `thread`: what the documents were
    split by, or if they came in splits, the first of group and author that some have, else the
    thread."""
    if split_by in (*CLUSTERS, "thread"):
        return split_by
    has = (
        name
        for name, column in CLUSTERS.items()
        if any(bool((table[:, column] != NONE).any()) for table in tables)
    )
    return next(has, "thread")


def cluster_numbers(table: np.ndarray, kind: str) -> np.ndarray:
    """[R] the cluster of each document: the number of its name, or, where it has none or the kind
    is `thread`, -1 less the first row of its thread."""
    threads = -1 - roots(np.array(table[:, PARENT]))
    if kind == "thread":
        return threads
    names = np.array(table[:, CLUSTERS[kind]])
    return np.where(names == NONE, threads, names)
