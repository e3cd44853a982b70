"""Files of documents: lines of JSON and mailboxes (mbox), plain or compressed by gzip or xz.

    {"id": "a1", "text": "...", "author": "x", "group": "y", "parent": null}    a line each

Which keys are which says `--fields`. Of a message, From is the author, the mailing list or else
the file the group, In-Reply-To or else the last of References the parent; its text is the first
text/plain part, without what it quotes and without a signature.
"""

from __future__ import annotations

import email
import email.utils
import glob
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path
from typing import Any

from par.core.errors import DataError, UsageError
from par.core.progress import Progress
from par.data import own_text, text_formats
from par.data.corpus import SPLITS, Corpus
from par.data.document_index import Document, gather

MAX_LINE_BYTES = 1 << 30  # of a line of JSON, or of a message
ENDINGS = tuple(
    f".{kind}{packed}" for kind in ("jsonl", "ndjson", "mbox") for packed in ("", ".gz", ".xz")
)
FIELDS = ("id", "text", "author", "group", "parent")
DELETED = ("[deleted]", "[removed]")  # what Reddit puts for an author or a text that is gone
COMMENT = re.compile(r"t1_([0-9a-z]+)")  # Reddit's full name of a comment whose id is the rest


def load(
    input_documents: str,
    fields: str,
    split_by: str,
    fractions: Sequence[float],
    directory: Path | None = None,
) -> Corpus:
    """The documents of a file, of all files of a glob or a directory, or of a directory whose
    files are the three splits.

    Raises: DataError, with file and line, for what is not a document, a missing or repeated id, a
    document that is its own ancestor, or a line of more than 1 GiB; UsageError for `fields` that
    can't be; ResourceError if the disk is full.
    """
    keys, counts = parse_fields(fields), Counter()
    name, found = _find(input_documents)
    try:
        return gather(
            name,
            itertools.chain.from_iterable(
                _read(path, number, keys, fields, split, counts)
                for number, (split, path) in enumerate(found)
            ),
            split_by=split_by,
            fractions=fractions,
            files_read=[path for _, path in found],
            counts=counts,
            directory=directory,
        )
    except OSError as error:
        if isinstance(error, (DataError, UsageError)) or not error.filename:
            raise
        raise DataError(f"{error.filename} can't be read ({error.strerror})") from None


def parse_fields(text: str) -> dict[str, str]:
    """`text:body,parent:parent_id` as the key of each field. Raises: UsageError."""
    keys = {field: field for field in FIELDS}
    given = [part.partition(":") for part in text.split(",")] if text else []
    for field, _, key in given:
        if field not in FIELDS or not key:
            raise UsageError(
                f"--fields must be pairs of a field ({', '.join(FIELDS)}) and a key, such as"
                f" text:body,parent:parent_id, but is {text!r}"
            )
        keys[field] = key
    if len(given) != len({field for field, _, _ in given}):
        raise UsageError(f"--fields={text} names a field twice: give each one key")
    return keys


def _find(input_documents: str) -> tuple[str, list[tuple[str | None, Path]]]:
    """The name of the documents, and their files with their splits: None where they have none."""
    path = Path(input_documents).expanduser()
    if path.is_file():
        return own_text.name_of(path.name), [(None, path)]
    if not path.is_dir():
        found = sorted(Path(each) for each in glob.glob(str(path), recursive=True))
        found = [each for each in found if each.is_file()]
        if not found:
            raise DataError(
                f"--input_documents={input_documents} does not exist: give a file, a directory or"
                " a glob in quotes"
            )
        return path.parent.resolve().name or "documents", [(None, each) for each in found]
    found = sorted(
        each
        for each in path.iterdir()
        if each.is_file() and not own_text.is_hidden(each.name) and each.name.endswith(ENDINGS)
    )
    if not found:
        raise DataError(
            f"--input_documents={input_documents} is a directory without a .jsonl or .mbox file:"
            " give a glob in quotes for files of other names"
        )
    name = path.resolve().name or "documents"
    named = [own_text.name_of(each.name) for each in found]
    if sorted(named) == sorted(SPLITS):
        return name, list(zip(named, found))
    return name, [(None, each) for each in found]


def train_bytes(input_documents: str, fraction: float) -> int:
    """About how many bytes the train split will have: those of its files as they lie on the disk.
    Raises: DataError if there are none."""
    _, found = _find(input_documents)
    if own := [path for split, path in found if split == "train"]:
        return own[0].stat().st_size
    return round(fraction * sum(path.stat().st_size for _, path in found))


