"""The labels of documents that a classifier tells apart: the most frequent ones of train."""

from __future__ import annotations

import hashlib

import numpy as np

from par.data.documents import NONE


def frequent(names: np.ndarray, min_documents: int, most: int = 0) -> np.ndarray:
    """The labels [C], ascending, of at least `min_documents` of R documents of labels names [R],
    NONE for none. most: no more than so many, the most frequent ones, of equals the lowest; 0: all
    of them."""
    known, counts = np.unique(names[names != NONE], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept = known[order][counts[order] >= min_documents]
    return np.sort(kept[:most] if most else kept)


def numbers(names: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[R] int32 which of labels [C], ascending, each of names [R] is; -1: none of them."""
    place = np.minimum(np.searchsorted(labels, names), max(len(labels) - 1, 0))
    return np.where(labels[place] == names, place, -1).astype(np.int32)


def digest(names: np.ndarray, labels: np.ndarray) -> str:
    """Hex SHA-256 of what labels [C] mean among the documents of names [R]."""
    parts = (np.ascontiguousarray(each, "<i8").tobytes() for each in (labels, names))
    return hashlib.sha256(b"".join(parts)).hexdigest()
