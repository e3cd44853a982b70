"""Telling authors apart: what is compared with what, what it costs, and what it learns."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf

import documented
from authored import build, coded, config, hidden_code
from par.core.errors import SettingError
from par.data import documents, manifest
from par.data.documents import AUTHOR, GROUP
from par.data.tokenizer import BOS, PAD
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.nn.forward_mode import EVALUATION, Phase
from par.objectives import OBJECTIVES
from par.train import history
from par.train.learner import Learner
from small import NETWORK, small_data, trainer

CONTRACT = OBJECTIVES["authors"]
B = 4


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return build(tmp_path_factory.mktemp("authors"), "coded", coded(), "--vocab_size=40")


def made(data_dir, **settings):
    learner = Learner(config(data_dir, **settings))
    return learner, learner.objective.documents(data_dir, manifest.load(data_dir), "train")


def prepared(learner, element, training=True):
    seeds = Phase().row_seeds("objective", tf.range(len(element["name"]), dtype=tf.int64))
    return learner.objective.prepare(tf.nest.map_structure(tf.constant, element), seeds, training)


def first(reader, rows=B, training=True):
    steps = reader.training(rows, 0, 0, 1) if training else reader.evaluation(rows)
    return next(steps.as_numpy_iterator())


@pytest.mark.parametrize("relation", ["author", "group"])
@pytest.mark.parametrize("cross", [True, False])
@pytest.mark.parametrize("negatives", ["random", "same_group"])
def test_anchors_and_negatives_are_those_of_the_relation(data_dir, relation, cross, negatives):
    if relation == "group" and negatives == "same_group":
        with pytest.raises(SettingError, match="negatives must be random with relation group"):
            config(data_dir, relation=relation, negatives=negatives)
        return
    settings = {"relation": relation, "cross": cross, "negatives": negatives}
    _, reader = made(data_dir, **settings)
    table, drawn = documents.load(data_dir, "train"), reader.drawn()
    own, other = (AUTHOR, GROUP) if relation == "author" else (GROUP, AUTHOR)
    rows = drawn["positive"]
    assert len(rows) == reader.count > 20
    for row, anchors, negative in zip(rows, drawn["anchors"], drawn["negative"], strict=True):
        anchors = anchors[anchors >= 0]
        assert len(set(anchors.tolist())) == len(anchors) > 0 and row not in anchors
        assert (table[anchors, own] == table[row, own]).all()
        if cross:
            assert (table[anchors, other] != table[row, other]).all()
        assert table[negative, own] != table[row, own]
        if negatives == "same_group":
            assert table[negative, GROUP] == table[row, GROUP]


@pytest.mark.parametrize(
    ("settings", "training", "expected"),
    [
        ({}, True, None),  # the logarithm of those that are compared: other authors, and itself
        ({"negatives": "same_group"}, True, None),
        ({}, False, math.log(2)),
        ({"loss": "triplet", "margin": 0.7}, True, 0.7),
        ({"loss": "triplet", "margin": 0.7}, False, 0.7),
    ],
)
def test_equal_encodings_cost_what_the_closed_form_says(
    data_dir, monkeypatch, settings, training, expected
):
    learner, reader = made(data_dir, **settings)
    objective, element = learner.objective, first(reader, 9, training)
    monkeypatch.setattr(
        objective, "encode", lambda tokens, phase: tf.ones([tokens.shape[0], 5]) / 5**0.5
    )
    batch = prepared(learner, element, training)
    scores, _ = objective.token_scores(batch, None, EVALUATION)
    losses = scores["nll"][0][:, 0].numpy()
    if expected is None:
        others = (element["name"][:, None] != element["name"]).sum(axis=1)
        assert len(set(others.tolist())) > 1  # authors come twice, and are not their own negatives
        expected = np.log(1 + others + (settings.get("negatives") == "same_group"))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert (scores["accuracy"][0].numpy() == 0.5).all()
    total, weight, parts, _ = objective.loss(batch, None, EVALUATION)
    assert float(total) == pytest.approx(losses.sum(), rel=1e-5) and parts == {}
    assert float(weight) == 9


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_an_encoding_depends_neither_on_padding_nor_on_the_texts_beside_it(data_dir, pool):
    learner, reader = made(data_dir, blocks="ad", pool=pool)
    objective, element = learner.objective, first(reader)
    texts = objective.window(tf.constant(element["positive"]))
    assert texts.shape[1] == 6 + (pool == "cls") == learner.config.objective_settings.window_len
    assert (texts[:, 0].numpy() == BOS).all() == (pool == "cls")
    together = objective.encode(texts, EVALUATION).numpy()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    for row, text in enumerate(texts.numpy()):
        longer = np.pad(text, [0, 5])[None]
        alone = objective.encode(tf.constant(longer), EVALUATION).numpy()[0]
        np.testing.assert_allclose(alone, together[row], atol=2e-5)
        short = text[None, text != PAD]
        np.testing.assert_allclose(
            objective.encode(tf.constant(short), EVALUATION).numpy()[0], alone, atol=2e-5
        )
    empty = objective.window(tf.zeros([1, 6], tf.int32))
    assert not empty.numpy().any() and not objective.encode(empty, EVALUATION).numpy().any()


def test_an_empty_slot_changes_nothing(data_dir):
    learner, reader = made(data_dir)
    element = first(reader)
    with_slots = {**element, "anchors": np.pad(element["anchors"], [[0, 0], [0, 2], [0, 0]])}
    losses = [
        learner.objective.loss(prepared(learner, each), None, EVALUATION)[0]
        for each in (element, with_slots)
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-6)


def test_a_row_that_only_fills_the_batch_has_no_weight(data_dir):
    learner, reader = made(data_dir)
    steps = reader.evaluation(reader.count - 1)
    scored = [prepared(learner, each, False)["weights"].numpy() for each in steps]
    assert len(scored) == 2 and sum(each.sum() for each in scored) == reader.count


@pytest.mark.slow
def test_scores_are_the_same_whatever_the_batch_and_the_headline_is_the_accuracy(data_dir):
    learner, found = Learner(config(data_dir)), manifest.load(data_dir)
    kept = {}
    for rows in (None, 7):
        scores = evaluation.token_scores(
            learner, data_dir, found, "valid", "fixed", EvalConfig(batch_size=rows)
        )
        kept[rows] = scores
        for name, (values, weights) in scores.items():
            assert values.shape == weights.shape and weights.all()
            np.testing.assert_allclose(values, kept[None][name][0], atol=1e-5)
    reader = learner.objective.documents(data_dir, found, "valid")
    assert len(kept[7]["nll"][0]) == CONTRACT.draws * reader.count
    figures = evaluation.figures(CONTRACT, found, "valid", kept[7])
    assert figures["tokens"] == CONTRACT.draws * reader.count and figures["words"] == 0
    assert CONTRACT.headline.name == "accuracy" and CONTRACT.headline.is_better(0.6, 0.5)
    assert figures["accuracy"] == pytest.approx(kept[7]["accuracy"][0].mean())


def test_other_ways_to_read_are_refused_as_they_have_no_effect(data_dir):
    own = config(data_dir)
    for name, value in {"seq_len": 5, "mem_len": 3, "stride": 2, "same_length": True}.items():
        with pytest.raises(SettingError, match=f"so that {name} has no effect: leave it out"):
            EvalConfig(**{name: value}).resolved(own, manifest.load(data_dir), ["valid"])


@pytest.mark.slow
def test_a_planted_code_is_learned_by_unseen_authors_without_an_error(tmp_path):
    data = build(tmp_path, "hidden", hidden_code(), "--vocab_size=32")
    own = config(
        data, "i", epochs=8, max_lr=3e-2, warmup_steps=10, dropout_rate=0.0, doc_len=13, anchors=5
    )
    found = manifest.load(data)
    untrained = evaluation.score(Learner(own), data, found, "valid", "fixed")
    run = trainer(tmp_path / "run", own, data)
    run.run()
    rows = history.read_rows(tmp_path / "run" / "history.jsonl", CONTRACT)
    last = rows["valid"][-1]
    assert untrained["accuracy"] < 0.95 and last["accuracy"] == 1.0
    assert last["nll_per_token"] < 0.05 < untrained["nll_per_token"]
    assert rows["train"][-1]["step"] == own.total_steps == 8 * own.data.steps_per_epoch
    assert own.data.steps_per_epoch == found.documents.splits["train"].rows // 4


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_bit_for_bit(data_dir, tmp_path):
    own = config(data_dir, "sd", negatives="same_group", pool="cls", dropout_rate=0.2, epochs=2)
    whole = trainer(tmp_path / "whole", own, data_dir)
    whole.run()
    half = trainer(tmp_path / "half", own, data_dir)
    half.run(until=own.data.steps_per_epoch + 3)
    moved, there = tmp_path / "moved", tmp_path / "there"
    shutil.copytree(tmp_path / "half", moved)
    shutil.copytree(data_dir, there)
    again = trainer(moved, own, there)
    again.run()
    mine, theirs = (
        [v for v in (*each.learner.weights, *each.learner.logits)] for each in (whole, again)
    )
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    rows = [
        history.read_rows(path / "history.jsonl", CONTRACT)["valid"][-1]
        for path in (tmp_path / "whole", moved)
    ]
    assert {k: v for k, v in rows[0].items() if k != "seconds"} == {
        k: v for k, v in rows[1].items() if k != "seconds"
    }


def test_what_the_data_lack_is_refused_in_a_line_before_anything_is_written(
    tmp_path, call, data_dir
):
    few = [{**each, "group": "one"} for each in coded(authors=8, each=6)]
    no_groups = [{k: v for k, v in each.items() if k != "group"} for each in few]
    lone = [{**each, "author": f"{each['id']}"} for each in few]
    sets = {
        "plain": small_data(tmp_path / "plain", train=300, valid=60),
        "few": build(tmp_path, "few", few, "--vocab_size=40"),
        "no_groups": build(tmp_path, "no_groups", no_groups, "--vocab_size=40"),
        "lone": build(tmp_path, "lone", lone, "--vocab_size=40"),
        "whole": data_dir,
    }
    for name, flags, code, said in (
        ("plain", (), 3, "has no documents, as it was built from plain text: build it from"),
        ("few", (), 1, "no author has texts in two groups, but --relation=author needs it: give"),
        ("no_groups", (), 1, "give --nocross, for anchors of the same group, or --relation=group"),
        ("lone", ("--nocross",), 1, "no author has two texts, but --relation=author needs it"),
        ("few", ("--relation=group", "--nocross"), 1, "all texts are of one group"),
        ("no_groups", ("--nocross", "--negatives=same_group"), 1, "give --negatives=random"),
        ("whole", ("--mask_rate=0.2",), 1, "--mask_rate is a setting of --objective=masked_lm"),
        ("whole", ("--anchors=0",), 1, "anchors must be at least 1"),
    ):
        run = tmp_path / "run"
        done = call(
            "train",
            f"--data={sets[name]}",
            "--objective=authors",
            "--architecture=ad",
            "--cutoffs=none",
            f"--run={run}",
            *flags,
        )
        assert done.code == code and said in done.err, (name, done.err)
        assert done.err.count("\n") == 1 and not run.exists()
    done = call("train", f"--data={data_dir}", "--loss=triplet")
    assert done.code == 1 and "--loss is a setting of --objective=authors" in done.err


def test_in_batch_negatives_need_a_second_row(data_dir):
    own = config(data_dir)
    alone = dataclasses.replace(own.data, batch_size=1)
    with pytest.raises(SettingError, match="takes its negatives from the other rows"):
        dataclasses.replace(own, data=alone)
    for settings in ({"loss": "triplet"}, {"negatives": "same_group"}):
        hard = dataclasses.replace(own.objective_settings, **settings)
        assert dataclasses.replace(own, data=alone, objective_settings=hard)


@pytest.mark.parametrize(
    ("settings", "texts"),
    [({}, 4), ({"negatives": "same_group"}, 5), ({"loss": "triplet"}, 5), ({"pool": "cls"}, 4)],
)
def test_the_costs_are_those_of_the_texts_that_are_read(data_dir, monkeypatch, settings, texts):
    learner, reader = made(data_dir, **settings)
    batch, read = prepared(learner, first(reader)), []
    trunk = learner.objective.trunk

    def call(tokens, memories, **how):
        read.append((tokens.shape[0], tokens.shape[1], memories.hidden.shape[2]))
        return type(trunk).call(trunk, tokens, memories, **how)

    monkeypatch.setattr(learner.objective, "trunk", call)
    monkeypatch.setattr(call, "empty_memories", trunk.empty_memories, raising=False)
    learner.objective.loss(batch, None, EVALUATION)
    model, rows, length = learner.config.read_shape
    assert rows == sum(each[0] for each in read) == texts * B
    assert {each[1:] for each in read} == {(length, model.mem_len)} == {(read[0][1], 0)}
    assert learner.config.predicted == 0
    shape = learner.config.latency_shape
    assert (shape.batch_size, shape.seq_len, shape.objective) == (rows, length, "authors")


@pytest.mark.slow
def test_a_search_its_network_and_its_scores_go_through_the_commands(data_dir, call, tmp_path):
    run = tmp_path / "search"
    flags = ("--objective=authors", f"--data={data_dir}", "--anchors=3", "--doc_len=6", *NETWORK)
    done = call("train", *flags, "--cutoffs=none", "--num_blocks=2", f"--run={run}", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["valid"]["soft"]
    assert 0 <= found["accuracy"] <= 1 and found["nll_per_token"] > 0
    for tool, more in (
        ("measure_latency", ("--repeats=2", "--steps=1")),
        ("derive", ()),
        (
            "compare",
            (
                "--match=parameters",
                "--num_seeds=2",
                "--num_random=1",
                "--epochs=1",
                "--repeats=2",
                "--steps=1",
            ),
        ),
        ("report", ()),
    ):
        done = call(tool, f"--run={run}", *more)
        assert done.code == 0, done.err
    page = (run / "report.html").read_text()
    assert "accuracy against a negative" in page and "erplexity" not in page
    scores = call("evaluate", f"--run={run}", "--split=test", "--json")
    assert scores.code == 0, scores.err
    documented.check("evaluate --json", json.loads(scores.out), required="none")
    refused = call("generate", f"--run={run}", "--prompt=a")
    assert refused.code == 1 and "is authors: use discriminate" in refused.err
    dry = call("train", *flags, "--cutoffs=none", "--architecture=ad", "--dry_run", "--json")
    assert dry.code == 0 and json.loads(dry.out)["gflop_per_step"] > 0, dry.err
