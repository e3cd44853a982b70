"""Only the expected members of an archive are unpacked, whatever else it holds or says."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from par.core.errors import DataError, ResourceError
from par.data.fetching import archive, known_file
from par.data.fetching.known_file import Known

TEXTS = {"a.txt": b" = A = \n" * 1009, "b.txt": random.Random(3).randbytes(5003)}
MEMBERS = [
    Known(name, len(text), f"sha256:{hashlib.sha256(text).hexdigest()}")
    for name, text in TEXTS.items()
]


def info(name: str, mode: int = 0o644 | stat.S_IFREG) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr, made.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    return made


def pack(path: Path, *more: tuple[zipfile.ZipInfo, bytes], leave_out: str = "") -> Path:
    """An archive with both members and more, in this order."""
    with zipfile.ZipFile(path, "w") as made:
        for name, text in TEXTS.items():
            if name != leave_out:
                made.writestr(info(f"corpus/{name}"), text)
        for entry, text in more:
            made.writestr(entry, text)
    return path


@pytest.fixture
def place(tmp_path) -> Path:
    """Where members go: two directories down, so that ../ would be seen."""
    return tmp_path / "out" / "corpus"


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_the_expected_members_are_unpacked_byte_for_byte_and_nothing_else(tmp_path, place):
    outside = tmp_path / "outside.txt"
    more = [
        "../up.txt",
        "corpus/../../up.txt",
        str(outside),
        "C:\\x.txt",
        "a.txt",
        "other/a.txt",
        "corpus/c.txt",
        "corpus/b.txt/",
    ]
    packed = pack(
        tmp_path / "x.zip",
        *((info(name), b"evil") for name in more),
        (info("corpus/link", 0o777 | stat.S_IFLNK), b"/etc/passwd"),
    )
    archive.extract(packed, "corpus", MEMBERS, place)
    assert {name: (place / name).read_bytes() for name in TEXTS} == TEXTS
    assert everything(tmp_path) == {"x.zip", "out/corpus/a.txt", "out/corpus/b.txt"}


def test_only_what_is_asked_for_is_unpacked(tmp_path, place):
    archive.extract(pack(tmp_path / "x.zip"), "corpus", MEMBERS[1:], place)
    assert everything(place) == {"b.txt"}


def wrong(path: Path, kind: str) -> Path:
    """An archive whose member corpus/b.txt is wrong in one way."""
    out = {"leave_out": "b.txt"}
    right = TEXTS["b.txt"]
    if kind == "missing":
        return pack(path, **out)
    if kind == "under another path":
        return pack(
            path,
            (info("b.txt"), right),
            (info("corpus/../corpus/b.txt"), right),
            (info("/corpus/b.txt"), right),
            **out,
        )
    if kind == "twice":
        with pytest.warns(UserWarning, match="Duplicate name"):
            return pack(path, (info("corpus/b.txt"), right))
    if kind == "a link":
        return pack(path, (info("corpus/b.txt", 0o777 | stat.S_IFLNK), b"/etc/passwd"), **out)
    if kind == "a device":
        return pack(path, (info("corpus/b.txt", 0o666 | stat.S_IFCHR), right), **out)
    if kind == "another text":
        return pack(path, (info("corpus/b.txt"), right[:-1] + b"!"), **out)
    if kind == "shorter":
        return pack(path, (info("corpus/b.txt"), right[:-1]), **out)
    if kind == "larger":
        return pack(path, (info("corpus/b.txt"), bytes(100 << 20)), **out)
    if kind == "packed by bzip2":
        entry = info("corpus/b.txt")
        entry.compress_type = zipfile.ZIP_BZIP2
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(info("corpus/a.txt"), TEXTS["a.txt"])
            made.writestr(entry, right, compress_type=zipfile.ZIP_BZIP2)
        return path
    if kind == "no archive":
        path.write_bytes(b"<?xml version='1.0'?><Error><Code>PermanentRedirect</Code></Error>")
        return path
    if kind == "empty":
        path.write_bytes(b"")
        return path
    pack(
        path,
        (info("corpus/b.txt"), bytes(100 << 20) if kind == "a bomb that lies" else right),
        **out,
    )
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    if kind == "cut off":
        data = data[: len(data) // 2]
    elif kind == "encrypted":
        local = struct.unpack_from("<I", data, entry + 42)[0]
        data[entry + 8] |= 1
        data[local + 6] |= 1
    elif kind == "a bomb that lies":  # the directory says that it is as long as it should be
        struct.pack_into("<I", data, entry + 24, len(right))
    elif kind == "another name in front of the data":
        local = struct.unpack_from("<I", data, entry + 42)[0]
        data[local + 30 : local + 36] = b"../../"
    elif kind == "a flipped byte":
        data[data.index(b"corpus/b.txt") + 1000] ^= 1
    path.write_bytes(data)
    return path


WRONG = {
    "missing": "corpus/b.txt occurs in it 0 times",
    "under another path": "corpus/b.txt occurs in it 0 times",
    "twice": "corpus/b.txt occurs in it 2 times",
    "a link": "corpus/b.txt is not a regular file",
    "a device": "corpus/b.txt is not a regular file",
    "another text": "corpus/b.txt is another file: its SHA-256 is ",
    "shorter": "corpus/b.txt is another file: its SHA-256 is ",
    "larger": "corpus/b.txt has 104,857,600 bytes, more than 5,003",
    "packed by bzip2": "corpus/b.txt is packed by method 12",
    "no archive": "can't be unpacked (File is not a zip file)",
    "empty": "can't be unpacked (File is not a zip file)",
    "cut off": "can't be unpacked (File is not a zip file)",
    "encrypted": "is encrypted, password required",
    "a bomb that lies": "can't be unpacked (Bad CRC-32",
    "another name in front of the data": "can't be unpacked (File name in directory",
    "a flipped byte": "can't be unpacked (",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_archive_is_refused_and_nothing_of_the_wrong_member_is_left(tmp_path, place, kind):
    packed = wrong(tmp_path / "x.zip", kind)
    before = packed.read_bytes()
    with pytest.raises(DataError) as refusal:
        archive.extract(packed, "corpus", MEMBERS, place)
    assert str(refusal.value).startswith(f"archive {packed} ") and WRONG[kind] in str(
        refusal.value
    )
    assert packed.read_bytes() == before and everything(tmp_path) <= {"x.zip", "out/corpus/a.txt"}


def test_a_bomb_is_not_unpacked_further_than_its_member_may_be_long(tmp_path, place, monkeypatch):
    written = []
    monkeypatch.setattr(archive, "write", lambda file, piece: written.append(len(piece)))
    with pytest.raises(DataError):
        archive.extract(
            wrong(tmp_path / "x.zip", "a bomb that lies"), "corpus", MEMBERS[1:], place
        )
    assert sum(written) <= MEMBERS[1].size


def test_any_flipped_byte_gives_the_right_members_or_a_refusal(tmp_path):
    """Damage at 400 places: in headers, names, sizes, packed data and the directory at the end."""
    data, draw = pack(tmp_path / "x.zip").read_bytes(), random.Random(5)
    ends = [
        *range(80),
        *range(len(data) - 180, len(data)),
        *(draw.randrange(len(data)) for _ in range(140)),
    ]
    refused = 0
    for i, where in enumerate(ends):
        broken = bytearray(data)
        broken[where] ^= 1 << draw.randrange(8)
        (tmp_path / "broken.zip").write_bytes(broken)
        try:
            archive.extract(tmp_path / "broken.zip", "corpus", MEMBERS, tmp_path / str(i))
        except DataError:
            refused += 1
        else:
            assert {name: (tmp_path / str(i) / name).read_bytes() for name in TEXTS} == TEXTS
    assert refused > 200


def test_a_member_that_is_there_is_checked_and_never_replaced(tmp_path, place):
    place.mkdir(parents=True)
    (place / "a.txt").write_bytes(TEXTS["a.txt"])
    before = (place / "a.txt").stat()
    archive.extract(pack(tmp_path / "x.zip"), "corpus", MEMBERS, place)
    assert (place / "a.txt").stat().st_ino == before.st_ino
    (place / "a.txt").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"^\S*out/corpus/a\.txt is another file than expected"):
        archive.extract(tmp_path / "x.zip", "corpus", MEMBERS, place)
    assert (place / "a.txt").read_bytes() == b"mine"


def test_what_a_killed_process_left_is_overwritten(tmp_path, place):
    place.mkdir(parents=True)
    (place / ".a.txt.partial").write_bytes(b"left" * 9999)
    archive.extract(pack(tmp_path / "x.zip"), "corpus", MEMBERS, place)
    assert (
        everything(place) == {"a.txt", "b.txt"}
        and (place / "a.txt").read_bytes() == TEXTS["a.txt"]
    )


def test_two_processes_that_unpack_at_once_get_the_same_files(tmp_path, place):
    packed = pack(tmp_path / "x.zip")
    with known_file.partial(place / "a.txt", 1):  # held, so that both wait at the same place
        threads = [
            threading.Thread(target=archive.extract, args=(packed, "corpus", MEMBERS, place))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(120)
    assert {name: (place / name).read_bytes() for name in TEXTS} == TEXTS and everything(
        place
    ) == set(TEXTS)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_is_named_with_the_path_and_the_need(tmp_path, place):
    place.mkdir(parents=True)
    (place / ".b.txt.partial").symlink_to("/dev/full")
    with pytest.raises(
        ResourceError,
        match=r"^can't write .*/b\.txt \(No space left on device; it needs 5,003 bytes, ",
    ):
        archive.extract(pack(tmp_path / "x.zip"), "corpus", MEMBERS, place)
    assert everything(place) == {"a.txt"}
