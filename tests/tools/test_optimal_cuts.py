"""The command that finds cutoffs: what it prints, draws and refuses, and that `train
--cutoffs=auto` keeps what it found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import documented
from naive import cutoffs as naive
from par.core import schema
from par.nn import cutoffs
from project import ROOT, refused
from small import FIRST, RATES, SHAPE, SYMBOLS, small_data

COUNTS = [52, 20, 20, 9, 5, 3, 2, 1, 1, 0]
NETWORK = (*SHAPE, *RATES, "--epochs=1")


def written(path, counts):
    path.write_text("".join(f"{count}\n" for count in counts))
    return path


@pytest.fixture
def counts_file(tmp_path):
    return written(tmp_path / "words.txt", COUNTS)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


def test_the_areas_of_every_number_of_clusters_the_best_marked_and_drawn(
    counts_file, call, tmp_path
):
    done = call(
        "optimal_cuts", f"--counts={counts_file}", "--cost=area", "--max_clusters=5", cwd=tmp_path
    )
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "words: 10 ids" and lines[2].split() == [
        "K",
        "cutoffs",
        "logits",
        "a",
        "token",
        "of",
        "plain",
    ]
    assert lines[3] == "  1  none: plain softmax           10.00    100.0%"
    for clusters, line in zip(range(2, 6), lines[4:8]):
        best, cost = naive.optimal(COUNTS, clusters, cutoffs.area)
        assert line.lstrip("*").split() == [
            str(clusters),
            *map(str, best),
            f"{cost:.2f}",
            f"{cost / 10:.1%}",
        ]
    assert [line[0] for line in lines[3:8]] == [" ", " ", "*", " ", " "]
    assert re.fullmatch(r"computed in 0\.\d{3} s", lines[8])
    assert lines[10:12] == [
        "best: 3 clusters, 49.4% of the cost of plain softmax",
        "--cutoffs=1 --cutoffs=4",
    ]
    assert lines[12].startswith("logs/words-cutoffs.png: 864 x 432, ") and len(lines) == 13
    with Image.open(tmp_path / "logs" / "words-cutoffs.png") as image:
        assert image.size == (864, 432)


def test_area_needs_no_tensorflow(counts_file, tmp_path):
    command = [
        sys.executable,
        "-X",
        "importtime",
        ROOT / "tools" / "optimal_cuts.py",
        f"--counts={counts_file}",
        "--cost=area",
        "--plot=",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "--cutoffs=" in done.stdout
    assert not {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()} & {
        "tensorflow",
        "keras",
        "matplotlib",
    }
    assert sorted(tmp_path.iterdir()) == [counts_file]


def test_one_number_of_clusters_stands_beside_plain_and_is_given_even_if_plain_is_better(
    call, tmp_path
):
    even = written(tmp_path / "even.txt", [1, 1, 1])
    done = call("optimal_cuts", f"--counts={even}", "--cost=area", "--clusters=3", "--plot=")
    assert [line.lstrip("*").split()[0] for line in done.out.splitlines()[3:5]] == ["1", "3"]
    assert done.out.splitlines()[-2:] == [
        (
            "plain softmax is cheaper: 3.00 logits a token, 3.67 with 3 clusters: train with"
            " --cutoffs=none"
        ),
        "--cutoffs=1 --cutoffs=2",
    ]
    without = call("optimal_cuts", f"--counts={even}", "--cost=area", "--plot=")
    assert (
        without.out.splitlines()[-1].startswith("plain softmax is cheaper")
        and "--cutoffs=1" not in without.out
    )
    assert (
        re.search(r"^\* 1 ", without.out, re.M)
        and re.search(r"^  3 ", without.out, re.M)
        and not re.search(r"^. 4 ", without.out, re.M)
    )


def test_foreign_counts_are_sorted_when_asked_and_warned_of_when_not(call, tmp_path, counts_file):
    shuffled = written(tmp_path / "foreign.txt", np.random.default_rng(0).permutation(COUNTS))
    flags = ("--cost=area", "--json", "--plot=")
    ordered = json.loads(call("optimal_cuts", f"--counts={counts_file}", *flags).out)
    documented.check("optimal_cuts --json", ordered)
    done = call("optimal_cuts", f"--counts={shuffled}", "--sort", *flags)
    assert done.err == "" and json.loads(done.out)["clusters"] == ordered["clusters"]
    unsorted = call("optimal_cuts", f"--counts={shuffled}", *flags)
    line = next(
        i
        for i, (a, b) in enumerate(
            zip(shuffled.read_text().split(), shuffled.read_text().split()[1:]), 2
        )
        if int(b) > int(a)
    )
    assert (
        unsorted.err
        == f"warning: counts rise at line {line} of {shuffled}: the cutoffs are for ids in this"
        " order; --sort renumbers them by count\n"
    )
    assert (
        unsorted.code == 0
        and json.loads(unsorted.out)["clusters"][1]["area"] > ordered["clusters"][1]["area"]
    )


def test_the_pictures_of_two_data_sets_of_one_text_are_two(call, tmp_path):
    for name in ("one", "two"):
        data_dir = small_data(tmp_path / name)
        flags = (f"--data={data_dir}", "--cost=area", "--clusters=2", "--json")
        done = call("optimal_cuts", *flags, cwd=tmp_path)
        assert done.code == 0 and json.loads(done.out)["plot"] == f"logs/{name}-cutoffs.png"
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_a_data_set_whose_ids_do_not_fall_in_count_is_warned_of_its_special_ids_aside(
    call, tmp_path
):
    counts = {"falling": np.arange(SYMBOLS, 0, -1), "rising": np.r_[np.arange(SYMBOLS, 1, -1), 5]}
    for name, times in counts.items():
        data_dir = small_data(
            tmp_path / name,
            lambda n, rng, times=times: np.repeat(np.arange(FIRST, FIRST + SYMBOLS), times),
            batch_size=2,
        )
        done = call("optimal_cuts", f"--data={data_dir}", "--cost=area", "--plot=")
        line = (
            f"warning: counts rise at line {FIRST + SYMBOLS} of {data_dir}/counts.txt: the cutoffs"
            " are for ids in this order; "
        )
        said = f"{line}build without --tokenizer_model for ids in the order of their counts\n"
        assert (done.code, done.err) == (0, said if name == "rising" else "")


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ((), ""),
        (("--proj_factor=1.5",), " --proj_factor=1.5"),
        (("--d_model=512",), " --d_model=512"),
        (
            ("--proj_dims=8", "--proj_dims=2", "--d_model=64"),
            " --d_model=64 --proj_dims=8 --proj_dims=2",
        ),
    ],
    ids=str,
)
def test_the_printed_flags_are_all_of_the_network_that_was_costed(
    counts_file, call, given, printed
):
    flags = (f"--counts={counts_file}", "--cost=area", "--plot=", *given)
    done = call("optimal_cuts", *flags)
    assert done.out.splitlines()[-1] == f"--cutoffs=1 --cutoffs=4{printed}", done.err
    assert (
        json.loads(call("optimal_cuts", *flags, "--json").out)["flags"]
        == f"--cutoffs=1 --cutoffs=4{printed}"
    )


def test_the_flags_of_a_plain_softmax_take_a_recipe_s_cutoffs_away(counts_file, call):
    done = call(
        "optimal_cuts",
        f"--counts={counts_file}",
        "--cost=area",
        "--plot=",
        "--clusters=1",
        "--d_model=64",
        "--json",
    )
    assert json.loads(done.out)["flags"] == "--cutoffs=none --d_model=64"


def test_a_width_that_leaves_no_tail_is_told_and_more_clusters_are_tried_when_asked(
    counts_file, call
):
    flags = (f"--counts={counts_file}", "--cost=area", "--plot=", "--d_model=8")
    done = call("optimal_cuts", *flags)
    said = (
        "no tail was tried: the widest would have width 2, and 8 is the least by default;"
        " --max_clusters=K tries narrower ones"
    )
    assert (done.code, done.err, done.out.splitlines()[-1]) == (0, "", said)
    assert (
        call("optimal_cuts", *flags, "--max_clusters=3").out.splitlines()[-1]
        == "--cutoffs=1 --cutoffs=4 --d_model=8"
    )
    for asked in ("--max_clusters=1", "--clusters=1"):
        assert "no tail" not in call("optimal_cuts", *flags, asked).out


@pytest.mark.slow
def test_predicted_and_measured_times_and_the_fits_of_this_machine(data_dir, call, tmp_path):
    before = sorted(data_dir.rglob("*"))
    picture = tmp_path / "cuts.png"
    done = call(
        "optimal_cuts",
        f"--data={data_dir}",
        "--d_model=16",
        "--max_clusters=3",
        "--measure",
        f"--plot={picture}",
        "--json",
    )
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    documented.check("optimal_cuts --json", figures)
    assert (
        figures["name"],
        figures["vocab_size"],
        figures["batch_size"],
        figures["seq_len"],
        figures["d_model"],
    ) == ("synthetic", 40, 4, 8, 16)
    assert [fit["width"] for fit in figures["fits"]] == [16, 4, 1]
    for fit in figures["fits"]:
        assert (
            fit["floor"] >= fit["c"] >= 0
            and fit["timings"] >= 5
            and 0 <= fit["median_error"] <= fit["worst_error"]
        )
    assert [row["clusters"] for row in figures["clusters"]] == [1, 2, 3] and [
        len(row["cutoffs"]) for row in figures["clusters"]
    ] == [0, 1, 2]
    for row in figures["clusters"]:
        assert row["predicted_ms"] > 0 and row["measured_ms"] > 0
        assert row["of_plain"] == pytest.approx(
            row["predicted_ms"] / figures["clusters"][0]["predicted_ms"]
        )
    assert (
        figures["best"]
        == min(figures["clusters"], key=lambda row: row["predicted_ms"])["clusters"]
    )
    assert figures["cutoffs"] == figures["clusters"][figures["best"] - 1]["cutoffs"] and figures[
        "plot"
    ] == str(picture)
    assert picture.is_file() and sorted(data_dir.rglob("*")) == before


def test_given_widths_say_how_many_clusters_there_are(counts_file, call):
    flags = (f"--counts={counts_file}", "--cost=area", "--plot=", "--proj_dims=8", "--proj_dims=2")
    done = call("optimal_cuts", *flags, "--json")
    assert [row["clusters"] for row in json.loads(done.out)["clusters"]] == [1, 3]
    assert call("optimal_cuts", *flags, "--clusters=3").code == 0
    refused(
        call("optimal_cuts", *flags, "--clusters=2"),
        1,
        "proj_dims gives 2 widths",
        "clusters must be 3",
        "is 2",
    )
    refused(
        call("optimal_cuts", *flags, *["--proj_dims=1"] * 8),
        1,
        "proj_dims must give at most 9 widths for 10 ids, but gives 10",
    )


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ((), 1, ("either --data=DIR or --counts=FILE",)),
        (("--data=x", "--counts=COUNTS"), 1, ("either --data=DIR or --counts=FILE",)),
        (("--data=/nonexistent",), 3, ("/nonexistent", "manifest.json", "build_data")),
        (("--counts=/nonexistent",), 3, ("counts /nonexistent does not exist",)),
        (
            ("--counts=COUNTS", "--clusters=11"),
            1,
            ("clusters must be from 1 to 10 for 10 ids, but is 11",),
        ),
        (("--counts=COUNTS", "--clusters=0"), 1, ("clusters must be from 1", "is 0")),
        (("--counts=COUNTS", "--max_clusters=0"), 1, ("max_clusters must be from 1 to 64", "0")),
        (("--counts=COUNTS", "--max_clusters=65"), 1, ("max_clusters must be from 1 to 64", "65")),
        (
            ("--counts=COUNTS", "--max_clusters=3", "--clusters=3"),
            1,
            ("max_clusters tries", "up to 3, and --clusters gives one: leave one"),
        ),
        (
            ("--counts=COUNTS", "--max_clusters=3", "--proj_dims=4"),
            1,
            ("max_clusters tries", "up to 3, and --proj_dims gives one: leave one"),
        ),
        (
            ("--counts=COUNTS", "--seed=-1", "--measure"),
            1,
            ("seed must be at least 0, but is -1",),
        ),
        (
            ("--counts=COUNTS", f"--seed={2**31}"),
            1,
            (f"seed must be at most {2**31 - 1}, but is {2**31}",),
        ),
        (
            ("--counts=COUNTS", "--plot=COUNTS"),
            1,
            ("--plot must end with .png, but is", "words.txt"),
        ),
        (("--counts=COUNTS", "--plot=logs"), 1, ("--plot must end with .png, but is 'logs'",)),
        (("--counts=COUNTS", "--proj_factor=0"), 1, ("proj_factor must be at least 1", "0")),
        (("--counts=COUNTS", "--batch_size=0"), 1, ("batch_size", "0")),
        (("--counts=COUNTS", "--d_model=15"), 1, ("d_model", "15")),
        (("--counts=COUNTS", "--cost=time"), 1, ("cost", "time", "device|area")),
        (("--counts=COUNTS", "--proj_dims=0"), 1, ("proj_dims", "0")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_flags_are_one_line(counts_file, call, flags, code, words):
    refused(
        call("optimal_cuts", *(flag.replace("COUNTS", str(counts_file)) for flag in flags)),
        code,
        *words,
    )


def test_a_data_set_whose_counts_were_changed_or_are_to_be_sorted_is_refused(call, tmp_path):
    data_dir = small_data(tmp_path / "copies", train=300, valid=100)
    refused(call("optimal_cuts", f"--data={data_dir}", "--sort"), 1, "--sort is for --counts")
    lines = (data_dir / "counts.txt").read_text().split()
    written(data_dir / "counts.txt", lines[::-1])
    refused(
        call("optimal_cuts", f"--data={data_dir}", "--cost=area"),
        3,
        "counts.txt is not the file that was built",
    )


def test_a_picture_that_cannot_be_written_is_one_line(counts_file, call, tmp_path):
    (tmp_path / "dir.png").mkdir()
    for path in (f"{counts_file}/x.png", tmp_path / "dir.png", "/proc/x.png", "/proc/deep/x.png"):
        refused(
            call("optimal_cuts", f"--counts={counts_file}", "--cost=area", f"--plot={path}"),
            1,
            f"error: {path}: ",
        )
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "dir.png", counts_file])


def test_a_picture_is_drawn_where_no_directory_was_and_over_an_old_one(
    counts_file, call, tmp_path
):
    path = tmp_path / "new" / "deep" / "x.png"
    for _ in range(2):
        done = call("optimal_cuts", f"--counts={counts_file}", "--cost=area", f"--plot={path}")
        assert done.code == 0 and done.out.splitlines()[-1].startswith(f"{path}: 864 x 432, "), (
            done.err
        )
    assert list(path.parent.iterdir()) == [path]


def auto(data_dir, *more):
    return ("train", f"--data={data_dir}", "--architecture=ad", *NETWORK, "--cutoffs=auto", *more)


@pytest.mark.slow
def test_train_with_auto_keeps_the_cutoffs_of_its_run_and_its_name(data_dir, call, tmp_path):
    named = call(*auto(data_dir, "--print_run"), cwd=tmp_path)
    assert re.fullmatch(r"logs/synthetic-ad-custom-seed0-[0-9a-f]{8}\n", named.out), named.err
    assert not (tmp_path / "logs").exists()
    plain = call(
        "train", f"--data={data_dir}", "--architecture=ad", *NETWORK, "--print_run", cwd=tmp_path
    )
    assert plain.out != named.out
    first = call(*auto(data_dir), cwd=tmp_path)
    assert first.code == 0 and re.search(
        r"^cutoffs: (none, as plain softmax is faster|--cutoffs=\d+.*), \d+\.\d\d ms a step",
        first.err,
        re.M,
    ), first.err
    run_dir = tmp_path / named.out.strip()
    found = schema.read_json(run_dir / "config.json", "")["model"]["cutoffs"]
    lines = (run_dir / "flags.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("--cutoffs=")] == [
        f"--cutoffs={cutoff}" for cutoff in found or ["none"]
    ]
    again = call(*auto(data_dir), cwd=tmp_path)
    assert (again.code, again.err) == (0, "") and again.out == first.out.replace(
        "done: 93", "already done: 93"
    )


@pytest.mark.slow
def test_a_stopped_run_of_auto_continues_with_its_cutoffs_although_others_are_the_fastest(
    data_dir, call, tmp_path
):
    """The run is made with cutoffs that no timing of 40 ids on any machine would find, and stops
    when it was configured."""
    run = f"--run={tmp_path / 'run'}"
    made = call(
        "train",
        f"--data={data_dir}",
        "--architecture=ad",
        *NETWORK,
        "--cutoffs=38",
        "--cutoffs=39",
        run,
    )
    assert made.code == 0, made.err
    (tmp_path / "run" / "summary.json").unlink()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    done = call(*auto(data_dir, run))
    assert (
        done.code == 0
        and "cutoffs:" not in done.err
        and done.out.splitlines()[-1].startswith("done: 93 steps")
    ), done.err
    assert schema.read_json(tmp_path / "run" / "config.json", "")["model"]["cutoffs"] == [38, 39]
    refused(call(*auto(data_dir, run, "--d_ffn=25")), 1, "model.d_ffn: 24 -> 25")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--proj_dims=8",), ("cutoffs=auto decides how many clusters", "proj_dims [8]")),
        (("--cutoffs=20",), ("cutoffs must be numbers, or auto or none alone", "auto, 20")),
        (("--cutoffs=none",), ("cutoffs must be numbers, or auto or none alone", "auto, none")),
        (("--cutoffs=best",), ("cutoffs", "best")),
    ],
    ids=str,
)
def test_auto_beside_what_it_decides_is_refused(data_dir, call, flags, words):
    refused(call(*auto(data_dir, *flags)), 1, *words)
