"""Chains of parents, and what is refused or left out where documents are gathered."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from par.core.errors import DataError, ResourceError, UsageError
from par.data import document_index, document_tables, documents
from par.data.corpus import SPLITS
from par.data.document_index import Document, gather
from par.data.document_tables import climb, scratch
from project import ROOT


def climbed(parent: list[int]) -> tuple[int | None, list[int], list[int]]:
    root, depth = np.zeros([2, len(parent)], np.int64)
    return climb(np.array(parent, np.int64), root, depth), root.tolist(), depth.tolist()


def naive(parent: list[int]) -> tuple[list[int], list[int]]:
    roots, depths = [], []
    for at in range(len(parent)):
        depth = 0
        while parent[at] >= 0:
            at, depth = parent[at], depth + 1
        roots.append(at)
        depths.append(depth)
    return roots, depths


def forest(number: int, seed: int) -> list[int]:
    """Parents in any order: of a shuffled numbering."""
    draw = np.random.default_rng(seed)
    name, parent = draw.permutation(number), np.full([number], -1)
    for i in range(1, number):
        if draw.random() < 0.97:
            parent[name[i]] = name[max(i - draw.integers(1, 4), 0)]
    return parent.tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [3, 1 << 16])
def test_roots_and_depths_are_those_of_a_walk_whatever_the_parts(monkeypatch, seed, rows):
    monkeypatch.setattr(documents, "ROWS_AT_ONCE", rows)
    parent = forest(257, seed)
    assert climbed(parent) == (None, *naive(parent))


def test_a_chain_of_any_length_is_climbed_in_both_directions():
    number = 100_003
    down = [*range(1, number), -1]
    found, root, depth = climbed(down)
    assert found is None and set(root) == {number - 1} and depth == [*range(number - 1, -1, -1)]
    found, root, depth = climbed([-1, *range(number - 1)])
    assert found is None and set(root) == {0} and depth == [*range(number)]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 64])
def test_what_has_no_root_is_found(length):
    parent = forest(101, 3)
    circle = [101 + (i + 1) % length for i in range(length)]
    found, root, _ = climbed([*parent, *circle, 101, 101 + length])
    assert found == 101 and 101 <= root[101 + length + 1] < 101 + length
    assert climbed([]) == (None, [], [])


# ---- gathering ----


def made(*parents: str | None, **changes: object) -> list[Document]:
    return [
        Document(f"text {i}", f"d{i}", f"a{i % 3}", f"g{i}", parent, line=i + 1)
        for i, parent in enumerate(parents)
    ]


def gathered(documents_: list[Document], split_by: str = "thread", **more: object) -> object:
    return gather(
        "made", documents_, split_by=split_by, fractions=(0.4, 0.3, 0.3), files_read=["F"], **more
    )


def test_a_document_that_is_its_own_ancestor_is_refused_at_the_first_line_of_the_circle():
    roots = [None] * 20
    for parents, line in ((["d20"], 21), (["d22", "d20", "d21"], 21), (["d21", "d22", "d21"], 22)):
        with pytest.raises(DataError, match=rf"^F:{line}: this document is its own ancestor"):
            gathered(made(*roots, *parents))


def test_a_repeated_id_is_refused_where_it_first_comes_again():
    found = made(*[None] * 30)
    for again in (29, 17, 23):
        found[again] = found[again]._replace(id="d4")
    with pytest.raises(DataError, match=r"^F:18: its id is that of F:5: give each document an id"):
        gathered(found)


def test_a_split_without_documents_is_refused_with_what_there_is():
    with pytest.raises(
        DataError, match=r"made has no document for .*: there are 9, of 1 groups and 3 authors"
    ):
        gathered([each._replace(group="one") for each in made(*[None] * 9)], split_by="group")
    with pytest.raises(DataError, match="there are 0, of 0 groups and 0 authors"):
        gathered([])


def test_answers_to_one_unknown_document_stay_together():
    parents = [f"unknown {i % 40}" for i in range(400)]
    tables = gathered(made(*parents)).documents.tables
    where: dict[int, set[str]] = {}
    for split in SPLITS:
        for row in tables[split]:
            where.setdefault(int(row[documents.GROUP]) % 40, set()).add(split)
    assert len(where) == 40 and all(len(each) == 1 for each in where.values())
    assert all(len(tables[split]) > 20 for split in SPLITS)


def test_a_document_stays_in_its_split_when_others_come_and_go():
    def by_split(documents_: list[Document]) -> dict[str, list[str]]:
        texts = gathered(documents_).texts
        return {split: [line for line in texts[split].pieces() if line] for split in SPLITS}

    many = made(*[None] * 90)
    before, after = by_split(many), by_split(many[::2])
    for split in SPLITS:
        assert after[split] == [line for line in before[split] if int(line.split()[1]) % 2 == 0]


def test_a_run_that_can_not_be_cut_is_refused_at_its_line():
    found = made(*[None] * 9)
    found[6] = found[6]._replace(text="x" * ((1 << 20) + 1))
    with pytest.raises(DataError, match=r"^F:7: more than 1 MiB without the end of a word"):
        gathered(found)


def test_nothing_is_left_in_the_directory_and_a_full_disk_is_said(tmp_path, monkeypatch):
    corpus = gathered(made(*[None] * 60), directory=tmp_path)
    assert list(tmp_path.iterdir()) == [] and corpus.texts["train"].raw_bytes
    # its place on the disk is taken before anything is written
    monkeypatch.setattr(
        document_tables.os,
        "posix_fallocate",
        lambda *_: (_ for _ in ()).throw(OSError(28, "full")),
    )
    with pytest.raises(Exception, match=r"can't write .*No space left") as raised:
        gathered(made(*[None] * 60), directory=tmp_path)
    assert type(raised.value).__name__ == "ResourceError" and list(tmp_path.iterdir()) == []


def test_a_python_without_sqlite_is_told_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(UsageError, match="without the module sqlite3, which documents need"):
        gathered(made(*[None] * 60))


def test_an_index_for_which_the_disk_has_no_room_is_said(monkeypatch):
    full = sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr(document_index, "_number", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(ResourceError, match=r"can't write .*database or disk is full"):
        gathered(made(*[None] * 60))


def test_an_array_of_no_rows_is_one():
    assert scratch(Path("/nowhere"), (0, 6)).shape == (0, 6)


BOUNDED = """
import resource, sys
from par.data import document_index
from par.data.document_index import Document, gather

def many(number):
    for i in range(number):
        parent = f"document {i - 1 - i % 7}" if i % 50 else None
        yield Document(f"text {i} " * 3, f"document {i}", f"author {i % 999}", f"group {i % 5003}",
                       parent, line=i)

document_index.CACHE_KIB = 2 << 10
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
found = gather("m", many(int(sys.argv[1])), split_by="thread", fractions=(.9, .05, .05))
print(sum(map(len, found.documents.tables.values())), found.documents.authors)
"""


@pytest.mark.slow
def test_half_a_million_documents_take_a_bounded_memory(tmp_path):
    """With 100 MiB for everything, Python and NumPy included: the tables alone would be 24 MB, the
    facts 48 MB and the links 30 MB."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, "500000", str(100 << 20)],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "OPENBLAS_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.stdout == "500000 999\n", done.stderr[-2000:]
