"""Text, cleaned line by line, in three splits. The named corpora are in par/data/named_corpora.py.

A line ends with "\\n" and with nothing else; blocks are cleaned by par/data/cleaning.py. Texts are
read anew at each pass, in blocks, and never held as a whole; a line may be of any length, but a
word or a run of spaces of more than 1 MiB is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import AnyStr, BinaryIO, NamedTuple

import numpy as np

from par.core.errors import DataError
from par.data.cleaning import clean

SPLITS = ("train", "valid", "test")
BLOCK_BYTES = 2 << 20  # of text, read and encoded at once
# SentencePiece needs up to 70 times what it encodes at once: longer lines are cut at spaces
PIECE_CHARACTERS = 1 << 16
MAX_RUN_BYTES = 1 << 20  # the longest word, or run of spaces: can't be cut
LISTED_AT_ONCE = 1 << 16  # rows of a table of documents
OWN_SPLITS = "corpus"  # by what documents are split that come in splits
FOUND = {  # what is counted of an input of documents: key in the manifest, text for the user
    "empty": "documents without text left out",
    "unknown_parents": "parents that are not in the input, or have no text: their answers are"
    " roots",
    "parents_in_other_splits": "parents in another split: their answers are roots",
    "ignored_keys": "values under other keys ignored",
}


class Part(NamedTuple):
    """Bytes `start` to `stop` (exclusive; None: to the end) of a file or of bytes in memory: whole
    lines.

    A file is a Path, or an object with its `open`, `stat` and `str`: a decoded text
    (par/data/text_formats.py), or a file behind a URL (par/data/beam/files.py).
    """

    source: Path | bytes
    start: int = 0
    stop: int | None = None


@dataclasses.dataclass(frozen=True)
class Text:
    """Lines of text: the parts, one after the other."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, *sources: Path | bytes) -> Text:
        """The whole of these files, or bytes in memory."""
        return cls(tuple(map(Part, sources)))

    @property
    def raw_bytes(self) -> int:
        """Bytes before cleaning."""
        return sum(
            (size_of(part.source) if part.stop is None else part.stop) - part.start
            for part in self.parts
        )

    def blocks(self, tally: Counter | None = None) -> Iterator[str]:
        """The cleaned text in blocks of at most 2 MiB that end at a line's end or, inside a line
        that is longer, in front of a space.

        `tally` counts what was cleaned. Raises: DataError if a file can't be read, or more than 1
        MiB in which a line can't be cut.
        """
        tally = Counter() if tally is None else tally
        for raw in self.raw_blocks():
            yield raw.clean(tally)

    def raw_blocks(self) -> Iterator[RawBlock]:
        """The same blocks as they are in the files. Raises: as `blocks`."""
        for part in self.parts:
            yield from _raw_blocks(part)

    def pieces(self) -> Iterator[str]:
        """The cleaned lines, without their ends; a long one in several pieces."""
        for block in self.blocks():
            yield from pieces(block)[0]


class RawBlock(NamedTuple):
    """A block of a text before cleaning; whether it is the first of a file, and whether it is the
    last of its part."""

    data: bytes
    starts_file: bool
    ends_part: bool

    def clean(self, tally: Counter) -> str:
        """The cleaned text; `tally` counts what was cleaned."""
        return clean(
            self.data, starts_file=self.starts_file, ends_file=self.ends_part, tally=tally
        )


def pieces(block: str) -> tuple[list[str], list[int]]:
    """The lines of a block, long ones cut in front of spaces, and the indices of the pieces after
    which the line continues.

    A piece that continues a line begins with its spaces.
    """
    texts = block.split("\n")
    goes_on = [len(texts) - 1]
    if not texts[-1]:
        texts.pop()
        goes_on = []
    if not texts or max(map(len, texts)) <= PIECE_CHARACTERS:
        return texts, goes_on
    short: list[str] = []
    short_goes_on: list[int] = []
    for i, text in enumerate(texts):
        while len(text) > PIECE_CHARACTERS and (cut := _cut_in_line(text, PIECE_CHARACTERS)):
            short_goes_on.append(len(short))
            short.append(text[:cut])
            text = text[cut:]
        if i in goes_on:
            short_goes_on.append(len(short))
        short.append(text)
    return short, short_goes_on


