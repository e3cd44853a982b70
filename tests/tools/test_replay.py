"""The command that replays choices on a table: what it prints, and what it refuses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import documented
from par.search import block_table_file
from recorded_run import train_row, write_history
from small import small_config, small_data, trainer
from tables import make_table

FLAGS = ("--num_replays=3", "--num_trainings=4")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of two blocks in which attention is worth more than dense, and both cost latency."""
    made = make_table(2, (0, 1), 4)
    worth = np.array([6 - each.count("a") - 0.5 * each.count("d") for each in made.networks])
    nll = np.repeat(np.repeat(worth[:, None, None], 2, axis=1), 4, axis=2)
    latency = np.array([1.0 + len(each.replace("i", "")) for each in made.networks])
    path = tmp_path_factory.mktemp("table") / "two.npz"
    fields = {"valid_nll": nll, "train_nll": nll, "latency_ms": latency}
    block_table_file.save(path, dataclasses.replace(made, **fields))
    return path


@pytest.fixture
def search(tmp_path):
    data_dir, run_dir = tmp_path / "copies", tmp_path / "search"
    config = small_config(small_data(data_dir, train=1_000, valid=200), "ss", epochs=1)
    run_dir.mkdir()
    config.save(run_dir, data_dir)
    pi = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1]]
    write_history(run_dir / "history.jsonl", [train_row(config.total_steps, pi)])
    return run_dir


def test_every_way_is_replayed_and_the_ranking_of_a_search_is_judged(table, search, call):
    done = call("replay", f"--table={table}", f"--run={search}", *FLAGS, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    documented.check("replay --json", found)
    ways = {way["name"]: way for way in found["ways"]}
    assert list(ways) == [
        *("parameters", "early loss", "search"),
        *("random", "local search", "surrogate", "certified"),
    ]
    assert (found["networks"], found["seeds"], found["best"], found["noise"]) == (7, 2, "aa", 0.0)
    # the loss of the first quarter is that of the end here
    assert ways["early loss"]["tau_b"]["mean"] == 1 and ways["random"]["tau_b"] is None
    assert ways["search"]["tau_b"]["mean"] > 0.6
    assert ways["early loss"]["regret"]["1"] == {"median": 0, "low": 0, "high": 0}
    assert list(ways["random"]["regret"]) == ["1", "2", "4"]
    text = call("replay", f"--table={table}", *FLAGS).out.splitlines()
    assert text[0] == (
        f"{table}: 7 networks of up to 2 blocks, 2 seeds, 3 replays; the best is aa; noise of a"
        " training 0.00%"
    )
    assert text[-1].startswith("certified: as near as claimed in ")


def test_another_table_ranks_the_same_networks(table, call, tmp_path):
    other, short = tmp_path / "other.npz", tmp_path / "short.npz"
    known = block_table_file.load(table)
    about = known.about | {"settings": {"objective": "masked_lm"}}
    turned = dataclasses.replace(known, valid_nll=10 - known.valid_nll, about=about)
    block_table_file.save(other, turned)
    done = call("replay", f"--table={table}", f"--ranking={other}", *FLAGS, "--json")
    assert done.code == 0, done.err
    ways = {way["name"]: way for way in json.loads(done.out)["ways"]}
    assert ways["masked_lm on words"]["tau_b"]["mean"] == -1
    block_table_file.save(short, make_table(1, (0,), 4))
    for ranking, said in (
        ((short,), "must hold all 7 networks of --table, of up to 2 blocks, trained"),
        ((other, other), "is another one of masked_lm on words: leave one of both out"),
    ):
        flags = (f"--ranking={each}" for each in ranking)
        refused = call("replay", f"--table={table}", *flags, *FLAGS)
        assert refused.code == 1 and said in refused.err, refused.err


def test_a_budget_leaves_out_what_is_slower(table, call):
    flags = (f"--table={table}", *FLAGS, "--json")
    found = json.loads(call("replay", *flags, "--budget_ratio=0.7").out)
    assert (found["networks"], found["best"]) == (3, "a")  # of 3 ms interleaved: at most one block


def test_bad_input_is_one_line(table, search, call, tmp_path):
    def refused(code, said, *flags):
        done = call("replay", *flags)
        assert (done.code, done.out) == (code, "") and said in done.err, done.err
        assert done.err.startswith("error: ") and done.err.count("\n") == 1

    refused(1, "--table=NAME or --table=FILE is required")
    refused(1, "--inherited needs a search: --run=RUN", f"--table={table}", "--inherited")
    refused(3, "missing.npz", f"--table={tmp_path / 'missing.npz'}")
    refused(1, "--num_trainings must be from 2 to 1000", f"--table={table}", "--num_trainings=1")
    refused(1, "--budget_ratio must be above 0", f"--table={table}", "--budget_ratio=0")
    without = tmp_path / "without.npz"
    made = make_table(2, (0, 1), 4)
    block_table_file.save(without, dataclasses.replace(made, latency_ms=np.full(7, np.nan)))
    refused(1, "--budget_ratio needs latencies", f"--table={without}", "--budget_ratio=0.5")
    three = tmp_path / "three.npz"
    block_table_file.save(three, make_table(3))
    refused(
        1, "has 2 blocks, but the table networks of up to 3", f"--table={three}", f"--run={search}"
    )


@pytest.mark.slow  # TensorFlow, and a network scored seven times
def test_networks_are_ranked_by_what_they_score_with_a_search_s_weights(table, call, tmp_path):
    data_dir, run_dir = small_data(tmp_path / "copies", train=1_000, valid=200), tmp_path / "full"
    config = small_config(data_dir, "ss", epochs=1)
    config.save(run_dir, data_dir)
    trainer(run_dir, config, data_dir).run()
    flags = (f"--table={table}", f"--run={run_dir}", "--inherited", *FLAGS, "--json")
    found = json.loads(call("replay", *flags).out)
    way = next(way for way in found["ways"] if way["name"] == "full, inherited")
    assert way["tau_b"]["mean"] is not None and way["regret"]["1"] is not None
    partial = tmp_path / "partial"
    small_config(data_dir, "sd").save(partial, data_dir)
    history = (run_dir / "history.jsonl").read_text()
    (partial / "history.jsonl").write_text(history)
    done = call("replay", f"--table={table}", f"--run={partial}", "--inherited", *FLAGS)
    assert done.code != 0 and done.err.count("\n") == 1
