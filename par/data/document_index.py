"""Documents one by one -> three splits of text, and the tables of who wrote what.

    documents ──▶ spool     their texts, one behind the other
              ──▶ facts     a row each: bytes, lines, place in the input, digests of the names
    facts ──SQLite──▶ links  row of the parent, number of the author, number of the group
    facts + links ──▶ roots ──▶ splits ──▶ one text and one table a split

All of it is in temporary files without a name, so a corpus of any size takes a bounded memory and
leaves nothing. A name is kept as a digest of 128 bits only as long as the index lives.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from par.core import files
from par.core.errors import DataError, ParError, UsageError
from par.data.corpus import (
    FOUND,
    MAX_RUN_BYTES,
    OWN_SPLITS,
    SPLITS,
    Corpus,
    Listing,
    Text,
    long_run,
)
from par.data.document_tables import climb, mapped, scratch
from par.data.documents import COLUMNS, NONE, chunks
from par.data.text_formats import DecodedText

DIGEST = np.dtype("V16")
NAMES = ("id", "parent", "author", "group")
FACTS = np.dtype(
    [
        ("bytes", "<i8"),  # of the text with its end, 0 for an empty one
        ("lines", "<i8"),  # of the text itself
        ("line", "<i8"),
        ("file", "<i4"),
        ("split", "<i4"),  # NONE: a hash chooses it
        ("is_listed", "?"),
        *((name, DIGEST) for name in NAMES),
    ]
)
PACKED = struct.Struct("<qqqii?16s16s16s16s")  # FACTS
NO_NAME = bytes(DIGEST.itemsize)
END = b"\n\n"  # of a text: a line end, and a blank line that belongs to no document
COPY_BYTES = 1 << 20
CACHE_KIB = 64 << 10  # of SQLite, before it writes to a temporary file of its own


class Document(NamedTuple):
    """A text as it was found. `file` is the place of its file among those read, `line` where it
    begins there.

    Without an `id` it is text of the stream, not a document. With a `split` that is its split.
    """

    text: str
    id: str | None
    author: str | None = None
    group: str | None = None
    parent: str | None = None
    file: int = 0
    line: int = 0
    split: str | None = None


def gather(
    name: str,
    documents: Iterable[Document],
    *,
    split_by: str,
    fractions: Sequence[float],
    files_read: Sequence[Any] = (),
    counts: Counter | None = None,
    directory: Path | None = None,
    note: str = "",
) -> Corpus:
    """The corpus of documents, in their order, without the white space around them; a blank line
    follows each.

    A hash of its group or author, else of the first document of its thread, puts a document into a
    split, with chances `fractions`: so it stays there when others come and go. What answers one
    unknown document is one thread.

    Args:
      files_read: the files that messages name, by `Document.file`.
      counts: what reading them has counted when all are read, by the keys of FOUND.
      directory: where the temporary files lie.

    Raises: DataError for an id that is there twice, a document that is its own ancestor, or a
    split without documents; ResourceError if the disk is full.
    """
    place = Path(directory or tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=place) as spool, tempfile.TemporaryFile(dir=place) as rows:
            _spool(documents, files_read, spool, rows)
            index = _Index(rows, files_read, place)
            index.link()
            index.find_roots()
            index.choose_splits(split_by, fractions)
            tally = Counter(counts)
            tables = index.tables(tally)
            listing = Listing(
                tables,
                OWN_SPLITS if index.has_own_splits else split_by,
                index.authors,
                index.groups,
                {key: tally[key] for key in FOUND},
            )
            if empty := [split for split in SPLITS if not len(tables[split])]:
                raise DataError(
                    f"{name} has no document for {' and '.join(empty)}: there are"
                    f" {sum(map(len, tables.values())):,}, of {index.groups:,} groups and"
                    f" {index.authors:,} authors, split by {listing.split_by}; give more"
                    " documents, another --split_by or other --split_fractions"
                )
            texts = _texts(name, spool, index, directory)
    except OSError as error:
        if isinstance(error, ParError) or error.errno not in files.DISK_ERRORS:
            raise
        raise files.write_error(place, 0, error) from None
    return Corpus(name, texts, note=note, documents=listing)


def _spool(
    documents: Iterable[Document], files_read: Sequence[Any], spool: BinaryIO, rows: BinaryIO
) -> None:
    """Writes the texts to `spool` and what is known of each to `rows`, FACTS."""
    for document in documents:
        text = document.text.strip()
        data = text.encode("utf-8", "surrogatepass") + END if text else b""
        if len(data) > MAX_RUN_BYTES and long_run(data) is not None:
            raise DataError(
                f"{files_read[document.file]}:{document.line}: more than {MAX_RUN_BYTES >> 20} MiB"
                " without the end of a word or a line: break it into lines"
            )
        spool.write(data)
        names = (
            ("id", document.id),
            ("id", document.parent),
            ("author", document.author if text else None),
            ("group", document.group if text else None),
        )
        rows.write(
            PACKED.pack(
                len(data),
                max(data.count(b"\n") - 1, 0),
                document.line,
                document.file,
                SPLITS.index(document.split) if document.split else NONE,
                document.id is not None,
                *(_digest(kind, value) for kind, value in names),
            )
        )
    spool.flush()
    rows.flush()


def _digest(kind: str, name: str | None) -> bytes:
    """128 bits of a name; NO_NAME for None."""
    if name is None:
        return NO_NAME
    data = name.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=len(NO_NAME), person=kind.encode()).digest()


class _Index:
    """What belongs together, row by row [R]: filled in by its methods, in this order."""

    def __init__(self, rows: BinaryIO, files_read: Sequence[Any], place: Path):
        size = rows.tell() // FACTS.itemsize
        self.facts = mapped(rows.fileno(), (size,), 0, FACTS) if size else np.zeros([0], FACTS)
        self._files_read, self._place = files_read, place
        self.authors = self.groups = 0
        self.has_own_splits = False

    def _scratch(self, *columns: int, dtype: Any = np.int64) -> np.ndarray:
        return scratch(self._place, (len(self.facts), *columns), dtype)

    def _where(self, row: int) -> str:
        """FILE:LINE of a document."""
        fact = self.facts[row]
        return f"{self._files_read[fact['file']]}:{fact['line']}"

    def link(self) -> None:
        """Finds the parents' rows and numbers the names. Raises: DataError for a repeated id."""
        self.links = self._scratch(3)
        with _database() as database:
            database.execute(
                "CREATE TABLE documents"
                " (row INTEGER PRIMARY KEY, id BLOB, parent BLOB, author BLOB, club BLOB)"
            )
            for first, facts in chunks(self.facts):
                columns = (_names(facts[name]) for name in NAMES)
                database.executemany(
                    "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
                    zip(range(first, first + len(facts)), *columns),
                )
            database.execute("CREATE INDEX ids ON documents (id)")
            self._refuse_repeated(database)
            self.authors, self.groups = (_number(database, name) for name in ("author", "club"))
            found = database.execute(
                "SELECT parents.row, authors.number, clubs.number FROM documents"
                " LEFT JOIN documents AS parents ON parents.id = documents.parent"
                " LEFT JOIN authors ON authors.name = documents.author"
                " LEFT JOIN clubs ON clubs.name = documents.club"
                " ORDER BY documents.row"
            )
            for _, links in chunks(self.links):
                values = [
                    [NONE if value is None else value for value in row]
                    for row in found.fetchmany(len(links))
                ]
                links[:] = values

    def _refuse_repeated(self, database: Any) -> None:
        repeated = database.execute(
            "SELECT before, row FROM (SELECT row, id, lag(id) OVER ids AS id_before,"
            " lag(row) OVER ids AS before FROM documents WINDOW ids AS (ORDER BY id, row))"
            " WHERE id = id_before ORDER BY row LIMIT 1"
        ).fetchone()
        if repeated:
            before, row = map(self._where, repeated)
            raise DataError(
                f"{row}: its id is that of {before}: give each document an id of its own"
            )

    def find_roots(self) -> None:
        """Finds the first document of each one's thread. Raises: DataError for a document that is
        its own ancestor."""
        parent, self.root = self.links[:, 0], self._scratch()
        if (below := climb(parent, self.root, self._scratch())) is None:
            return
        at = first = int(self.root[below])  # as far up as there are documents: in the circle
        lowest = first
        while (at := int(parent[at])) != first:
            lowest = min(lowest, at)
        raise DataError(
            f"{self._where(lowest)}: this document is its own ancestor, by its parent and the"
            " parents of that: mend the ids of the parents"
        )

    def choose_splits(self, split_by: str, fractions: Sequence[float]) -> None:
        """Sets the split of each document: its own, or what a hash says."""
        self.split = self._scratch(dtype=np.int8)
        ends = np.cumsum(fractions)[:-1]
        for first, facts in chunks(self.facts):
            part = slice(first, first + len(facts))
            first_one = self.facts[self.root[part]]
            unknown = first_one["parent"]  # its answers are one thread
            key = np.where(unknown == np.void(NO_NAME), first_one["id"], unknown)
            if split_by != "thread":
                own = facts[split_by]
                key = np.where(own == np.void(NO_NAME), key, own)
            chance = np.ascontiguousarray(key).view("<u8")[::2] / 2.0**64
            drawn = np.searchsorted(ends, chance, side="right")
            self.split[part] = np.where(facts["split"] >= 0, facts["split"], drawn)
            self.has_own_splits |= bool((facts["split"] >= 0).any())

    def _is_kept(self, rows: Any) -> np.ndarray:
        """Which of some rows are documents with a text."""
        facts = self.facts[rows]
        return facts["is_listed"] & (facts["bytes"] > 0)

    def tables(self, tally: Counter) -> dict[str, np.ndarray]:
        """The tables of `Listing`; `tally` counts what is told to the user."""
        row_in_split = self._scratch()
        sizes = np.zeros([len(SPLITS)], np.int64)
        for first, facts in chunks(self.facts):
            part = slice(first, first + len(facts))
            kept = self._is_kept(part)
            tally["empty"] += int((facts["is_listed"] & ~kept).sum())
            for s in range(len(SPLITS)):
                mine = kept & (self.split[part] == s)
                row_in_split[part][mine] = sizes[s] + np.arange(mine.sum())
                sizes[s] += mine.sum()
        tables = [scratch(self._place, (int(size), len(COLUMNS))) for size in sizes]
        lines, done = [0] * len(SPLITS), [0] * len(SPLITS)
        for first, facts in chunks(self.facts):
            part = slice(first, first + len(facts))
            kept, split = self._is_kept(part), np.array(self.split[part])
            parent, author, group = self.links[part].T
            has_parent = (parent >= 0) & self._is_kept(np.maximum(parent, 0))
            is_near = has_parent & (self.split[np.maximum(parent, 0)] == split)
            named = facts["parent"] != np.void(NO_NAME)
            tally["unknown_parents"] += int((kept & named & ~has_parent).sum())
            tally["parents_in_other_splits"] += int((kept & has_parent & ~is_near).sum())
            parent = np.where(is_near, row_in_split[np.maximum(parent, 0)], NONE)
            taken = np.where(facts["bytes"] > 0, facts["lines"] + 1, 0)  # with the blank line
            for s in range(len(SPLITS)):
                mine = split == s
                start = lines[s] + np.cumsum(taken * mine) - taken
                rows = np.stack(
                    [start, facts["lines"], author, group, parent, np.zeros_like(parent)], axis=1
                )[mine & kept]
                tables[s][done[s] : done[s] + len(rows)] = rows
                lines[s] += int(taken[mine].sum())
                done[s] += len(rows)
        return dict(zip(SPLITS, tables))


