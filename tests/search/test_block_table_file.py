"""A table comes back from its file as it was; a file that is damaged, foreign or hostile is
refused in one line before its content is believed."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import zipfile
import zlib

import numpy as np
import pytest

import documented
import par
from par.core.errors import DataError, UsageError
from par.search import block_table_file
from par.search.block_table import AXES
from tables import make_table, without

TABLE = make_table(2)


@pytest.fixture
def path(tmp_path):
    block_table_file.save(tmp_path / "small.npz", TABLE)
    return tmp_path / "small.npz"


def members(path):
    """The bytes of every member of a zip, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content:
            archive.writestr(name, data)


def npy(values):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(values), allow_pickle=True)
    return file.getvalue()


def assert_equal(found, table):
    for field in dataclasses.fields(table):
        one, other = getattr(found, field.name), getattr(table, field.name)
        if field.name in (*AXES, "seeds"):
            assert one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
        else:
            assert one == other and type(one) is type(other), field.name


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        make_table(1, (3,), 1),
        dataclasses.replace(TABLE, **without(TABLE, "da", 5, epochs=1)),
        dataclasses.replace(
            TABLE, latency_ms=np.full(7, np.nan), about=TABLE.about | {"data": {"name": "é"}}
        ),
        # one seed and one epoch: arrays that are in both orders at once
        dataclasses.replace(
            make_table(6, (0,), 1), valid_nll=np.asfortranarray(make_table(6, (0,), 1).valid_nll)
        ),
        dataclasses.replace(TABLE, valid_nll=np.asfortranarray(TABLE.valid_nll)),
    ],
    ids=["whole", "smallest", "partial", "no latencies", "flat", "columns first"],
)
def test_a_table_comes_back_as_it_was_and_equal_tables_have_equal_files(table, tmp_path):
    path = tmp_path / "a.npz"
    block_table_file.save(path, table)
    assert_equal(block_table_file.load(path), table)
    block_table_file.save(tmp_path / "b.npz", block_table_file.load(path))
    assert (tmp_path / "b.npz").read_bytes() == path.read_bytes()


def test_numpy_alone_reads_it_without_pickle(path):
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == set(block_table_file.KINDS)
        assert np.array_equal(file["valid_nll"], TABLE.valid_nll)
        told = {name: file[name].ravel().tolist() for name in file}
        told |= {name: file[name].item() for name in block_table_file.SINGLE}
        documented.check("NAME.npz", told | {"about": json.loads(bytes(file["about"]))})


def test_the_page_tells_the_type_and_shape_of_every_array():
    page = documented.PAGE.read_text(encoding="utf-8").split("### NAME.npz")[1]
    for name, kind in block_table_file.KINDS.items():
        if name == "about":
            continue
        told = re.search(rf"^\| `{name}` \|.*?(\w+) \[([^]]*)\]", page, re.M)
        shape = {"": (), "2": (2,)} | {
            letters: tuple({"N": 7, "S": 3, "E": 4}[letter] for letter in letters.split(", "))
            for letters in ("N", "S", "N, S", "N, S, E")
        }
        assert (np.dtype(told[1]), shape[told[2]]) == (
            kind,
            np.shape(getattr(TABLE, name, block_table_file.SCHEMA)),
        ), name


def test_six_blocks_ten_seeds_and_epochs_take_less_than_a_megabyte(tmp_path):
    block_table_file.save(tmp_path / "six.npz", make_table(6, tuple(range(10)), 10))
    assert 50_000 < (tmp_path / "six.npz").stat().st_size < 1_000_000


def test_float32_loses_nothing_that_a_perplexity_shows(tmp_path):
    nll = np.full((7, 3), 5.123456789)
    block_table_file.save(tmp_path / "a.npz", dataclasses.replace(TABLE, test_nll=nll))
    found = block_table_file.load(tmp_path / "a.npz").query("a", "test_nll", seed=0)
    assert found == pytest.approx(5.123456789, abs=5e-7)


def test_par_block_table_takes_a_path_or_the_name_of_a_shipped_table(path, tmp_path, monkeypatch):
    for name in (str(path), path):
        assert_equal(par.block_table(name), TABLE)
    monkeypatch.setattr(block_table_file, "SHIPPED", tmp_path / "none")
    with pytest.raises(
        UsageError, match=r"shipped table \(there is none yet\) or the path .*, but is 'small'$"
    ):
        par.block_table("small")
    monkeypatch.setattr(block_table_file, "SHIPPED", tmp_path)
    assert block_table_file.shipped() == ["small"]
    assert_equal(par.block_table("small"), TABLE)
    with pytest.raises(UsageError, match=r"shipped table \(one of small\) or the path"):
        par.block_table("other")
    with pytest.raises(DataError, match=r"other\.npz does not exist"):
        par.block_table("other.npz")


