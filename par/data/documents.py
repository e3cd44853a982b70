"""Which tokens of a split's stream each document is, who wrote it, and what it answers to.

    data/<name>/documents/{train,valid,test}.npy      int64 [R, 6], one row a document

    stream    t0 t1 EOS t3 EOS EOS t6 t7 EOS EOS ...      each line ends with [EOS]
    document  0---------------     6------                whole lines: row 0 is tokens 0 to 5
    between                   EOS            EOS          text that belongs to no document

The ids stay in the records (par/data/record_file.py), where `TokenReader` finds any of them.
Names are numbers: equal numbers are equal names, in all three splits.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from par.core.errors import DataError
from par.data import manifest as manifests
from par.data.corpus import SPLITS
from par.data.manifest import AGAIN, Documents, Manifest

# the columns of a table; PARENT is a row of the same table, DEPTH the number of ancestors
COLUMNS = ("start", "length", "author", "group", "parent", "depth")
START, LENGTH, AUTHOR, GROUP, PARENT, DEPTH = range(len(COLUMNS))
NONE = -1  # no author, no group, no parent
ROWS_AT_ONCE = 1 << 16
TOKENS_AT_ONCE = 1 << 20
MAPPED_FILES = 64  # record files of a reader that are open at once


def path_of(split: str) -> str:
    """The table of a split, relative to the data directory."""
    return f"documents/{split}.npy"


def load(data_dir: str | Path, split: str, manifest: Manifest | None = None) -> np.ndarray:
    """The documents of a split, int64 [R, 6], read-only and mapped from the file.

    Raises: DataError if the data set has none, or the file is not the one that was built.
    """
    root = Path(data_dir)
    manifest = manifest or manifests.load(root)
    if manifest.documents is None:
        raise no_documents(root)
    known, path = manifest.documents.splits[split], root / path_of(split)
    header = header_of(known.rows)
    manifests.check_size(path, len(header) + 8 * len(COLUMNS) * known.rows)
    manifests.check_hash(path, known.sha256)
    with open(path, "rb") as file:
        if file.read(len(header)) != header:
            raise DataError(
                f"{path} does not begin as an array int64 [{known.rows}, 6] does; {AGAIN}"
            )
    if not known.rows:
        return np.zeros([0, len(COLUMNS)], np.int64)
    table = np.memmap(path, "<i8", "r", len(header), (known.rows, len(COLUMNS)))
    own = manifest.splits[split]
    if problem := _contradiction(table, manifest.documents, own.tokens - own.dropped):
        raise DataError(f"{path} contradicts itself: {problem}; {AGAIN}")
    return table


def no_documents(data: object) -> DataError:
    """What is wrong with data that must have documents and were built without."""
    return DataError(
        f"{data} has no documents, as it was built from plain text: build it from"
        " --input_documents, or from --corpus=python-docs or debian-changelogs"
    )


def header_of(rows: int) -> bytes:
    """The first bytes of a .npy file of int64 [rows, 6]."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<i8", "fortran_order": False, "shape": (rows, len(COLUMNS))}
    )
    return header.getvalue()


