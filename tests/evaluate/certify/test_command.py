"""compare --certify: what it lists, refuses, claims and writes; and, for real, that it can be
stopped and goes on."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import documented
from par.core.config import ModelConfig
from par.evaluate.certify import plan as plans
from par.evaluate.certify import summary
from par.evaluate.certify.plan import Budget, Plan
from par.evaluate.certify.problem import Problem, Training
from par.search import architecture, networks
from par.search.latency_table import Costs
from par.train import run_config
from project import ROOT
from recorded_run import train_row, write_history
from small import NETWORK, small_config, small_data
from tables import make_latencies

PI = [[0.5, 0.4, 0.1], [0.3, 0.3, 0.4]]
FIGURES = {
    "perplexity_per_token": 9.0,
    "perplexity_per_word": 9.0,
    "bits_per_character": 2.0,
    "bits_per_byte": 2.0,
    "tokens": 100,
    "words": 100.0,
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=1_000, valid=200)


@pytest.fixture
def search(tmp_path, data_dir):
    """A search of two blocks as train leaves it, without training it."""
    made, run_dir = small_config(data_dir, "ss", epochs=1, seed=4), tmp_path / "logs" / "search"
    run_dir.mkdir(parents=True)
    made.save(run_dir, data_dir)
    write_history(run_dir / "history.jsonl", [train_row(made.total_steps, PI)])
    return run_dir


@pytest.fixture
def table(search, tmp_path):
    """1 ms, 2 a block of attention and 1 of dense; 4 the interleaved network."""
    part = {"constant": 1.0, "a": 2.0, "d": 1.0, "i": 0.0}
    model = run_config.load(search)[0].model
    path = tmp_path / "latency.json"
    make_latencies(model, part).save(path)
    return path


def refused(done, code, *words):
    """One line on stderr, with these words, and the exit code."""
    lines = [each for each in done.err.splitlines() if not each.startswith("warning: ")]
    assert (done.code, done.out, len(lines)) == (code, "", 1), done.err
    assert lines[0].startswith("error: ") and all(word in lines[0] for word in words), lines[0]


def finish(plan: Plan, network: str, seed: int, nll: float, loss: float = 5.0) -> None:
    """Leaves a run of a choice as its training does: `nll` nats a word on valid, and `loss` in
    training."""
    run = plan.run(Training(network, seed, 1))
    run.run_dir.mkdir(parents=True)
    run.config.save(run.run_dir, plan.data_dir)
    steps = range(1, run.config.total_steps + 1)
    pi = architecture.pi_table(network, []).tolist()
    write_history(
        run.run_dir / "history.jsonl",
        [train_row(step, pi, nll_per_token=loss) for step in steps],
    )
    scores = {"valid": FIGURES | {"nll_per_token": nll}, "test": FIGURES | {"nll_per_token": nll}}
    about = {"step": run.config.total_steps, "parameters": 10, "seconds": 1.0}
    (run.run_dir / "scores.json").write_text(json.dumps(about | scores))


def plan_of(search: Path, data_dir: Path, budget: Budget, **settings) -> Plan:
    """The plan that the command makes of a search."""
    config, _ = run_config.load(search)
    within = budget.within(2)
    rows = networks.log_rows(PI, "ss")
    log_probabilities = tuple(networks.log_probability(rows, each) for each in within)
    problem = Problem(within, 2, tuple(range(5, 13)), log_probabilities, **settings)
    directory = search.parent / "search-certify"
    return Plan(problem, budget, config, data_dir, directory, "search", 40)


COSTS = Costs(2.0, 1.0, 0.0, 1.0)


def test_a_dry_run_lists_what_fits_and_what_is_trained_first(search, table, call):
    flags = ("--certify", f"--run={search}", f"--latency_table={table}", "--dry_run", "--json")
    done = call("compare", *flags, "--budget_ratio=0.75")
    found = json.loads(done.out)
    documented.check("compare --certify --dry_run --json", found)
    assert found["budget_ms"] == 3 and found["networks"] == [
        {"network": "i", "milliseconds": 1.0},
        {"network": "a", "milliseconds": 3.0},
        {"network": "d", "milliseconds": 2.0},
        {"network": "dd", "milliseconds": 3.0},
    ]
    assert [each["network"] for each in found["next"]] == ["i", "a", "d", "dd"]
    assert {each["seed"] for each in found["next"]} == {5}  # the search has seen 4
    assert not (search.parent / "search-certify").exists()
    all_of_them = json.loads(call("compare", *flags).out)
    assert len(all_of_them["networks"]) == 7 and all_of_them["is_raced"]
    assert {each["share"] for each in all_of_them["next"]} == {0.25}
    some = json.loads(call("compare", *flags, "--max_networks=3", "--num_trainings=8").out)
    assert not some["is_raced"] and len(some["next"]) == 2


def test_a_finished_choice_is_told_and_written(search, data_dir, table, call):
    plan = plan_of(search, data_dir, Budget(3.0, 0.75, "inference", COSTS))
    for seed in range(5, 13):
        for network, nll in {"i": 3.0, "a": 2.0, "d": 2.5, "dd": 2.4}.items():
            finish(plan, network, seed, nll + 0.01 * seed + 1e-4 * (seed % 3))
    done = call(
        "compare",
        "--certify",
        f"--run={search}",
        f"--latency_table={table}",
        "--budget_ratio=0.75",
        "--report_only",
    )
    assert done.code == 0, done.err
    assert (
        "best of 4 networks within 3.00 ms of inference: a, with probability 1.00; at most 0.00 %"
        " above the true best (95 %)" in done.out
    )
    directory = search.parent / "search-certify"
    found = json.loads((directory / "certify.json").read_text())
    documented.check("certify.json", found)
    assert (found["chosen"], found["is_finished"], found["trainings"]) == ("a", True, 32)
    assert [each["network"] for each in found["candidates"]] == ["a", "dd", "d", "i"]
    second = found["candidates"][1]["score"]
    level = 2 + 0.01 * 8.5 + 1e-4 * sum(seed % 3 for seed in range(5, 13)) / 8
    assert second["low"] < math.exp(level + 0.4) < second["high"]
    assert found["candidates"][0]["log_probability"] == pytest.approx(
        math.log(0.5 * 0.4 + 0.1 * 0.3)
    )
    rows = list(csv.DictReader((directory / "certify.csv").read_text().splitlines()))
    assert [row["network"] for row in rows] == ["a", "dd", "d", "i"]
    for row in rows:
        told = {name: row[name] for name in ("network", "state")}
        numbers = {name: float(row[name]) if row[name] else None for name in set(row) - set(told)}
        documented.check("certify.csv", told | numbers)
    chosen = architecture.load(directory / "architecture.json")
    assert (chosen.network, chosen.blocks, chosen.rule) == ("a", "ai", "certified")
    assert chosen.latency.budget_ratio == 0.75 and chosen.latency.cases[0].network_ms == 3
    with Image.open(directory / "certify.png") as picture:
        assert picture.size == (864, 600)


def test_networks_that_can_not_be_told_apart_are_named(search, data_dir, call):
    plan = plan_of(search, data_dir, Budget(math.inf, None, "inference", None))
    for seed in (5, 6):
        for n, network in enumerate(plan.problem.networks):
            noise = 0.05 * math.sin(7 * n + 11 * seed)
            finish(plan, network, seed, 2 + noise + (0.8 if network in ("i", "d", "dd") else 0))
    flags = ("--certify", f"--run={search}", "--report_only")
    found = json.loads(call("compare", *flags, "--json").out)
    documented.check("compare --certify --json", found)
    assert not found["is_finished"] and found["regret"] > found["within"]
    assert found["undecided"][0] == found["chosen"] and len(found["undecided"]) > 1
    assert set(found["undecided"]) <= {"a", "aa", "ad", "da"}
    assert found["sentence"].startswith(
        f"these {len(found['undecided'])} of 7 networks, so far can't be told apart at "
    )


def test_bad_input_is_one_line_and_writes_nothing(search, table, data_dir, call, tmp_path):
    certify = ("compare", "--certify")
    of_run = (*certify, f"--run={search}")
    refused(call(*certify), 1, "give --run=DIR of a search, or --data=DIR with settings")
    refused(
        call(*of_run, f"--latency_table={table}", "--budget_ms=0.5"),
        1,
        "no network fits a budget of 0.5 ms: the least is 1 ms, of no block",
    )
    refused(call(*of_run, "--budget_ms=3"), 1, "--budget_ms needs latencies")
    refused(call(*of_run, "--truth"), 1, "--truth and --certify are two comparisons")
    refused(call(*of_run, "--d_model=8"), 1, "--d_model has no effect beside --run")
    refused(call(*of_run, "--num_random=3"), 1, "--num_random has no effect beside --certify")
    refused(call(*of_run, "--num_trainings=0"), 1, "--num_trainings must be from 1 to")
    refused(call(*of_run, "--num_parallel=99"), 1, "--num_parallel must be from 1 to")
    refused(call(*of_run, "--report_only"), 1, "no network is trained yet")
    refused(
        call("compare", f"--run={search}", "--budget_ms=3"),
        1,
        "--budget_ms has no effect without --certify",
    )
    of_data = (*certify, f"--data={data_dir}", f"--output_dir={tmp_path / 'out'}", *NETWORK[:4])
    refused(call(*of_data, "--cutoffs=auto"), 1, "--cutoffs=auto is not found by this command")
    refused(call(*of_data, "--num_blocks=17"), 1, "of at most 16 blocks, but there are 17")
    assert not (search.parent / "search-certify").exists() and not (tmp_path / "out").exists()
    make_latencies(ModelConfig()).save(tmp_path / "wide.json")
    refused(
        call(*of_run, f"--latency_table={tmp_path / 'wide.json'}", "--budget_ms=3"),
        3,
        "is for another shape (d_model 128 there, 16 here",
    )


def test_another_choice_is_refused_in_a_directory(search, data_dir):
    plan = plan_of(search, data_dir, Budget(3.0, 0.75, "inference", COSTS))
    plan.keep()
    documented.check("choice.json", json.loads((plan.directory / "choice.json").read_text()))
    plan.keep()  # the same again
    other = plan_of(search, data_dir, Budget(4.0, 1.0, "inference", COSTS))  # ad and da, too
    with pytest.raises(Exception, match=r"holds another choice \(networks: 4 -> 6; sha256: "):
        other.keep()
    assert plans.SCHEMA == 1


@pytest.mark.slow
def test_a_choice_that_was_killed_or_stopped_goes_on_and_ends_alike(data_dir, call, tmp_path):
    flags = (
        "--certify",
        f"--data={data_dir}",
        "--num_blocks=2",
        "--num_trainings=4",
        "--num_seeds=3",
        *(flag for flag in NETWORK if not flag.startswith("--arch")),
        "--cutoffs=none",
    )
    whole = call("compare", *flags, f"--output_dir={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    assert whole.err.count("a quarter; ") == 7 and "left" in whole.err
    documented.check_files("Certified choice", tmp_path / "whole")
    assert not [line for line in whole.err.splitlines() if not line.startswith("trained ")]
    stopped = tmp_path / "stopped"
    command = [sys.executable, ROOT / "tools" / "compare.py", *flags, f"--output_dir={stopped}"]
    for kill, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 5)):
        before = len(list(stopped.glob("*/history.jsonl")))
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 600
        while len(list(stopped.glob("*/history.jsonl"))) <= before and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(kill)
        _, err = process.communicate(timeout=600)
        assert process.returncode == code, err
    assert err.splitlines()[-1] == (
        f"error: stopped in {stopped}; what is trained is kept: the same command continues"
    )
    last = call("compare", *flags, f"--output_dir={stopped}")
    assert last.code == 0, last.err
    ends = [
        json.loads((directory / "certify.json").read_text())
        for directory in (tmp_path / "whole", stopped)
    ]
    for end in ends:
        end.pop("seconds")
        for candidate in end["candidates"]:
            for seed in candidate["seeds"]:
                seed.pop("run")
    assert ends[0] == ends[1] and ends[0]["trainings"] <= 4
    again = call("compare", *flags, f"--output_dir={stopped}")
    assert (again.code, again.err) == (0, "") and again.out == last.out


def test_among_thousands_of_networks_a_few_are_listed(search, data_dir):
    within = Budget(math.inf, None, "inference", None).within(12)
    problem = Problem(within, 12, (5, 6), num_trainings=8)
    plan = dataclasses.replace(
        plan_of(search, data_dir, Budget(math.inf, None, "inference", None)),
        problem=problem,
    )
    assert len(within) == (1 << 13) - 1
    for network in ("adadad", "aad", "dddd", "a"):
        finish(plan, network, 5, 2.0 + 0.1 * network.count("d"))
    assert len(plan.next()) == 2 and len(plan.record().final) == 4
    found = summary.certificate(plan, is_finished=False)
    assert 256 <= len(found.candidates) <= 260 and found.networks == len(within)
    assert found.candidates[0].network == found.chosen == "a"
