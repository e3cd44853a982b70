"""A run put on a shelf: whole or not at all, and for ever."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import documented
import shelved
from composed import some_base
from faults import small_disk, why_no_small_disk
from par.core.errors import DataError, UsageError
from par.shelf import cache, card, packing, saving
from par.shelf.shelves import Shelf
from shelved import contents, named, save


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """A run; not to be changed."""
    return shelved.untrained_run(tmp_path_factory.mktemp("untrained"))


@pytest.fixture
def run(untrained, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(untrained.parent, tmp_path / "made")) / "run"


@pytest.fixture
def shelf(tmp_path) -> Path:
    return tmp_path / "shelf"


def test_the_archive_has_the_run_its_tokenizer_and_card_and_nothing_of_the_machine(
    run, shelf, tmp_path
):
    for name in ("environment.json", "flags.txt", "training_log.log", "lock"):
        (run / name).write_text(f"{tmp_path}\n")
    older = run / "checkpoints" / f"ckpt-{shelved.STEP - 1}.index"
    older.write_bytes(b"older")
    entry = save(run, shelf).entry
    documented.check("Entry of a shelf", json.loads((shelf / "en_docs" / "v1.json").read_text()))
    documented.check("Index of a shelf", json.loads((shelf / "_index.json").read_text()))
    documented.check_files("Shelf", shelf)
    assert [file.name for file in entry.files] == [
        "README.md",
        "config.json",
        *(
            f"checkpoints/{best}ckpt-{shelved.STEP}.{end}"
            for best in ("", "best/")
            for end in ("data-00000-of-00001", "index")
        ),
        *(f"data/{name}" for name in saving.OF_DATA),
    ]
    packed = (shelf / "en_docs" / "v1.tar").read_bytes()
    assert str(tmp_path).encode() not in packed
    assert (shelf / "en_docs" / "v1.md").read_bytes() in packed
    about = entry.about
    assert (about.objective, about.network, about.corpus) == ("causal_lm", "ad", "synthetic")
    assert (about.step, about.parameters) == (shelved.STEP, shelved.WEIGHTS)
    assert about.checkpoints == ("last", "best") and about.splits == () and about.licence == "MIT"
    assert Shelf(str(shelf)).read_index().entries == (entry.listed,)


def test_what_is_fetched_is_the_run_with_its_data_inside(run, shelf, tmp_path):
    save(run, shelf)
    place = cache.cached(named(shelf), tmp_path / "cache")
    config = json.loads((place / "config.json").read_text())
    assert config["data"].pop("path") == "data"
    before = json.loads((run / "config.json").read_text())
    before["data"].pop("path")
    assert config == before
    for name in saving.OF_DATA:
        assert (place / "data" / name).read_bytes() == (run.parent / "data" / name).read_bytes()


def test_records_scores_and_documents_go_with_the_splits_that_are_named(run, shelf, tmp_path):
    (run.parent / "data" / "kneser_ney.json").write_text("{}")
    entry = save(run, shelf, splits=["test", "valid"]).entry
    names = {file.name for file in entry.files}
    assert entry.about.splits == ("valid", "test")
    assert {
        "data/valid/part-00000-of-00001.tfrecord",
        "data/test/part-00000-of-00001.tfrecord",
        "data/kneser_ney.json",
    } <= names and not any("train" in name for name in names)
    assert "Records are included: valid, test." in (shelf / "en_docs/v1.md").read_text()


def test_the_licence_is_that_of_the_corpus_unless_one_is_given(run, shelf):
    assert save(run, shelf, licence="").entry.about.licence == card.NOT_STATED
    manifest = run.parent / "data" / "manifest.json"
    value = json.loads(manifest.read_text())
    value["settings"]["corpus"] = value["corpus"]["name"] = "wikitext-2"
    value["settings"]["input_text"] = ""
    manifest.write_text(json.dumps(value))
    assert "ShareAlike" in save(run, shelf, "v2", licence="").entry.about.licence
    assert save(run, shelf, "v3", licence="CC0-1.0").entry.about.licence == "CC0-1.0"
    path = run / "config.json"
    config = json.loads(path.read_text())
    own, other = config["data"]["train_sha256"], "1" * 64
    for tag, sha256, told in (("v4", own, "ShareAlike"), ("v5", other, card.NOT_STATED)):
        path.write_text(json.dumps(config | {"base": some_base(sha256).to_json()}))
        assert told in save(run, shelf, tag, licence="").entry.about.licence
        lines = (shelf / "en_docs" / f"{tag}.md").read_text().splitlines()
        of_other = f"; trained on other data than those below: train of SHA-256 {other}"
        end = "causal" + of_other * (sha256 == other)
        assert f"- base chars: `ad`, width 8, {end}" in lines


def test_the_card_shows_what_users_name_as_it_is(run, shelf):
    save(run, shelf, licence="*MIT* <b>", description="[a](b) | `c`")
    text = (shelf / "en_docs" / "v1.md").read_text()
    assert r"Licence: \*MIT\* \<b\>" in text and r"\[a\](b) \| \`c\`" in text
    assert 'par.load("shelf:en_docs@v1")' in text


# ---- a tag never changes ----


def test_the_same_run_again_is_nothing_new_and_another_one_is_refused(run, shelf, monkeypatch):
    assert save(run, shelf).is_new
    before = contents(shelf)
    assert not save(run, shelf).is_new and contents(shelf) == before
    monkeypatch.setattr(card, "render", lambda *_: "as a later version words it")
    assert not save(run, shelf).is_new and contents(shelf) == before
    best = run / "checkpoints" / "best" / f"ckpt-{shelved.STEP}.index"
    for change, told in (
        ({"licence": "GPL-3.0"}, "licence"),
        ({"description": "better"}, "description"),
        ({"splits": ["test"]}, "data/test/part-00000-of-00001.tfrecord"),
        ({}, f"checkpoints/best/ckpt-{shelved.STEP}.index"),
    ):
        if not change:
            best.write_bytes(b"trained on")
        told = re.escape(f"is something else already (it differs in {told})")
        with pytest.raises(UsageError, match=f"{told}, and a tag never changes what it names"):
            save(run, shelf, **change)
        assert contents(shelf) == before
    assert save(run, shelf, "v2").is_new
    assert {name: contents(shelf)[name] for name in before if name != "_index.json"} == {
        name: content for name, content in before.items() if name != "_index.json"
    }
    assert [each.name for each in Shelf(str(shelf)).read_index().entries] == [
        "en_docs@v1",
        "en_docs@v2",
    ]


def test_a_damaged_entry_is_told_not_replaced(run, shelf):
    save(run, shelf)
    (shelf / "en_docs" / "v1.json").write_bytes(b"{")
    before = contents(shelf)
    with pytest.raises(DataError, match="is not valid JSON"):
        save(run, shelf)
    assert contents(shelf) == before


def test_an_entry_that_can_not_be_read_is_named_and_left_out_of_the_index(run, shelf, capsys):
    save(run, shelf)
    (shelf / "en_docs" / "v0.json").write_bytes(b"{}")
    save(run, shelf, "v2")
    assert "v0.json is left out of the index" in capsys.readouterr().err
    assert len(Shelf(str(shelf)).read_index().entries) == 2


# ---- whole or not at all ----


def test_a_run_that_can_not_be_loaded_leaves_nothing(run, shelf):
    seen = []

    def refuse(directory: Path, checkpoints: tuple[str, ...]) -> int:
        seen.append((sorted(contents(directory)), tuple(checkpoints)))
        raise DataError("its weights are NaN")

    with pytest.raises(DataError, match="its weights are NaN"):
        save(run, shelf, try_out=refuse)
    assert not shelf.exists()
    [(names, checkpoints)] = seen
    assert checkpoints == ("last", "best") and "config.json" in names and "README.md" in names


@pytest.mark.parametrize(
    "remove, told",
    [
        ("run/checkpoints", "has no checkpoint yet"),
        ("run/config.json", "run configuration .* does not exist"),
        ("data/tokenizer.model", "tokenizer.model is missing"),
        ("data/manifest.json", "data manifest .* does not exist"),
    ],
)
def test_a_run_that_lacks_a_part_is_refused_and_nothing_is_written(run, shelf, remove, told):
    path = run.parent / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=told):
        save(run, shelf)
    assert not shelf.exists()


@pytest.mark.parametrize("address", ["https://example.org/shelf", "gs://bucket/shelf"])
def test_what_can_only_be_read_is_refused(run, address):
    with pytest.raises(UsageError, match="can only be read: save to a directory, and copy it"):
        save(run, address)


PROGRAM = """
import sys, time
from pathlib import Path
import shelved
def slowly(directory, checkpoints):
    print('unpacked', flush=True)
    sys.stdin.readline()
    return 1
