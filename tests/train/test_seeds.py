"""Several seeds of one setting: one directory, runs as ever, the same bits as alone, and a table
that sums them up."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import pytest

import documented
import final_state
from par.core.errors import DataError, UsageError
from par.objectives import OBJECTIVES
from par.tools import train as tool
from par.train import history, seeds
from project import ROOT
from recorded_run import make_run, valid_row, write_history
from small import SHAPE, small_config, small_data

NETWORK = ("--architecture=sd", *SHAPE, "--warmup_steps=20", "--epochs=1")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


@pytest.fixture
def config(data_dir):
    return small_config(data_dir, "sd")


def test_the_group_has_one_name_for_whatever_seeds_and_another_for_other_settings(
    data_dir, capsys
):
    def name(*more):
        assert tool.main([f"--data={data_dir}", *NETWORK, *more, "--print_run"]) == 0
        return capsys.readouterr().out.strip()

    group = name("--num_seeds=3")
    assert re.fullmatch(r"logs/synthetic-sd-custom-seeds-[0-9a-f]{8}", group)
    assert {name("--num_seeds=6"), name("--num_seeds=1", "--seed=7")} == {group}
    assert (
        len(
            {
                group,
                name("--num_seeds=3", "--epochs=2"),
                name("--num_seeds=3", "--tau_end=0.2"),
                name(),
            }
        )
        == 4
    )


def test_the_seeds_are_the_first_and_those_above_it_each_in_its_directory(tmp_path, config):
    made = seeds.plan_runs(tmp_path / "group", config.with_seed(4), 3)
    assert [(path.name, own.training.seed) for path, own in made.items()] == [
        ("seed4", 4),
        ("seed5", 5),
        ("seed6", 6),
    ]
    assert {own.with_seed(0) for own in made.values()} == {config.with_seed(0)} and not (
        tmp_path / "group"
    ).exists()


def test_only_directories_named_after_a_seed_that_hold_a_run_are_seeds(tmp_path):
    for name in ("seed10", "seed2147483647", "seed2", "seed07", "seed3-derived", "other", "seed"):
        make_run(tmp_path / name)
    (tmp_path / "seed5").mkdir()
    (tmp_path / "seed6").touch()
    assert list(seeds.find_runs(tmp_path).items()) == [
        (seed, tmp_path / f"seed{seed}") for seed in (2, 10, 2147483647)
    ]
    assert seeds.find_runs(tmp_path / "nowhere") == {} == seeds.find_runs(tmp_path / "seed6")


@pytest.mark.parametrize(
    ("count", "seed", "said"),
    [
        (0, 0, "num_seeds must be from 1 to 100, but is 0"),
        (101, 0, "num_seeds must be from 1 to 100, but is 101"),
        (2, 2**31 - 1, "seed must be at most 2147483647"),
    ],
)
def test_a_count_or_a_seed_out_of_bounds_is_refused(tmp_path, config, count, seed, said):
    with pytest.raises(UsageError, match=said):
        seeds.plan_runs(tmp_path, config.with_seed(seed), count)


def test_a_directory_that_is_something_else_or_of_other_settings_is_refused(
    tmp_path, data_dir, config
):
    for name in ("run", "files", "group/seed9"):
        (tmp_path / name).mkdir(parents=True)
    config.save(tmp_path / "run", data_dir)
    with pytest.raises(
        UsageError,
        match=(
            r"run is a single run: give another --run=DIR for several seeds, or leave"
            r" --num_seeds out"
        ),
    ):
        seeds.plan_runs(tmp_path / "run", config, 2)
    (tmp_path / "files" / "note.txt").touch()
    with pytest.raises(UsageError, match=r"files holds files but no seeds"):
        seeds.plan_runs(tmp_path / "files", config, 2)
    small_config(data_dir, "sd", d_ffn=25, seed=9).save(tmp_path / "group" / "seed9", data_dir)
    with pytest.raises(
        UsageError, match=r"seed9 was made with other settings \(model.d_ffn: 25 -> 24\)"
    ):
        # seed 9 is not asked for, but would be averaged with the others
        seeds.plan_runs(tmp_path / "group", config, 2)
    config.with_seed(8).save(tmp_path / "group" / "seed9", data_dir)
    with pytest.raises(UsageError, match=r"training.seed: 8 -> 9"):
        seeds.plan_runs(tmp_path / "group", config, 2)


def recorded(directory, seed, blocks="sd", nll=5.0, word=100.0, pi=((0.2, 0.7, 0.1), (0, 1, 0))):
    """A finished run of one recorded row whose last evaluation is the second one."""
    path = make_run(directory / f"seed{seed}", blocks, [pi], seed=seed)
    kinds = {"soft": 0, "argmax": 10} if "s" in blocks else {"fixed": 0}
    rows = [
        json.loads(line)
        for line in (path / "history.jsonl").read_text().splitlines()
        if '"train"' in line.split(",")[0]
    ]
    rows += [
        valid_row(step, kind, nll, perplexity_per_word=word + more + 7 - step)
        for step in (3, 7)
        for kind, more in kinds.items()
    ]
    write_history(path / "history.jsonl", rows)
    return path


def test_the_table_has_a_line_a_seed_then_mean_and_spread(tmp_path):
    for seed, word, p in ((0, 100.0, 0.7), (1, 1104.0, 0.5), (2, 102.0, 0.6)):
        recorded(
            tmp_path,
            seed,
            word=word,
            pi=((0.9 - p, p, 0.1), (0, 1, 0)) if seed else ((p, 0.2, 0.1), (0, 1, 0)),
        )
    results = [seeds.result(run) for run in seeds.read_runs(tmp_path).values()]
    assert seeds.table(results, OBJECTIVES["causal_lm"]) == [
        (
            "  seed  blocks  perplexity per word (soft)  perplexity per word (argmax)  least"
            " decided  seconds"
        ),
        (
            "     0      ad                      100.00                        110.00         "
            " 0.700      7.0"
        ),
        (
            "     1      dd                    1,104.00                      1,114.00         "
            " 0.500      7.0"
        ),
        (
            "     2      dd                      102.00                        112.00         "
            " 0.600      7.0"
        ),
        (
            "  mean                              435.33                        445.33         "
            " 0.600      7.0"
        ),
        (
            "spread                              579.08                        579.08         "
            " 0.100      0.0"
        ),
    ]
    both = seeds.mean_and_spread(results)
    assert both["spread"]["valid"]["soft"]["perplexity_per_word"] == statistics.stdev(
        [100, 1104, 102]
    )
    assert both["mean"]["valid"]["argmax"]["nll_per_token"] == 5.0


def test_a_fixed_network_has_one_score_and_nothing_to_decide_and_one_seed_no_spread(tmp_path):
    recorded(tmp_path, 3, "ad", pi=((1, 0, 0), (0, 1, 0)))
    assert seeds.table(
        [seeds.result(history.read_run(tmp_path / "seed3"))], OBJECTIVES["causal_lm"]
    ) == [
        "  seed  blocks  perplexity per word  seconds",
        "     3      ad               100.00      7.0",
        "  mean                       100.00      7.0",
        "spread                            -        -",
    ]


def test_the_least_decided_block_is_the_one_whose_likeliest_kind_is_least_probable(tmp_path):
    path = recorded(tmp_path, 0, "sds", pi=((0.9, 0.05, 0.05), (0, 1, 0), (0.2, 0.2, 0.6)))
    assert (
        seeds.result(history.read_run(path))["least_decided"],
        seeds.result(history.read_run(path))["blocks"],
    ) == (0.6, "adi")
    fixed = recorded(tmp_path, 1, "ad", pi=((1, 0, 0), (0, 1, 0)))
    assert seeds.result(history.read_run(fixed))["least_decided"] is None


def test_a_score_that_overflowed_has_no_mean(tmp_path):
    for seed, word in ((0, 5.0), (1, None)):
        path = recorded(tmp_path, seed, "ad", pi=((1, 0, 0), (0, 1, 0)))
        write_history(
            path / "history.jsonl",
            [
                *history.read_rows(path / "history.jsonl", OBJECTIVES["causal_lm"])["train"],
                valid_row(7, "fixed", perplexity_per_word=word),
            ],
        )
    lines = seeds.table(
        [seeds.result(run) for run in seeds.read_runs(tmp_path).values()], OBJECTIVES["causal_lm"]
    )
    assert [line.split()[-2] for line in lines[1:]] == ["5.00", "-", "-", "-"]


def test_seeds_that_recorded_nothing_are_left_out_and_those_of_other_settings_refused(tmp_path):
    with pytest.raises(DataError, match="holds no seeds"):
        seeds.read_runs(tmp_path)
    for seed in (0, 1, 2):
        make_run(tmp_path / f"seed{seed}", "ss", seed=seed)
    (tmp_path / "seed1" / "history.jsonl").unlink()
    (tmp_path / "seed2" / "history.jsonl").write_text("")
    assert list(seeds.read_runs(tmp_path)) == [0]
    (tmp_path / "seed0" / "history.jsonl").write_text("")
    with pytest.raises(DataError, match=r"no seed of .* has recorded a step yet"):
        seeds.read_runs(tmp_path)
    make_run(tmp_path / "seed5", "sss", seed=5)
    with pytest.raises(
        DataError,
        match=(
            r"seed5 does not belong beside .*seed0 \(.*architecture: ss -> sss.*\): move it"
            r" elsewhere"
        ),
    ):
        seeds.read_runs(tmp_path)


def refused(done, *words):
    assert (
        (done.code, done.out) == (1, "")
        and done.err.startswith("error: ")
        and done.err.count("\n") == 1
    )
    assert all(word in done.err for word in words), done.err


@pytest.fixture(scope="module")
def group(tmp_path_factory, data_dir, run_tool):
    """Two seeds, trained by the command, and what it printed."""
    path = tmp_path_factory.mktemp("runs") / "group"
    done = run_tool(
        "train", f"--data={data_dir}", *NETWORK, f"--run={path}", "--num_seeds=2", "--seed=3"
    )
    assert done.code == 0, done.err
    return path, done


@pytest.mark.slow
def test_a_seed_trained_after_others_equals_one_trained_alone_bit_for_bit(
    tmp_path, group, data_dir, run_tool
):
    alone, after = tmp_path / "alone", group[0] / "seed4"
    done = run_tool("train", f"--data={data_dir}", *NETWORK, f"--run={alone}", "--seed=4")
    assert done.code == 0, done.err
    assert final_state.differences(after, alone) == [] and len(final_state.tensors(after)) > 40
    assert any("embedding" in line for line in final_state.differences(group[0] / "seed3", alone))
    timeless = re.compile(r'"path": "[^"]*"|--run=\S+')
    for name in ("config.json", "flags.txt", "environment.json"):
        assert timeless.sub("", (after / name).read_text()) == timeless.sub(
            "", (alone / name).read_text()
        ), name


@pytest.mark.slow
def test_more_seeds_are_added_later_and_what_is_done_is_said_and_kept(
    tmp_path, group, data_dir, run_tool
):
    path = tmp_path / "group"
    shutil.copytree(group[0], path)
    flags = (f"--data={data_dir}", *NETWORK, f"--run={path}", "--seed=3")
    lines = group[1].out.splitlines()
    assert [line.split()[0] for line in lines] == ["seed", "3", "4", "mean", "spread", "done:"]
    assert group[1].err.count("training sd in ") == 2

    again = run_tool("train", *flags, "--num_seeds=2")
    assert (again.code, again.err) == (0, "") and again.out.splitlines()[:-1] == lines[:-1]
    assert (
        again.out.splitlines()[-1]
        == f"already done: 2 seeds; run: {path}; spread: standard deviation"
    )

    before = {
        file: file.read_bytes()
        for file in path.rglob("seed[34]/*")
        if file.is_file() and file.name != "lock"
    }
    more = run_tool("train", *flags, "--num_seeds=3", "--json")
    assert more.code == 0 and more.err.splitlines()[:2] == [
        f"already done: {path}/seed3",
        f"already done: {path}/seed4",
    ]
    assert f"training sd in {path}/seed5: step 0 of 93" in more.err
    assert before and before == {file: file.read_bytes() for file in before}
    printed = json.loads(more.out)
    documented.check("train --num_seeds --json", printed)
    documented.check_files("Group of seeds", path)
    assert [(row["seed"], row["run"], row["state"], row["steps"]) for row in printed["seeds"]] == [
        (seed, f"{path}/seed{seed}", state, 93)
        for seed, state in ((3, "already done"), (4, "already done"), (5, "done"))
    ]
    words = [row["valid"]["argmax"]["perplexity_per_word"] for row in printed["seeds"]]
    assert (
        printed["mean"]["valid"]["argmax"]["perplexity_per_word"]
        == pytest.approx(statistics.fmean(words))
        and len(set(words)) == 3
    )
    assert (printed["run"], printed["state"]) == (str(path), "done")

    refused(
        run_tool("train", *flags, "--num_seeds=4", "--d_ffn=25"),
        "seed3 was made with other settings (model.d_ffn: 24 -> 25)",
    )
    refused(
        run_tool("train", *flags), f"--run={path} holds several seeds: add --num_seeds=3 or more"
    )
    refused(
        run_tool("train", *flags[:-2], f"--run={path}/seed3", "--num_seeds=2"), "is a single run"
    )


@pytest.mark.slow
def test_each_seed_is_a_run_that_the_other_commands_take(group, call):
    path, _ = group
    done = call("evaluate", f"--run={path}/seed3", "--split=valid", "--json")
    kept = {
        row["evaluate_as"]: row
        for row in history.read_rows(path / "seed3" / "history.jsonl", OBJECTIVES["causal_lm"])[
            "valid"
        ]
    }
    for row in json.loads(done.out)["results"]:
        assert row["nll_per_token"] == kept[row["evaluate_as"]]["nll_per_token"]
    refused(
        call("evaluate", f"--run={path}"),
        f"--run={path} holds 2 seeds: give one of them, such as {path}/seed3",
    )


@pytest.mark.slow
def test_a_dry_run_multiplies_the_work_by_the_seeds(tmp_path, data_dir, run_tool):
    done = run_tool(
        "train",
        f"--data={data_dir}",
        *NETWORK,
        f"--run={tmp_path / 'group'}",
        "--num_seeds=5",
        "--dry_run",
        "--json",
    )
    figures = json.loads(done.out)
    documented.check("train --dry_run --json", figures)
    assert (figures["num_seeds"], figures["total_steps"]) == (5, 5 * 93)
    # told to a tenth of a second
    assert figures["estimated_seconds"] == pytest.approx(
        5 * 93 / figures["steps_per_second"], rel=0.05, abs=0.05
    )
    assert not (tmp_path / "group").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGTERM, False), (signal.SIGINT, True)],
    ids=["TERM to one", "INT to all"],
)
def test_a_signal_saves_the_seed_at_work_and_the_same_command_continues(
    tmp_path, group, data_dir, run_tool, number, whole_group
):
    path = tmp_path / "group"
    flags = (
        f"--data={data_dir}",
        *NETWORK,
        f"--run={path}",
        "--num_seeds=2",
        "--epochs=60",
        "--record_every=10",
    )
    command = [sys.executable, ROOT / "tools" / "train.py", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    recorded_steps = path / "seed0" / "history.jsonl"
    for _ in range(1200):
        if recorded_steps.is_file() and recorded_steps.stat().st_size:
            break
        time.sleep(0.1)
    if not whole_group:
        refused(run_tool("train", *flags), f"run {path}/seed0 is in use by host")
    (os.killpg if whole_group else os.kill)(process.pid, number)  # as Ctrl-C or `timeout` do
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (5, "") and "Traceback" not in err, err
    stopped = re.findall(
        r"^error: stopped by \w+ at step (\d+) of 5580; the state is saved: the same command"
        r" continues$",
        err,
        re.M,
    )
    assert len(stopped) == 1 and err.count("error:") == 1 and not (path / "seed1").exists()
    if not whole_group:
        return
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    line = next(line for line in process.stderr if "step" in line)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert (
        process.returncode == 5
        and line.strip() == f"continuing sd in {path}/seed0: step {stopped[0]} of 5580"
    )
