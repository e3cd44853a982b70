"""build_data of documents as a user types it: what it says, does once, refuses, and leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import documented
import killed_builds
from built import SMALL, contents, run
from made_documents import threads, write_lines
from par.core.config import DataConfig
from par.data import documents, named_corpora, records
from par.report.setup_section import build_command
from par.tools import build_data
from par.tools.cli import recipes

SHARES = tuple(f"--split_fractions={share}" for share in (0.6, 0.2, 0.2))
FLAGS = ("--input_documents=made.jsonl", *SHARES, *SMALL)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current directory, with made.jsonl of 301 documents."""
    write_lines(tmp_path / "made.jsonl", threads(301))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_says_what_it_found_and_does_it_once(here, capsys):
    said = run(capsys, *FLAGS)
    manifest = records.load("data/made")
    rows = {name: file.rows for name, file in manifest.documents.splits.items()}
    assert f"documents: {sum(rows.values()):,} (train {rows['train']:,}, valid" in said
    assert " authors and " in said and " groups, split by group\n" in said
    found = next(line for line in said.splitlines() if line.startswith("of them: "))
    for part in (
        f"{manifest.documents.counts['empty']} documents without text left out",
        f"{manifest.documents.counts['unknown_parents']} parents that are not in the input",
        "parents in another split",
        "301 values under other keys ignored",
    ):
        assert part in found
    assert "manifest.json, documents/*.npy, 3 record files" in said
    before = contents(here)
    assert "data/made is there already, of this text" in run(capsys, *FLAGS)
    assert contents(here) == before and sorted(os.listdir(here)) == ["data", "made.jsonl"]


def test_json_and_the_files_are_those_that_are_told(here, capsys):
    value = json.loads(run(capsys, *FLAGS, "--baseline=kneser_ney", "--json"))
    documented.check("build_data --json", value, required="all")
    whole = json.loads((here / "data" / "made" / "manifest.json").read_text())
    documented.check("manifest.json", whole, required="all")
    documented.check_files("Data set", here / "data" / "made")
    told = value["documents"]["splits"]["train"]
    assert told["documents"] == len(documents.load("data/made", "train")) > 99
    assert value["documents"]["authors"] == whole["documents"]["authors"] == 29
    verified = json.loads(run(capsys, "--verify=data/made", "--json"))
    documented.check("build_data --verify --json", verified)
    total = sum(file["rows"] for file in whole["documents"]["splits"].values())
    assert verified["documents"] == total
    assert f"the tables of {total:,} documents and 3" in run(capsys, "--verify=data/made")


def test_other_documents_of_the_same_text_are_another_data_set(here, capsys):
    run(capsys, *FLAGS)
    changed = threads(301)
    changed[7]["author"] = "Somebody Else"
    write_lines(here / "made.jsonl", changed)
    assert build_data.main(list(FLAGS)) == 1
    assert "holds another data set (documents " in capsys.readouterr().err
    run(capsys, *FLAGS, "--overwrite")
    for flag, said in (("--split_by=author", "split_by"), ("--fields=group:author", "fields")):
        assert build_data.main([*FLAGS, flag]) == 1
        assert f"holds another data set ({said} " in capsys.readouterr().err


def test_a_data_set_that_knew_no_documents_is_built_again_with_them(here, capsys):
    run(capsys, *FLAGS)
    before, path = contents(here / "data"), here / "data" / "made" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"documents": None}))
    for table in (here / "data" / "made" / "documents").iterdir():
        table.unlink()
    run(capsys, *FLAGS)
    assert contents(here / "data") == before


def test_the_number_of_processes_and_shards_changes_no_table(here, capsys):
    run(capsys, *FLAGS, "--workers=1")
    run(capsys, *FLAGS, "--workers=2", "--shards=2", "--output_dir=two")
    for split in records.SPLITS:
        name = documents.path_of(split)
        assert (here / "two" / name).read_bytes() == (here / "data" / "made" / name).read_bytes()


