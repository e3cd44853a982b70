"""The contract of an objective is real: one that is defined in the tests goes through search,
resume, evaluation, seeds, comparison and report by its own figures."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import sys

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig
from par.core.errors import DataError, SettingError, UsageError
from par.core.stats import Interval
from par.data import manifest
from par.evaluate import evaluation
from par.evaluate.compare import findings, tables, verdict
from par.evaluate.compare.results import Comparison, Findings, Scores
from par.evaluate.compare.statistics import Network, change
from par.evaluate.eval_config import EvalConfig
from par.evaluate.trained_model import Model
from par.nn import positions
from par.nn.forward_mode import Phase, row_uniforms
from par.objectives import OBJECTIVES
from par.report import inputs, page
from par.search import flops, latency_table
from par.search.latency_table import PARTS, LatencyTable, Spread
from par.train import history, run_config, seeds
from par.train.learner import Learner
from project import ROOT
from small import small_config, small_data, trainer
from toy_objective import TOY, ToySettings, registered

CAUSAL = OBJECTIVES["causal_lm"]


@pytest.fixture(scope="module", autouse=True)
def toy():
    with registered():
        yield


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=700, valid=200)


def config(data_dir, blocks="sas", seed=0, **settings):
    own = small_config(data_dir, blocks, epochs=2, seed=seed, dropout_rate=0.2)
    return dataclasses.replace(own, objective="toy", objective_settings=ToySettings(**settings))


@pytest.fixture(scope="module")
def searched(data_dir, tmp_path_factory):
    """A search of 42 steps, with history and checkpoints."""
    run = tmp_path_factory.mktemp("toy") / "logs" / "search"
    made = trainer(run, config(data_dir), data_dir)
    made.config.save(run, data_dir)
    made.run()
    return made


def test_a_history_has_the_figures_of_its_objective_and_no_others(searched):
    run = history.read_run(searched.run_dir)
    assert run.contract is TOY
    common = {"kind", "step", "epoch", "seconds"}
    train, valid = run.rows["train"][-1], run.rows["valid"][-1]
    schedules = {"tau", "learning_rate", "arch_lr", "pi"}
    assert set(train) == common | schedules | {"nll_per_token", "accuracy"}
    assert set(valid) == common | {
        "split",
        "evaluate_as",
        "train_nll_per_token",
        "accuracy",
        "nll_per_token",
    }
    assert 0 <= train["accuracy"] <= 1 and 0 <= valid["accuracy"] <= 1
    best = max(r["accuracy"] for r in run.rows["valid"] if r["evaluate_as"] == "soft")
    assert searched.note["best"]["accuracy"] == best  # more is better
    head = history.evaluations(run.rows, TOY)[0]
    assert head[1:4] == ["train nll", "valid nll (soft)", "valid nll (argmax)"]
    with pytest.raises(DataError, match="is not a row of this program"):
        history.read_rows(searched.run_dir / "history.jsonl", CAUSAL)
    log = (searched.run_dir / "training_log.log").read_text()
    assert "toy: toy_rate=0.3 toy_reader=d" in log and "perplexity" not in log
    assert not (searched.run_dir / "samples").exists()


@pytest.mark.slow
def test_a_run_that_was_stopped_equals_one_that_was_not(searched, data_dir, tmp_path):
    half = trainer(tmp_path / "run", searched.config, data_dir)
    with pytest.raises(Exception, match="stopped"):
        half.run(should_stop=lambda step: step >= 20)
    again = trainer(tmp_path / "run", searched.config, data_dir)
    assert 0 < again.step < again.total
    again.run()
    for name, layer in searched.learner.objective.layers.items():
        for mine, theirs in zip(layer.weights, again.learner.objective.layers[name].weights):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)
    untimed = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows["train"] + rows["valid"]]
        for rows in (
            history.read_rows(run.run_dir / "history.jsonl", TOY) for run in (searched, again)
        )
    ]
    assert untimed[0] == untimed[1]


def test_what_is_scored_depends_on_the_place_in_the_text_alone(data_dir):
    """Neither on the batch, nor on the network; and each draw hides other tokens."""

    def scored(learner, **reading):
        found = evaluation.token_scores(
            learner,
            data_dir,
            manifest.load(data_dir),
            "valid",
            "fixed",
            EvalConfig(**reading),
        )
        return found["nll"][1].reshape(TOY.draws, -1), found

    one = Learner(config(data_dir, "ad"))
    weight, found = scored(one)
    assert 0.1 < weight.mean() < 0.4
    np.testing.assert_array_equal(scored(one, batch_size=2)[0], weight)
    np.testing.assert_array_equal(scored(Learner(config(data_dir, "d", seed=9)))[0], weight)
    assert (weight[0] != weight[1]).mean() > 0.1
    figures = evaluation.figures(TOY, manifest.load(data_dir), "valid", found)
    assert list(figures)[:2] == ["accuracy", "nll_per_token"]
    assert figures["tokens"] == int(weight.sum())
    values, weights = found["accuracy"]
    assert figures["accuracy"] == pytest.approx((values * weights).sum() / weights.sum())
    windows = weight[0][: weight[0].size // 8 * 8].reshape(-1, 8)
    assert len({tuple(window) for window in windows}) > len(windows) / 2


def test_seeds_of_rows_differ_by_step_row_and_use_and_in_evaluation_by_draw_alone():
    rows = tf.range(4, dtype=tf.int64)

    def seeds_of(**changes):
        phase = Phase(training=True, seed=3, step=tf.constant(5, tf.int64))
        return dataclasses.replace(phase, **changes).row_seeds("objective", rows).numpy()

    steps = np.concatenate([seeds_of(), seeds_of(step=tf.constant(6, tf.int64))])
    assert len({tuple(row) for row in steps}) == 8
    assert (seeds_of(seed=4)[:, 0] != seeds_of()[:, 0]).all()
    evaluated = [seeds_of(training=False, **of) for of in ({}, {"seed": 9}, {"draw": 1})]
    np.testing.assert_array_equal(evaluated[0], evaluated[1])
    assert (evaluated[0] != evaluated[2]).any(axis=1).all()
    whole = row_uniforms(tf.constant(evaluated[0]), 6)
    np.testing.assert_array_equal(row_uniforms(tf.constant(evaluated[0][2:]), 6), whole[2:])


def test_logits_of_every_searched_trunk_are_logits_and_two_trunks_are_no_twins(data_dir):
    learner = Learner(config(data_dir, "sds", toy_reader="sds"))
    trunk, reader = learner.objective.trunk, learner.objective.reader
    assert [v is own for v, own in zip(learner.logits, (trunk.alpha, reader.alpha))] == [True] * 2
    assert not any(v is alpha for v in learner.weights for alpha in learner.logits)
    assert np.abs(trunk.embedding.numpy() - reader.embedding.numpy()).min() > 0
    phase = Phase(training=True, seed=3, step=tf.constant(5, tf.int64), tau=1.0)
    assert np.abs(trunk.sample(phase).weights - reader.sample(phase).weights).min() > 1e-4
    assert reader.config.mem_len == 0 and trunk.config.mem_len == 5
    fixed = Learner(config(data_dir, "sds"))
    assert len(fixed.logits) == 1 and not fixed.objective.reader.logits


@pytest.mark.slow
@pytest.mark.parametrize(
    "search", [{"sampling": "single_path", "paths": 3}, {"prune_below": 0.3}], ids=str
)
def test_two_searched_trunks_learn_their_logits(data_dir, tmp_path, search):
    own = config(data_dir, "ss", toy_reader="sd")
    how = dataclasses.replace(own.search, entropy_weight=0.1, arch_lr=0.1, **search)
    made = trainer(tmp_path / "run", dataclasses.replace(own, search=how), data_dir)
    made.run()
    assert all(np.abs(alpha.numpy()).max() > 0.01 for alpha in made.learner.logits)
    assert made.learner.pi.shape == (2, 3)  # of the trunk that has the run's architecture


def test_an_objective_without_memory_begins_every_window_without_one(searched):
    assert all(float(tf.reduce_sum(tf.abs(m.hidden))) == 0 for m in [searched.learner._memories])
    assert int(tf.reduce_sum(searched.learner._memories.valid)) == 0


def test_settings_are_saved_and_part_of_what_a_run_is(data_dir, tmp_path):
    own, other = config(data_dir), config(data_dir, toy_rate=0.5)
    own.save(tmp_path, data_dir)
    assert run_config.load(tmp_path)[0] == own
    assert run_config.differences(own, other) == ["objective.toy_rate: 0.3 -> 0.5"]
    assert own.default_name() != other.default_name() and "-toy-" in own.default_name()
    value = json.loads((tmp_path / "config.json").read_text())
    for damage, said in (
        ({"objective": "causal_lm"}, "objective 'causal_lm' has no objective_settings"),
        (
            {"objective": "other"},
            f"objective must be one of {', '.join(OBJECTIVES)}, but is 'other'",
        ),
        ({"objective_settings": {"toy_rate": 2.0, "toy_reader": "d"}}, "toy_rate must be at most"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(value | damage))
        with pytest.raises(DataError, match=said):
            run_config.load(tmp_path)
    with pytest.raises(UsageError, match="has no settings of type ToySettings"):
        dataclasses.replace(own, objective="causal_lm")
    with pytest.raises(SettingError, match="toy_rate hides no token of a window"):
        config(data_dir, toy_rate=0.01)


def test_a_causal_run_has_no_trace_of_other_objectives(data_dir, tmp_path):
    own = small_config(data_dir, "ad")
    own.save(tmp_path, data_dir)
    assert set(json.loads((tmp_path / "config.json").read_text())) == run_config.KEYS
    assert not any("objective." in key for key in own.identity())
    assert own.default_name().startswith(f"{own.data.name}-ad-custom-")


def train_tool(monkeypatch):
    """tools/train.py, loaded while the objective is there: its flags are made at import."""
    spec = importlib.util.spec_from_file_location("train_with_toy", ROOT / "tools" / "train.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_flags_come_from_the_settings_and_are_refused_beside_another_objective(
    data_dir, capsys, monkeypatch
):
    tool = train_tool(monkeypatch)
    common = [f"--data={data_dir}", "--architecture=ad", "--print_run"]
    assert tool.main([*common, "--objective=toy", "--toy_rate=0.4"]) == 0
    assert "-ad-toy-" in capsys.readouterr().out
    assert tool.main([*common, "--toy_rate=0.4"]) == 1
    assert capsys.readouterr().err == (
        "error: --toy_rate is a setting of --objective=toy, but the objective is causal_lm: leave"
        " the flag out, or give --objective=toy\n"
    )
    assert tool.main([*common, "--objective=toy", "--toy_rate=0.01"]) == 1
    assert "toy_rate hides no token" in capsys.readouterr().err


def test_what_the_networks_of_an_objective_can_t_do_is_refused_in_one_line(searched, capsys):
    for name, flag, needs in (
        ("generate", "--prompt=x", "predicts the next token"),
        ("fill", "--text=[MASK]", "predicts masked pieces"),
    ):
        tool = importlib.import_module(f"par.tools.{name}")
        assert tool.main([f"--run={searched.run_dir}", flag]) == 1
        assert capsys.readouterr().err == (
            f"error: {name} needs a run that {needs}, but {searched.run_dir} is toy: use fill\n"
        )
    model = Model(searched.config, searched.learner, None)
    with pytest.raises(UsageError, match="score needs a run that predicts the next token"):
        model._token_nll(np.arange(8, 12), None, None)
    with pytest.raises(UsageError, match="generate needs a run that predicts the next token"):
        model.decoder()


def test_seeds_and_report_show_its_figures(searched):
    run = history.read_run(searched.run_dir)
    heads, *rows = seeds.cells([seeds.result(run)], TOY)
    assert heads[2:4] == ["accuracy (soft)", "accuracy (argmax)"]
    assert rows[0][2] == f"{run.rows['valid'][-2]['accuracy']:.4f}"
    text = page.html(inputs.load_artefacts(searched.run_dir), lambda tool, **how: tool)
    assert "nll per hidden token" in text and "perplexity" not in text
    assert "toy_rate" in text and "Networks of toy do not write texts" in text


def test_attention_of_both_sides_costs_more_distances():
    model, shape = ModelConfig(d_model=8, num_heads=2, mem_len=3), (2, 5)
    causal, both = (
        flops.total(flops.attention_products(model, *shape, visibility))
        for visibility in ("causal", "bidirectional")
    )
    further = 5 - 1  # products of 8 distances grow by so many: codes, and logits of each head
    assert both - causal == 2 * further * (8 * 8 + 2 * 2 * 5 * 4)
    for visibility in ("causal", "bidirectional"):
        number = flops.num_distances(5, 3, visibility)
        assert number == len(positions.distances(5, 3, visibility))


def test_a_latency_table_names_the_visibility_and_refuses_another(data_dir, tmp_path):
    shape = config(data_dir).latency_shape
    assert (shape.visibility, shape.objective) == ("bidirectional", "toy")
    spread = dict.fromkeys(PARTS, Spread(1.0, 1.0, 1.0))
    LatencyTable({}, *shape, 3, spread, spread, None).save(tmp_path / "latency.json")
    table = latency_table.load(tmp_path / "latency.json")
    assert table.shape == shape and table.cases == TOY.cases == ("inference", "training_step")
    table.check_fits("inference", shape, "latency.json")
    of_causal = small_config(data_dir, "sas", dropout_rate=0.2).latency_shape
    with pytest.raises(DataError, match=r"visibility bidirectional there, causal here"):
        table.check_fits("inference", of_causal, "latency.json")
    with pytest.raises(UsageError, match="a latency is one of inference, training_step, but is"):
        table.costs("decoding")
    value = json.loads((tmp_path / "latency.json").read_text())
    whole = value | {"decoding": value["inference"], "schema": 2}
    for name in latency_table.BEFORE:
        del whole[name]
    (tmp_path / "latency.json").write_text(json.dumps(whole))
    assert latency_table.load(tmp_path / "latency.json").visibility == "causal"  # of before
    (tmp_path / "latency.json").write_text(json.dumps(value | {"visibility": "causal"}))
    with pytest.raises(DataError, match="must have schema 3 and the keys"):
        latency_table.load(tmp_path / "latency.json")


@pytest.mark.slow
def test_its_search_is_measured_derived_evaluated_and_compared(searched, capsys):
    def call(name, *flags):
        tool = importlib.import_module(f"par.tools.{name}")
        code = tool.main([f"--run={searched.run_dir}", *flags])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    table = searched.run_dir / "latency.json"
    call("measure_latency", "--repeats=2", "--steps=1")
    measured = latency_table.load(table)
    assert measured.cases == TOY.cases
    # a machine's noise can put the budget below the least of the latencies
    spread = {part: Spread(*[cost] * 3) for part, cost in zip(PARTS, (0.5, 1.0, 0.5, 0.0))}
    dataclasses.replace(measured, inference=spread).save(table)
    call("derive", f"--latency_table={table}", "--budget_ratio=0.9", "--pairs=2")
    assert "accuracy  nll per hidden token" in call("evaluate", "--split=valid")
    recipe = ("--num_seeds=2", "--num_random=1", "--epochs=1", "--repeats=2", "--steps=1")
    text = call("compare", "--match=parameters", *recipe)
    assert "against derived: accuracy, paired by seed" in text and "perplexity" not in text
    assert "accuracy" in call("compare", "--truth", "--num_seeds=1", "--epochs=1")
    call("report")
    page_text = (searched.run_dir / "report.html").read_text()
    assert "Accuracy over" in page_text and "Perplexity" not in page_text


def network(names, blocks, accuracy, random=False):
    runs = {
        seed: Scores(77, 60.0, accuracy + 0.01 * seed, {"nll_per_token": 3.0}) for seed in (1, 2)
    }
    return Network(names, blocks, random, 10.0, 0.0, runs, None, TOY)


def test_networks_are_compared_by_its_figure_in_its_direction():
    derived = network(("derived",), "ad", 0.5)
    worse, better = network(("interleaved",), "da", 0.45), network(("x",), "aa", 0.52)
    assert change(worse, derived) == pytest.approx((0.05, 0.05, 0.05))
    assert change(better, derived).mean == pytest.approx(-0.02)
    lost = verdict.verdict([derived, worse, better], "parameters", 0.05)
    assert lost.outcome == "lost" and "x aa is 0.0200 better at equal parameters" in lost.sentence
    won = verdict.verdict([derived, worse], "parameters", 0.05)
    assert won.outcome == "won" and "interleaved da has 0.0500 less accuracy" in won.sentence
    found = findings.summarize([derived, worse], "parameters", 0.05, True, False)
    lines = tables.lines(found, "parameters")
    assert "accuracy" in lines[0] and "nll per hidden token" in lines[0]
    assert "-0.0500 (-0.0500 to -0.0500)" in lines[2] and "perplexity" not in "".join(lines)
    goal = verdict.goal(Interval(0.005, None, None), Interval(0.4, 0.4, 0.4), TOY.comparison[0])
    assert goal.met and "its mean accuracy at most 0.01 below" in goal.sentence
    assert "accuracy -0.0050" in goal.sentence
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["objective"] == "toy" and "accuracy" in value["networks"][0]["runs"][0]
    assert Findings.from_json(value, "x") == found
    with pytest.raises(UsageError):
        Comparison.from_json({**value, "objective": "causal_lm"}, "x")
    points, _ = tables.points(found)
    assert points[0].y[0] == pytest.approx(0.515) and math.isfinite(points[1].y[0])
