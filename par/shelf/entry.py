"""What a tag names: the entry of a network on a shelf, and the index of a shelf, read strictly."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from par.core import schema
from par.core.errors import DataError, UsageError
from par.shelf.reference import check_part

SCHEMA = 1
MAX_BYTES = 8 << 20  # of an entry or an index
MAX_FILES = 20_000
MAX_FILE_BYTES = 1 << 33  # what the header of a file in the archive can say
MAX_TEXT = 2_000  # characters of a licence or a description
MAX_FILE_NAME = 100  # characters, as such a header has
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
OWN = "shelf.json"  # the entry's name in the cache
CARD = "README.md"  # the model card's in the archive
Kind = TypeVar("Kind")


@dataclasses.dataclass(frozen=True)
class File:
    """A file by its name, bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class About:
    """What is told of a network. version: of the program that saved it; network: its blocks, of a
    composed model its parts; corpus, tokenizer_sha256:
    of the data set that it was trained on; step: of its last checkpoint; checkpoints: `last`, and
    `best` if the run has one; splits: those whose records are in the archive."""

    name: str
    tag: str
    licence: str
    description: str
    version: str
    objective: str
    network: str
    corpus: str
    tokenizer_sha256: str
    parameters: int
    step: int
    checkpoints: tuple[str, ...]
    splits: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Listed:
    """A line of the index."""

    about: About
    archive: File

    @property
    def name(self) -> str:
        """`en_docs@v1`."""
        return f"{self.about.name}@{self.about.tag}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a tag names: an archive, and the files in it in their order."""

    schema: int
    about: About
    archive: File
    files: tuple[File, ...]

    @property
    def listed(self) -> Listed:
        """Its line of the index."""
        return Listed(self.about, self.archive)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def differences(self, other: Entry) -> list[str]:
        """Where an entry says something else of the network, each as `name: this -> other`. The
        files follow from the archive."""
        mine, theirs = (
            dataclasses.asdict(each.about) | {"archive": each.archive.sha256}
            for each in (self, other)
        )
        return [
            f"{name}: {str(mine[name])[:80]} -> {str(theirs[name])[:80]}"
            for name in mine
            if mine[name] != theirs[name]
        ]


@dataclasses.dataclass(frozen=True)
class Index:
    """What is on a shelf."""

    schema: int
    entries: tuple[Listed, ...]


def decode_entry(content: bytes, where: str, name: str) -> Entry:
    """The entry in a JSON text. where: how a message names the text; name: NAME@TAG.

    Raises: DataError if it is damaged, contradicts itself, names a file that can't be unpacked
    safely, or is that of another reference.
    """
    entry = _decoded(Entry, content, where)
    if entry.listed.name != name:
        raise DataError(f"{where} is the entry of {entry.listed.name[:80]}, not of {name}")
    if problem := _contradiction(entry):
        raise DataError(f"{where} is not valid: {problem}")
    return entry


def decode_index(content: bytes, where: str) -> Index:
    """The index in a JSON text. Raises: DataError if it is damaged."""
    index = _decoded(Index, content, where)
    for listed in index.entries:
        if problem := _odd_listed(listed):
            raise DataError(f"{where} is not valid: {problem}")
    names = [listed.name for listed in index.entries]
    if len(set(names)) < len(names):
        raise DataError(f"{where} is not valid: it lists an entry twice")
    return index


def _decoded(kind: type[Kind], content: bytes, where: str) -> Kind:
    try:
        value: Any = schema.parse_json(content)
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON ({str(error).splitlines()[0]})") from None
    if not schema.is_schema(value, SCHEMA):
        found = value.get("schema") if isinstance(value, dict) else value
        raise DataError(
            f"{where} has schema {repr(found)[:40]}, but this program reads {SCHEMA}: use the"
            " version of the program that wrote it"
        )
    try:
        return schema.decode(kind, value, where)
    except UsageError as error:
        raise DataError(str(error)) from None


def _odd_listed(listed: Listed) -> str:
    """What is wrong with a line of the index, or ''."""
    about = listed.about
    try:
        check_part("name", about.name)
        check_part("tag", about.tag)
        schema.check_sha256(listed.archive.sha256, "archive:")
        schema.check_sha256(about.tokenizer_sha256, "tokenizer_sha256:")
    except UsageError as error:
        return str(error)
    if listed.archive.name != f"{about.tag}.tar":
        return f"the archive must be {about.tag}.tar, but is {listed.archive.name[:80]!r}"
    for what in ("licence", "description"):
        if len(text := getattr(about, what)) > MAX_TEXT:
            return f"{what} has {len(text):,} characters, more than {MAX_TEXT:,}"
    return ""


def _contradiction(entry: Entry) -> str:
    """What is wrong with an entry, or ''."""
    return _odd_listed(entry.listed) or odd_files(entry.files)


def odd_files(files: Sequence[File]) -> str:
    """What is wrong with the files of an archive, or ''."""
    if not 0 < len(files) <= MAX_FILES:
        return f"it has {len(files):,} files, not 1 to {MAX_FILES:,}"
    for file in files:
        if len(file.name) > MAX_FILE_NAME or not FILE_NAME.fullmatch(file.name):
            return (
                f"{file.name[:120]!r} is not the name of a file inside a run: such a name is"
                f" relative, has no '..', and at most {MAX_FILE_NAME} letters, digits, '.', '_',"
                " '-' and '/'"
            )
        if file.size >= MAX_FILE_BYTES:
            return f"{file.name} has {file.size:,} bytes, not less than {MAX_FILE_BYTES:,}"
        try:
            schema.check_sha256(file.sha256, f"{file.name}:")
        except UsageError as error:
            return str(error)
    names = {file.name for file in files}
    if len(names) < len(files):
        return "it names a file twice"
    if OWN in names:
        return f"it names a file {OWN}, which is the entry's own"
    folders = {name[:at] for name in names for at in range(len(name)) if name[at] == "/"}
    if both := sorted(names & folders):
        return f"{both[0]!r} is a file and a directory"
    return ""