WRONG = {
    "not JSON": (["--input_documents=broken.jsonl"], 3, "broken.jsonl:3: the line is not JSON"),
    "twice": (["--input_documents=twice.jsonl"], 3, "twice.jsonl:302: its id is that of"),
    "a circle": (["--input_documents=circle.jsonl"], 3, "circle.jsonl:301: this document is its"),
    "other keys": (
        ["--input_documents=made.jsonl", "--fields=text:body"],
        3,
        "made.jsonl:1: the document has no 'body'",
    ),
    "empty": (["--input_documents=empty.jsonl"], 3, "empty has no document for train and valid"),
    "missing": (["--input_documents=no.jsonl"], 3, "no.jsonl does not exist"),
    "fields": (["--input_documents=made.jsonl", "--fields=x:y"], 1, "--fields must be pairs"),
    "fields of a text": (["--input_text=made.jsonl", "--fields=text:y"], 1, "fields is for"),
    "both": (
        ["--input_documents=made.jsonl", "--input_text=made.jsonl"],
        1,
        "give either --corpus or --input_text or --input_documents",
    ),
    "split of a text": (
        ["--input_text=made.jsonl", "--split_by=author"],
        1,
        "split_by=author is for documents without splits",
    ),
    "split of a corpus": (
        ["--corpus=python-docs", "--split_by=thread"],
        1,
        "split_by=thread is for documents without splits",
    ),
    "no such split": (["--input_documents=made.jsonl", "--split_by=line"], 1, "split_by"),
    "nothing is known to split by": (
        ["--input_documents=bare.jsonl", "--split_fractions=0.98"]
        + ["--split_fractions=0.01"] * 2,
        3,
        "split by group; give more documents, another --split_by",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_documents_are_refused_in_one_line_and_leave_nothing(here, capsys, case):
    flags, code, message = WRONG[case]
    good = (here / "made.jsonl").read_text()
    lines = good.splitlines(keepends=True)
    (here / "broken.jsonl").write_text("".join(lines[:2]) + lines[2][:-3] + "\n" + good)
    (here / "twice.jsonl").write_text(good + lines[0])
    circle = json.loads(lines[0]) | {"id": "me", "parent": "you"}
    (here / "circle.jsonl").write_text(
        "".join(lines[:300])
        + "".join(json.dumps(circle | more) + "\n" for more in ({}, {"id": "you", "parent": "me"}))
    )
    (here / "empty.jsonl").write_bytes(b"")
    (here / "bare.jsonl").write_text('{"id": 1, "text": "one"}\n')
    before = contents(here)
    assert build_data.main(flags) == code
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0] and captured.err.endswith(errors[0] + "\n")
    assert captured.out == "" and "Traceback" not in captured.err
    assert contents(here) == before and not (here / "data").exists()


def test_a_recipe_is_chosen_by_the_size_of_the_documents(here, capsys):
    assert recipes.recipe_by_size(["--input_documents=made.jsonl"]) == recipes.QUICK
    size = round(0.9 * (here / "made.jsonl").stat().st_size)
    assert f"train has {size:,} bytes" in capsys.readouterr().err


def test_a_report_repeats_the_command(here, capsys):
    run(capsys, *FLAGS, "--split_by=author")
    said = build_command(records.load("data/made"), lambda tool: f"python {tool}", "out")
    assert "--input_documents=made.jsonl --split_by=author --split_fractions=0.6" in said


def test_the_embedded_corpus_brings_its_documents_and_its_text_is_what_it_was(
    here, capsys, monkeypatch
):
    """Of a small library: 30 modules, whose text is joined here as it ever was."""
    library = here / "library"
    library.mkdir()
    (library / "pydoc_data").mkdir()
    (library / "pydoc_data" / "topics.py").write_text("topics = {'t': 'A topic.\\n'}\n")
    for i in range(60):
        body = "".join(f'def f{k}():\n    "Function {k} of {i}."\n' for k in range(20))
        (library / f"m{i:02d}.py").write_text(f'"""Module {i}."""\n{body}')
    found = named_corpora.python_docs(library)
    monkeypatch.setitem(named_corpora.NAMED, "python-docs", lambda asked: found)
    run(capsys, "--corpus=python-docs", *SMALL)
    manifest = records.load("data/python-docs")
    assert manifest.documents.split_by == "corpus" and manifest.documents.groups == 60
    table = documents.load("data/python-docs", "valid")
    assert (table[:, documents.DEPTH] == (table[:, documents.PARENT] >= 0)).all()
    text = "".join(f"{line}\n" for line in found.texts["valid"].pieces())
    assert text == "".join(
        f"Module {i}.\n\n" + "".join(f"Function {k} of {i}.\n\n" for k in range(20))
        for i in range(60)
        if f"Module {i}.\n" in text
    )


@pytest.mark.slow
def test_a_build_of_documents_killed_anywhere_and_run_again_equals_one_that_was_not(
    here, run_tool
):
    write_lines(here / "made.jsonl", threads(20_001))
    killed_builds.check(here, run_tool, [*FLAGS, "--shards=2"], workers=1, seed=23)


def test_a_setting_that_is_new_is_written_by_its_last_name(here, capsys):
    run(capsys, *FLAGS[1:], f"--input_documents={here / 'made.jsonl'}", "--output_dir=x")
    settings = DataConfig.from_json(records.load("x").settings)
    assert settings.input_documents == "made.jsonl" and str(here) not in str(contents(here / "x"))