def _cut_in_line(line: AnyStr, limit: int) -> int:
    """Where a long line is cut: in front of a run of spaces that has something else on both
    sides, the last such run within `limit` or else the next; 0 if there is none.

    Runs between visible characters are preferred: what a model's normalisation turns into spaces,
    U+2581 or nothing does not stand beside them, so the ids are those of the whole line.
    """
    return next(_cuts(line, limit, _is_visible), 0) or next(_cuts(line, limit, bool), 0)


def _cuts(line: AnyStr, limit: int, fits: Callable[[str], bool]) -> Iterator[int]:
    """Starts of the runs of spaces between two characters that fit: those within `limit`
    backwards, then the later ones forwards."""
    space = " " if isinstance(line, str) else b" "
    first, end = len(line) - len(line.lstrip(space)), len(line.rstrip(space))

    def run(found: int) -> tuple[int, int, bool]:
        """Start and stop (exclusive) of the run of spaces around an index, and whether its
        neighbours fit."""
        start, stop = found, found + 1
        while line[start - 1 : start] == space:
            start -= 1
        while line[stop : stop + 1] == space:
            stop += 1
        before, after = _text(line[max(start - 4, 0) : start]), _text(line[stop : stop + 4])
        return start, stop, fits(before[-1:]) and fits(after[:1])

    at = min(limit, end)
    while (found := line.rfind(space, first, at)) >= 0:
        at, _, is_place = run(found)
        if is_place:
            yield at
    stop = max(limit, first)
    while (found := line.find(space, stop, end)) >= 0:
        start, stop, is_place = run(found)
        if is_place:
            yield start


def _text(part: AnyStr) -> str:
    return part if isinstance(part, str) else part.decode("utf-8", "replace")


def _is_visible(char: str) -> bool:
    """Whether a character is a letter, a digit, punctuation or a symbol, and no normalisation
    makes a space of it."""
    return unicodedata.category(char)[0] in "LNPS" and char not in "\u2581\ufffd"


def open_source(source: Path | bytes) -> BinaryIO:
    """Opens the source of a part for reading. Raises: OSError."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def size_of(source: Path | bytes) -> int:
    """Bytes of a file or of bytes in memory. Raises: DataError if it can't be read."""
    try:
        return len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError as error:
        raise DataError(f"text {source} can't be read ({error.strerror})") from None


def _raw_blocks(part: Part) -> Iterator[RawBlock]:
    source, start, stop = part
    name = "a text" if isinstance(source, bytes) else source
    try:
        with open_source(source) as file:
            file.seek(start)
            data, at = b"", start
            while True:
                window = BLOCK_BYTES + 2 * MAX_RUN_BYTES + 8  # holds a cut, or a run too long
                while len(data) < window and (
                    chunk := file.read(
                        BLOCK_BYTES if stop is None else min(BLOCK_BYTES, stop - at - len(data))
                    )
                ):
                    data += chunk
                if not data:
                    return
                if (run := long_run(data)) is not None:
                    raise DataError(
                        f"text {name} has more than {MAX_RUN_BYTES >> 20} MiB without the end of"
                        f" a word or a line, from byte {at + run:,} on: break it into lines"
                    )
                end = _block_end(data[:window])
                yield RawBlock(data[:end], at == 0, end == len(data))
                data, at = data[end:], at + end
    except OSError as error:
        raise DataError(f"text {name} can't be read ({error.strerror})") from None


def _block_end(data: bytes) -> int:
    """Where the block ends that begins with `data`, the next bytes of a text or all that are left.

    Only the content of a line decides where it is cut: neither its end nor what precedes it.
    """
    if (newline := data.rfind(b"\n", 0, BLOCK_BYTES)) >= 0:
        return newline + 1
    if len(data) < BLOCK_BYTES:
        return len(data)
    newline = data.find(b"\n")
    line = data if newline < 0 else data[:newline]
    return _cut_in_line(line.rstrip(b"\r"), BLOCK_BYTES) or newline + 1 or len(data)


