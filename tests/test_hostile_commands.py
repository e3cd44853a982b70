"""Hostile files and names as the commands meet them: one line, the documented exit code, no
traceback, nothing written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from faults import change_json
from par.search.architecture import Architecture
from par.tools import derive as derive_tool
from par.train import run_config
from recorded_run import drifting_pi, train_row, write_history
from small import small_config, small_data
from tables import make_latencies

LATIN = os.fsdecode(b"caf\xe9")  # a name that is no UTF-8


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A data set, a recorded search of it, its architecture, and a latency table; not to be
    changed."""
    root = tmp_path_factory.mktemp("built")
    data = small_data(root / "data", train=1_000, valid=200)
    made = small_config(data, "ss", epochs=1)
    (root / "run").mkdir()
    made.save(root / "run", data)
    write_history(
        root / "run" / "history.jsonl",
        [train_row(made.total_steps, drifting_pi("ss", 2)[1].tolist())],
    )
    Architecture("ad").save(root / "run" / "architecture.json")
    make_latencies(made.model).save(root / "latency.json")
    (root / "counts.txt").write_text("9\n5\n3\n")
    return root


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def lone_surrogate(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"{", b'{"odd": "\\ud800", ', 1))


def endless(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1", b"1e999", 1))


def deep(path: Path) -> None:
    path.write_bytes(b'{"a":' * 900 + b"1" + b"}" * 900)


def nothing(path: Path) -> None:
    path.write_bytes(b"\0" * 5_000)


def control(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"schema"', b'"\\u001b[2J\\u202e"', 1))


TRAIN = ("train", "--data={root}/data", "--run={root}/new", "--epochs=1")
COMMANDS = [
    (*TRAIN, "data/manifest.json", endless),
    (*TRAIN, "data/manifest.json", control),
    (*TRAIN, "--architecture={root}/run/architecture.json", "run/architecture.json", deep),
    (
        *TRAIN,
        "--latency_table={root}/latency.json",
        "--target_latency=0.5",
        "latency.json",
        lone_surrogate,
    ),
    ("evaluate", "--run={root}/run", "run/config.json", control),
    ("generate", "--run={root}/run", "--prompt=a", "run/config.json", lone_surrogate),
    ("fill", "--run={root}/run", "--text=[MASK]", "run/config.json", control),
    ("discriminate", "--run={root}/run", "run/config.json", control),
    ("probe", "--run={root}/run", "--label=group", "run/config.json", control),
    ("export", "--run={root}/run", "--output={root}/out", "run/config.json", deep),
    ("plot_pi", "--run={root}/run", "run/history.jsonl", endless),
    ("report", "--run={root}/run", "run/architecture.json", control),
    ("derive", "--run={root}/run", "run/history.jsonl", lone_surrogate),
    (
        "derive",
        "--run={root}/run",
        "--latency_table={root}/latency.json",
        "--calibrate",
        "latency.json",
        lone_surrogate,
    ),
    ("compare", "--run={root}/run", "--dry_run", "run/architecture.json", control),
    (
        "measure_latency",
        "--run={root}/run",
        "--output={root}/made.json",
        "data/counts.txt",
        nothing,
    ),
    ("optimal_cuts", "--data={root}/data", "--cost=area", "--plot=", "data/counts.txt", nothing),
    (
        "optimal_cuts",
        "--counts={root}/counts.txt",
        "--cost=area",
        "--plot=",
        "counts.txt",
        nothing,
    ),
]


@pytest.mark.parametrize(
    "case", COMMANDS, ids=lambda case: f"{case[0]} {case[-2]} {case[-1].__name__}"
)
def test_a_hostile_file_is_refused_by_the_command_that_reads_it(copy, call, case):
    tool, *flags, name, damage = case
    damage(copy / name)
    before = contents(copy)
    done = call(tool, *(flag.format(root=copy) for flag in flags))
    said = [line for line in done.err.splitlines() if not line.startswith(("warning: ", "note: "))]
    assert (
        (done.code, done.out, len(said)) == (3, "", 1)
        and said[0].startswith("error: ")
        and str(copy / name) in said[0]
    ), done.err
    assert said[0].isprintable() and len(said[0]) < 4_100 and contents(copy) == before


TOOLS = {
    "train": ("--data={bad}/data", "--run={root}/new"),
    "evaluate": ("--run={bad}/run",),
    "derive": ("--run={bad}/run",),
    "plot_pi": ("--run={root}/run", "--output_dir={bad}"),
    "report": ("--run={root}/run", "--output={bad}.html"),
    "generate": ("--run={root}/run", "--prompt={bad}"),
    "fill": ("--run={root}/run", "--text={bad}"),
    "discriminate": ("--run={bad}/run",),
    "probe": ("--run={bad}/run", "--label=group"),
    "export": ("--run={root}/run", "--output={bad}"),
    "compare": ("--run={bad}/run",),
    "measure_latency": ("--run={root}/run", "--output={bad}/latency.json"),
    "optimal_cuts": ("--counts={bad}/counts.txt", "--cost=area"),
    "build_data": ("--input_text={bad}", "--output_dir={root}/new"),
}


def not_utf8(run, built, tool):
    done = run(tool, *(flag.format(root=built, bad=built / LATIN) for flag in TOOLS[tool]))
    assert (
        (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
        and "must be UTF-8, but is" in done.err
        and "caf\\udce9" in done.err
    )


@pytest.mark.parametrize("tool", ["derive", "plot_pi"])
def test_an_argument_that_is_not_utf8_is_refused_in_one_line(built, run_tool, tool):
    not_utf8(run_tool, built, tool)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_command_refuses_a_name_that_is_not_utf8(built, call, tool):
    not_utf8(call, built, tool)


def test_a_working_directory_that_is_not_utf8_is_refused_in_one_line(copy, run_tool):
    (copy / LATIN).mkdir()
    done = run_tool("derive", f"--run={copy}/run", cwd=copy / LATIN)
    assert (
        done.code == 1
        and done.err.startswith("error: the working directory must be UTF-8, but is")
        and len(done.err.splitlines()) == 1
    )


def test_a_link_to_a_directory_that_is_not_utf8_is_refused_in_one_line(copy, run_tool):
    (copy / "run").rename(copy / LATIN)
    (copy / "run").symlink_to(copy / LATIN)
    done = run_tool("derive", f"--run={copy}/run")
    assert done.code == 1 and "which is not UTF-8" in done.err and len(done.err.splitlines()) == 1


def test_a_sign_that_the_output_s_encoding_has_not_is_shown_by_its_code(copy, run_tool):
    (copy / "run").rename(copy / "süß")
    done = run_tool("derive", f"--run={copy}/süß", env={"PYTHONIOENCODING": "ascii"})
    assert done.code == 0 and "s\\xfc\\xdf" in done.out


def changes(root: Path) -> dict[str, tuple[str, Any]]:
    """Fields that contradict others, by file and place."""
    return {
        "run/config.json total_steps": (
            62,
            "total_steps is 62, but epochs and steps_per_epoch make 31",
        ),
        "run/config.json model.cutoffs": (
            [40],
            "cutoffs must lie below the vocabulary size 40, but are [40]",
        ),
        "run/config.json data.name": ("../x", "name of the data must be a name"),
        "run/config.json schema": (True, "it must have schema 2"),
        "latency.json decoding.a.low": (2.0, "0 <= low <= milliseconds <= high"),
        "data/manifest.json splits.train.bytes": (1, "1 bytes: each is at most the next"),
        "data/manifest.json splits.train.files.0.size": (10**7, "bytes for 31 steps, but"),
        "data/manifest.json cleaning": ({"colour": 1}, "cleaning counts 'colour'"),
        "data/manifest.json corpus.name": ("../../x", "without /, but is '../../x'"),
    }


@pytest.mark.parametrize("place", changes(Path()))
def test_fields_that_contradict_each_other_are_refused_with_both_values(copy, capsys, place):
    from par.tools import train as train_tool

    value, said = changes(copy)[place]
    name, field = place.split(" ")
    whole = json.loads((copy / name).read_text())
    *parents, last = field.split(".")
    inner = whole
    for key in parents:
        inner = inner[int(key) if key.isdecimal() else key]
    inner[last] = value
    (copy / name).write_text(json.dumps(whole))
    flags = {
        "latency.json": [f"--run={copy}/run", f"--latency_table={copy}/latency.json"],
        "run/config.json": [f"--run={copy}/run"],
    }
    tool, flags = (
        (derive_tool, flags[name])
        if name in flags
        else (train_tool, [f"--data={copy}/data", f"--run={copy}/new"])
    )
    assert tool.main(flags) == 3
    captured = capsys.readouterr()
    assert said in captured.err and len(captured.err.splitlines()) == 1, captured.err


HISTORY = {
    "a step beyond the run": ({"step": 32, "epoch": 2}, "step 32, but the run ends with 31"),
    "another epoch": ({"epoch": 2}, "epoch 2, but epochs of 31 steps make it 1"),
    "a rate above the peak": (
        {"learning_rate": 0.006},
        "learning_rate 0.006, but the most is 0.005",
    ),
    "a tau out of range": ({"tau": 1.5}, "tau 1.5 after 1.0, but tau goes from 1.0 to 0.1"),
}


@pytest.mark.parametrize("fault", HISTORY)
def test_a_history_that_is_not_of_its_config_is_refused_with_both_values(copy, capsys, fault):
    change, said = HISTORY[fault]
    steps = run_config.load(copy / "run")[0].total_steps
    write_history(
        copy / "run" / "history.jsonl",
        (
            [train_row(steps, [[0.2, 0.3, 0.5]] * 2, **change)]
            if "step" not in change
            else [train_row(change["step"], [[0.2, 0.3, 0.5]] * 2, epoch=2)]
        ),
    )
    assert derive_tool.main([f"--run={copy}/run"]) == 3
    assert said in capsys.readouterr().err


ARCHITECTURES = {
    "blocks that pi does not choose": (
        {"blocks": "dd"},
        "blocks are dd, but the likeliest by pi are ad",
    ),
    "a rule that does not use a search": (
        {"rule": "paper"},
        "rule paper does not use a search, but there are 2 rows of pi",
    ),
    "another rule": ({"rule": "best"}, "rule is 'best', not one of hand, argmax"),
    "no pi": ({"pi": []}, "rule argmax needs the pi of a search, but there are 0 rows"),
    "a row too many": ({"blocks": "add"}, "pi must have a row of 3 for each of the 3 blocks"),
}


@pytest.mark.parametrize("fault", ARCHITECTURES)
def test_an_architecture_that_its_rule_can_not_have_chosen_is_refused(copy, capsys, fault):
    from par.tools import train as train_tool

    change, said = ARCHITECTURES[fault]
    path = copy / "run" / "architecture.json"
    Architecture("ad", "argmax", "search", ((0.7, 0.2, 0.1), (0.25, 0.5, 0.25)), (3,)).save(path)
    for key, value in change.items():
        change_json(path, key, value)
    assert (
        train_tool.main([f"--data={copy}/data", f"--run={copy}/new", f"--architecture={path}"])
        == 3
    )
    assert said in capsys.readouterr().err and not (copy / "new").exists()
