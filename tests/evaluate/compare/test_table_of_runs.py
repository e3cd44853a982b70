"""The table of runs holds the figures of their histories and scores; a run that is not finished
counts up to its last epoch, and runs of other settings are refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from par.core.errors import DataError, UsageError
from par.evaluate.compare import statistics, table_of_runs
from par.evaluate.compare.table_of_runs import TableRun
from par.search.block_table_merge import merged
from recorded_run import train_row, valid_row, write_history
from small import small_config, small_data

EPOCHS = 3


def figures(nll, tokens):
    return {"nll_per_token": nll, "tokens": tokens, "words": tokens / 4}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "words", train=300, valid=100)


def make(root, data_dir, network, seed, epochs=EPOCHS, scored=True, **settings):
    """A run with figures of its own, as far as it got, and its scores."""
    config = small_config(data_dir, network, EPOCHS, seed, **settings)
    run_dir = root / config.default_name()
    run_dir.mkdir(parents=True)
    config.save(run_dir, data_dir)
    per_epoch, pi = config.data.steps_per_epoch, np.eye(3)[["adi".index(k) for k in network]]
    rows = []
    for epoch in range(1, epochs + 1):
        step, base = epoch * per_epoch, 6 - epoch / 2 + seed / 8 + len(network) / 32
        at = {"epoch": epoch, "seconds": 1.5 * epoch}
        rows.append(train_row(step, pi.tolist(), **at | {"tau": 1.0, "learning_rate": 0}))
        rows.append(valid_row(step, "fixed", base, train_nll_per_token=base + 0.25, **at))
    write_history(run_dir / "history.jsonl", rows)
    (run_dir / "environment.json").write_text('{"machine": "abacus"}')
    if scored:
        scores = {"step": step, "parameters": 1000 + len(network), "seconds": 4.5}
        scores |= {"valid": figures(base, 100), "test": figures(base + 0.5, 80)}
        statistics.scores_path(run_dir).write_text(json.dumps(scores))
    return TableRun(network, seed, run_dir)


def test_every_figure_is_at_the_place_of_its_network_seed_and_epoch(tmp_path, data_dir):
    runs = [make(tmp_path, data_dir, each, seed) for each in ("ad", "da", "i") for seed in (9, 1)]
    table = table_of_runs.build(
        2, runs, {"ad": 2.5, "i": 0.5}, {"da": 3.5}, made_with={"commit": "abc"}
    )
    assert table.seeds.tolist() == [1, 9] and table.num_epochs == EPOCHS
    assert table.query("iad", "valid_nll", seed=9) == 6 - 1.5 + 9 / 8 + 2 / 32
    assert table.query("ad", "valid_nll", epoch=2, seed=1) == 6 - 1 + 1 / 8 + 2 / 32
    assert table.query("i", "train_nll", epoch=1).tolist() == [
        6 - 0.5 + seed / 8 + 1 / 32 + 0.25 for seed in (1, 9)
    ]
    assert table.query("da", "test_nll", seed=9) == 6 - 1.5 + 9 / 8 + 2 / 32 + 0.5
    assert table.query("da", "seconds", epoch=2).tolist() == [3, 3]
    assert table.query(["ad", "i"], "parameters").tolist() == [1002, 1001]
    assert table.query(["ad", "i"], "latency_ms").tolist() == [2.5, 0.5]
    assert table.query("da", "measured_latency_ms") == 3.5
    assert np.isnan(table.measured_latency_ms).sum() == 6
    assert table.tokens == (100, 80) and table.words == (25, 20)
    assert table.missing([1, 9]) == [(each, s) for s in (1, 9) for each in ("a", "d", "aa", "dd")]
    config = small_config(data_dir, "a", EPOCHS)
    assert table.steps_per_epoch == config.data.steps_per_epoch
    assert table.about["data"] == dataclasses.asdict(config.data)
    assert table.about["settings"]["training.epochs"] == EPOCHS
    assert not {"architecture", "training.seed", "data.name"} & table.about["settings"].keys()
    assert table.about["made_with"] == [{"machine": "abacus", "commit": "abc"}]


def test_a_run_that_is_not_finished_counts_up_to_its_last_epoch(tmp_path, data_dir):
    runs = [
        make(tmp_path, data_dir, "a", 1),
        make(tmp_path, data_dir, "d", 1, epochs=2, scored=False),
        make(tmp_path, data_dir, "ad", 1, scored=False),
        make(tmp_path, data_dir, "da", 7, epochs=0, scored=False),
        TableRun("dd", 1, tmp_path / "not begun"),
    ]
    begun = make(tmp_path, data_dir, "aa", 1)
    (begun.run_dir / "history.jsonl").unlink()
    table = table_of_runs.build(2, [*runs, begun])
    assert table.seeds.tolist() == [1]
    assert dict(zip(table.networks, table.epochs_trained[:, 0])) == {
        **dict.fromkeys(("i", "aa", "da", "dd"), 0),
        "a": 3,
        "d": 2,
        "ad": 3,
    }
    assert table.is_whole[:, 0].tolist() == [each == "a" for each in table.networks]
    with pytest.raises(UsageError, match="but none of the given ones is finished"):
        table_of_runs.build(2, runs[1:])
    with pytest.raises(UsageError, match="but none of the given ones is finished"):
        table_of_runs.build(2, [])


def test_a_later_session_trains_what_is_missing_and_its_table_has_all(tmp_path, data_dir):
    networks = ("i", "a", "d")
    first = table_of_runs.build(1, [make(tmp_path / "1", data_dir, each, 0) for each in networks])
    missing = first.missing([0, 1])
    assert missing == [(each, 1) for each in networks]
    second = table_of_runs.build(
        1, [make(tmp_path / "2", data_dir, each, seed) for each, seed in missing]
    )
    table = merged(first, second)
    assert table.missing([0, 1]) == [] and table.is_whole.all()
    at_once = table_of_runs.build(
        1, [make(tmp_path / "3", data_dir, each, seed) for each in networks for seed in (0, 1)]
    )
    assert np.array_equal(table.valid_nll, at_once.valid_nll) and table.about == at_once.about


def test_the_runs_of_a_directory_are_those_of_fixed_networks(tmp_path, data_dir):
    made = [make(tmp_path, data_dir, each, 3) for each in ("ad", "d")]
    searched = small_config(data_dir, "ss", EPOCHS)
    (tmp_path / "search").mkdir()
    searched.save(tmp_path / "search", data_dir)
    (tmp_path / "other").mkdir()
    assert sorted(table_of_runs.runs_in(tmp_path)) == sorted(made)


def test_runs_that_do_not_belong_together_are_refused(tmp_path, data_dir):
    good = make(tmp_path, data_dir, "a", 1)
    wider = make(tmp_path, data_dir, "d", 1, d_model=32)
    for runs, said in (
        ([good, wider], r"of d with seed 1 has others: model\.d_model: 16 -> 32"),
        ([good._replace(network="d")], "is of a with seed 1, not of d with seed 1"),
        ([good._replace(seed=2)], "is of a with seed 1, not of a with seed 2"),
        ([good, good._replace(network="ia")], "is there twice"),
        ([good._replace(network="aaa")], "has more than 2 blocks"),
    ):
        with pytest.raises(UsageError, match=said):
            table_of_runs.build(2, runs)
    other = make(tmp_path, data_dir, "dd", 1)
    path = statistics.scores_path(other.run_dir)
    path.write_text(path.read_text().replace('"tokens": 80', '"tokens": 81'))
    with pytest.raises(UsageError, match="must be scored on the same text"):
        table_of_runs.build(2, [good, other])


def test_where_an_objective_knows_no_words_tokens_stand_for_them(tmp_path, data_dir):
    run = make(tmp_path, data_dir, "a", 1)
    path = statistics.scores_path(run.run_dir)
    scores = json.loads(path.read_text())
    for split in statistics.SCORED:
        del scores[split]["words"]
    path.write_text(json.dumps(scores))
    found = table_of_runs._scores(run.run_dir, has_words=False)
    assert [found[split]["words"] for split in ("valid", "test")] == [100, 80]
    with pytest.raises(DataError, match="are not those of a comparison"):
        table_of_runs._scores(run.run_dir, has_words=True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scores.json", "{}", "are not those of a comparison: remove the file"),
        ("scores.json", "[1]", "must hold a JSON object"),
        ("history.jsonl", "{}\n", "line 1 is not a row"),
        ("config.json", "{}", "is not valid"),
        ("environment.json", "x", "is not valid JSON"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path, data_dir, name, content, said):
    run = make(tmp_path, data_dir, "a", 1)
    (run.run_dir / name).write_text(content)
    with pytest.raises(DataError, match=said):
        table_of_runs.build(2, [run])


def test_evaluations_that_are_not_at_the_ends_of_epochs_are_refused(tmp_path, data_dir):
    run = make(tmp_path, data_dir, "a", 1)
    path = run.run_dir / "history.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[2:]))
    with pytest.raises(DataError, match=r"one evaluation after each epoch .* number 1 is at step"):
        table_of_runs.read(run)
