"""Documents of a data set with their labels, as many as a probe reads."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from par.baselines.relations import roots
from par.core.errors import DataError
from par.core.text import plural
from par.data import documents
from par.data.documents import AUTHOR, GROUP, LENGTH, NONE, PARENT, START
from par.data.manifest import Manifest
from par.data.tokenizer import Tokenizer

LABELS = {"group": GROUP, "author": AUTHOR}


class Chosen(NamedTuple):
    """rows: [n] of the documents that are read, in order. labels: [n] from 0 on. rare: labels with
    too few documents, and how many these are. more: documents that are left out as there are too
    many, and labels that are. unlabelled: documents without a label."""

    rows: np.ndarray
    labels: np.ndarray
    rare: tuple[int, int]
    more: tuple[int, int]
    unlabelled: int


class Labelled(NamedTuple):
    """n documents: labels [n] from 0 on, what the texts of a cluster share, and the cluster [n]
    that each is of."""

    labels: np.ndarray
    cluster: str
    clusters: np.ndarray
    chosen: Chosen


def choose(
    names: np.ndarray, min_documents: int, most_labels: int, most_documents: int, seed: int
) -> Chosen:
    """Documents drawn from all R, whose labels are names [R], NONE for none.

    Labels of fewer than `min_documents` are left out; of the others at most `most_labels` are
    drawn, and of each at most so many documents that all are at most `most_documents`, which is at
    least two times `min_documents`.
    """
    draw = np.random.default_rng(seed)
    known, counts = np.unique(names[names != NONE], return_counts=True)
    frequent = known[counts >= min_documents]
    rare = counts[counts < min_documents]
    most_labels = min(most_labels, most_documents // min_documents)
    labels = np.sort(draw.permutation(frequent)[:most_labels])
    sizes = counts[np.searchsorted(known, labels)]
    most = _most_each(sizes, most_documents)
    # in random order, then by label; the first of each
    order = draw.permutation(np.flatnonzero(np.isin(names, labels)))
    order = order[np.argsort(names[order], kind="stable")]
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = np.sort(order[place < most])
    left = int(counts.sum() - rare.sum()) - len(rows)
    return Chosen(
        rows,
        np.searchsorted(labels, names[rows]),
        (len(rare), int(rare.sum())),
        (len(frequent) - len(labels), left),
        int(np.sum(names == NONE)),
    )


def _most_each(sizes: np.ndarray, most: int) -> int:
    """The largest number that each of these sizes may be cut to so that they add up to `most`."""
    numbers = range(int(sizes.max(initial=0)) + 1)
    return bisect.bisect_right(numbers, most, key=lambda n: int(np.minimum(sizes, n).sum())) - 1


def clusters(tables: Sequence[np.ndarray], label: str) -> tuple[str, np.ndarray]:
    """What the texts of a cluster share, and the cluster [R] of each document of all tables: its
    thread; where authors are told apart its group, if it has one."""
    firsts = np.cumsum([0, *map(len, tables)])
    threads = [roots(np.array(table[:, PARENT])) + first for table, first in zip(tables, firsts)]
    found = -1 - np.concatenate(threads)
    groups = np.concatenate([table[:, GROUP] for table in tables])
    if label == "group" or (groups == NONE).all():
        return "thread", found
    return "group", np.where(groups == NONE, found, groups)


def read(
    data_dir: Path,
    manifest: Manifest,
    splits: Sequence[str],
    label: str,
    *,
    min_documents: int,
    labels: int,
    most: int,
    seed: int,
) -> Labelled:
    """The documents of some splits that `choose` draws.

    Raises: DataError if the data have no documents, none of these has the label, or fewer than two
    labels are left.
    """
    tables = [documents.load(data_dir, split, manifest) for split in splits]
    where = f"{' and '.join(splits)} of {data_dir}"
    names = np.concatenate([table[:, LABELS[label]] for table in tables])
    if (names == NONE).all():
        other = next(each for each in LABELS if each != label)
        raise DataError(f"no document of {where} has {_a(label)}: try --label={other}")
    chosen = choose(names, min_documents, labels, most, seed)
    if (found := len(set(chosen.labels))) < 2:
        raise DataError(
            f"in {where} there are {plural(found, label)} of at least {min_documents} documents,"
            " but two are needed: lower --min_documents, or give more splits"
        )
    cluster, of = clusters(tables, label)
    return Labelled(chosen.labels, cluster, of[chosen.rows], chosen)


def texts(data_dir: Path, splits: Sequence[str], rows: np.ndarray, length: int) -> list[str]:
    """The first `length` tokens of documents as text. rows: [n] of all documents of the splits,
    whose records have been verified."""
    readers = [documents.token_reader(data_dir, split) for split in splits]
    tokenizer = Tokenizer.load(data_dir / "tokenizer.model")
    firsts = np.cumsum([0, *(len(reader.table) for reader in readers)])
    found = []
    for row in rows:
        which = int(np.searchsorted(firsts, row, "right")) - 1
        place = readers[which].table[row - firsts[which]]
        start, stop = int(place[START]), int(place[START] + min(place[LENGTH], length))
        found.append(tokenizer.decode(readers[which][start:stop]))
    return found


def _a(label: str) -> str:
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"
