"""Which other documents of a split may be drawn for a document: those that share one name with it
and differ in another.

    sorted by author, within an author by group         for a document of author 0 and group 3,
    author  0 0 0 0 0 0 0 1 1 ...                       those of the author in other groups are
    group   1 1 3 3 3 7 8 1 5 ...                       the rest of the author's run, a circle
                ^^^^^ its own block                     from behind the block round to its start

So the candidates of every document are a range that needs four numbers, and each of them is found
without a search. Needs no TensorFlow; par.objectives.document_reader draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from par.data.documents import NONE


class Pool(NamedTuple):
    """The candidates of each of R documents: number k below count[r] of row r is the row
    order[start[r] + (first[r] + k) % length[r]].

    order: [n] int32 rows. start, length, first, count: [R] int32; a count of 0 stands for none.
    """

    order: np.ndarray
    start: np.ndarray
    length: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def candidates(self, row: int) -> np.ndarray:
        """[count] rows, all that may be drawn for a row."""
        places = (self.first[row] + np.arange(self.count[row])) % self.length[row]
        return self.order[self.start[row] + places]


def pool(table: np.ndarray, shared: int | None, other: int | None) -> Pool:
    """The candidates of the documents of a table [R, 6] (par.data.documents).

    shared: the column that must be the same; None: any document is a candidate. other: the one
    that must differ; None: only the document itself is left out. Documents that lack a name in one
    of these columns neither have candidates nor are any.
    """
    rows = np.arange(len(table))
    same = np.zeros(len(table), np.int64) if shared is None else np.array(table[:, shared])
    apart = rows if other is None else np.array(table[:, other])
    known = np.flatnonzero((same != NONE) & (apart != NONE))
    order = known[np.lexsort((apart[known], same[known]))]
    start, length, first, count = (np.zeros(len(table), np.int32) for _ in range(4))
    length[:] = 1  # else there would be nothing to divide by
    run_start, run_stop = _ranges(_changes(same[order]))
    block_start, block_stop = _ranges(_changes(same[order]) | _changes(apart[order]))
    start[order], length[order] = run_start, run_stop - run_start
    first[order] = block_stop - run_start
    count[order] = (run_stop - run_start) - (block_stop - block_start)
    return Pool(order.astype(np.int32), start, length, first, count)


def _changes(values: np.ndarray) -> np.ndarray:
    """[n] bool: where a value is another than the one before; True for the first."""
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])


def _ranges(begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The start and the stop [n] of the range that each of n places is in."""
    starts = np.flatnonzero(begins)
    number = np.cumsum(begins) - 1
    return starts[number], np.append(starts, len(begins))[1:][number]
