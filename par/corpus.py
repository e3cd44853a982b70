"""Text: named corpora and own files, cleaned line by line, in three splits. Imports nothing of what it reads.

A line ends with "\\n" and with nothing else. Cleaning takes away a UTF-8 byte order mark at a file's start, turns CRLF into LF, invalid
UTF-8 and NUL into U+FFFD, and ends the last line of a file. Texts are read anew at each pass, in blocks, and never held as a whole; a line may
be of any length, but not a run without a space.
"""

from __future__ import annotations

import ast
import dataclasses
import glob
import hashlib
import io
import itertools
import platform
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import AnyStr, NamedTuple

from par import files
from par.errors import DataError, UsageError

SPLITS = ("train", "valid", "test")
RAW = Path("data/raw")  # where files are placed by hand, relative to the current directory
BLOCK_BYTES = 2 << 20  # of text, read and encoded at once
PIECE_CHARACTERS = 1 << 16  # SentencePiece needs up to 70 times what it encodes at once: longer lines are cut at spaces
MAX_RUN_BYTES = 1 << 20  # without a space or a line end: can't be cut

CLEANING = {  # what is counted: how it is said
    "byte_order_marks": "byte order marks removed",
    "crlf": "CRLF line ends turned into LF",
    "invalid_utf8": "invalid UTF-8 sequences turned into U+FFFD",
    "nul": "NUL characters turned into U+FFFD",
    "final_newlines": "missing final newlines added",
    "u2581": "U+2581 characters (SentencePiece's mark of a space), which decode as spaces",
}


