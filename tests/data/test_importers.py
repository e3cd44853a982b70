"""Lines of JSON and mailboxes as documents: which keys and headers are which, what is cut, and
what is refused with file and line."""

from __future__ import annotations

import gzip
import json
import lzma
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from par.core.errors import DataError, UsageError
from par.data import importers
from par.data.corpus import SPLITS, Corpus
from par.data.document_index import Document
from par.data.documents import AUTHOR, GROUP, PARENT

KEYS = importers.parse_fields("")


def read(path: Path, fields: str = "") -> tuple[list[Document], Counter]:
    counts: Counter = Counter()
    keys = importers.parse_fields(fields)
    return list(importers._read(path, 0, keys, fields, None, counts)), counts


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in records))
    return path


# ---- which files ----


def many(path: Path, number: int, first: int = 0) -> Path:
    return lines(
        path, *({"id": f"{i}", "text": f"text {i}"} for i in range(first, first + number))
    )


def load(place: object, **changes: object) -> Corpus:
    asked = {"fields": "", "split_by": "thread", "fractions": (0.4, 0.3, 0.3)} | changes
    return importers.load(str(place), **asked)


def found(corpus: Corpus) -> list[str]:
    return sorted(
        (line for text in corpus.texts.values() for line in text.pieces() if line),
        key=lambda line: int(line.split()[1]),
    )


