"""Values that the sections of a report give to their templates, without a page around them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from par.objectives import OBJECTIVES
from par.report import curves_section, inputs, network_section, seeds_section, setup_section
from par.report.parts import Table
from par.search.latency_check import Case, LatencyCheck
from par.search.latency_table import Costs
from par.search.pareto import Choice
from par.train import history
from recorded_run import make_run, train_row, valid_row, write_history
from toy_objective import TOY


def test_a_column_of_numbers_is_aligned_to_the_right_and_an_empty_or_mixed_one_is_not():
    rows = [
        ("a", "1,234.5", "+1.4 % (+0.3 % to +2.5 %)", "", "1:02:03", "7"),
        ("b", "-", "-0.1 %", "", "0:00:01", "seven"),
        ("c", "", "", "", "", ""),
    ]
    assert Table("", "abcdef", rows).numeric == [False, True, True, False, True, False]


@pytest.fixture
def run(tmp_path) -> history.Run:
    """A search whose valid nll is best in the middle, but for its argmax, which is missing."""
    directory = make_run(tmp_path / "run", "ss", count=3)
    pi = np.full((2, 3), 1 / 3).tolist()
    rows = []
    for step, soft, argmax in ((7, 5.5, 5.6), (14, 5.0, 5.3), (21, 5.2, 4.9)):
        rows += [
            train_row(step, pi),
            valid_row(step, "soft", soft),
            valid_row(step, "argmax", argmax, perplexity_per_word=None),
        ]
    write_history(directory / "history.jsonl", rows)
    return history.read_run(directory)


def test_the_scores_are_the_last_ones_and_the_best_of_the_network_that_is_trained(run):
    rows = curves_section.scores_table(SimpleNamespace(run=run, baselines=[])).rows
    assert [row[:3] for row in rows] == [
        ("last, soft", "21", "5.2000"),
        ("last, argmax", "21", "4.9000"),
        ("best, soft", "14", "5.0000"),
    ]
    assert [row[4] for row in rows] == ["9.00", "-", "9.00"]


@pytest.mark.parametrize(("most", "listed"), [(40, 10), (10, 10), (9, 5), (4, 4)])
def test_a_long_front_is_listed_evenly_by_at_most_so_many_networks(most, listed, run, monkeypatch):
    front = [Choice("a", "ai", float(ms), -1.0) for ms in range(10)]
    monkeypatch.setattr(network_section, "MAX_FRONT", most)
    monkeypatch.setattr(network_section.pareto, "front", lambda *_: front)
    monkeypatch.setattr(network_section.parts, "png", lambda *_: None)
    latencies = inputs.Latencies("inference", Costs(4.0, 2.0, 0.0, 1.0), None)
    artefacts = SimpleNamespace(run=run, group={}, chosen=None, latencies=latencies)
    _, table = network_section._front(artefacts)
    assert len(table.rows) == listed and table.rows[0][0] == "0.000"
    assert (f"{listed} of 10" in table.caption) == (listed < 10)


def test_the_seeds_that_are_not_evaluated_yet_are_named_with_the_command_that_goes_on(tmp_path):
    group = {}
    for seed in (2, 5):
        directory = make_run(tmp_path / f"seed{seed}", "ad", count=2, seed=seed)
        if seed == 5:
            rows = (directory / "history.jsonl").read_text().splitlines(keepends=True)
            (directory / "history.jsonl").write_text("".join(rows[:2]))
        group[seed] = history.read_run(directory)
    artefacts = SimpleNamespace(directory=tmp_path, group=group, run=group[2])
    section = seeds_section.seeds_section(artefacts, lambda tool, flagfile: f"{tool} {flagfile}")
    assert section.missing.text.startswith("seed5 not evaluated")
    assert section.missing.command == f"train {tmp_path}/seed5/flags.txt"
    assert [row[0] for row in section.results.rows[:1]] == ["2"] and section.consensus is None


def latency(**budget) -> LatencyCheck:
    return LatencyCheck("decoding", (Case("decoding", 3.0, 4.0),), **budget)


@pytest.mark.parametrize(
    ("rule", "check", "group", "flags"),
    [
        (None, None, {}, {"rule": None}),
        ("argmax", None, {}, {"rule": None}),
        (None, None, {3: "run"}, {"rule": "consensus"}),
        ("consensus", None, {3: "run"}, {"rule": "consensus"}),
        ("paper", None, {}, {"rule": "paper"}),
        (
            "budget",
            latency(budget_ms=3.5),
            {},
            {
                "rule": None,
                "latency_table": "table.json",
                "latency_of": "decoding",
                "budget_ms": 3.5,
            },
        ),
        (
            "budget",
            latency(budget_ms=3.2, budget_ratio=0.8),
            {3: "run"},
            {
                "rule": None,
                "latency_table": "table.json",
                "latency_of": "decoding",
                "budget_ratio": 0.8,
            },
        ),
    ],
)
def test_the_network_is_derived_again_by_the_rule_and_the_budget_it_was_derived_by(
    rule, check, group, flags, tmp_path
):
    artefacts = SimpleNamespace(
        chosen=rule and SimpleNamespace(rule=rule, latency=check),
        group=group,
        latencies=SimpleNamespace(table="table.json"),
        first=tmp_path,
        data_dir="data",
    )
    derived, trained = setup_section._derive_commands(
        artefacts, lambda tool, **given: (tool, given), "again"
    )
    assert derived == ("derive", {"run": "again", **flags})
    assert trained[0] == "train" and trained[1]["architecture"] == "again/architecture.json"


@pytest.mark.parametrize(
    ("objective", "title", "tool"),
    [
        ("causal_lm", "What it writes", "generate"),
        ("masked_lm", "What it fills in", "fill"),
        ("toy", "Texts", ""),
    ],
)
def test_the_texts_of_a_run_are_those_of_its_objective(objective, title, tool):
    contract = {**OBJECTIVES, "toy": TOY}[objective]
    run = SimpleNamespace(config=SimpleNamespace(contract=contract), samples="", first="logs/run")
    section = setup_section.samples_section(run, lambda name, **flags: name)
    assert (section.title, section.missing.command) == (title, tool)
    run.samples = "a text"
    shown = setup_section.samples_section(run, lambda name, **flags: name)
    assert bool(shown.missing) == (not tool) and shown.text == "a text"
