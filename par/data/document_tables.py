"""Writes the tables of par/data/documents.py: documents by lines become documents by tokens.

Line k of a stream ends with its [EOS] number k, so a document of whole lines begins behind one
[EOS] and ends with another. Tables may be larger than the memory: they are mapped from files, and
gone through in parts.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from par.core import files
from par.core.errors import ParError
from par.data.corpus import SPLITS, Listing
from par.data.documents import (
    COLUMNS,
    DEPTH,
    LENGTH,
    NONE,
    PARENT,
    ROWS_AT_ONCE,
    START,
    chunks,
    header_of,
    path_of,
)
from par.data.manifest import DocumentFile, Documents
from par.data.tokenizer import EOS

TOKENS_AT_ONCE = 1 << 20


def write(root: Path, listing: Listing, tokens: dict[str, Any], kept: dict[str, int]) -> Documents:
    """Writes the tables of all splits, and returns what the manifest says of them.

    Args:
      tokens: the stream of each split: what has a length and gives arrays for slices.
      kept: how many of its tokens are in a window; a document that reaches beyond is left out.

    Raises: ResourceError if the disk is full.
    """
    splits = {}
    for split in SPLITS:
        table, path = listing.tables[split], root / path_of(split)
        size = len(header_of(0)) + table.nbytes
        try:
            with files.replacing(path, size) as partial:
                rows = _write(partial, table, tokens[split], kept[split])
        except OSError as error:
            if isinstance(error, ParError):
                raise
            raise files.write_error(path, size, error) from None
        splits[split] = DocumentFile(rows, len(table) - rows, files.sha256(path))
    return Documents(
        listing.split_by,
        listing.authors,
        listing.groups,
        listing.sha256(),
        dict(listing.counts),
        splits,
    )


def _write(path: Path, listed: np.ndarray, tokens: Any, kept: int) -> int:
    """Writes the table of documents that are `listed` by lines; returns its rows. Left out are the
    last ones, from the first that ends beyond `kept` tokens on."""
    rows = 0
    with open(path, "w+b") as file:
        if len(listed):
            table = mapped(file.fileno(), listed.shape, len(header_of(0)))
            for first, part in chunks(listed):
                table[first : first + len(part)] = part
            _place(table, listed, tokens)
            rows = _first_beyond(table, kept)
            _cut_parents(table[:rows])
            if rows:
                climb(table[:rows, PARENT], scratch(path.parent, (rows,)), table[:rows, DEPTH])
            table.flush()
        file.truncate(len(header_of(0)) + 8 * len(COLUMNS) * rows)
        file.seek(0)  # the mapping has moved it
        file.write(header_of(rows))
    return rows


def _place(table: np.ndarray, listed: np.ndarray, tokens: Any) -> None:
    """Sets START and LENGTH of `table` in tokens, from those of `listed` in lines."""

    def first_lines(part: slice) -> np.ndarray:
        return listed[part, START]

    def last_lines(part: slice) -> np.ndarray:
        return listed[part, START] + listed[part, LENGTH]

    def place(column: np.ndarray, lines: Callable[[slice], np.ndarray], at: int) -> int:
        """Fills the column from row `at` on while its lines begin in `begins`; the next row."""
        while at < len(column):
            wanted = lines(slice(at, at + ROWS_AT_ONCE))
            found = int(np.searchsorted(wanted, line + len(begins)))
            column[at : at + found] = begins[wanted[:found] - line]
            at += found
            if found < len(wanted):
                break
        return at

    # where the lines from `line` on begin; the line behind the last one, too
    line, begins, starts, stops = 0, np.zeros([1], np.int64), 0, 0
    for first in range(0, len(tokens), TOKENS_AT_ONCE):
        starts = place(table[:, START], first_lines, starts)
        stops = place(table[:, LENGTH], last_lines, stops)
        line += len(begins)
        ends = np.flatnonzero(tokens[first : first + TOKENS_AT_ONCE] == EOS)
        begins = ends + first + 1
    starts = place(table[:, START], first_lines, starts)
    stops = place(table[:, LENGTH], last_lines, stops)
    if min(starts, stops) < len(table):
        raise ValueError(f"the stream ends before document {min(starts, stops)} of {len(table)}")
    for _, part in chunks(table):
        part[:, LENGTH] -= part[:, START]


def _first_beyond(table: np.ndarray, kept: int) -> int:
    """The first row whose document ends beyond `kept` tokens."""
    for first, rows in chunks(table):
        if int(rows[-1, START] + rows[-1, LENGTH]) > kept:
            ends = rows[:, START] + rows[:, LENGTH]
            return first + int(np.searchsorted(ends, kept, side="right"))
    return len(table)


def _cut_parents(table: np.ndarray) -> None:
    """Makes roots of the documents whose parent is not in the table."""
    for _, rows in chunks(table):
        rows[:, PARENT] = np.where(rows[:, PARENT] < len(table), rows[:, PARENT], NONE)


def climb(parent: np.ndarray, root: np.ndarray, depth: np.ndarray) -> int | None:
    """Sets the `root` [R] and the `depth` [R] of each document from its `parent` [R], a row or -1.

    Returns: the first row that has no root, because a document is its own ancestor; None if all
    have one.

    Pointer jumping (Hillis and Steele 1986): each pass at least doubles how far `root` is up, and
    depth(x) = depth[x] + depth(root[x]) stays true, in place and in parts, too.
    """
    for first, rows in chunks(parent):
        part, own = slice(first, first + len(rows)), np.arange(first, first + len(rows))
        root[part] = np.where(rows < 0, own, rows)
        depth[part] = rows >= 0
    for _ in range(len(parent).bit_length() + 1):
        is_done = True
        for first, rows in chunks(root):
            part, above = slice(first, first + len(rows)), np.array(rows)
            is_done = is_done and bool((parent[above] < 0).all())
            # both are read before either is written
            depth[part], root[part] = depth[part] + depth[above], root[above]
        if is_done:
            return None
    for first, rows in chunks(root):
        if (odd := parent[rows] >= 0).any():
            return first + int(odd.argmax())
    return None


def scratch(directory: Path, shape: tuple[int, ...], dtype: Any = np.int64) -> np.ndarray:
    """An array that may be larger than the memory, in a file without a name, which disappears with
    it. Raises: OSError if the disk is full."""
    if not np.prod(shape):
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=directory) as file:
        return mapped(file.fileno(), shape, 0, dtype)


def mapped(descriptor: int, shape: tuple[int, ...], offset: int, dtype: Any = "<i8") -> np.ndarray:
    """An array in a file from `offset` on. Its place on the disk is taken now: a full disk would
    end the process later. Raises: OSError if the disk is full."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    os.posix_fallocate(descriptor, 0, offset + size)
    with open(descriptor, "r+b", closefd=False) as file:
        return np.memmap(file, dtype, "r+", offset, shape)