def test_a_file_a_directory_and_a_glob_are_read_in_the_order_of_their_names(tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    many(folder / "b.jsonl", 40, 40)
    many(folder / "a.jsonl", 40)
    many(folder / "x.txt", 5, 900)
    many(folder / ".hidden.jsonl", 5, 950)
    one = load(many(tmp_path / "all.jsonl", 80))
    expected = [f"text {i}" for i in range(80)]
    assert found(one) == expected and one.name == "all"
    for place in (folder, folder / "[ab].jsonl"):
        several = load(place)
        assert found(several) == expected and several.name == "some"
        assert several.documents.sha256() == one.documents.sha256()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_compressed_file_is_read_as_the_plain_one(tmp_path, pack):
    plain = load(many(tmp_path / "all.jsonl", 80))
    name = "all.jsonl.gz" if pack is gzip.compress else "all.jsonl.xz"
    (tmp_path / name).write_bytes(pack((tmp_path / "all.jsonl").read_bytes()))
    packed = load(tmp_path / name)
    assert packed.name == "all" and packed.documents.sha256() == plain.documents.sha256()


def test_three_files_named_after_the_splits_are_the_splits(tmp_path):
    for number, split in enumerate(SPLITS):
        many(tmp_path / f"{split}.jsonl", 5, 5 * number)
    corpus = load(tmp_path)
    assert corpus.documents.split_by == "corpus"
    for number, split in enumerate(SPLITS):
        assert list(corpus.texts[split].pieces())[::2] == [
            f"text {i}" for i in range(5 * number, 5 * number + 5)
        ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.jsonl", "no.jsonl does not exist: give a file, a directory or a glob"),
        ("empty", "is a directory without a .jsonl or .mbox file"),
        ("no/*.jsonl", "does not exist"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


# ---- fields ----


def test_fields_name_keys_also_inside_objects(tmp_path):
    path = lines(
        tmp_path / "x.jsonl",
        {"n": 7, "m": {"who": "x", "on": {"a": "b"}}, "body": "T", "to": None, "text": "no"},
        {"n": 8, "m": {}, "m.who": "y", "body": "U", "to": 7, "more": 1, "other": 2},
    )
    documents, counts = read(path, "id:n,text:body,author:m.who,group:m.on.a,parent:to")
    assert documents == [
        Document("T", "7", "x", "b", None, 0, 1),
        Document("U", "8", "y", None, "7", 0, 2),
    ]
    assert counts == {"ignored_keys": 3}


def test_lines_of_convokit_and_of_pushshift(tmp_path):
    convokit = {"id": "u2", "conversation_id": "u1", "text": "Yes.", "speaker": "Ann"}
    path = lines(tmp_path / "utterances.jsonl", convokit | {"reply-to": "u1", "meta": {"a": 1}})
    assert read(path, "author:speaker,group:conversation_id,parent:reply-to")[0] == [
        Document("Yes.", "u2", "Ann", "u1", "u1", 0, 1)
    ]
    comments = [
        {"id": "c1", "body": "First.", "author": "x", "subreddit": "a", "parent_id": "t3_c2"},
        {"id": "c2", "body": "Second.", "author": "y", "subreddit": "a", "parent_id": "t1_c1"},
        {"id": "c3", "body": "[deleted]", "author": "[deleted]", "parent_id": "t1_c2"},
        {"id": "t1_c4", "body": "By its full name.", "author": "", "parent_id": "t1_c3"},
    ]
    path = lines(tmp_path / "RC_2012", *comments)
    assert read(path, "text:body,group:subreddit,parent:parent_id")[0] == [
        Document("First.", "c1", "x", "a", "t3_c2", 0, 1),  # a submission, not the comment c2
        Document("Second.", "c2", "y", "a", "c1", 0, 2),
        Document("", "c3", None, None, "c2", 0, 3),
        Document("By its full name.", "c4", None, None, "c3", 0, 4),
    ]


@pytest.mark.parametrize(
    "fields", ["colour:red", "text", "text:", ":x", "text:a,,id:b", "text:a,text:b"]
)
def test_fields_that_can_not_be_are_refused(fields):
    with pytest.raises(UsageError, match="--fields"):
        importers.parse_fields(fields)


HOSTILE = {
    "not JSON": (b'{"id": "3", "text": "x"', "the line is not JSON"),
    "no object": (b'["3", "x"]', "the line must be a JSON object, not a list"),
    "not UTF-8": (b'{"id": "3", "text": "\xff\xfe"}', "the line is not JSON"),
    "too deep": (b"[" * 100_000, "the line is not JSON"),
    "a long number": (b'{"id": ' + b"9" * 5000 + b', "text": "x"}', "the line is not JSON"),
    "no id": (b'{"text": "x"}', "the document has no 'id', a unique id"),
    "an empty id": (b'{"id": "", "text": "x"}', "the document has no 'id'"),
    "no text": (b'{"id": "3", "body": "x"}', "the document has no 'text': --fields=text:KEY"),
    "an id that is not a text": (
        b'{"id": [3], "text": "x"}',
        "'id' must be a text, but is of type",
    ),
    "a text that is none": (b'{"id": "3", "text": 0.5}', "'text' must be a text"),
    "an author that is none": (
        b'{"id": "3", "text": "x", "author": true}',
        "'author' must be a text, but is of type bool",
    ),
    "the id of the first": (b'{"id": "1", "text": "x"}', "its id is that of"),
    "its own parent": (b'{"id": "3", "text": "x", "parent": "3"}', "is its own ancestor"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_line_that_is_no_document_is_refused_with_file_and_line(tmp_path, case):
    line, message = HOSTILE[case]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"id": "1", "text": "a"}\n\n{"id": "2", "text": "b"}\n' + line + b"\n")
    with pytest.raises(DataError, match=message) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}:4: ") and "\n" not in str(raised.value)


def test_a_line_beyond_the_bound_is_refused_as_soon_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, "MAX_LINE_BYTES", 1000)
    path = many(tmp_path / "x.jsonl", 2)
    for size, is_whole in ((1000, True), (1001, True), (3 << 20, False)):
        head, end = b'{"id": "z", "text": "', b'"}'
        line = head + b"x" * (size - len(head) - len(end)) + (end if is_whole else b"")
        path.write_bytes(path.read_bytes().splitlines()[0] + b"\n" + line + b"\n")
        if size == 1000:
            assert len(read(path)[0][1].text) == 1000 - len(head) - len(end)
            continue
        with pytest.raises(DataError, match=r"x.jsonl:2: the line has more than 0 MiB"):
            read(path)


def test_blank_lines_a_mark_and_a_missing_end_are_taken(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 1, "text": "a"}\r\n \r\n\n{"id": 2, "text": null}')
    documents, _ = read(path)
    assert [(each.id, each.text, each.line) for each in documents] == [("1", "a", 1), ("2", "", 4)]


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"%PDF-1.4 ", b"\0" * 99, b"\x1f\x8b\x08cut"])
def test_another_format_is_refused(tmp_path, head):
    (tmp_path / "x.jsonl").write_bytes(head + b"\xff\0" * 500)
    with pytest.raises(DataError, match=r"x\.jsonl"):
        load(tmp_path / "x.jsonl")


