"""Own text: where it is found, and how it is divided."""

from __future__ import annotations

import pytest

from par.core.errors import DataError
from par.data import corpus, own_text

FRACTIONS = (0.9, 0.05, 0.05)


def lines_of(found: corpus.Corpus) -> dict[str, list[str]]:
    return {name: list(text.pieces()) for name, text in found.texts.items()}


def all_lines(found: corpus.Corpus) -> list[str]:
    return [line for text in found.texts.values() for line in text.pieces()]


def test_a_file_is_divided_by_lines_in_order(tmp_path):
    (tmp_path / "book.one.txt").write_text("".join(f"{i}\n" for i in range(101)))
    found = own_text.load(str(tmp_path / "book.one.txt"), (0.7, 0.2, 0.1))
    parts = lines_of(found)
    assert found.name == "book.one"
    assert [len(parts[name]) for name in corpus.SPLITS] == [71, 20, 10]
    assert all_lines(found) == [str(i) for i in range(101)]


def test_a_directory_with_splits_is_taken_as_it_is(tmp_path):
    for name in (*corpus.SPLITS, "other"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    assert lines_of(own_text.load(str(tmp_path), FRACTIONS)) == {
        name: [name] for name in corpus.SPLITS
    }


def test_a_directory_and_a_glob_take_all_texts_sorted(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n" * 7)
    (tmp_path / "d.md").write_text("d\n")
    (tmp_path / "._a.txt").write_bytes(b"\0\5\x16\7" * 9)  # a system's, beside a.txt
    for given in (str(tmp_path), f"{tmp_path}/*.txt", f"{tmp_path}/[a-c]*"):
        found = own_text.load(given, FRACTIONS)
        assert found.name == tmp_path.name
        assert all_lines(found) == ["a"] * 7 + ["b"] * 7 + ["c"] * 7


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path):
    (tmp_path / "a[1].txt").write_text("x\n")
    assert own_text.load(str(tmp_path / "a[1].txt"), FRACTIONS).name == "a[1]"


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        ([], "no.txt", "does not exist: give a file, a directory or a glob"),
        ([], "*.txt", "does not exist"),
        ([], "x" * 300, "can't be read"),
        (["folder/a.md"], "folder", "a directory without a .txt file"),
        (
            ["folder/train.txt", "folder/test.txt"],
            "folder",
            "has train.txt, test.txt, but not valid.txt",
        ),
    ],
)
def test_text_that_is_not_there_is_refused(tmp_path, make, given, message):
    for name in make:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    with pytest.raises(DataError, match=message):
        own_text.load(str(tmp_path / given), FRACTIONS)


def test_a_device_is_refused_before_it_is_read():
    with pytest.raises(DataError, match="neither a regular file nor a directory"):
        own_text.load("/dev/zero", FRACTIONS)