class Part(NamedTuple):
    """Bytes `start` to `stop` (exclusive; None: to the end) of a file or of bytes in memory: whole lines."""

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
        return sum((_size(part.source) if part.stop is None else part.stop) - part.start for part in self.parts)

    def blocks(self, tally: Counter | None = None) -> Iterator[str]:
        """The cleaned text in blocks of a few MiB that end at a line's end or, inside a line that is longer, in front of a space.

        `tally` counts what was cleaned. Raises: DataError if a file can't be read, or has more than 1 MiB without a space or a line end.
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
    """A block of a text before cleaning; whether it is the first of a file, and whether it is the last of its part."""

    data: bytes
    starts_file: bool
    ends_part: bool

    def clean(self, tally: Counter) -> str:
        """The cleaned text; `tally` counts what was cleaned."""
        data = self.data
        if self.starts_file and data.startswith(b"\xef\xbb\xbf"):
            data = data[3:]
            tally["byte_order_marks"] += 1
        if crlf := data.count(b"\r\n"):
            data = data.replace(b"\r\n", b"\n")
            tally["crlf"] += crlf
        if self.ends_part and not data.endswith(b"\n"):
            data += b"\n"
            tally["final_newlines"] += 1
        if nul := data.count(b"\0"):
            data = data.replace(b"\0", b"\xef\xbf\xbd")
            tally["nul"] += nul
        if marks := data.count(b"\xe2\x96\x81"):
            tally["u2581"] += marks
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            tally["invalid_utf8"] += text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
            return text


def pieces(block: str) -> tuple[list[str], list[int]]:
    """The lines of a block, long ones cut in front of spaces, and the indices of the pieces after which the line goes on.

    A piece that continues a line begins with its spaces.
    """
    texts = block.split("\n")
    if not texts[-1]:
        texts.pop()
    goes_on = [] if block.endswith("\n") else [len(texts) - 1]
    if max(map(len, texts)) <= PIECE_CHARACTERS:
        return texts, goes_on
    short: list[str] = []
    short_goes_on: list[int] = []
    for i, text in enumerate(texts):
        while len(text) > PIECE_CHARACTERS and (cut := _before_a_space(text, " ", PIECE_CHARACTERS)):
            short_goes_on.append(len(short))
            short.append(text[:cut])
            text = text[cut:]
        if i in goes_on:
            short_goes_on.append(len(short))
        short.append(text)
    return short, short_goes_on


def _before_a_space(text: AnyStr, space: AnyStr, limit: int) -> int:
    """Where a line can be cut: in front of spaces with something else on both sides, the last ones before `limit` or else the next; 0: nowhere."""
    body = text.rstrip(space)
    first = len(body) - len(body.lstrip(space))
    found = body.rfind(space, first, limit)
    if found < 0:
        found = body.find(space, max(limit, first))
    return len(body[:found].rstrip(space)) if found >= 0 else 0


def _size(source: Path | bytes) -> int:
    try:
        return len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError as error:
        raise DataError(f"text {source} can't be read ({error.strerror})") from None


def _raw_blocks(part: Part) -> Iterator[RawBlock]:
    source, start, stop = part
    name = "a text" if isinstance(source, bytes) else source
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            file.seek(start)
            data, at = b"", start
            while chunk := file.read(BLOCK_BYTES if stop is None else min(BLOCK_BYTES, stop - at - len(data))):
                data += chunk
                if (run := _long_run(data)) is not None:
                    size = f"{MAX_RUN_BYTES >> 20} MiB without a space or a line end, from byte {at + run:,} on"
                    raise DataError(f"text {name} has more than {size}: break it into lines")
                cut = data.rfind(b"\n") + 1 or _before_a_space(data.rstrip(b"\r"), b" ", len(data))
                if 0 < cut < len(data):
                    yield RawBlock(data[:cut], at == 0, False)
                    data, at = data[cut:], at + cut
            if data:
                yield RawBlock(data, at == 0, True)
    except OSError as error:
        raise DataError(f"text {name} can't be read ({error.strerror})") from None


def _long_run(data: bytes) -> int | None:
    """Where more than MAX_RUN_BYTES without a space or a line end begin, None if nowhere. Such a run covers one of the windows looked at whole."""
    step = MAX_RUN_BYTES // 2
    for i in range(0, len(data) - step + 1, step):
        if data.find(b"\n", i, i + step) < 0 and data.find(b" ", i, i + step) < 0:
            found = re.search(rb"[^ \n]{%d}" % (MAX_RUN_BYTES + 1), data)
            return found.start() if found else None
    return None


def count_lines(paths: Sequence[Path]) -> int:
    """Lines of files; a last one without an end counts."""
    total = 0
    for path in paths:
        last = b"\n"
        for chunk in _chunks(path):
            total += chunk.count(b"\n")
            last = chunk[-1:]
        total += last != b"\n"
    return total


def cut_behind(paths: Sequence[Path], lines: Sequence[int]) -> list[Text]:
    """The text of files in pieces that end behind so many lines (ascending), and the rest."""
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
        Text(tuple(Part(paths[k], start if k == i else 0, stop if k == j else None) for k in range(i, j + 1)))
        for (i, start), (j, stop) in itertools.pairwise(places)
    ]


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(BLOCK_BYTES):
                yield chunk
    except OSError as error:
        raise DataError(f"text {path} can't be read ({error.strerror})") from None


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Three splits of text; `symbols` of the text stay one piece each; `note` tells what the text depends on."""

    name: str
    texts: dict[str, Text]
    symbols: tuple[str, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a cleaned split: lines, UTF-8 bytes with newlines, SHA-256."""

    lines: int
    bytes: int
    sha256: str


def measure(text: Text, progress: Callable[[int, str], None] = lambda bytes_, what: None) -> Size:
    """Reads a split once."""
    lines, size, digest = 0, 0, hashlib.sha256()
    for block in text.blocks():
        data = block.encode("utf-8")
        digest.update(data)
        lines, size = lines + data.count(b"\n"), size + len(data)
        progress(len(data), "")
    return Size(lines, size, digest.hexdigest())


def fingerprint(sha256: dict[str, str]) -> str:
    """One SHA-256 for the three splits: that of the lines `sha256sum train.txt valid.txt test.txt` prints for the cleaned texts."""
    return hashlib.sha256("".join(f"{sha256[name]}  {name}.txt\n" for name in SPLITS).encode()).hexdigest()


def named(name: str) -> Corpus:
    """A corpus of `NAMED`. Raises: UsageError for another name, DataError if its files are missing or are not what they should be."""
    if name not in NAMED:
        raise UsageError(f"corpus {name!r} does not exist: choose one of {', '.join(NAMED)}, or give your own text by --input_text")
    return NAMED[name]()


def own(input_text: str, fractions: Sequence[float]) -> Corpus:
    """Own text: a file; a directory with train.txt, valid.txt and test.txt, taken as they are; else all *.txt of a directory; or a glob.

    Without splits, `fractions` of all lines become train, valid and test, in this order, each in one piece.
    Raises: DataError if there is no such text.
    """
    try:
        name, paths = _find(input_text)
    except OSError as error:
        raise DataError(f"input_text {input_text} can't be read ({error.strerror})") from None
    if isinstance(paths, dict):
        return Corpus(name, {split: Text.of(path) for split, path in paths.items()})
    total = count_lines(paths)
    ends = [round(total * fractions[0]), round(total * (fractions[0] + fractions[1]))]
    return Corpus(name, dict(zip(SPLITS, cut_behind(paths, ends), strict=True)))


def _find(input_text: str) -> tuple[str, list[Path] | dict[str, Path]]:
    """The name and the files of own text."""
    path = Path(input_text).expanduser()
    if path.is_dir():
        splits = {split: path / f"{split}.txt" for split in SPLITS if (path / f"{split}.txt").is_file()}
        if 0 < len(splits) < len(SPLITS):
            missing = ", ".join(f"{split}.txt" for split in SPLITS if split not in splits)
            raise DataError(
                f"input_text {input_text} has {', '.join(p.name for p in splits.values())}, but not {missing}: give all three, or other names"
            )
        found = sorted(file for file in path.glob("*.txt") if file.is_file())
        if not found:
            raise DataError(f"input_text {input_text} is a directory without a .txt file")
        return path.resolve().name or "text", splits or found
    if path.exists():
        if not path.is_file():
            raise DataError(f"input_text {input_text} is neither a regular file nor a directory")
        return path.stem, [path]
    found = sorted(Path(file) for file in glob.glob(str(path), recursive=True) if Path(file).is_file())
    if not found:
        raise DataError(f"input_text {input_text} does not exist: give a file, a directory or a glob in quotes")
    literal = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts[:-1])
    return Path(*literal).resolve().name or "text", found


def python_docs(stdlib: Path | None = None) -> Corpus:
    """The language reference and the docstrings that every CPython carries: about 2 MB of English, without a download.

    A document is a topic of pydoc_data, or all docstrings of a module in their order. One in 20 documents is for valid, one in 20 for
    test, by a hash of its name, so that a document is in the same split in every version of CPython. The hash's key 342 makes the two
    splits 5 % of the bytes each, in 3.11 and in 3.13.
    """
    stdlib = Path(stdlib or sysconfig.get_path("stdlib"))
    documents: dict[str, list[bytes]] = {split: [] for split in SPLITS}
    for name, text in itertools.chain(_topics(stdlib), _docstrings(stdlib)):
        share = int(hashlib.sha256(f"342 {name}".encode()).hexdigest(), 16) % 20
        split = {0: "valid", 1: "test"}.get(share, "train")
        documents[split].append(text.encode("utf-8", "replace"))
    if not all(documents.values()):
        raise DataError(f"this Python has no sources in {stdlib}: python-docs needs them; give your own text by --input_text")
    return Corpus("python-docs", {split: Text.of(b"".join(parts)) for split, parts in documents.items()}, note=f"CPython {platform.python_version()}")


def _topics(stdlib: Path) -> Iterator[tuple[str, str]]:
    """Name and text of the topics of pydoc_data/topics.py, sorted by name."""
    tree = _parse(stdlib / "pydoc_data" / "topics.py")
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for name, text in sorted(ast.literal_eval(node.value).items()):
                yield f"topic/{name}", f"{text.strip()}\n\n"


SKIPPED = {"test", "tests", "idlelib", "turtledemo", "lib2to3", "site-packages", "dist-packages", "__pycache__", "pydoc_data", "lib-dynload"}


def _docstrings(stdlib: Path) -> Iterator[tuple[str, str]]:
    """Path and docstrings of each module of the standard library, sorted by path; a docstring that was there before is left out."""
    seen = set()
    modules = sorted(path.relative_to(stdlib).as_posix() for path in stdlib.rglob("*.py"))
    for module in modules:
        tree = None if SKIPPED & set(module.split("/")) else _parse(stdlib / module)
        texts = []
        for node in _definitions(tree) if tree else ():
            text = (ast.get_docstring(node) or "").strip()  # dedents as inspect.cleandoc
            if text and text not in seen:
                seen.add(text)
                texts.append(f"{text}\n\n")
        if texts:
            yield module, "".join(texts)


def _definitions(tree: ast.Module) -> list[ast.AST]:
    """The module, its classes and functions, wherever they are, in the order of the source."""
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    return [tree, *sorted(inner, key=lambda node: (node.lineno, node.col_offset))]


def _parse(path: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old sources about their own escapes
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


WIKITEXT_2_VALID = "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"
WIKITEXT_2_SMALL = {
    "train": "6cd52eb55261e26c2998f8cc34ab92dbacdbfa1c0c53d0814830fb83f75561a7",
    "valid": "5c1f5d4c74b69543d5cc8af680e773745159ff08546105674f051511ea562765",
    "test": "4a296f518623ca0069f272fc45b1c978ce46370c97db9c4c6b0571bdebfb04cb",
}


def wikitext_2_small() -> Corpus:
    """WikiText-2's validation split (Merity et al. 2016, arXiv 1609.07843) divided by article: 48 / 6 / 6."""
    folder = RAW / "wikitext-2-small"
    whole = next((path for path in (RAW / "wiki.valid.tokens", RAW / "wikitext-2" / "wiki.valid.tokens") if path.is_file()), None)
    if folder.is_dir() or whole is None:
        paths = {split: folder / f"{split}.txt" for split in SPLITS}
        if missing := next((path for path in paths.values() if not path.is_file()), None):
            either = f"place wiki.valid.tokens of WikiText-2 in {RAW}/, or train.txt, valid.txt and test.txt in {folder}/"
            raise DataError(f"{missing} is missing: {either} (data/README.md)")
        for split, path in paths.items():
            _check_sum(path, WIKITEXT_2_SMALL[split])
        texts = {split: Text.of(path) for split, path in paths.items()}
    else:
        _check_sum(whole, WIKITEXT_2_VALID)
        titles = [i for i, line in enumerate(Text.of(whole).pieces()) if re.fullmatch(r" = [^=].* = ", line)]
        texts = dict(zip(SPLITS, cut_behind([whole], [titles[48] - 1, titles[54] - 1]), strict=True))  # a blank line comes before each title
    return Corpus("wikitext-2-small", texts, symbols=("<unk>",), note="WikiText-2 valid, 48 / 6 / 6 articles")


def _check_sum(path: Path, sha256: str) -> None:
    try:
        found = files.sha256(path)
    except OSError as error:
        raise DataError(f"text {path} can't be read ({error.strerror})") from None
    if found != sha256:
        raise DataError(f"{path} is another file than expected: its SHA-256 is {found}, not {sha256}; see data/README.md")


NAMED: dict[str, Callable[[], Corpus]] = {"python-docs": python_docs, "wikitext-2-small": wikitext_2_small}