def _read(
    path: Path, file: int, keys: dict[str, str], fields: str, split: str | None, counts: Counter
) -> Iterator[Document]:
    """The documents of a file, which tells by its first bytes what it is."""
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        return
    rest = itertools.chain([first], lines)
    if not first[1].startswith(b"From "):
        for number, line in rest:
            if line.strip():
                where = f"{path}:{number}"
                yield _of_json(line, keys, where, counts)._replace(
                    file=file, line=number, split=split
                )
        return
    if fields:
        raise UsageError(f"--fields is for lines of JSON, but {path} is an mbox: leave it out")
    group = own_text.name_of(path.name)
    for number, message in _messages(rest, path):
        document = _of_message(email.message_from_bytes(message), group, f"{path}:{number}")
        yield document._replace(file=file, line=number, split=split)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a text file, from 1, without their ends."""
    number, begun, size = 1, [], 0

    def grown(part: bytes) -> int:
        if size + len(part) > MAX_LINE_BYTES:
            raise DataError(
                f"{path}:{number}: the line has more than {MAX_LINE_BYTES >> 20:,} MiB: is this a"
                " file of documents?"
            )
        return size + len(part)

    with Progress(f"reading {path.name}", "byte", path.stat().st_size) as made:
        for piece, bytes_read in text_formats.pieces(path):
            *ended, rest = piece.split(b"\n")
            for line in ended:
                grown(line)
                yield number, b"".join([*begun, line]) if begun else line
                number, begun, size = number + 1, [], 0
            size = grown(rest)
            begun.append(rest)
            made(bytes_read)
    if size:
        yield number, b"".join(begun)


# ---- lines of JSON ----


def _of_json(line: bytes, keys: dict[str, str], where: str, counts: Counter) -> Document:
    try:
        record = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise DataError(f"{where}: the line is not JSON ({what.splitlines()[0][:120]})") from None
    if not isinstance(record, dict):
        raise DataError(f"{where}: the line must be a JSON object, not a {type(record).__name__}")
    text, *names = (
        _value(record, keys[name], where) for name in ("text", *FIELDS[:1], *FIELDS[2:])
    )
    identity, author, group, parent = names
    if not identity:
        raise DataError(
            f"{where}: the document has no {keys['id']!r}, a unique id: --fields=id:KEY names"
            " another key"
        )
    if text is None and keys["text"] not in record:
        raise DataError(
            f"{where}: the document has no {keys['text']!r}: --fields=text:KEY names the key of"
            " its text"
        )
    used = {part for key in keys.values() for part in (key, key.partition(".")[0])}
    counts["ignored_keys"] += len(record.keys() - used)
    return Document(
        "" if text is None or text in DELETED else text,
        _without_kind(identity),
        None if author in DELETED else author or None,
        group or None,
        _without_kind(parent) if parent else None,
    )


def _value(record: dict[str, Any], key: str, where: str) -> str | None:
    """The text under a key; a whole number counts as one. Raises: DataError for another type."""
    value: Any = record
    for part in [key] if key in record else key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: {key!r} must be a text, but is of type {type(value).__name__}")


def _without_kind(name: str) -> str:
    """A comment of Reddit has an id, and answers name it by that with its kind in front."""
    found = COMMENT.fullmatch(name)
    return found[1] if found else name


# ---- mailboxes ----

# the line in front of a message: other lines may begin with From, but have no time
ENVELOPE = re.compile(rb"From .*\d:\d\d")
ESCAPED = re.compile(rb">+From ")
IN_ANGLES = re.compile(r"<([^<>\s]+)>")
QUOTE = re.compile(r"\s*(>|\|\s)")
ATTRIBUTION = re.compile(r".*\b(wrote|writes|said|schrieb|écrit|escribió)\s*:\s*", re.IGNORECASE)
FOOTER = re.compile(r"_{30,}\s*")  # of mailing lists


def _messages(lines: Iterator[tuple[int, bytes]], path: Path) -> Iterator[tuple[int, bytes]]:
    """The messages of a mailbox, each with the number of its first line."""
    begin, message, size = 0, [], 0
    for number, line in lines:
        if not begin or ENVELOPE.match(line):
            if begin:
                yield begin, b"\n".join(message)
            begin, message, size = number, [], 0
            continue
        message.append(line[1:] if ESCAPED.match(line) else line)
        size += len(line) + 1
        if size > MAX_LINE_BYTES:
            raise DataError(
                f"{path}:{begin}: the message has more than {MAX_LINE_BYTES >> 20:,} MiB"
            )
    yield begin, b"\n".join(message)


def _of_message(message: Message, group: str, where: str) -> Document:
    identity = _names(message, "Message-ID")
    if not identity:
        raise DataError(f"{where}: the message has no Message-ID, which is its id")
    parents = _names(message, "In-Reply-To")[:1] or _names(message, "References")[-1:]
    sender = str(message.get("From", "")).replace(" at ", "@")  # as public archives write it
    lists = _names(message, "List-Id")
    return Document(
        without_quotes(_body(message)),
        identity[0],
        author=email.utils.parseaddr(sender)[1].lower() or None,
        group=lists[0].lower() if lists else group,
        parent=parents[0] if parents else None,
    )


def _names(message: Message, header: str) -> list[str]:
    """What a header has in angle brackets, or else all of it."""
    value = str(message.get(header, "")).strip()
    return IN_ANGLES.findall(value) or ([value] if value else [])


def _body(message: Message) -> str:
    """The first plain text of a message that is not an attachment; '' if there is none."""
    for part in message.walk():
        if part.get_content_type() != "text/plain" or part.get_content_disposition() == (
            "attachment"
        ):
            continue
        data = part.get_payload(decode=True) or b""
        try:
            return data.decode(part.get_content_charset() or "utf-8", "replace")
        except (LookupError, ValueError):
            return data.decode("utf-8", "replace")
    return ""


def without_quotes(body: str) -> str:
    """The lines of a message that its author wrote: no quotes, no line that announces one, nothing
    from a signature or a mailing list's footer on."""
    kept: list[str] = []
    for line in body.replace("\r\n", "\n").split("\n"):
        if line.rstrip() == "--" or FOOTER.fullmatch(line):
            break
        if not QUOTE.match(line):
            kept.append(line)
            continue
        while kept and not kept[-1].strip():
            kept.pop()
        if kept and ATTRIBUTION.fullmatch(kept[-1]):
            kept.pop()
    return "\n".join(kept)
