"""Where text comes from, how it is cleaned and divided."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import pytest

from par.core.errors import DataError
from par.data import cleaning, corpus
from par.data.corpus import Text

FRACTIONS = (0.9, 0.05, 0.05)


def cleaned(*parts: bytes) -> tuple[list[str], dict[str, int]]:
    """The lines of texts, and what was counted."""
    tally = Counter()
    text = "".join(Text.of(*parts).blocks(tally))
    assert text.endswith("\n") or not text
    return text.split("\n")[:-1], dict(tally)


@pytest.mark.parametrize(
    ("raw", "lines", "tally"),
    [
        (b"a\nb\n", ["a", "b"], {}),
        (b"a\n\n \nb\n", ["a", "", " ", "b"], {}),
        (b"a\nb", ["a", "b"], {"final_newlines": 1}),
        (b"a\r\nb\r\n", ["a", "b"], {"crlf": 2}),
        (b"a\rb\r\r\n", ["a\rb\r"], {"crlf": 1}),
        (b"\xef\xbb\xbfa\nb\xef\xbb\xbf\n", ["a", "b\ufeff"], {"byte_order_marks": 1}),
        (b"a\x00\x00b\n", ["a\ufffd\ufffdb"], {"nul": 2}),
        (b"\xff\xef\xbf\xbd\xe2\x82z\n", ["\ufffd\ufffd\ufffdz"], {"invalid_utf8": 2}),
        (b"\xed\xa0\x80\n", ["\ufffd\ufffd\ufffd"], {"invalid_utf8": 3}),
        ("\u2581x\u2581\n".encode(), ["\u2581x\u2581"], {"u2581": 2}),
        ("a\x85b\u2028c\x0cd\x0be\x1cf\n".encode(), ["a\x85b\u2028c\x0cd\x0be\x1cf"], {}),
        (b"", [], {}),
    ],
)
def test_cleaning_does_what_it_says_and_counts_it(raw, lines, tally):
    assert cleaned(raw) == (lines, tally)
    assert set(tally) <= set(cleaning.CLEANING)


def test_texts_follow_one_another_and_each_ends_its_last_line():
    assert cleaned(b"a", b"\xef\xbb\xbfb\n", b"") == (
        ["a", "b"],
        {"final_newlines": 1, "byte_order_marks": 1},
    )


def test_a_cut_behind_lines_goes_across_files_and_counts_only_its_own_cleaning(tmp_path):
    paths = [tmp_path / name for name in "abcd"]
    for path, content in zip(paths, (b"a\r\nb\r\nc", b"d\r\ne\n", b"", b"f")):
        path.write_bytes(content)
    assert corpus.count_lines(paths) == 6
    tallies = [Counter(), Counter(), Counter()]
    texts = [
        "".join(text.blocks(tally))
        for text, tally in zip(corpus.cut_behind(paths, [1, 4]), tallies)
    ]
    assert texts == ["a\n", "b\nc\nd\n", "e\nf\n"]
    assert tallies == [{"crlf": 1}, {"crlf": 2, "final_newlines": 1}, {"final_newlines": 1}]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1000])
def test_a_cut_behind_any_lines_is_that_of_the_list_of_lines(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(corpus, "BLOCK_BYTES", block_bytes)
    contents = [b"one\ntwo two\n\n", b"", b"three\r\nfour", b"\n", b"five\nsix six six"]
    paths = [tmp_path / str(i) for i in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content)
    lines = [
        line
        for content in contents
        for line in content.decode().replace("\r\n", "\n").splitlines()
    ]
    assert corpus.count_lines(paths) == len(lines) == 8
    for first in range(len(lines) + 1):
        for second in range(first, len(lines) + 1):
            texts = corpus.cut_behind(paths, [first, second])
            assert ["".join(text.blocks()).splitlines() for text in texts] == [
                lines[:first],
                lines[first:second],
                lines[second:],
            ]


# ---- blocks and long lines ----


LONG = (
    "\ufeffone two  three   four \n\n \n  lead\ttab tail  \r\nx\u00e9y \U0001f600 \u4e2d\u6587 z\n"
    + "word " * 40
    + "\n"
    + " " * 50
    + "\n\ufeffx\nlast"
)


@pytest.mark.parametrize("block_bytes", [*range(1, 12), 29, 64, 1000])
def test_cleaning_does_not_depend_on_the_blocks(monkeypatch, block_bytes):
    raw = LONG.encode() + b"\xff\xe2\x82 \x00\xe2\x96\x81\r"
    whole, tally = cleaned(raw)
    monkeypatch.setattr(corpus, "BLOCK_BYTES", block_bytes)
    assert cleaned(raw) == (whole, tally)
    blocks = list(Text.of(raw).blocks())
    for block, after in itertools.pairwise(blocks):
        assert block.endswith("\n") or (
            after.startswith(" ") and not block.endswith(" ") and after.split("\n")[0].strip(" ")
        )
    assert len(blocks) > 1 or block_bytes >= len(raw)


@pytest.mark.parametrize("limit", [1, 2, 5, 9, 1000])
def test_pieces_joined_are_the_lines_and_are_cut_in_front_of_spaces_only(monkeypatch, limit):
    monkeypatch.setattr(corpus, "PIECE_CHARACTERS", limit)
    for block in (LONG + "\n", LONG, "a b c", "nospace\n", "\n\n", " lead and trail \n"):
        pieces, goes_on = corpus.pieces(block)
        assert (
            "".join(piece + "\n" * (i not in goes_on) for i, piece in enumerate(pieces)) == block
        )
        for i in goes_on[: None if block.endswith("\n") else -1]:
            assert (
                pieces[i + 1].startswith(" ")
                and pieces[i + 1].strip(" ")
                and not pieces[i].endswith(" ")
            )
        words = [len(word) for word in block.replace("\n", " ").split(" ")]
        # of spaces, of which no cut is made, LONG has 50 in a line
        assert max(map(len, pieces)) <= max(limit + 51, *words)


def test_a_long_line_is_read_in_pieces_but_a_run_without_a_space_is_refused_in_bounded_memory(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 16)
    monkeypatch.setattr(corpus, "MAX_RUN_BYTES", 10)
    path = tmp_path / "a.txt"
    path.write_bytes(b"short\n" + b"x" * 10 + b" " + b"y" * 10 + b"\n" + b"ab " * 1000)
    blocks = list(Text.of(path).blocks())
    assert "".join(blocks).encode() == path.read_bytes() + b"\n" and max(map(len, blocks)) < 64
    for before in (b"", b"short\n", b"many words \n and lines\n" * 7 + b"z z"):
        path.write_bytes(before + b"x" * 11 + b" end\n")
        start = len(before) - (1 if before.endswith(b"z") else 0)
        with pytest.raises(
            DataError,
            match=(
                r"a\.txt has more than 0 MiB without the end of a word or a line, from byte"
                rf" {start} on: break it into"
            ),
        ):
            list(Text.of(path).blocks())


@pytest.mark.parametrize("line", [b"x\n", b"abc def\n", b"\n"])
def test_lines_that_fill_a_block_exactly_do_not_pile_up(monkeypatch, line):
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 8 * len(line))
    blocks = list(Text.of(line * 80).raw_blocks())
    assert [block.data for block in blocks] == [line * 8] * 10
    assert [block.ends_part for block in blocks] == [False] * 9 + [True] and [
        block.starts_file for block in blocks
    ] == [True] + [False] * 9


def test_a_run_of_spaces_that_can_not_be_cut_is_refused(monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 16)
    monkeypatch.setattr(corpus, "MAX_RUN_BYTES", 10)
    assert "".join(Text.of(b"a" + b" " * 10 + b"b\n").blocks()) == "a" + " " * 10 + "b\n"
    with pytest.raises(DataError, match="from byte 3 on"):
        list(Text.of(b"a\nb" + b" " * 11 + b"c\n").blocks())


def test_lines_and_bytes_are_counted():
    size = corpus.measure(Text.of("a\u00a0b  \tc\n\n d\x85e".encode()))
    assert (size.lines, size.bytes) == (3, 16)


def test_the_fingerprint_is_what_sha256sum_gives_twice():
    sizes = {
        name: corpus.measure(Text.of(name.encode() + b"\r\n")).sha256 for name in corpus.SPLITS
    }
    digests = {name: hashlib.sha256(f"{name}\n".encode()).hexdigest() for name in corpus.SPLITS}
    listing = "".join(f"{digest}  {name}.txt\n" for name, digest in digests.items())
    assert corpus.fingerprint(sizes) == hashlib.sha256(listing.encode()).hexdigest()


def test_moving_a_line_from_one_split_to_another_changes_the_fingerprint():
    a = {
        name: corpus.measure(Text.of(text)).sha256
        for name, text in zip(corpus.SPLITS, (b"a\nb\n", b"c\n", b"d\n"))
    }
    b = {
        name: corpus.measure(Text.of(text)).sha256
        for name, text in zip(corpus.SPLITS, (b"a\n", b"b\nc\n", b"d\n"))
    }
    assert corpus.fingerprint(a) != corpus.fingerprint(b)