def long_run(data: bytes) -> int | None:
    """Where a run of more than MAX_RUN_BYTES begins in which a line can't be cut: spaces alone, or
    neither space nor line end. None if there is none.

    Such a run covers one of the windows of half its length that are checked first.
    """
    step = MAX_RUN_BYTES // 2
    for i in range(0, len(data) - step + 1, step):
        if data.find(b"\n", i, i + step) < 0 and (
            data.find(b" ", i, i + step) < 0 or not data[i : i + step].strip(b" ")
        ):
            found = re.search(rb"[^ \n]{%d}| {%d}" % (MAX_RUN_BYTES + 1, MAX_RUN_BYTES + 1), data)
            return found.start() if found else None
    return None


def count_lines(paths: Sequence[Path]) -> int:
    """The number of lines of files; a last one without an end counts."""
    total = 0
    for path in paths:
        last = b"\n"
        for chunk in _chunks(path):
            total += chunk.count(b"\n")
            last = chunk[-1:]
        total += last != b"\n"
    return total


def cut_behind(paths: Sequence[Path], lines: Sequence[int]) -> list[Text]:
    """The text of files, cut after each of `lines` lines (ascending)."""
    places, wanted, before = [(0, 0)], list(lines), 0
    for i, path in enumerate(paths):
        offset, last = 0, b"\n"
        for chunk in _chunks(path):
            inside = chunk.count(b"\n")
            while wanted and wanted[0] <= before + inside:
                at = 0
                for _ in range(wanted.pop(0) - before):
                    at = chunk.index(b"\n", at) + 1
                places.append((i, offset + at))
            before, offset, last = before + inside, offset + len(chunk), chunk[-1:]
        before += last != b"\n"
        while wanted and wanted[0] <= before:
            wanted.pop(0)
            places.append((i, offset))
    places.append((len(paths) - 1, None))
    return [
        Text(
            tuple(
                Part(paths[k], start if k == i else 0, stop if k == j else None)
                for k in range(i, j + 1)
            )
        )
        for (i, start), (j, stop) in itertools.pairwise(places)
    ]


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open_source(path) as file:
            while chunk := file.read(BLOCK_BYTES):
                yield chunk
    except OSError as error:
        raise DataError(f"text {path} can't be read ({error.strerror})") from None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The documents of a corpus by lines.

    `tables` are those of par/data/documents.py, int64 [R, 6] a split, whose start and length count
    lines of the split and whose depths are not known yet; `authors` and `groups` are how many
    there are, `counts` what was found in the input, by the keys of FOUND.
    """

    tables: dict[str, np.ndarray]
    split_by: str
    authors: int
    groups: int
    counts: dict[str, int]

    def sha256(self) -> str:
        """Of the three tables: equal for equal documents, whatever the tokenizer."""
        digest = hashlib.sha256()
        for name in SPLITS:
            digest.update(f"{name} {len(self.tables[name])}\n".encode())
            for first in range(0, len(self.tables[name]), LISTED_AT_ONCE):
                rows = self.tables[name][first : first + LISTED_AT_ONCE]
                digest.update(np.ascontiguousarray(rows, "<i8"))
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Three splits of text; each of `symbols` stays one piece; `note` names what the text depends
    on, such as the version of CPython; `documents` are None where nothing is known of them."""

    name: str
    texts: dict[str, Text]
    symbols: tuple[str, ...] = ()
    note: str = ""
    documents: Listing | None = None


@dataclasses.dataclass(frozen=True)
class Size:
    """Lines, UTF-8 bytes with line ends, and SHA-256 of a cleaned split."""

    lines: int
    bytes: int
    sha256: str


def measure(text: Text, progress: Callable[[int, str], None] = lambda bytes_, what: None) -> Size:
    """The size of a split, which is read once."""
    lines, size, digest = 0, 0, hashlib.sha256()
    for block in text.blocks():
        data = block.encode("utf-8")
        digest.update(data)
        lines, size = lines + data.count(b"\n"), size + len(data)
        progress(len(data), "")
    return Size(lines, size, digest.hexdigest())


def fingerprint(sha256: dict[str, str]) -> str:
    """One SHA-256 for the three splits: that of the lines `sha256sum train.txt valid.txt test.txt`
    prints for the cleaned texts."""
    return hashlib.sha256(
        "".join(f"{sha256[name]}  {name}.txt\n" for name in SPLITS).encode()
    ).hexdigest()
