"""Comparisons of tiny networks, for real: nothing is trained twice, a killed one goes on, and each
run is the one that train makes."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import documented
from par.core import config, schema
from par.evaluate.compare import findings, table_of_runs
from par.evaluate.compare.results import Comparison, Scores, Settings
from par.evaluate.compare.statistics import Network
from par.objectives import OBJECTIVES
from par.search import latency_table
from par.search.architecture import Architecture
from par.train import run_config
from project import ROOT
from recorded_run import train_row, write_history
from small import small_config, small_data
from tables import make_latencies

PI = [[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]  # derives da
SECONDS = 900  # for five trainings, traced anew each, on a busy machine
FLAGS = ("--num_seeds=1", "--num_random=1", "--match=none", "--repeats=3", "--steps=1")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=1_000, valid=200)


def make_search(
    run_dir: Path, data_dir: Path, blocks: str = "ss", pi: list[list[float]] = PI
) -> Path:
    """A search as train leaves it, of one epoch of 31 steps, without training it: what counts here
    are its settings and its pi."""
    made = small_config(data_dir, blocks, epochs=1, seed=4)
    run_dir.mkdir(parents=True)
    made.save(run_dir, data_dir)
    write_history(run_dir / "history.jsonl", [train_row(made.total_steps, pi)])
    return run_dir


@pytest.fixture
def search(tmp_path, data_dir):
    return make_search(tmp_path / "logs" / "search", data_dir)


@pytest.fixture(scope="module")
def compared(tmp_path_factory, data_dir, call):
    """A finished comparison, and what the command printed."""
    run_dir = make_search(tmp_path_factory.mktemp("logs") / "search", data_dir)
    done = call("compare", f"--run={run_dir}", *FLAGS)
    assert done.code == 0, done.err
    return run_dir, done


def refused(done, code, *words):
    """One line on stderr, with these words, and the exit code."""
    lines = [
        line for line in done.err.splitlines() if not line.startswith(("warning: ", "note: "))
    ]
    assert (done.code, len(lines)) == (code, 1) and lines[0].startswith("error: "), done.err
    for word in words:
        assert word in lines[0], lines[0]


def scores(directory: Path) -> dict[str, dict]:
    """What is in the scores.json of every run, times apart."""
    found = {
        path.parent.name: json.loads(path.read_text()) for path in directory.glob("*/scores.json")
    }
    return {
        name: {key: value for key, value in run.items() if key != "seconds"}
        for name, run in found.items()
    }


@pytest.mark.slow
def test_a_comparison_trains_every_network_once_and_says_who_won(compared):
    run_dir, done = compared
    directory = run_dir.parent / "search-compare"
    found = json.loads((directory / "compare.json").read_text())
    names = [entry["names"] for entry in found["networks"]]
    assert names == [
        ["derived"],
        ["interleaved", "sandwich", "paper's rule"],
        ["all attention"],
        ["all dense"],
        ["random 1"],
    ]
    assert [entry["blocks"] for entry in found["networks"]][:4] == ["da", "ad", "aa", "dd"]
    assert len({entry["blocks"] for entry in found["networks"]}) == 5 == len(
        scores(directory)
    ) and (found["networks_that_fit"], found["others_that_fit"]) == (7, 7 - 4)
    for entry in found["networks"]:
        (run,) = entry["runs"]
        kept, _ = run_config.load(Path(run["run"]))
        assert (
            kept.architecture.blocks,
            kept.training.seed,
            run["seed"],
            kept.training.epochs,
        ) == (
            entry["blocks"],
            5,
            5,
            1,
        )  # the search has seen 4
        test = json.loads((Path(run["run"]) / "scores.json").read_text())["test"]
        assert (
            run["perplexity_per_word"] == pytest.approx(test["perplexity_per_word"])
            and run["bits_per_byte"] == test["bits_per_byte"]
        )
        assert entry["perplexity_per_word"] == {
            "mean": pytest.approx(test["perplexity_per_word"]),
            "low": None,
            "high": None,
        }
        assert min(entry["latency"][what]["milliseconds"] for what in latency_table.CASES) > 0
    lines = done.out.splitlines()
    assert (
        lines[0] == "search: 1 epoch, 1 seed (5), test split"
        and lines[1]
        == "7 networks of at most 2 blocks and any cost; 1 random network of the 3 that are"
        " neither derived nor named"
    )
    assert any(line.startswith("verdict: The search did not win") for line in lines) and any(
        line.startswith("goal (") for line in lines
    )
    assert len(list(csv.DictReader((directory / "compare.csv").read_text().splitlines()))) == 5
    with Image.open(directory / "compare.png") as picture:
        assert picture.size == (864, 600)
    documented.check_files("Comparison", directory)
    documented.check("compare.json", found)
    documented.check("plan.json", json.loads((directory / "plan.json").read_text()))
    documented.check("measured.json", json.loads((directory / "measured.json").read_text()))
    for path in directory.glob("*/scores.json"):
        documented.check("scores.json", json.loads(path.read_text()))
        documented.check_files("Run", path.parent)
    for row in csv.DictReader((directory / "compare.csv").read_text().splitlines()):
        numbers = {
            name: float(cell) if cell else None
            for name, cell in row.items()
            if name not in ("names", "blocks")
        }
        documented.check("compare.csv", row | numbers)


@pytest.mark.slow
def test_the_runs_of_a_comparison_make_a_table_of_their_figures(compared):
    directory = compared[0].parent / "search-compare"
    table = table_of_runs.build(2, table_of_runs.runs_in(directory))
    found = json.loads((directory / "compare.json").read_text())["networks"]
    assert table.is_whole.sum() == len(found) == 5 and table.num_epochs == 1
    for entry in found:
        assert table.query(entry["blocks"], "test_perplexity_per_word", seed=5) == pytest.approx(
            entry["perplexity_per_word"]["mean"], rel=1e-5
        )
        assert table.query(entry["blocks"], "parameters") == entry["parameters"]


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_prints_the_same(compared, call):
    run_dir, done = compared
    before = {
        path: path.stat().st_mtime_ns
        for path in (run_dir.parent / "search-compare").glob("*/*")
        if path.is_file()
    }
    again = call("compare", f"--run={run_dir}", *FLAGS)
    assert (again.code, again.out) == (0, done.out) and not re.search("^run ", again.err, re.M)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    valid = call("compare", f"--run={run_dir}", *FLAGS, "--split=valid", "--report_only", "--json")
    found = json.loads(valid.out)
    documented.check("compare --json", found)
    assert found["split"] == "valid" and found["networks"][0]["runs"][0][
        "perplexity_per_word"
    ] == pytest.approx(
        scores(run_dir.parent / "search-compare")[
            Path(found["networks"][0]["runs"][0]["run"]).name
        ]["valid"]["perplexity_per_word"]
    )


@pytest.mark.slow
def test_a_run_of_a_comparison_is_the_one_that_train_makes(compared, call, tmp_path):
    run_dir, _ = compared
    own = next(
        path for path in (run_dir.parent / "search-compare").glob("*-ad-*") if path.is_dir()
    )
    alone = call("train", f"--flagfile={own}/flags.txt", f"--run={tmp_path / 'alone'}")
    assert alone.code == 0, alone.err
    histories = [
        [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
        for path in (own, tmp_path / "alone")
    ]
    without_times = [
        [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
        for rows in histories
    ]
    assert without_times[0] == without_times[1] and len(without_times[0]) > 30
    assert (
        call("train", f"--flagfile={own}/flags.txt").out.splitlines()[-1]
        == f"already done: 31 steps; run: {own}"
    )


@pytest.mark.slow
def test_a_comparison_that_was_killed_or_stopped_goes_on_and_ends_with_the_same_scores(
    compared, search, call
):
    command = [sys.executable, ROOT / "tools" / "compare.py", f"--run={search}", *FLAGS]
    directory = search.parent / "search-compare"
    for kill, code, done in ((signal.SIGKILL, -9, 1), (signal.SIGTERM, 5, 2)):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(10 * SECONDS):
            if len(list(directory.glob("*/history.jsonl"))) > done or process.poll() is not None:
                break
            time.sleep(0.1)
        in_use = call("compare", f"--run={search}", *FLAGS)
        process.send_signal(kill)
        out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, out) == (code, ""), err
        refused(in_use, 1, "is in use by host", f"process {process.pid}")
        assert 1 <= len(scores(directory)) < 5
    assert (
        re.search(r"^error: stopped .*the same command continues$", err, re.M)
        and "Traceback" not in err
    )
    kept = {path: path.stat().st_mtime_ns for path in directory.glob("*/scores.json")}
    partial = json.loads(call("compare", f"--run={search}", *FLAGS, "--report_only", "--json").out)
    assert (
        sum(len(entry["runs"]) for entry in partial["networks"]) == len(kept)
        and partial["goal"]["met"] is None
    )
    last = call("compare", f"--run={search}", *FLAGS)
    assert last.code == 0, last.err
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert scores(directory) == scores(compared[0].parent / "search-compare")


@pytest.mark.slow
def test_a_finished_run_without_scores_is_scored_and_not_trained(compared, call, tmp_path):
    directory = tmp_path / "search-compare"
    shutil.copytree(compared[0].parent, tmp_path, dirs_exist_ok=True)
    expected, path = scores(directory), next(directory.glob("*-dd-*/scores.json"))
    path.unlink()
    steps = (path.parent / "history.jsonl").read_bytes()
    data = run_config.load(compared[0])[1]
    for run in [tmp_path / "search", *(each.parent for each in directory.glob("*/config.json"))]:
        value = json.loads((run / "config.json").read_text())
        value["data"]["path"] = str(data)
        (run / "config.json").write_text(json.dumps(value))
    again = call("compare", f"--run={tmp_path / 'search'}", *FLAGS)
    assert again.code == 0, again.err
    assert scores(directory) == expected and (path.parent / "history.jsonl").read_bytes() == steps
    assert re.findall("^run (.*)$", again.err, re.M) == ["5 of 5: all dense dd, seed 5"]


def test_dry_run_tells_the_plan_and_writes_nothing(search, call):
    done = call(
        "compare",
        f"--run={search}",
        *FLAGS,
        "--num_seeds=4",
        "--epochs=3",
        "--dry_run",
        "--architectures=2(ad)",
        "--json",
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    documented.check("compare --dry_run --json", found)
    assert [each["blocks"] for each in found["networks"][:5]] == [
        "da",
        "ad",
        "aa",
        "dd",
        "adad",
    ] and len(found["networks"]) == 6
    assert (found["runs"], found["unfinished"], found["steps_per_run"], found["seeds"]) == (
        24,
        24,
        93,
        [5, 6, 7, 8],
    )
    assert not (search.parent / "search-compare").exists()


def test_random_networks_are_of_equal_latency_by_the_table(search, data_dir, call, tmp_path):
    part = {"constant": 1.0, "a": 2.0, "d": 1.0, "i": 0.0}
    model = run_config.load(search)[0].model
    make_latencies(model, part).save(tmp_path / "latency.json")
    flags = (
        "compare",
        f"--run={search}",
        f"--latency_table={tmp_path / 'latency.json'}",
        "--num_random=9",
        "--dry_run",
        "--json",
    )
    found = json.loads(call(*flags).out)
    assert found["cost"] == "latency" and found["networks"][0]["cost"] == 4.0
    # of cost 4: ad alone
    assert [each["blocks"] for each in found["networks"]] == ["da", "ad", "aa", "dd"]
    assert (found["networks_that_fit"], found["others_that_fit"]) == (2, 0)
    done = call(*flags, "--tolerance=0.25")
    found = json.loads(done.out)  # 3 to 5: aa, dd and a too, which is one network, not ai and ia
    assert [each["blocks"] for each in found["networks"][4:]] == ["a"]
    assert (found["networks_that_fit"], found["others_that_fit"]) == (5, 1)
    assert "1 network within a tolerance of 0.25 is neither derived nor named: all are" in done.err
    text = call(*flags[:-1], "--tolerance=0.25").out
    assert (
        "5 networks of at most 2 blocks and latency within 25% of the derived network's; all of"
        " them are compared" in text
    )
    make_latencies(config.ModelConfig(), part).save(tmp_path / "latency.json")
    refused(call(*flags), 3, "latency.json is for another shape", "d_model 128 there, 16 here")


def test_the_architecture_that_derive_wrote_is_the_derived_one(search, call):
    plain = call("compare", f"--run={search}", "--dry_run", "--json")
    assert (
        json.loads(plain.out)["networks"][0]["blocks"] == "da"
        and "without --latency_table=FILE costs are parameters" in plain.err
    )
    Architecture("id", "consensus", "search", ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)), (7, 9)).save(
        search / "architecture.json"
    )
    found = json.loads(call("compare", f"--run={search}", "--dry_run", "--json").out)
    assert found["networks"][0]["blocks"] == "d" and found["seeds"] == [10, 11, 12]
    # as deep as the search, and the user's own d is the derived network
    assert found["networks"][1]["blocks"] == "ad"
    own = call(
        "compare", f"--run={search}", "--dry_run", "--json", "--architectures=iid", "--match=none"
    )
    found = json.loads(own.out)
    assert found["networks"][0]["names"] == ["derived", "d"]
    assert [each["blocks"] for each in found["networks"]].count("d") == 1
    assert len({each["blocks"] for each in found["networks"]}) == 7 == found["networks_that_fit"]
    Architecture("idd").save(search / "architecture.json")
    refused(
        call("compare", f"--run={search}", "--dry_run"),
        3,
        "has the blocks idd, but the search ss: run tools/derive.py again",
    )


def test_a_derived_network_that_lies_elsewhere_is_named(search, call, tmp_path):
    Architecture("id").save(tmp_path / "budget.json")
    Architecture("dd").save(search / "architecture.json")
    asked = ("compare", f"--run={search}", "--dry_run", "--json")
    done = call(*asked, f"--derived={tmp_path / 'budget.json'}")
    assert json.loads(done.out)["networks"][0]["blocks"] == "d"
    refused(call(*asked, "--derived=/nonexistent"), 3, "/nonexistent does not exist")


def finished(directory: Path, seeds: tuple[int, ...] = (5,), search: str = "search") -> Path:
    """A comparison of these seeds, as the command writes it: `aa` costs too much, of the others
    `d` is best and `dd` next, and `ad` is the interleaved network."""

    def network(names: tuple[str, ...], blocks: str, nll: float, more: float = 0.0) -> Network:
        runs = {seed: Scores(1234, 60.0, nll, {"bits_per_byte": 1.7}) for seed in seeds}
        return Network(
            names, blocks, names[0] == "random 1", 10.0, more, runs, None, OBJECTIVES["causal_lm"]
        )

    networks = [
        network(("derived",), "da", 6.0),
        network(("interleaved", "sandwich"), "ad", 6.5, 0.5),
        network(("all attention",), "aa", 5.0, 0.06),
        network(("all dense",), "dd", 5.7, -0.2),
        network(("random 1",), "d", 5.5, 0.05),
        network(("a",), "a", 5.9, -0.4),
    ]
    found = findings.summarize(networks, "parameters", 0.05, equal=True, is_whole=False)
    settings = Settings(search, "test", seeds, 1, "none", "parameters", 0.05, 7, 3)
    schema.write_json(directory / "compare.json", Comparison(found, settings).to_json())
    return directory


def test_finalists_are_the_best_of_a_comparison_that_cost_no_more_by_other_seeds(
    search, call, tmp_path
):
    command = ("compare", f"--run={search}", f"--finalists_of={finished(tmp_path, (5, 6))}")
    done = call(*command, "--num_finalists=2", "--dry_run", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [(each["names"], each["blocks"]) for each in found["networks"]] == [
        (["derived"], "da"),
        (["interleaved", "sandwich"], "ad"),
        (["random 1"], "d"),
        (["all dense"], "dd"),
    ]
    assert found["seeds"] == [7, 8, 9] and found["directory"].endswith("search-finalists")
    # drawn at random once, but here for being the best
    assert "0 random networks" in call(*command, "--dry_run", "--match=none").out
    own = call(*command, "--num_finalists=0", "--architectures=add", "--dry_run", "--json")
    assert [each["blocks"] for each in json.loads(own.out)["networks"]] == ["da", "ad", "add"]
    assert not (search.parent / "search-finalists").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--seed=4", "--num_seeds=2"), ("--seed must leave out", "but 5 is", "give --seed=6")),
        (("--num_random=3",), ("--num_random has no effect beside --finalists_of",)),
        (("--num_finalists=-1",), ("num_finalists must be from 0 to 1000, but is -1",)),
        (("--output_dir=.",), ("--output_dir must be another directory than --finalists_of",)),
        (("--derived=dd.json",), ("is of search search, which derived da", "and derived dd")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_finalists_of_another_search_or_by_the_same_seeds_are_refused(
    search, call, tmp_path, monkeypatch, flags, words
):
    monkeypatch.chdir(finished(tmp_path))
    Architecture("dd").save(Path("dd.json"))
    refused(call("compare", f"--run={search}", "--finalists_of=.", *flags), 1, *words)


def test_finalists_come_from_a_comparison_that_is_finished(search, call, tmp_path):
    command = ("compare", f"--run={search}", f"--finalists_of={tmp_path}", "--dry_run")
    refused(call(*command), 3, "compare.json does not exist")
    value = json.loads((finished(tmp_path, (5, 6)) / "compare.json").read_text())
    value["networks"][3]["runs"].pop()
    schema.write_json(tmp_path / "compare.json", value)
    refused(call(*command), 1, "is not finished, dd has no run of seed 6")
    schema.write_json(tmp_path / "compare.json", value | {"networks": 7})
    refused(call(*command), 3, "is not what tools/compare.py writes", "run it again")
    refused(
        call("compare", f"--run={search}", "--num_finalists=3"),
        1,
        "--num_finalists has no effect without --finalists_of",
    )


@pytest.mark.slow
def test_finalists_are_trained_with_the_next_seed_in_a_directory_of_their_own(compared, call):
    run_dir, _ = compared
    before = run_dir.parent / "search-compare"
    first = {
        each["blocks"]: each
        for each in json.loads((before / "compare.json").read_text())["networks"]
    }
    flags = (f"--finalists_of={before}", "--num_finalists=1", "--num_seeds=1", "--match=none")
    done = call(
        "compare",
        f"--run={run_dir}",
        *flags,
        "--repeats=3",
        "--steps=1",
        "--json",
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    documented.check("compare --json", found)
    documented.check_files("Comparison", run_dir.parent / "search-finalists")
    others = [each for each in first.values() if each["cost_above_derived"] <= 0.05]
    best = min(
        (each for each in others if each["blocks"] not in ("da", "ad")),
        key=lambda each: each["perplexity_per_word"]["mean"],
    )
    assert [each["blocks"] for each in found["networks"]] == ["da", "ad", best["blocks"]]
    assert {run["seed"] for each in found["networks"] for run in each["runs"]} == {6}
    assert found["random"] is None and not any(each["random"] for each in found["networks"])


@pytest.mark.slow
def test_another_draw_in_the_same_directory_is_refused(compared, call):
    command = ("compare", f"--run={compared[0]}", *FLAGS)
    refused(
        call(*command, "--tolerance=0.1"),
        1,
        "draws other networks (tolerance: 0.05 -> 0.1)",
        "--output_dir=DIR",
    )
    refused(call(*command, "--random_seed=3"), 1, "random_seed: 0 -> 3")


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--num_seeds=0",), 1, ("num_seeds must be from 1 to 1000, but is 0",)),
        (("--tolerance=-0.1",), 1, ("tolerance must be from 0 to 1, but is -0.1",)),
        (("--architectures=ads",), 1, ("must be fixed networks", "'ads'")),
        (("--latency_table=/nonexistent",), 3, ("latency table /nonexistent does not exist",)),
        (("--epochs=0",), 1, ("epochs must be at least 1",)),
        (("--seed=-1",), 1, ("seed must be at least 0",)),
        (("--match=flops",), 1, ("flops", "latency")),
        (
            ("--fine_tune_epochs=2",),
            1,
            ("--fine_tune_epochs has no effect without --truth: add --truth, or leave it out",),
        ),
        (("--fine_tune_lr=0.1",), 1, ("--fine_tune_lr has no effect without --truth",)),
        (
            ("--dry_run", "--report_only"),
            1,
            ("--report_only has no effect beside --dry_run: leave one of both out",),
        ),
        (("--latency_of=decoding",), 1, ("--latency_of has no effect without --latency_table",)),
        (
            ("--match=parameters", "--latency_table=t.json"),
            1,
            ("--latency_table has no effect beside --match=parameters",),
        ),
        (("--data=/nonexistent",), 3, ("/nonexistent", "manifest.json")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_compare_refuses_in_one_line(search, call, flags, code, words):
    refused(call("compare", f"--run={search}", *flags), code, *words)
    assert not (search.parent / "search-compare").exists()


def test_compare_needs_a_search_and_its_data(search, data_dir, call, tmp_path):
    refused(call("compare"), 1, "--run=DIR is required")
    fixed = make_search(tmp_path / "fixed", data_dir, "ad", [[1, 0, 0], [0, 1, 0]])
    refused(
        call("compare", f"--run={fixed}"),
        1,
        "has no stochastic block (architecture ad): there is nothing to compare",
    )
    other = small_data(tmp_path / "other", train=1_500, valid=200)
    refused(
        call("compare", f"--run={search}", f"--data={other}"),
        3,
        "are not those of run",
        "steps_per_epoch: 31 -> 46",
    )
