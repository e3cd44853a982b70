"""The command that writes synthetic corpora: the file, the bounds, and what it refuses."""

from __future__ import annotations

import json

import pytest

import documented
from par.data.synthetic.settings import SyntheticConfig
from par.data.synthetic.tasks import TASKS
from project import refused

SMALL = {
    "dialects": ("--authors=6", "--texts=7"),
    "threads": ("--threads=4", "--replies=3"),
    "two_latents": ("--authors=6", "--groups=8"),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_file_has_all_documents_and_the_bounds_are_printed(task, call, tmp_path):
    path = tmp_path / "new" / f"{task}.jsonl"
    done = call("synth", f"--task={task}", f"--output={path}", *SMALL[task], "--json")
    assert done.code == 0
    value = json.loads(done.out)
    documented.check("synth --json", value)
    config = SyntheticConfig(**value["settings"])
    assert value["bounds"] == [bound.to_json() for bound in TASKS[task].bounds(config)]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == value["documents"] == TASKS[task].count(config)
    expected = TASKS[task].documents(config, 0)
    assert [json.loads(line) for line in lines] == [each.to_json() for each in expected]


def test_people_see_a_table_and_what_to_do_next(call, tmp_path):
    path = tmp_path / "a.jsonl"
    done = call("synth", "--task=dialects", f"--output={path}", "--authors=5", "--seed=3")
    lines = done.out.splitlines()
    assert lines[0] == f"written: {path}, 160 texts"
    assert lines[3] == "contexts  author: synonyms" and lines[4].split() == [
        "0",
        "0.2500",
        "(1.3863)",
    ]
    assert lines[8].split()[1] == "0.9971"
    assert lines[-1] == (
        f"next:    python tools/build_data.py --input_documents={path} --model_type=word"
        " --split_by=author"
    )
    before = path.read_bytes()
    call("synth", "--task=dialects", f"--output={path}", "--authors=5", "--seed=4")
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--task=dialects",), "--task=NAME and --output=FILE are required"),
        (("--output=a.jsonl",), "--task=NAME and --output=FILE are required"),
        (("--task=poems", "--output=a.jsonl"), "poems"),
        (("--task=dialects", "--output=a.txt"), "--output must end with .jsonl, but is 'a.txt'"),
        (("--task=threads", "--output=a.jsonl", "--pairs=3"), "--pairs has no effect with --task"),
        (
            ("--task=two_latents", "--output=a.jsonl", "--groups=30"),
            "--groups must be a multiple of --synonyms, 4, but is 30",
        ),
        (("--task=dialects", "--output=a.jsonl", "--slots=5"), "--pairs must be at most --slots"),
        (("--task=dialects", "--output=a.jsonl", "--seed=-1"), "--seed must be at least 0"),
    ],
)
def test_what_makes_no_corpus_is_refused_in_one_line_and_nothing_is_written(
    flags, said, call, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    refused(call("synth", *flags), 1, said)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_the_place_of_the_file_is_refused(call, tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    refused(call("synth", "--task=threads", f"--output={tmp_path}/a.jsonl"), 1, "a.jsonl")