def test_every_shipped_table_is_whole_and_has_less_than_a_megabyte():
    for name in block_table_file.shipped():
        table = par.block_table(name)
        assert table.is_whole.any(axis=1).all() and table.about["made_with"]
        assert (block_table_file.SHIPPED / f"{name}.npz").stat().st_size < 1_000_000


def test_what_is_too_long_to_tell_is_not_saved(tmp_path):
    about = TABLE.about | {"data": {"name": "x" * (1 << 16)}}
    with pytest.raises(UsageError, match="about must have at most 65536 bytes"):
        block_table_file.save(tmp_path / "a.npz", dataclasses.replace(TABLE, about=about))
    assert not list(tmp_path.iterdir())


HOSTILE = {
    "pickled": ("seeds.npy", npy(np.array([{}], object)), "seeds has not the header"),
    "other type": ("seeds.npy", npy(np.arange(3.0)), "seeds must be of type <i8 with 1 axes"),
    "big endian": ("seeds.npy", npy(np.arange(3, dtype=">i8")), "seeds must be of type <i8"),
    "other axes": ("test_nll.npy", npy(np.ones(21, np.float32)), "test_nll must be of type <f4"),
    "by columns": (
        "test_nll.npy",
        npy(np.ones((7, 3), np.float32, order="F")),
        "test_nll has not the header of an array in C order",
    ),
    "no array": ("seeds.npy", b"seeds", "seeds has not the header"),
    "empty": ("seeds.npy", b"", "seeds has not the header"),
    "a huge shape": (
        "seeds.npy",
        npy(np.arange(3)).replace(b"(3,), }         ", b"(999999999,), } "),
        "seeds has another number of values",
    ),
    "short": ("test_nll.npy", npy(np.ones((7, 3), np.float32))[:-1], "another number of values"),
    "long": ("test_nll.npy", npy(np.ones((7, 3), np.float32)) + b"0", "another number of values"),
    "a bomb": ("seeds.npy", npy(np.zeros(1 << 22, np.int64)), "another number of values"),
    "other schema": ("schema.npy", npy(2), "it has schema 2, not 1"),
    "not all networks": ("parameters.npy", npy(np.ones(8)), "it has 8 networks"),
    "networks of one array": ("parameters.npy", npy(np.ones(15)), "train_nll has shape"),
    "not JSON": ("about.npy", npy(np.frombuffer(b"{nan", np.uint8)), "Expecting property name"),
    "a list": ("about.npy", npy(np.frombuffer(b"[]", np.uint8)), "about is not a JSON object"),
    "not UTF-8": ("about.npy", npy(np.array([255], np.uint8)), "utf-8"),
    "infinite": ("latency_ms.npy", npy(np.full(7, np.inf)), "latency_ms holds a figure"),
    "negative": ("test_nll.npy", npy(np.full((7, 3), -1, np.float32)), "test_nll holds a figure"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_array_is_refused_in_one_line(path, case):
    name, content, said = HOSTILE[case]
    write(path, (members(path) | {name: content}).items())
    with pytest.raises(DataError, match=f"is not valid .*{said}.*: put a whole copy") as caught:
        block_table_file.load(path)
    assert str(caught.value).isprintable()


def test_a_file_that_is_no_such_zip_is_refused(path, tmp_path):
    whole, content = path.read_bytes(), members(path)
    more = [*content.items(), ("extra.npy", npy(1))]
    twice = [*content.items(), list(content.items())[-1]]
    for name, damage, said in (
        ("cut", lambda: path.write_bytes(whole[: len(whole) // 2]), "not a zip file"),
        ("text", lambda: path.write_bytes(b"network,nll\n"), "not a zip file"),
        ("missing", lambda: write(path, list(content.items())[1:]), "must hold the arrays"),
        ("more", lambda: write(path, more), "must hold the arrays"),
        ("packed", lambda: write(path, content.items(), zipfile.ZIP_LZMA), "than deflate"),
    ):
        damage()
        with pytest.raises(DataError, match=f"is not valid .*{said}"):
            block_table_file.load(path)
        assert name
    with pytest.warns(UserWarning, match="Duplicate name"):
        write(path, twice)
    with pytest.raises(DataError, match="each once"):
        block_table_file.load(path)
    for damage in (bytes(40), b"\xff" * 40):  # a check sum that is wrong; no deflated data at all
        broken = bytearray(whole)
        start = whole.index(b"valid_nll.npy") + 60
        broken[start : start + 40] = damage
        path.write_bytes(broken)
        with pytest.raises(DataError, match="is not valid"):
            block_table_file.load(path)
    path.write_bytes(zlib.compress(b"0") + bytes(block_table_file.MAX_BYTES))
    with pytest.raises(DataError, match="has more than the 33554432 bytes"):
        block_table_file.load(path)
    with pytest.raises(DataError, match="does not exist"):
        block_table_file.load(tmp_path / "no.npz")
