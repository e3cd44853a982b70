"""The command plot_pi: what it draws, of whom, and what it says where it can't."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from par.tools import plot_pi as tool
from project import ROOT
from recorded_run import drifting_pi, make_run, train_row, write_history


def test_the_command_draws_four_pictures_and_names_them(tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "run", "ss", count=3)
    with open(run / "history.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 9')  # the run goes on
    monkeypatch.chdir(tmp_path)
    assert tool.main(["--run=run", "--seconds=1.5"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and [line.split(":")[0] for line in lines] == [
        f"run/plots/{name}" for name in ("pi.gif", "pi.png", "pi_over_time.png", "curves.png")
    ]
    size = round((run / "plots" / "pi.gif").stat().st_size / 1000)
    with Image.open(run / "plots" / "pi.gif") as image:
        assert (
            lines[0]
            == f"run/plots/pi.gif: {image.width} x {image.height}, {size} kB, 3 frames, 3.5 s"
        )
    assert sorted(path.name for path in (run / "plots").iterdir()) == [
        "curves.png",
        "pi.gif",
        "pi.png",
        "pi_over_time.png",
    ]


def test_all_pictures_are_drawn_also_if_nobody_reads_their_names(tmp_path):
    run = make_run(tmp_path / "run", "ss", count=2)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, ROOT / "tools" / "plot_pi.py", f"--run={run}", "--format=png"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list((run / "plots").iterdir())) == 3


def test_a_fixed_run_has_curves_but_no_pi(tmp_path, capsys):
    run = make_run(tmp_path / "fixed", "adi")
    assert tool.main([f"--run={run}"]) == 1
    message = (
        "error: run fixed has no stochastic block (architecture adi): there is no pi to draw;"
        " --curves_only draws its learning curves\n"
    )
    assert capsys.readouterr() == ("", message) and not (run / "plots").exists()
    assert (
        tool.main([f"--run={run}", "--curves_only", f"--output_dir={tmp_path / 'elsewhere'}"]) == 0
    )
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["curves.png"]


def test_a_directory_of_several_seeds_is_not_drawn_as_one_run(tmp_path, capsys):
    for seed in (0, 1):
        make_run(tmp_path / "group" / f"seed{seed}", "ss", seed=seed)
    assert tool.main([f"--run={tmp_path}/group"]) == 1
    said = (
        f"error: --run={tmp_path}/group holds 2 seeds: give one of them, such as"
        f" {tmp_path}/group/seed0; derive --rule=consensus --plot takes all"
    )
    assert capsys.readouterr().err.startswith(said) and not (tmp_path / "group" / "plots").exists()
    assert tool.main([f"--run={tmp_path}/group/seed1", "--seconds=0.5"]) == 0


def test_a_place_where_no_picture_can_be_is_refused_by_its_name(tmp_path, capsys):
    run, output = make_run(tmp_path / "run", "ss", count=3), tmp_path / "notes.txt"
    output.write_text("mine")
    assert tool.main([f"--run={run}", f"--output_dir={output}"]) == 1
    assert (
        capsys.readouterr() == ("", f"error: {output}/pi.png: Not a directory\n")
        and output.read_text() == "mine"
    )


@pytest.mark.parametrize("seconds", ["0", "0.09", "-3", "601", "nan", "inf"])
def test_a_length_that_no_gif_can_have_is_refused(seconds, tmp_path, capsys):
    run = make_run(tmp_path / "run", "s")
    assert tool.main([f"--run={run}", f"--seconds={seconds}"]) == 1
    assert capsys.readouterr().err.startswith("error: --seconds must be from 0.1 to 600, but is ")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--format=gif"], ["pi.gif"]),
        (["--format=png"], ["curves.png", "pi.png", "pi_over_time.png"]),
        (["--format=png", "--curves_only"], ["curves.png"]),
    ],
)
def test_a_format_leaves_the_other_out(flags, expected, tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", count=3)
    assert tool.main([f"--run={run}", *flags]) == 0
    assert sorted(path.name for path in (run / "plots").iterdir()) == expected and len(
        capsys.readouterr().out.splitlines()
    ) == len(expected)


@pytest.mark.parametrize(
    "flags",
    [
        ["--compare", "one", "two"],
        ["--run=one", "--compare=two"],
        ["--compare=one", "--compare=two", "--compare=one"],
    ],
)
def test_two_runs_are_drawn_side_by_side_in_the_plots_of_the_first(
    flags, tmp_path, capsys, monkeypatch
):
    make_run(tmp_path / "one", "ssssss", count=3)
    make_run(tmp_path / "two", "sss", count=4, total=56)
    monkeypatch.chdir(tmp_path)
    assert tool.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "one/plots/compare.gif",
        "one/plots/compare.png",
        "so far",
    ]
    assert lines[2] == "so far: two is at step 28 of 56"
    # 3 + 4 rows; at a third of its training, `one` goes on to show its first row
    assert ", 6 frames, 12 s" in lines[0]
    with Image.open("one/plots/compare.png") as both:
        assert both.width < 2 * 900 and sorted(
            path.name for path in Path("one/plots").iterdir()
        ) == ["compare.gif", "compare.png"]


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (
            ["--compare=one"],
            1,
            "--compare needs 2 to 12 different runs, but got 1: --compare logs/RUN logs/OTHER",
        ),
        (["--run=one", "--compare=./one"], 1, "--compare needs 2 to 12 different runs, but got 1"),
        (
            ["--run=one", "--compare=fixed"],
            1,
            (
                "run fixed has no stochastic block (architecture ad): there is no pi to draw;"
                " leave it out of"
            ),
        ),
        (
            ["--run=one", "--compare=group"],
            1,
            "--compare=group holds 1 seed: give one of them, such as group/seed0",
        ),
        (
            ["--run=one", "--compare=missing"],
            3,
            "--compare=missing has no config.json: give a directory that tools/train.py made",
        ),
        (
            ["--run=one", "--compare=new"],
            3,
            (
                "run new has no recorded step yet (history.jsonl): let tools/train.py go on, then"
                " try again"
            ),
        ),
        (
            ["--run=begun"],
            3,
            (
                "run begun has no recorded step yet (history.jsonl): let tools/train.py go on,"
                " then try again"
            ),
        ),
        (
            ["--run=one", "--compare=new", "--curves_only"],
            1,
            "--compare draws pi, and --curves_only leaves it out: give one of them",
        ),
        (
            ["--run=one", "--curves_only", "--format=gif"],
            1,
            "--curves_only draws curves.png: leave --format=gif out",
        ),
        ([], 1, "--run=DIR is required; see --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_drawn_is_one_line_and_nothing_is_written(
    flags, code, said, tmp_path, capsys, monkeypatch
):
    make_run(tmp_path / "one", "ss", count=2)
    make_run(tmp_path / "fixed", "ad", count=2)
    make_run(tmp_path / "group" / "seed0", "ss", count=2)
    write_history(make_run(tmp_path / "new", "ss") / "history.jsonl", [])
    (make_run(tmp_path / "begun", "ss") / "history.jsonl").unlink()
    monkeypatch.chdir(tmp_path)
    assert tool.main(flags) == code
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.startswith(f"error: {said}")
        and err.count("\n") == 1
        and not list(tmp_path.rglob("plots"))
    )


def test_a_live_run_is_drawn_while_its_history_grows(tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", count=1, total=7000)
    rows = [train_row(7 * i, pi.tolist()) for i, pi in enumerate(drifting_pi("ss", 900), 2)]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    drawn = threading.Event()

    def train() -> None:
        with open(run / "history.jsonl", "ab", buffering=0) as file:
            for start in itertools.count(0, 37):  # rows are cut anywhere
                if drawn.wait(0.001) or start >= len(content):
                    return
                file.write(content[start : start + 37])

    writer = threading.Thread(target=train)
    writer.start()
    try:
        codes = [tool.main([f"--run={run}", "--format=png"]) for _ in range(2)]
    finally:
        drawn.set()
        writer.join()
    out, err = capsys.readouterr()
    steps = [
        int(line.split()[6].replace(",", ""))
        for line in out.splitlines()
        if line.startswith("so far: run is at step")
    ]
    assert (
        codes == [0, 0]
        and err == ""
        and len(steps) == 2
        and steps == sorted(steps)
        and 7 < steps[1] < 6300
    )


@pytest.mark.parametrize("flags", [["--format=png"], ["--curves_only"]])
def test_a_finished_run_that_lost_rows_of_its_history_is_refused_and_not_called_live(
    flags, tmp_path, capsys
):
    run = make_run(tmp_path / "run", "ss", count=3)
    (run / "summary.json").write_text('{"step": 21}')
    assert tool.main([f"--run={run}", *flags]) == 0
    assert "so far" not in capsys.readouterr().out
    rows = (run / "history.jsonl").read_text().splitlines(keepends=True)
    (run / "history.jsonl").write_text(rows[0])
    assert tool.main([f"--run={run}", f"--output_dir={tmp_path}/again", *flags]) == 3
    out, err = capsys.readouterr()
    assert out == "" and "step 7" in err and "step 21" in err and "rows were lost" in err
    assert not (tmp_path / "again").exists()