@contextlib.contextmanager
def _database() -> Iterator[Any]:
    """An empty database of SQLite in a temporary file without a name.

    Raises: ResourceError if the disk is full; UsageError for a Python without SQLite.
    """
    try:
        import sqlite3
    except ImportError:
        raise UsageError(
            "this Python was built without the module sqlite3, which documents need: use another"
            " one, or give plain text by --input_text"
        ) from None
    with contextlib.closing(sqlite3.connect("")) as database:
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        database.execute("PRAGMA journal_mode = OFF")
        try:
            yield database
        except sqlite3.OperationalError as error:  # "database or disk is full"
            raise files.write_error(Path(tempfile.gettempdir()) / "sqlite", 0, error) from None


def _names(column: np.ndarray) -> list[bytes | None]:
    """Digests as SQLite takes them, which finds no NULL equal to another."""
    return [None if name == NO_NAME else name for name in column.tolist()]


def _number(database: Any, column: str) -> int:
    """Makes a table that numbers the names of a column in the order in which they come first;
    returns how many there are."""
    database.execute(
        f"CREATE TABLE {column}s (name BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID"
    )
    return database.execute(
        f"INSERT INTO {column}s SELECT {column}, row_number() OVER (ORDER BY min(row)) - 1"
        f" FROM documents WHERE {column} IS NOT NULL GROUP BY {column}"
    ).rowcount


def _texts(name: str, spool: BinaryIO, index: _Index, directory: Path | None) -> dict[str, Text]:
    """The texts of the splits, in files of their own."""
    found = {split: DecodedText(Path(f"{name}.{split}"), directory) for split in SPLITS}
    spool.seek(0)
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(text.open("wb")) for text in found.values()]
        for first, facts in chunks(index.facts):
            split = index.split[first : first + len(facts)]
            # documents of one split that follow each other are copied at once
            runs = np.flatnonzero(np.diff(split, prepend=-1))
            for s, size in zip(split[runs], np.add.reduceat(facts["bytes"], runs)):
                left = int(size)
                while left:
                    piece = spool.read(min(left, COPY_BYTES))
                    sinks[s].write(piece)
                    left -= len(piece)
    return {split: Text.of(text) for split, text in found.items()}
