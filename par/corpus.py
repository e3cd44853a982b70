"""Text: named corpora and own files, cleaned line by line, in three splits. Imports nothing of what it reads.

A line ends with "\\n" and with nothing else. Cleaning takes away a UTF-8 byte order mark at a file's start, turns CRLF into LF, invalid
UTF-8 and NUL into U+FFFD, and ends the last line of a file. Texts are read anew at each pass and never held as a whole.
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

from par import files
from par.errors import DataError, UsageError

SPLITS = ("train", "valid", "test")
RAW = Path("data/raw")  # where files are placed by hand, relative to the current directory
MAX_LINE_BYTES = 16 << 20  # SentencePiece needs up to 70 times that while it encodes a line

CLEANING = {  # what is counted: how it is said
    "byte_order_marks": "byte order marks removed",
    "crlf": "CRLF line ends turned into LF",
    "invalid_utf8": "invalid UTF-8 sequences turned into U+FFFD",
    "nul": "NUL characters turned into U+FFFD",
    "final_newlines": "missing final newlines added",
    "u2581": "U+2581 characters (SentencePiece's mark of a space), which decode as spaces",
}


@dataclasses.dataclass(frozen=True)
class Text:
    """Lines `start` to `stop` (exclusive) of files, or of bytes in memory, one after the other."""

    parts: tuple[Path | bytes, ...]
    start: int = 0
    stop: int | None = None

    def lines(self, tally: Counter | None = None) -> Iterator[str]:
        """The cleaned lines, without their ends; `tally` counts what was cleaned.

        Raises: DataError if a file can't be read or a line is longer than 16 MiB.
        """
        tally = Counter() if tally is None else tally
        for raw, is_first in itertools.islice(self._raw_lines(), self.start, self.stop):
            yield _clean(raw, is_first, tally)

    def count_lines(self) -> int:
        """Number of lines."""
        return sum(1 for _ in itertools.islice(self._raw_lines(), self.start, self.stop))

    def _raw_lines(self) -> Iterator[tuple[bytes, bool]]:
        for part in self.parts:
            try:
                with io.BytesIO(part) if isinstance(part, bytes) else open(part, "rb") as file:
                    number = 0
                    while raw := file.readline(MAX_LINE_BYTES + 1):
                        number += 1
                        if len(raw) > MAX_LINE_BYTES:
                            where = "a text" if isinstance(part, bytes) else part
                            raise DataError(f"line {number} of {where} is longer than {MAX_LINE_BYTES >> 20} MiB: break it into lines")
                        yield raw, number == 1
            except OSError as error:
                raise DataError(f"text {part} can't be read ({error.strerror})") from None


def _clean(raw: bytes, is_first: bool, tally: Counter) -> str:
    if is_first and raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
        tally["byte_order_marks"] += 1
    if raw.endswith(b"\r\n"):
        raw = raw[:-2]
        tally["crlf"] += 1
    elif raw.endswith(b"\n"):
        raw = raw[:-1]
    else:
        tally["final_newlines"] += 1
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError:
        line = raw.decode("utf-8", "replace")
        tally["invalid_utf8"] += line.count("\ufffd") - raw.count("\ufffd".encode())
    if "\0" in line:
        tally["nul"] += line.count("\0")
        line = line.replace("\0", "\ufffd")
    if "\u2581" in line:
        tally["u2581"] += line.count("\u2581")
    return line


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Three splits of text; `symbols` of the text stay one piece each; `note` tells what the text depends on."""

    name: str
    texts: dict[str, Text]
    symbols: tuple[str, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a cleaned split: lines; words between white space, plus one a line for its end; UTF-8 bytes, newlines included; SHA-256."""

    lines: int
    words: int
    bytes: int
    sha256: str


def measure(text: Text, tally: Counter | None = None) -> Size:
    """Reads a split once. `tally` counts what was cleaned."""
    lines = words = size = 0
    digest = hashlib.sha256()
    for line in text.lines(tally):
        encoded = line.encode("utf-8") + b"\n"
        digest.update(encoded)
        lines, words, size = lines + 1, words + len(line.split()) + 1, size + len(encoded)
    return Size(lines, words, size, digest.hexdigest())


def fingerprint(sizes: dict[str, Size]) -> str:
    """One SHA-256 for the three splits: that of the lines `sha256sum train.txt valid.txt test.txt` prints for the cleaned texts."""
    return hashlib.sha256("".join(f"{sizes[name].sha256}  {name}.txt\n" for name in SPLITS).encode()).hexdigest()


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
        return Corpus(name, {split: Text((path,)) for split, path in paths.items()})
    total = Text(tuple(paths)).count_lines()
    ends = [0, round(total * fractions[0]), round(total * (fractions[0] + fractions[1])), total]
    return Corpus(name, {split: Text(tuple(paths), *ends[i : i + 2]) for i, split in enumerate(SPLITS)})


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
    return Corpus("python-docs", {split: Text(tuple(parts)) for split, parts in documents.items()}, note=f"CPython {platform.python_version()}")


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
        texts = {split: Text((path,)) for split, path in paths.items()}
    else:
        _check_sum(whole, WIKITEXT_2_VALID)
        titles = [i for i, line in enumerate(Text((whole,)).lines()) if re.fullmatch(r" = [^=].* = ", line)]
        ends = [0, titles[48] - 1, titles[54] - 1, None]  # a blank line comes before each title
        texts = {split: Text((whole,), ends[i], ends[i + 1]) for i, split in enumerate(SPLITS)}
    return Corpus("wikitext-2-small", texts, symbols=("<unk>",), note="WikiText-2 valid, 48 / 6 / 6 articles")


def _check_sum(path: Path, sha256: str) -> None:
    try:
        found = files.sha256(path)
    except OSError as error:
        raise DataError(f"text {path} can't be read ({error.strerror})") from None
    if found != sha256:
        raise DataError(f"{path} is another file than expected: its SHA-256 is {found}, not {sha256}; see data/README.md")


NAMED: dict[str, Callable[[], Corpus]] = {"python-docs": python_docs, "wikitext-2-small": wikitext_2_small}