def chunks(table: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """A table in parts of bounded size: the first row of each, and its rows."""
    for first in range(0, len(table), ROWS_AT_ONCE):
        yield first, table[first : first + ROWS_AT_ONCE]


def _contradiction(table: np.ndarray, documents: Documents, tokens: int) -> str:
    """What can't be true of a table of a split of so many tokens, or ''."""
    end = 0
    for first, rows in chunks(table):
        start, length, author, group, parent, depth = rows.T
        before = np.concatenate([[end], (start + length)[:-1]])
        has_parent = parent >= 0
        checks = {
            "is empty, or begins before the one before it ends": (length < 1) | (start < before),
            # a sum of the two could overflow
            f"ends beyond the {tokens} tokens of the split": length > tokens - start,
            f"has an author outside the {documents.authors}": (author < NONE)
            | (author >= documents.authors),
            f"has a group outside the {documents.groups}": (group < NONE)
            | (group >= documents.groups),
            f"has a parent outside the {len(table)}": (parent < NONE) | (parent >= len(table)),
        }
        for what, odd in checks.items():
            if odd.any():
                return f"row {first + int(odd.argmax())} {what}"
        # a depth of one more than the parent's leaves no row that is its own ancestor
        expected = np.where(has_parent, table[np.maximum(parent, 0), DEPTH] + 1, 0)
        if (depth != expected).any():
            odd_row = int((depth != expected).argmax())
            return f"row {first + odd_row} has depth {depth[odd_row]}, not {expected[odd_row]}"
        end = int(start[-1] + length[-1])
    return ""


def verify(data_dir: str | Path, manifest: Manifest, splits: Iterable[str] = SPLITS) -> None:
    """Checks the tables of `splits` against the manifest: all there, none more, sizes, SHA-256,
    content. Raises: DataError that names the file."""
    folder = Path(data_dir) / "documents"
    known = {Path(data_dir) / path_of(split) for split in SPLITS} if manifest.documents else set()
    if extra := sorted(set(folder.glob("*")) - known):
        raise DataError(f"{extra[0]} is not in the manifest: remove it, or {AGAIN}")
    if manifest.documents:
        for split in splits:
            load(data_dir, split, manifest)


# ---- the ids of a document ----


class TokenReader:
    """The stream of a split at any place, and its documents.

        reader = token_reader("data/python-docs", "train")
        reader[1000:1032]        # int32 [32], as records.read_stream(...)[1000:1032]
        reader.document(7)       # the ids of the document of row 7

    Maps the record files, whose windows are [B, T+1] (par/data/windows.py), and reads nothing
    else. `table` is the array of `load`.
    """

    def __init__(self, data_dir: str | Path, manifest: Manifest, split: str, table: np.ndarray):
        self.table, self._root, self._files = table, Path(data_dir), manifest.splits[split].files
        self._shape = (manifest.batch_size, manifest.seq_len)
        own = manifest.splits[split]
        self._length, self._steps = own.tokens - own.dropped, own.steps
        self._firsts = np.cumsum([0, *(file.steps for file in self._files)])
        self._windows = functools.lru_cache(MAPPED_FILES)(self._map)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> np.ndarray:
        """Ids [stop - start] int32."""
        start, stop, _ = part.indices(self._length)
        found = np.empty([max(stop - start, 0)], np.int32)
        for first in range(start, stop, TOKENS_AT_ONCE):
            last = min(first + TOKENS_AT_ONCE, stop)
            found[first - start : last - start] = self._read(first, last)
        return found

    def document(self, row: int) -> np.ndarray:
        """The ids of the document of a row of `table`, [EOS] of each line included."""
        start, length = (int(value) for value in self.table[row, [START, LENGTH]])
        return self[start : start + length]

    def beginnings(self, length: int, fill: int) -> np.ndarray:
        """The first `length` ids of every document, [R, length] int32; `fill` behind the end of a
        shorter one."""
        found = np.full([len(self.table), length], fill, np.int32)
        at_once = max(TOKENS_AT_ONCE // length, 1)
        for first in range(0, len(found), at_once):
            rows = self.table[first : first + at_once]
            inside = np.arange(length) < rows[:, LENGTH, None]
            places = (rows[:, START, None] + np.arange(length))[inside]
            found[first : first + at_once][inside] = self._at(places)
        return found

    def _read(self, start: int, stop: int) -> np.ndarray:
        return self._at(np.arange(start, stop))

    def _at(self, places: np.ndarray) -> np.ndarray:
        """The ids at places [n] of the stream: token p is target p - 1; the first one is only an
        input."""
        seq_len = self._shape[1]
        target = places - 1
        row, place = np.divmod(np.maximum(target, 0), self._steps * seq_len)
        step, column = np.divmod(place, seq_len)
        column += target >= 0
        found, which = np.empty([len(places)], np.int32), self._file_of(step)
        for number in np.unique(which):
            mine = which == number
            windows = self._windows(int(number))
            found[mine] = windows[step[mine] - self._firsts[number], row[mine], column[mine]]
        return found

    def _file_of(self, step: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._firsts, step, side="right") - 1

    def _map(self, number: int) -> np.ndarray:
        """The windows [steps, B, T+1] of a record file: of equal records, each of which ends with
        its ids and four bytes of checksum."""
        file, (batch_size, seq_len) = self._files[number], self._shape
        path = self._root / file.name
        manifests.check_size(path, file.size)
        record, ids = file.size // file.steps, 4 * batch_size * (seq_len + 1)
        return np.ndarray(
            (file.steps, batch_size, seq_len + 1),
            "<i4",
            np.memmap(path, np.uint8, "r"),
            record - ids - 4,
            (record, 4 * (seq_len + 1), 4),
        )


def token_reader(data_dir: str | Path, split: str) -> TokenReader:
    """What reads the ids of a split's documents. Raises: as `load`; DataError while it reads, if a
    record file is missing or has another size."""
    manifest = manifests.load(data_dir)
    return TokenReader(data_dir, manifest, split, load(data_dir, split, manifest))