shelved.save(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], try_out=slowly)
print('saved', flush=True)
"""


def start(run: Path, shelf: Path, tag: str = "v1", prefix: tuple[str, ...] = ()):
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", PROGRAM, str(run), str(shelf), tag],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_save_that_is_killed_names_nothing_and_the_next_one_removes_what_it_left(run, shelf):
    process = start(run, shelf)
    assert process.stdout.readline() == "unpacked\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    assert not list(shelf.glob("*/*.json")) and len(contents(shelf)) > 1
    with pytest.raises(DataError, match="is not on shelf"):
        cache.cached(named(shelf))
    # and one that was killed after the archive, before the entry
    (shelf / "en_docs" / "v1.tar").write_bytes(b"of a save that was killed")
    entry = save(run, shelf).entry
    assert sorted(contents(shelf)) == [
        "_index.json",
        *(f"en_docs/v1.{end}" for end in ("json", "md", "tar")),
    ]
    packing.unpack(shelf / "en_docs" / "v1.tar", entry.files, None)


def test_two_processes_save_one_after_the_other(run, shelf):
    first = start(run, shelf)
    assert first.stdout.readline() == "unpacked\n"
    second = start(run, shelf, "v2")
    assert second.stderr.readline() == f"another process saves to {shelf}: waiting for it\n"
    for process in (first, second):
        out, err = process.communicate("go on\n", timeout=120)
        assert process.returncode == 0 and out.endswith("saved\n"), err
    assert len(Shelf(str(shelf)).read_index().entries) == 2
    assert not [path for path in shelf.rglob(".*")]


def test_a_full_disk_leaves_the_shelf_as_it_was(run, tmp_path):
    if reason := why_no_small_disk(tmp_path / "tried"):
        pytest.skip(reason)
    with small_disk(tmp_path / "disk", "1m") as disk:
        seen = disk.seen / "shelf"
        process = start(run, disk.path / "shelf", "v1", disk.prefix)
        process.communicate("go on\n", timeout=120)
        assert process.returncode == 0
        before = contents(seen)
        disk.change("size=96k")
        process = start(run, disk.path / "shelf", "v2", disk.prefix)
        _, err = process.communicate("go on\n", timeout=120)
        told = r"ResourceError: can't write .* \(No space left on device; "
        assert process.returncode == 1 and re.search(told, err), err
        assert contents(seen) == before


# ---- what is read strictly ----


def test_an_index_that_is_not_one_is_refused(run, shelf):
    save(run, shelf)
    path = shelf / "_index.json"
    good = json.loads(path.read_text())
    for change, told in (
        ({"schema": 2}, "has schema 2"),
        ({"entries": good["entries"] * 2}, "it lists an entry twice"),
        ({"entries": [{}]}, "unknown or missing"),
        ({"more": 1}, "unknown or missing"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(DataError, match=told):
            Shelf(str(shelf)).read_index()
    with pytest.raises(DataError, match="there is no shelf at"):
        Shelf(str(shelf / "en_docs")).read_index()
