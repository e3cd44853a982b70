"""history.jsonl: what was appended is read back, a live run's last line is waited for, and what is
no row is refused by line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from par.core.errors import DataError, UsageError
from par.objectives import OBJECTIVES
from par.train import history
from recorded_run import make_run, train_row, valid_row, write_history

PI = [[0.5, 0.25, 0.25]]


def test_appended_rows_are_read_back_by_kind_in_order(tmp_path):
    record = history.History(tmp_path / "history.jsonl")
    for row in (train_row(3, PI), valid_row(3), valid_row(3, "argmax"), train_row(5, PI)):
        record.append(**row)
    rows = history.read_rows(tmp_path / "history.jsonl", OBJECTIVES["causal_lm"])
    assert rows == {
        "train": [train_row(3, PI), train_row(5, PI)],
        "valid": [valid_row(3), valid_row(3, "argmax")],
    }


def test_a_row_is_readable_as_soon_as_append_returns(tmp_path):
    record = history.History(tmp_path / "history.jsonl")
    for step in (1, 2, 3):
        record.append(**train_row(step, PI))
        assert (
            len(history.read_rows(tmp_path / "history.jsonl", OBJECTIVES["causal_lm"])["train"])
            == step
        )


def test_a_figure_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        history.History(tmp_path / "history.jsonl").append(
            **train_row(1, PI, nll_per_token=math.nan)
        )
    assert not (tmp_path / "history.jsonl").exists()


def test_every_cut_of_the_last_line_leaves_the_rows_before_it(tmp_path):
    path = tmp_path / "history.jsonl"
    write_history(path, [train_row(1, PI), train_row(2, PI)])
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    for end in range(second, len(whole)):
        path.write_bytes(whole[:end])
        assert [
            row["step"] for row in history.read_rows(path, OBJECTIVES["causal_lm"])["train"]
        ] == [1]


@pytest.mark.parametrize(
    "row",
    [
        [],
        "train",
        {},
        {"kind": "test"},
        {"kind": ["train"]},
        train_row(-1, PI),
        train_row(True, PI),
        train_row(1.5, PI),
        train_row(1, []),
        train_row(1, [0.5, 0.25, 0.25]),
        train_row(1, [[0.5, 0.5]]),
        train_row(1, [[0.5, 0.5, 0.5]]),
        train_row(1, [[1.5, -0.25, -0.25]]),
        train_row(1, [["0.5", "0.25", "0.25"]]),
        train_row(1, [[0.5, 0.25, 0.25], [0.5]]),
        train_row(1, [[True, False, False]]),
        train_row(1, None),
        train_row(1, PI, tau=0),
        train_row(1, PI, tau=None),
        train_row(1, PI, nll_per_token="5"),
        train_row(1, PI, seconds=-1),
        train_row(1, PI, learning_rate=math.inf),
        train_row(1, PI, nll_per_token=math.nan),
        {key: value for key, value in train_row(1, PI).items() if key != "seconds"},
        valid_row(1, "hard"),
        valid_row(1, nll_per_token=None),
        valid_row(1, perplexity_per_token=math.inf),
        valid_row(1, split=3),
        {key: value for key, value in valid_row(1).items() if key != "split"},
    ],
    ids=lambda row: json.dumps(row)[:150],
)
def test_what_is_no_row_is_refused_by_line(row, tmp_path):
    write_history(tmp_path / "history.jsonl", [valid_row(0), row])
    with pytest.raises(DataError, match=r"history\.jsonl line 2 is not a row of this program"):
        history.read_rows(tmp_path / "history.jsonl", OBJECTIVES["causal_lm"])


def test_bytes_that_are_no_json_are_refused_by_line(tmp_path):
    for content in (
        b"\n",
        b"\xff\n",
        b"{\n",
        b'{"kind": "train", "step": ' + b"1" * 5000 + b"}\n",
        b"[" * 100_000 + b"\n",
    ):
        (tmp_path / "history.jsonl").write_bytes(content)
        with pytest.raises(DataError, match="line 1 is not a row"):
            history.read_rows(tmp_path / "history.jsonl", OBJECTIVES["causal_lm"])
    (tmp_path / "history.jsonl").write_bytes(b" " * (history.MAX_LINE_BYTES + 5))
    with pytest.raises(DataError, match=f"line 1 is longer than {history.MAX_LINE_BYTES} bytes"):
        history.read_rows(tmp_path / "history.jsonl", OBJECTIVES["causal_lm"])


def test_steps_increase_and_the_number_of_blocks_stays(tmp_path):
    path = tmp_path / "history.jsonl"
    for rows, said in (
        ([train_row(3, PI), train_row(3, PI)], "line 2 has step 3 after step 3"),
        ([valid_row(3), valid_row(2)], "line 2 has step 2 after step 3"),
        (
            [train_row(3, PI), valid_row(3), train_row(4, PI * 2)],
            "line 3 has pi of 2 blocks after 1",
        ),
    ):
        write_history(path, rows)
        with pytest.raises(DataError, match=said):
            history.read_rows(path, OBJECTIVES["causal_lm"])


def test_a_run_is_read_with_what_explains_it(tmp_path):
    run = history.read_run(make_run(tmp_path / "logs" / "first", "sas", count=4))
    assert (run.name, run.blocks, run.total_steps, run.seed) == ("first", "sas", 28, 3)
    assert run.data.resolve() == tmp_path / "data" / "words"
    assert run.pi().shape == (4, 3, 3) and np.allclose(
        run.pi()[0], [[1 / 3] * 3, [1, 0, 0], [1 / 3] * 3]
    )


def test_a_run_that_has_settled_ends_at_the_step_of_its_summary(tmp_path):
    directory = make_run(tmp_path / "run", "ss", count=4)
    assert history.read_run(directory).last_step == 28
    (directory / "summary.json").write_text('{"step": 21}')
    with pytest.raises(DataError, match="a row has step 28, but the run ends with 21"):
        history.read_run(directory)
    write_history(
        directory / "history.jsonl",
        [
            row
            for row in history.read_rows(directory / "history.jsonl", OBJECTIVES["causal_lm"])[
                "train"
            ]
            if row["step"] <= 21
        ],
    )
    run = history.read_run(directory)
    assert (run.last_step, run.total_steps) == (21, 28)


@pytest.mark.parametrize("step", ["29", "0", "-7", "true", "21.0", "null", '"21"'])
def test_a_summary_without_a_step_of_the_run_is_refused(step, tmp_path):
    directory = make_run(tmp_path / "run", "ss", count=4)
    (directory / "summary.json").write_text(f'{{"step": {step}}}')
    with pytest.raises(
        DataError, match=r"summary .*summary\.json must have a step from 1 to 28, but has "
    ):
        history.read_run(directory)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "xyz"},
        {"architecture": ""},
        {"architecture": 3},
        {"total_steps": "9"},
        {"training": {}},
        {"training": None},
        {"training": {"seed": True}},
        {"data": {}},
        {"data": {"path": "../data", "name": "words"}},
        {"total_steps": 8},
        {"data": "abc"},
        {"objective": "nonsense"},
        {"architecture": ["a", "d"]},
        {"unknown": 1},
        {"schema": 1},
        {"model": {"d_model": 1 << 40}},
    ],
    ids=str,
)
def test_a_damaged_run_configuration_is_refused(change, tmp_path):
    path = make_run(tmp_path / "run", "s") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"run configuration .*config\.json is not valid: "):
        history.read_run(tmp_path / "run")


def test_a_history_of_another_network_is_refused(tmp_path):
    path = make_run(tmp_path / "run", "ss") / "history.jsonl"
    write_history(path, [train_row(1, PI * 3)])
    with pytest.raises(DataError, match="pi of 3 blocks, but the run has 2"):
        history.read_run(tmp_path / "run")


@pytest.mark.parametrize("how", ["missing", "empty", "half a line"])
def test_a_run_that_has_just_begun_is_read_without_rows(how, tmp_path):
    path = make_run(tmp_path / "run", "ss") / "history.jsonl"
    (
        path.unlink()
        if how == "missing"
        else path.write_text("" if how == "empty" else '{"kind": "tr')
    )
    assert history.read_run(tmp_path / "run").rows == {"train": [], "valid": []}


def test_a_run_says_what_it_lacks(tmp_path):
    with pytest.raises(
        UsageError, match=r"run fixed has no stochastic block \(architecture adi\): no picture"
    ):
        history.read_run(make_run(tmp_path / "fixed", "adi")).require_search("no picture")
    write_history(make_run(tmp_path / "new", "s") / "history.jsonl", [])
    with pytest.raises(
        DataError,
        match=r"run new has no recorded step yet \(history\.jsonl\): let tools/train\.py go on",
    ):
        history.read_run(tmp_path / "new").require_search("no picture")


def test_the_table_has_a_line_per_evaluation_with_what_its_row_says():
    e = math.log
    valid = [
        valid_row(8, kind, e(n), train_nll_per_token=e(30), seconds=59.9)
        for kind, n in (("soft", 50), ("argmax", 60))
    ]
    valid += [
        valid_row(9, "soft", e(40), train_nll_per_token=e(20), seconds=61),
        valid_row(1000, "argmax", e(3), train_nll_per_token=1e6, seconds=3725),
    ]
    valid += [valid_row(1000, "soft", e(4), split="test")]
    assert [
        line.split()
        for line in history.table({"train": [], "valid": valid}, OBJECTIVES["causal_lm"])[1:]
    ] == [
        ["0.008", "30.00", "50.00", "60.00", "0:59"],
        ["0.009", "20.00", "40.00", "-", "1:01"],
        ["1.000", "inf", "-", "3.00", "62:05"],
    ]


def test_the_table_has_a_column_for_each_way_of_evaluating_and_is_aligned():
    head, line = history.table(
        {"train": [], "valid": [valid_row(500, "fixed")]}, OBJECTIVES["causal_lm"]
    )
    assert head == "iteration (thousands)  train perplexity  valid perplexity  time"
    assert line.split() == ["0.500", "148.41", "148.41", "8:20"] and len(line) == len(head)
    both = {"train": [], "valid": [valid_row(0, "argmax"), valid_row(0, "soft")]}
    head, line = history.table(both, OBJECTIVES["causal_lm"])
    assert (
        head
        == "iteration (thousands)  train perplexity  valid perplexity (soft)  valid perplexity"
        " (argmax)  time"
    )
    assert line.split() == ["0.000", "148.41", "148.41", "148.41", "0:00"] and len(line) == len(
        head
    )
    assert len(history.table({"train": [], "valid": []}, OBJECTIVES["causal_lm"])) == 1