# ---- mailboxes ----

MAILBOX = b"""From ann@here Mon Jan  2 10:00:00 2006
From: Ann Other <Ann@Here.org>
Message-ID: <1@here>
List-Id: Talk about it <talk.lists.here>
Subject: =?utf-8?q?caf=C3=A9?=

Hello,

From now on this is not a new message: it has no time.
>From the start, an escaped line.
> a quote that was there before

-- \nAnn, of a long signature

From bob@there Mon Jan  2 11:00:00 2006
From: bob at there.org (Bob)
Message-ID: <2@there>
In-Reply-To: Ann's message of today <1@here>
References: <0@here> <9@here>
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/html

<p>No</p>
--b
Content-Type: text/plain; charset=latin-1
Content-Transfer-Encoding: quoted-printable

On Monday, Ann wrote:
> Hello,
>
>> older

Caf=E9.
_______________________________________________
talk mailing list
--b--

From c@c Mon Jan  2 12:00:00 2006
Message-ID: <3@c>
References: <1@here>
 <2@there>
Content-Type: text/plain; charset=no-such

Only this.
"""


def test_messages_are_documents_without_quotes_and_signatures(tmp_path):
    (tmp_path / "archive.mbox").write_bytes(MAILBOX)
    documents, counts = read(tmp_path / "archive.mbox")
    first, second, third = documents
    assert first[1:] == ("1@here", "ann@here.org", "talk.lists.here", None, 0, 1, None)
    assert first.text.strip() == (
        "Hello,\n\nFrom now on this is not a new message: it has no time.\n"
        "From the start, an escaped line."
    )
    assert second[1:] == ("2@there", "bob@there.org", "archive", "1@here", 0, 16, None)
    assert second.text.strip() == "Caf\xe9."
    assert third[1:5] == ("3@c", None, "archive", "2@there") and third.text.strip() == "Only this."
    assert not counts


def test_a_mailbox_is_built_as_its_thread(tmp_path):
    text = MAILBOX.decode("latin-1")
    for i in range(30):
        text += (
            f"\nFrom x Mon Jan  2 12:00:00 2006\nFrom: {i % 4}@x\nMessage-ID: <m{i}>\n\ntext {i}\n"
        )
    (tmp_path / "archive.mbox").write_bytes(text.encode("latin-1"))
    tables = load(tmp_path / "archive.mbox").documents.tables
    thread = max(tables.values(), key=lambda table: table[:, PARENT].max())
    assert sorted(thread[thread[:, PARENT] >= 0][:, PARENT].tolist()) == [0, 1]
    assert thread[0, [AUTHOR, GROUP]].tolist() == [0, 0]


def test_a_message_without_an_id_is_refused_where_it_begins_and_so_are_fields(tmp_path):
    path = tmp_path / "archive.mbox"
    path.write_bytes(MAILBOX.replace(b"Message-ID: <2@there>\n", b""))
    with pytest.raises(DataError, match=r"archive.mbox:16: the message has no Message-ID"):
        load(path)
    path.write_bytes(MAILBOX)
    with pytest.raises(UsageError, match="--fields is for lines of JSON"):
        load(path, fields="text:body")


def test_a_message_beyond_the_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, "MAX_LINE_BYTES", 400)
    (tmp_path / "x.mbox").write_bytes(MAILBOX)
    with pytest.raises(DataError, match=r"x.mbox:16: the message has more than"):
        read(tmp_path / "x.mbox")


@given(st.binary(max_size=300))
def test_any_bytes_of_a_message_are_a_document_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("mail") / "x.mbox"
    path.write_bytes(b"From x 10:00\nMessage-ID: <1>\n" + content)
    try:
        documents, _ = read(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(each.text, str) and each.id for each in documents)
