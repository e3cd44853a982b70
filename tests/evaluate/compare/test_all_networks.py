"""compare --all: the table of all networks, trained for real, stopped, and continued elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

import documented
import par
from small import NETWORK, small_data

FLAGS = (
    "--all",
    "--num_blocks=1",
    "--num_seeds=1",
    "--num_leaders=2",
    "--leader_seeds=2",
    "--cutoffs=none",
    *(flag for flag in NETWORK if not flag.startswith("--arch")),
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=1_000, valid=200)


def refused(done, *words):
    assert (done.code, done.out) == (1, "") and done.err.startswith("error: "), done.err
    assert all(word in done.err for word in words) and done.err.count("\n") == 1, done.err


def test_a_dry_run_counts_what_is_missing_and_bad_input_is_one_line(data_dir, call, tmp_path):
    flags = (*FLAGS, f"--data={data_dir}", f"--output_dir={tmp_path / 'all'}")
    found = json.loads(call("compare", *flags, "--num_blocks=6", "--dry_run", "--json").out)
    documented.check("compare --all --dry_run --json", found)
    assert (found["networks"], found["unfinished"], found["steps_per_run"]) == (127, 127, 62)
    masked = (*FLAGS, f"--data={data_dir}", "--objective=masked_lm", "--dry_run", "--json")
    told = json.loads(call("compare", *masked, cwd=tmp_path).out)
    assert told["directory"] == "logs/synthetic-masked_lm-all"
    refused(call("compare", "--all", "--run=logs/a"), "give --data=DIR with settings, not --run")
    refused(call("compare", *flags, "--num_blocks=11"), "at most 10 blocks, 2,047")
    refused(call("compare", *flags, "--leader_seeds=0"), "--leader_seeds must be from 1 to")
    refused(call("compare", *flags, "--budget_ms=3"), "--budget_ms has no effect beside --all")
    refused(call("compare", *flags, "--report_only"), "no network is trained yet")
    refused(call("compare", *flags, "--mask_rate=0.2"), "is a setting of --objective=masked_lm")
    refused(call("compare", "--run=logs/a", "--objective=masked_lm"), "--objective has no effect")
    assert not (tmp_path / "all").exists()


@pytest.mark.slow
def test_every_network_is_trained_once_the_best_more_often_and_the_table_goes_on_elsewhere(
    data_dir, call, tmp_path
):
    directory, table = tmp_path / "all", tmp_path / "networks.npz"
    flags = (*FLAGS, f"--data={data_dir}", f"--table={table}")
    done = call("compare", *flags, f"--output_dir={directory}", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    documented.check("compare --all --json", found)
    assert (found["missing"], found["seeds"]) == (0, [0, 1])
    assert sorted(each["network"] for each in found["networks"]) == ["a", "d", "i"]
    assert [each["seeds"] for each in found["networks"]].count(2) == 2
    assert len(list(directory.glob("*/scores.json"))) == 5
    assert not list(directory.glob("*/checkpoints"))  # only the figures are kept
    known = par.block_table(table)
    first = known.query(["a", "d", "i"], "valid_nll", seed=0)
    leaders = {("a", "d", "i")[n] for n in np.argsort(first)[:2]}
    assert {name for name in ("a", "d", "i") if known.seeds_of(name) == [0, 1]} == leaders
    masked = (*flags[:-1], "--objective=masked_lm", "--num_leaders=0", "--leader_seeds=1")
    done = call("compare", *masked, f"--output_dir={tmp_path / 'masked'}")
    assert done.code == 0 and "nll per masked token, mean and 95 %" in done.out, done.err
    other = par.block_table(tmp_path / "masked" / "table.npz")
    assert (other.objective, other.words, known.objective) == (
        "masked_lm",
        other.tokens,
        "causal_lm",
    )
    again = call("compare", *flags, f"--output_dir={tmp_path / 'elsewhere'}", "--json")
    assert again.code == 0 and json.loads(again.out) == found
    assert not list((tmp_path / "elsewhere").glob("*/config.json"))  # nothing was trained
    more = (*flags, f"--output_dir={tmp_path / 'elsewhere'}", "--leader_seeds=3", "--dry_run")
    assert "2 trainings" in call("compare", *more).out
