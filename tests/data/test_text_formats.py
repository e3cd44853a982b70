"""A file becomes plain UTF-8, or is refused in a line that names what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from par.core import files
from par.core.errors import DataError, ResourceError
from par.data import own_text, text_formats
from par.data.corpus import SPLITS, Text, measure
from par.data.text_formats import DecodedText, plain

TEXT = "".join(f"line {i} \u00e9 \u4e2d \U0001f600\n" for i in range(9_000))
RAW = TEXT.encode()


def at(folder: Path, content: bytes, name: str = "text.txt") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def read(source) -> bytes:
    with source.open("rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "content", [b"", b"a", b"\xef\xbb\xbfa\r\nb\r\n", b"a\0\xff\n", RAW, b"a\rb\n"]
)
def test_plain_utf_8_is_read_where_it_is(tmp_path, content):
    path = at(tmp_path, content)
    assert plain(path) is path


BOM = b"\xef\xbb\xbf"
DECODED = {
    "gzip": (gzip.compress(RAW), RAW),
    "gzip in two members": (gzip.compress(RAW[:999]) + gzip.compress(RAW[999:]), RAW),
    "xz": (lzma.compress(RAW), RAW),
    "xz in two streams": (lzma.compress(RAW[:999]) + lzma.compress(RAW[999:]), RAW),
    "UTF-16LE": (b"\xff\xfe" + TEXT.encode("utf-16-le"), BOM + RAW),
    "UTF-16BE": (b"\xfe\xff" + TEXT.encode("utf-16-be"), BOM + RAW),
    "UTF-32LE": (b"\xff\xfe\0\0" + TEXT.encode("utf-32-le"), BOM + RAW),
    "UTF-32BE": (b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"), BOM + RAW),
    "UTF-16 in gzip": (gzip.compress(TEXT.encode("utf-16")), BOM + RAW),
    "half a character": (b"\xff\xfea\0\x00\xd8b\0", BOM + b"a\xed\xa0\x80b"),
    "CR": (RAW.replace(b"\n", b"\r"), RAW),
    "CR in UTF-16": (TEXT.replace("\n", "\r").encode("utf-16"), BOM + RAW),
    "one CR": (b"a\rb", b"a\nb"),
    "CR at the end": (b"a\rb\r\r", b"a\nb\n\n"),
}


@pytest.mark.parametrize("piece_bytes", [7, 1 << 20])
@pytest.mark.parametrize("name", DECODED)
def test_what_is_text_is_decoded_in_pieces(tmp_path, monkeypatch, capsys, name, piece_bytes):
    content, expected = DECODED[name]
    if len(content) > 99_999 and piece_bytes == 7:
        piece_bytes = 4_099
    monkeypatch.setattr(text_formats, "PIECE_BYTES", piece_bytes)
    path = at(tmp_path, content)
    decoded = plain(path, tmp_path)
    assert read(decoded) == expected and decoded.stat().st_size == len(expected)
    assert str(decoded) == str(path) and [path] == list(
        tmp_path.iterdir()
    )  # nothing else is there
    said = capsys.readouterr().err
    assert ("CR line ends only" in said) == ("CR" in name) and f"text {path}: " in said


def test_a_line_feed_far_behind_carriage_returns_ends_the_only_lines(tmp_path):
    path = at(tmp_path, b"a\rb " * 30_000 + b"\n")
    assert plain(path) is path


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", RAW)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return file.getvalue()


REFUSED = {
    "zip archive": zipped(),
    "compressed with zstd": b"\x28\xb5\x2f\xfd" + bytes(99),
    "compressed with bzip2": bz2.compress(RAW),
    "7z archive": b"7z\xbc\xaf\x27\x1c" + bytes(99),
    "PDF document": b"%PDF-1.7\n" + RAW,
    "tar archive, not": tarred(),
    r"what gzip compressed\) is a tar archive": gzip.compress(tarred()),
    "compressed with gzip again": lzma.compress(gzip.compress(RAW)),
    "NUL, as in UTF-16LE .* iconv -f UTF-16LE": TEXT.encode("utf-16-le"),
    "NUL, as in UTF-16BE": TEXT.encode("utf-16-be"),
    "NUL, as in UTF-32LE": TEXT.encode("utf-32-le"),
    "NUL, as in UTF-32BE": TEXT.encode("utf-32-be"),
    "NUL, as in a binary file": bytes(10_000),
    "characters are invalid, as in another encoding": ("\u043f\u0440\u0438 \n" * 99).encode(
        "cp1251"
    ),
    "damaged gzip file": gzip.compress(RAW)[:-99],
    "damaged gzip file, or": b"\x1f\x8b" + RAW,
    "damaged xz file": lzma.compress(RAW)[:-99],
    "damaged xz file, or": lzma.compress(RAW)[:500] + bytes(99) + lzma.compress(RAW)[599:],
    "damaged UTF-16": b"\xff\xfe" + TEXT.encode("utf-16-le")[:-1],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_text_is_refused_by_name_and_leaves_nothing(tmp_path, message):
    path = at(tmp_path, REFUSED[message])
    with pytest.raises(DataError, match=message) as refusal:
        plain(path, tmp_path)
    assert str(path) in str(refusal.value) and [path] == list(tmp_path.iterdir())


def test_an_xz_file_that_needs_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_formats, "XZ_MEMORY", 1 << 20)
    with pytest.raises(DataError, match=r"can't be read here \(Memory usage limit exceeded\)"):
        plain(at(tmp_path, lzma.compress(RAW)))


def test_a_text_that_grows_beyond_the_disk_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage(1 << 20))
    path = at(tmp_path, gzip.compress(b"bomb \n" * 1_000_000))
    with pytest.raises(ResourceError, match="No space left"):
        plain(path, tmp_path)
    assert [path] == list(tmp_path.iterdir())


def test_a_compressed_text_in_another_encoding_is_the_plain_one(tmp_path):
    plain_text = own_text.load(str(at(tmp_path, RAW, "a.txt")), (0.8, 0.1, 0.1))
    other = own_text.load(
        str(at(tmp_path, gzip.compress(TEXT.encode("utf-16")), "a.txt.gz")), (0.8, 0.1, 0.1)
    )
    assert plain_text.name == other.name == "a"
    for split in SPLITS:
        assert measure(plain_text.texts[split]) == measure(other.texts[split])
    assert isinstance(other.texts["train"].parts[0].source, DecodedText)


def test_a_prompt_is_decoded_as_a_file_of_the_same_bytes():
    for content, expected in DECODED.values():
        assert text_formats.plain_bytes("-", content, len(expected)) == expected


def test_a_compressed_prompt_is_decoded_no_further_than_its_limit(monkeypatch):
    monkeypatch.setattr(text_formats, "PIECE_BYTES", 100)
    assert len(text_formats.plain_bytes("-", gzip.compress(b"a" * 5000), 1000)) <= 1100
    with pytest.raises(DataError, match="zip archive"):
        text_formats.plain_bytes("-", zipped(), 1000)


def test_a_decoded_text_is_gone_with_its_last_user(tmp_path):
    decoded = plain(at(tmp_path, gzip.compress(RAW)))
    descriptor = decoded._descriptor
    text = Text.of(decoded)
    del decoded
    assert next(text.blocks())
    del text
    with pytest.raises(OSError, match="Bad file descriptor"):
        text_formats.os.fstat(descriptor)
