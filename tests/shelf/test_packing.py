"""An archive is exactly what follows from the names and contents of its files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from par.core.errors import DataError
from par.shelf import packing
from par.shelf.entry import File, odd_files

FILES = {"config.json": b"{}", "a/empty": b"", "a/block": bytes(512), "a/b/c.bin": b"x" * 5_000}


@pytest.fixture
def made(tmp_path) -> tuple[Path, tuple[File, ...]]:
    archive = tmp_path / "v1.tar"
    with open(archive, "wb") as stream:
        files = packing.pack(list(FILES.items()), stream)
    return archive, files


def test_what_is_packed_comes_back_and_any_tar_reads_it(made, tmp_path):
    archive, files = made
    packing.unpack(archive, files, tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert [file.name for file in files] == list(FILES)
    assert all(file.sha256 == hashlib.sha256(FILES[file.name]).hexdigest() for file in files)
    assert packing.archive_size(files) == archive.stat().st_size
    with tarfile.open(archive) as tar:
        assert {each.name: tar.extractfile(each).read() for each in tar} == FILES


def test_equal_files_give_equal_bytes_and_are_listed_without_writing_them(made, tmp_path):
    archive, files = made
    paths = []
    for number, (name, content) in enumerate(FILES.items()):
        path = tmp_path / f"source{number}"
        path.write_bytes(content)
        os.utime(path, (number, number))
        path.chmod(0o600)
        paths.append((name, path))
    again = io.BytesIO()
    assert packing.pack(paths, again) == packing.listed(paths) == files
    assert again.getvalue() == archive.read_bytes()


def test_a_file_of_2_mib_and_one_byte_more_or_less_comes_back(tmp_path):
    for size in ((2 << 20) - 1, 2 << 20, (2 << 20) + 1):
        content = os.urandom(size)
        with open(tmp_path / "a.tar", "wb") as stream:
            files = packing.pack([("x", content)], stream)
        packing.unpack(tmp_path / "a.tar", files, tmp_path / f"out{size}")
        assert (tmp_path / f"out{size}" / "x").read_bytes() == content


# ---- hostile archives ----


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


def forged(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=kind) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def bomb(archive: bytes) -> bytes:
    """A header that says it has 8 GiB less a byte, the most that it can say."""
    made = tarfile.TarInfo("config.json")
    made.size = (1 << 33) - 1
    return made.tobuf(tarfile.USTAR_FORMAT) + archive[512:]


GOOD = member("config.json", b"{}")
LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "symbolic link": (
        lambda _: forged(member("config.json", **LINK)),
        "a symbolic link 'config.json' of 0 bytes where config.json of 2 bytes should be",
    ),
    "link, then a file through it": (
        lambda _: forged(GOOD, member("a", **LINK), member("a/empty")),
        "a symbolic link 'a' of 0 bytes where a/empty of 0 bytes",
    ),
    "hard link": (
        lambda _: forged(GOOD, member("a/empty", type=tarfile.LNKTYPE, linkname="config.json")),
        "a hard link 'a/empty' of 0 bytes where",
    ),
    "device": (
        lambda _: forged(member("config.json", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
        "a device 'config.json'",
    ),
    "pipe": (
        lambda _: forged(member("config.json", type=tarfile.FIFOTYPE)),
        "a pipe 'config.json'",
    ),
    "directory": (
        lambda _: forged(member("a", type=tarfile.DIRTYPE)),
        "a directory 'a'",
    ),
    "absolute": (
        lambda _: forged(member("/tmp/config.json", b"{}")),
        "a file '/tmp/config.json' of 2 bytes where config.json of 2 bytes should be",
    ),
    "above": (
        lambda _: forged(member("../config.json", b"{}")),
        "a file '../config.json' of 2 bytes where",
    ),
    "twice": (
        lambda _: forged(GOOD, GOOD),
        "a file 'config.json' of 2 bytes where a/empty of 0 bytes",
    ),
    "unnamed": (
        lambda _: forged(GOOD, member("a/empty"), member("evil", b"x")),
        "a file 'evil' of 1 bytes where a/block",
    ),
    "long name": (
        lambda _: forged(member("x/" * 200 + "config.json", b"{}")),
        "has something else than a file './",
    ),
    "sparse": (
        lambda _: forged(member("config.json", b"{}", type=tarfile.GNUTYPE_SPARSE)),
        "something else than a file 'config.json'",
    ),
    "executable": (
        lambda _: forged(member("config.json", b"{}", mode=0o4755)),
        "mode or format a file 'config",
    ),
    "bomb": (bomb, "a file 'config.json' of 8,589,934,591 bytes where"),
    "other file": (
        lambda archive: archive.replace(b"{}", b"[]", 1),
        f"config.json has SHA-256 {hashlib.sha256(b'[]').hexdigest()}, not",
    ),
    "truncated in a header": (lambda archive: archive[:100], "has something else than a file"),
    "truncated in a file": (lambda archive: archive[:513], "ends inside config.json"),
    "truncated at its end": (lambda archive: archive[:-1], "something behind its 4 files"),
    "longer": (lambda archive: archive + b"\0", "has something behind its 4 files"),
    "padding": (
        lambda archive: archive[:600] + b"x" + archive[601:],
        "has something behind config.json",
    ),
    "nothing": (lambda _: bytes(10_240), "has nothing where config.json"),
    "empty": (lambda _: b"", "has nothing where config.json"),
    "a page": (lambda _: b"<html>" * 2_000, "has something else than a file where config.json"),
    "GNU header": (
        lambda _: forged(GOOD, kind=tarfile.GNU_FORMAT),
        "or format a file 'config.json'",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_but_the_named_files_is_written_and_the_first_difference_is_told(
    made, tmp_path, name
):
    archive, files = made
    forge, reason = HOSTILE[name]
    archive.write_bytes(forge(archive.read_bytes()))
    before = set(tmp_path.rglob("*"))
    for folder in (None, tmp_path / "out"):
        with pytest.raises(DataError, match=re.escape(reason)):
            packing.unpack(archive, files, folder)
    written = set(tmp_path.rglob("*")) - before - {tmp_path / "out"}
    names = {str(path.relative_to(tmp_path / "out")) for path in written if not path.is_dir()}
    assert names <= set(FILES) and not any(path.is_symlink() for path in written)


@pytest.mark.parametrize(
    "names, reason",
    [
        ([], "it has 0 files"),
        (["/etc/passwd"], "is not the name of a file inside a run"),
        (["../config.json"], "is not the name of a file"),
        (["a/../../b"], "is not the name of a file"),
        (["a//b"], "is not the name of a file"),
        (["a/"], "is not the name of a file"),
        (["./a"], "is not the name of a file"),
        ([".bashrc"], "is not the name of a file"),
        (["a\\b"], "is not the name of a file"),
        (["a\n"], "is not the name of a file"),
        (["ü"], "is not the name of a file"),
        (["a" * 101], "is not the name of a file"),
        (["a", "a"], "it names a file twice"),
        (["a/b", "a"], "'a' is a file and a directory"),
        (["a/b/c", "a/b"], "'a/b' is a file and a directory"),
        (["shelf.json"], "which is the entry's own"),
    ],
)
def test_the_names_of_an_entry_are_those_of_files_inside_a_directory(names, reason):
    found = odd_files([File(name, 1, "0" * 64) for name in names])
    assert reason in found


def test_sizes_and_digests_of_an_entry_are_bounded():
    good = File("a", 1, "0" * 64)
    assert odd_files([good]) == ""
    assert "not less than" in odd_files([dataclasses.replace(good, size=1 << 33)])
    assert "is not a SHA-256" in odd_files([dataclasses.replace(good, sha256="0" * 63)])
    many = [dataclasses.replace(good, name=f"a{i}") for i in range(20_001)]
    assert "20,001 files" in odd_files(many)
