"""The documents of a data set: each span of the stream is the text of its document, and the
tables say of whom it is, held to a naive reading of the same lines."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from built import SMALL, contents
from made_documents import cleaned, is_empty, numbered, split_of, threads, write_lines
from par.core.errors import DataError
from par.data import document_index, document_tables, documents, records
from par.data.documents import AUTHOR, DEPTH, GROUP, LENGTH, NONE, PARENT, START
from par.data.tokenizer import EOS, Tokenizer
from par.tools import build_data

NUMBER = 601
SHARED = ("--split_fractions=0.6", "--split_fractions=0.2", "--split_fractions=0.2", *SMALL)


def build(root: Path, name: str, *flags: str) -> Path:
    given = [f"--input_documents={root / 'made.jsonl'}", *SHARED, *flags]
    assert build_data.main([*given, f"--output_dir={root / name}"]) == 0
    return root / name


@pytest.fixture(scope="module")
def lines() -> list[dict]:
    return threads(NUMBER)


@pytest.fixture(scope="module")
def root(tmp_path_factory, lines) -> Path:
    """A directory with made.jsonl and what is built from it; not to be changed."""
    place = tmp_path_factory.mktemp("documents")
    write_lines(place / "made.jsonl", lines)
    for kind in ("group", "author", "thread"):
        build(place, kind, f"--split_by={kind}", "--shards=3")
    return place


@pytest.mark.parametrize("kind", ["group", "author", "thread"])
def test_a_span_decodes_to_its_text_and_the_columns_are_those_of_a_naive_reading(
    root, lines, kind
):
    data, by_id = root / kind, {each["id"]: each for each in lines}
    manifest, tokenizer = records.load(data), Tokenizer.load(root / kind / "tokenizer.model")
    authors, groups = numbered(lines, "author"), numbered(lines, "group")
    kept = [each for each in lines if not is_empty(each)]
    split_by_id = {each["id"]: split_of(each, kind, by_id) for each in kept}
    unknown = elsewhere = 0
    for split in records.SPLITS:
        reader = documents.token_reader(data, split)
        mine = [each for each in kept if split_by_id[each["id"]] == split]
        row_of = {each["id"]: row for row, each in enumerate(mine)}
        left_out = manifest.documents.splits[split].left_out
        assert len(reader.table) + left_out == len(mine) and left_out < 3
        for row, each in enumerate(mine):
            parent = each["parent"] if each["parent"] in split_by_id else None
            unknown += each["parent"] is not None and parent is None
            elsewhere += parent is not None and parent not in row_of
            if row >= len(reader.table):
                continue
            found = reader.table[row]
            assert tokenizer.decode(reader.document(row)) == cleaned(each["text"]) + "\n"
            assert found[AUTHOR] == authors[each.get("author")]
            assert found[GROUP] == groups[each.get("group")]
            above = row_of.get(parent, NONE)
            assert found[PARENT] == (above if above < len(reader.table) else NONE)
            depth, above = 0, found[PARENT]
            while above != NONE:
                depth, above = depth + 1, reader.table[above, PARENT]
            assert found[DEPTH] == depth
    counts = manifest.documents.counts
    assert counts["empty"] == len(lines) - len(kept) > 9
    assert counts["ignored_keys"] == len(lines)
    assert counts["unknown_parents"] == unknown > 9
    assert counts["parents_in_other_splits"] == elsewhere
    assert (elsewhere == 0) == (kind == "thread")
    assert manifest.documents.authors == len(authors) - 1
    assert manifest.documents.groups == len(groups) - 1


@pytest.mark.parametrize(("kind", "column"), [("group", GROUP), ("author", AUTHOR)])
def test_splits_share_no_group_or_author(root, kind, column):
    names = [
        set(documents.load(root / kind, split)[:, column].tolist()) - {NONE}
        for split in records.SPLITS
    ]
    assert all(len(each) > 2 for each in names)
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])


def test_every_document_ends_with_a_line_and_none_overlap_and_the_reader_is_the_stream(root):
    data = root / "group"
    manifest = records.load(data)
    for split in records.SPLITS:
        reader, table = documents.token_reader(data, split), documents.load(data, split)
        stream = records.read_stream(data, manifest, split)
        assert len(reader) == len(stream) and np.array_equal(reader[:], stream)
        ends = table[:, START] + table[:, LENGTH]
        assert (table[1:, START] > ends[:-1]).all() and (stream[ends - 1] == EOS).all()
        assert (stream[ends] == EOS)[:-1].all()  # the blank line that belongs to none
        draw = np.random.default_rng(3)
        for start, stop in np.sort(draw.integers(0, len(stream), size=(40, 2)), axis=1):
            assert np.array_equal(reader[start:stop], stream[start:stop])
        assert np.array_equal(reader[: 1 << 60], stream) and len(reader[9:3]) == 0
        assert reader[:1].dtype == np.int32


def test_the_same_lines_give_the_same_bytes_compressed_elsewhere_and_in_small_parts(
    root, tmp_path, lines, monkeypatch
):
    before = contents(root / "group")
    write_lines(tmp_path / "made.jsonl", lines)
    for module in (documents, document_tables):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(document_tables, "TOKENS_AT_ONCE", 11)
    monkeypatch.setattr(document_index, "COPY_BYTES", 13)
    again = contents(build(tmp_path, "again", "--shards=3"))
    assert again == before
    assert {"documents/train.npy", "documents/valid.npy", "documents/test.npy"} < set(before)


def test_documents_that_reach_into_the_dropped_end_of_train_are_left_out(root, tmp_path, lines):
    write_lines(tmp_path / "made.jsonl", lines)
    data = build(tmp_path, "long", "--batch_size=101", "--seq_len=97")
    manifest, table = records.load(data), documents.load(data, "train")
    split = manifest.splits["train"]
    assert split.dropped > 1000 and manifest.documents.splits["train"].left_out > 9
    assert table[-1, START] + table[-1, LENGTH] <= split.tokens - split.dropped
    whole = documents.load(root / "group", "train")
    cut = len(table)
    assert np.array_equal(whole[:cut, [START, LENGTH, AUTHOR, GROUP]], table[:, :PARENT])
    # an answer that stands before what it answers may lose it
    expected = np.where(whole[:cut, PARENT] < cut, whole[:cut, PARENT], NONE)
    assert np.array_equal(table[:, PARENT], expected)
    for name in ("valid", "test"):
        assert manifest.documents.splits[name].left_out == 0


def test_no_name_and_no_id_is_in_any_file(root):
    for name, content in contents(root / "author").items():
        assert b"Writer" not in content and b"Number" not in content, name
        assert b"id17" not in content and b"nobody" not in content, name


def test_a_table_is_read_as_numpy_reads_it_and_can_not_be_written(root):
    table = documents.load(root / "thread", "valid")
    assert np.array_equal(np.load(root / "thread" / "documents" / "valid.npy"), table)
    assert table.dtype == np.int64 and not table.flags.writeable


# ---- what is not as it was built ----


@pytest.fixture
def copy(root, tmp_path) -> Path:
    return Path(shutil.copytree(root / "thread", tmp_path / "data"))


DAMAGE = {
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-8]), "ends at byte"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "continues at byte"),
    "flipped": (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"),
        "is not the file that was built: SHA-256",
    ),
    "missing": (lambda path: path.unlink(), "is missing"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "is missing"),
    "another one": (
        lambda path: path.with_name("more.npy").write_bytes(b""),
        "more.npy is not in the manifest",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_table_is_found_by_load_and_by_verify(copy, capsys, case):
    damage, message = DAMAGE[case]
    damage(copy / "documents" / "valid.npy")
    with pytest.raises(DataError, match=message):
        records.verify(copy, records.load(copy))
    if case != "another one":
        with pytest.raises(DataError, match=message):
            documents.load(copy, "valid")
        assert len(documents.load(copy, "train"))
    capsys.readouterr()
    assert build_data.main([f"--verify={copy}"]) == 3 and message in capsys.readouterr().err


FORGED = {
    "begins too early": ((1, START), 0, "row 1 is empty, or begins before"),
    "ends too late": ((-1, LENGTH), 1 << 40, "ends beyond the"),
    "a sum beyond int64": ((-1, [START, LENGTH]), (1 << 62) + 9, "ends beyond the"),
    "no length": ((2, LENGTH), 0, "row 2 is empty"),
    "an author too many": ((3, AUTHOR), 29, "row 3 has an author outside the 29"),
    "no such group": ((3, GROUP), -2, "row 3 has a group outside"),
    "a parent too many": ((4, PARENT), 1 << 40, "row 4 has a parent outside"),
    "its own parent": ((4, PARENT), 4, "row 4 has depth"),
    "another depth": ((0, DEPTH), 7, "has depth"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_table_whose_hash_is_right_is_refused_where_it_can_not_be(copy, case):
    place, value, message = FORGED[case]
    path = copy / "documents" / "train.npy"
    table = np.load(path)
    table[place] = value
    np.save(path, table)
    whole = json.loads((copy / "manifest.json").read_text())
    whole["documents"]["splits"]["train"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(whole))
    with pytest.raises(DataError, match=message):
        documents.load(copy, "train")


@pytest.mark.parametrize("header", ["fortran", "pickle"])
def test_another_kind_of_array_is_never_read(copy, header):
    path = copy / "documents" / "train.npy"
    content = path.read_bytes()
    new = {
        "fortran": content.replace(b"'fortran_order': False", b"'fortran_order': True "),
        "pickle": content.replace(b"'<i8'", b"'|O' "),
    }[header]
    path.write_bytes(new)
    whole = json.loads((copy / "manifest.json").read_text())
    whole["documents"]["splits"]["train"]["sha256"] = hashlib.sha256(new).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(whole))
    with pytest.raises(DataError, match="does not begin as an array int64"):
        documents.load(copy, "train")


def test_a_record_file_that_is_gone_is_named(copy):
    reader = documents.token_reader(copy, "valid")
    for path in (copy / "valid").glob("*"):
        path.unlink()
    with pytest.raises(DataError, match=r"part-00000-of-00003.tfrecord is missing"):
        reader.document(0)


def test_plain_text_has_no_documents_and_says_what_to_build(tmp_path):
    (tmp_path / "text.txt").write_text("a line of text\n" * 99)
    flags = [f"--input_text={tmp_path / 'text.txt'}", *SMALL, f"--output_dir={tmp_path / 'data'}"]
    assert build_data.main(flags) == 0
    with pytest.raises(DataError, match="has no documents, as it was built from plain text"):
        documents.token_reader(tmp_path / "data", "train")
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["documents"] is None
    (tmp_path / "data" / "documents").mkdir()
    (tmp_path / "data" / "documents" / "train.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"train.npy is not in the manifest"):
        records.verify(tmp_path / "data", records.load(tmp_path / "data"))


# ---- the manifest ----


def test_a_manifest_of_schema_2_is_read_as_one_without_documents(copy):
    path = copy / "manifest.json"
    whole = json.loads(path.read_text())
    expected = dataclasses.replace(
        records.load(copy),
        documents=None,
        settings=whole["settings"]
        | {"input_documents": "", "input_text": "made.jsonl"}
        | {"fields": "", "split_by": "group"},
    )
    del whole["documents"]
    old = {
        name: value
        for name, value in whole["settings"].items()
        if name not in ("input_documents", "fields", "split_by")
    }
    path.write_text(
        json.dumps(whole | {"schema": 2, "settings": old | {"input_text": "made.jsonl"}})
    )
    assert records.load(copy) == expected


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("splits", {}, "documents are of , not train, valid, test"),
        ("counts", {"empty": 0}, "documents count"),
        ("split_by", "colour", "documents are split by 'colour', not by one of group, author"),
        ("sha256", "x", "documents: 'x' is not a SHA-256"),
        ("authors", -1, "must be of type int"),
        ("names", ["a"], "unknown or missing"),
    ],
)
def test_documents_that_a_manifest_can_not_have_are_refused(copy, place, value, message):
    path = copy / "manifest.json"
    whole = json.loads(path.read_text())
    whole["documents"][place] = value
    path.write_text(json.dumps(whole))
    with pytest.raises(DataError, match=message):
        records.load(copy)


def test_more_documents_than_lines_are_refused(copy):
    path = copy / "manifest.json"
    whole = json.loads(path.read_text())
    whole["documents"]["splits"]["valid"]["rows"] = 1 << 40
    path.write_text(json.dumps(whole))
    with pytest.raises(DataError, match="more than its"):
        records.load(copy)
