"""Masked language modelling: what is scored, what the network may see, and what it learns."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf

import documented
from built import tiny_data
from par.core.config import ModelConfig, SearchConfig
from par.core.errors import DataError, SettingError
from par.data import manifest
from par.data.tokenizer import EOS, PAD, Tokenizer
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.nn import adaptive_softmax
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import Transformer
from par.objectives import masking
from par.objectives.masked_lm import MaskedLanguageModel
from par.objectives.settings import MaskedLMSettings
from par.search.architecture import Architecture
from par.train import checkpoints, history
from par.train.learner import Learner
from small import NETWORK, small_config, small_data, trainer

B, T, M, V = 3, 16, 5, 40
MODEL = ModelConfig(d_model=16, num_heads=2, d_ffn=24, mem_len=M, dropout_rate=0, cutoffs=(20,))


def built(blocks: str = "ad", **settings) -> MaskedLanguageModel:
    made = MaskedLanguageModel(MODEL, V, 1, MaskedLMSettings(**settings))
    made.build(lambda: Transformer(Architecture(blocks), MODEL, SearchConfig(), V, 1))
    return made


def window(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(8, V, [B, T + 1]).astype(np.int32)


def prepared(made, tokens, training=False):
    phase = Phase(training=training, seed=3, step=tf.constant(5, tf.int64))
    seeds = phase.row_seeds("objective", tf.range(B, dtype=tf.int64))
    return made.prepare(tf.constant(tokens), seeds, training)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=700, valid=300)


def config(data_dir, blocks="ad", seed=0, **settings):
    own = small_config(data_dir, blocks, epochs=1, seed=seed)
    masked = MaskedLMSettings(**settings)
    return dataclasses.replace(own, objective="masked_lm", objective_settings=masked)


def test_the_loss_is_that_of_the_selected_tokens_alone():
    """Against the nll of every position, of which the selected ones count."""
    made = built()
    batch = prepared(made, window(), training=True)
    total, count, parts, _ = made.loss(batch, made.trunk.empty_memories(B), EVALUATION)
    assert float(count) == B * math.floor(0.3 * T + 0.5)
    hidden, _ = made.trunk(
        batch["tokens"],
        made.trunk.empty_memories(B),
        visibility="bidirectional",
        phase=EVALUATION,
        real=batch["real"],
    )
    table = made.head.log_prob(tf.reshape(hidden, [-1, 16])).numpy().reshape(B, T, V)
    tokens, expected, hits = window()[:, :-1], 0.0, 0
    assert (batch["weights"].numpy() == 1).all()
    for row, places in enumerate(batch["places"].numpy()):
        for place in places:
            expected -= table[row, place, tokens[row, place]]
            hits += table[row, place].argmax() == tokens[row, place]
    assert float(total) == pytest.approx(expected, rel=1e-5) and parts == {}
    scores, _ = made.token_scores(batch, made.trunk.empty_memories(B), EVALUATION)
    values, weights = scores["accuracy"]
    assert float(tf.reduce_sum(values * weights)) == hits
    assert float(tf.reduce_sum(weights)) == float(count)


def test_training_computes_no_tail_of_the_softmax_for_another_cluster_s_tokens():
    """An accuracy would: so it is of evaluations alone."""
    made = built()
    tokens = np.full([B, T + 1], 9, np.int32)  # all of the head
    rows = []
    inner = adaptive_softmax._logits

    def counted(hidden, *weights):
        rows.append((hidden.shape[0], len(weights)))
        return inner(hidden, *weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptive_softmax, "_logits", counted)
        batch = prepared(made, tokens, training=True)
        made.loss(batch, made.trunk.empty_memories(B), EVALUATION)
        assert rows == [(0, 2), (B * 5, 1)]
        rows.clear()
        made.token_scores(batch, made.trunk.empty_memories(B), EVALUATION)
        assert (B * 5, 2) in rows


def test_a_run_of_before_whose_training_summed_the_accuracy_is_read_and_continued(
    data_dir, tmp_path
):
    own = config(data_dir)
    run = trainer(tmp_path / "run", own, data_dir, record_every=5, save_every=10)
    run.run(until=10)
    path = tmp_path / "run" / "history.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert "accuracy" not in rows[0]
    with_parts = [row | {"accuracy": 0.1} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in with_parts))
    assert history.read_rows(path, own.contract)["train"] == with_parts
    path.write_text("".join(json.dumps(row | {"colour": 1}) + "\n" for row in rows))
    with pytest.raises(DataError, match="is not a row of this program"):
        history.read_rows(path, own.contract)
    note = run.note | {
        "sums": {name: [*sums, 3.0, 9.0] for name, sums in run.note["sums"].items()}
    }
    run.note = checkpoints.checked_note(json.dumps(note).encode())
    assert run._take("log").keys() == {"nll_per_token"}
    with pytest.raises(ValueError, match="note is not one of this program"):
        checkpoints.checked_note(
            json.dumps(note | {"sums": {name: [1.0] * 3 for name in note["sums"]}}).encode()
        )


def test_a_masked_token_is_not_seen_and_no_other_position_tells_it():
    made, tokens = built("aad"), window()
    batch = prepared(made, tokens)
    place = int(batch["places"][1, 0])
    other = tokens.copy()
    other[1, place] = 8 + (other[1, place] - 8 + 1) % (V - 8)
    memories = made.trunk.empty_memories(B)
    scores, _ = made.token_scores(batch, memories, EVALUATION)
    changed = prepared(made, other)
    np.testing.assert_array_equal(changed["tokens"], batch["tokens"])
    again, _ = made.token_scores(changed, memories, EVALUATION)
    differs = np.argwhere(scores["nll"][0].numpy() != again["nll"][0].numpy())
    assert differs.tolist() == [[1, place]]  # only the target is another
    # what is not selected is seen: from both sides
    seen = next(t for t in range(place + 1, T) if t not in batch["places"][1].numpy())
    other[1, place], other[1, seen] = tokens[1, place], 8 + (other[1, seen] - 7) % (V - 8)
    moved, _ = made.token_scores(prepared(made, other), memories, EVALUATION)
    assert moved["nll"][0][1, place] != scores["nll"][0][1, place]


def test_scores_are_of_15_per_cent_whatever_the_settings_and_the_batch(data_dir):
    def scored(settings, **reading):
        learner = Learner(config(data_dir, **settings))
        found = evaluation.token_scores(
            learner, data_dir, manifest.load(data_dir), "valid", "fixed", EvalConfig(**reading)
        )
        return found["nll"][1].reshape(4, -1), found

    weights, found = scored({})
    assert weights.mean() == pytest.approx(1 / 8, abs=0.01)  # one of the 8 tokens of a window
    spans = scored({"mask_rate": 0.5, "mask_scheme": "span"}, batch_size=2)[0]
    np.testing.assert_array_equal(spans, weights)
    assert (weights[0] != weights[1]).any()  # four draws
    contract = config(data_dir).contract
    figures = evaluation.figures(contract, manifest.load(data_dir), "valid", found)
    assert list(figures)[:2] == ["nll_per_token", "accuracy"]
    assert figures["nll_per_token"] == pytest.approx(math.log(40), rel=0.05)  # untrained
    assert 0 <= figures["accuracy"] < 0.2


def test_words_are_those_of_the_tokenizer_of_the_data(tmp_path):
    data_dir = tiny_data(tmp_path)
    model = Tokenizer.load(data_dir / "tokenizer.model")
    made = MaskedLanguageModel(MODEL, model.vocab_size, 1, MaskedLMSettings(mask_scheme="word"))
    (ids,) = model.encode(["many words of several pieces each \u4e2d"])
    tokens = np.tile(np.resize(ids, 40), [B, 1])
    for tokenizer in (None, model):  # without it each piece is a word
        phase = Phase(training=True, seed=3, step=tf.constant(5, tf.int64))
        seeds = phase.row_seeds("objective", tf.range(B, dtype=tf.int64))
        if tokenizer:
            made.read_data(data_dir)
        batch = made.prepare(tf.constant(np.pad(tokens, [[0, 0], [0, 1]])), seeds)
        starts = tokenizer.word_starts() if tokenizer else np.ones(model.vocab_size, bool)
        eligible = masking.ordinary(tf.constant(tokens))
        choice = masking.uniforms(seeds, 40)[0]
        expected = masking.words_of(choice, eligible, tf.constant(starts[tokens]), 0.3).numpy()
        weights, places = batch["weights"].numpy(), batch["places"].numpy()
        for row in range(B):
            chosen = sorted(places[row][weights[row] > 0].tolist())
            assert chosen == np.flatnonzero(expected[row]).tolist() and len(chosen) > 5
    evaluated = made.prepare(tf.constant(np.pad(tokens, [[0, 0], [0, 1]])), seeds, False)
    assert evaluated["places"].shape[1] == 6  # single tokens, whatever the scheme


@pytest.mark.parametrize("rate", [0.07, 0.3, 1.0])
def test_the_softmax_is_computed_for_as_many_tokens_as_the_costs_say(data_dir, rate):
    own = config(data_dir, mask_rate=rate)
    batch = prepared(built(mask_rate=rate), window(), training=True)
    assert batch["places"].shape[1] == own.contract.predicted(own.objective_settings, T)


def test_a_window_with_too_few_ordinary_tokens_has_fewer_targets():
    tokens = np.full([B, T + 1], EOS, np.int32)
    tokens[1, 3:6], tokens[2, 8:] = 9, PAD
    batch = prepared(built(), tokens, training=True)
    assert batch["weights"].numpy().sum(axis=1).tolist() == [0, 1, 0]
    assert not batch["real"].numpy()[2, 8:].any()
    total, count, _, _ = built().loss(batch, built().trunk.empty_memories(B), EVALUATION)
    assert np.isfinite(total) and count == 1


def test_bad_settings_are_refused_in_words(data_dir, call, tmp_path):
    with pytest.raises(SettingError, match="mask_split must be three shares that sum to 1"):
        MaskedLMSettings(mask_split=(0.8, 0.1))
    with pytest.raises(SettingError, match=r"mask_rate of 0.05 selects no token of a window of 8"):
        config(data_dir, mask_rate=0.05)
    command = ("train", f"--data={data_dir}", "--cutoffs=none", f"--run={tmp_path / 'run'}")
    refused = call(*command, "--mask_rate=0.2")
    assert refused.code == 1 and "--mask_rate" in refused.err and "masked_lm" in refused.err
    assert refused.err.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_search_its_network_and_its_scores_go_through_the_commands(data_dir, call, tmp_path):
    run, network = tmp_path / "search", tmp_path / "network"
    flags = ("--objective=masked_lm", f"--data={data_dir}", "--cutoffs=none", *NETWORK)
    searched = call("train", *flags, "--num_blocks=2", f"--run={run}", "--json")
    assert searched.code == 0, searched.err
    found = json.loads(searched.out)["valid"]["soft"]
    assert found["nll_per_token"] > 0 and 0 <= found["accuracy"] <= 1
    derived = call("derive", f"--run={run}")
    assert derived.code == 0, derived.err
    blocks = f"--architecture={run}/architecture.json"
    trained = call("train", *flags, blocks, "--mask_scheme=span", f"--run={network}")
    assert trained.code == 0 and "valid nll" in trained.out, trained.err
    scores = call("evaluate", f"--run={run}", f"--run={network}", "--split=test")
    assert scores.code == 0 and "accuracy of masked tokens" in scores.out, scores.err
    heads, *rows = scores.out.splitlines()
    own = [line for line in rows if line.startswith(("unigram  ", "two-sided bigrams  "))]
    assert [line.split()[-3] for line in own] == ["test"] * 2 and len(heads) == len(own[0])
    again = call("train", *flags, blocks, "--mask_scheme=span", f"--run={network}")
    assert "two-sided bigrams: valid nll" in again.out and "accuracy" in again.out, again.err
    refused = call("generate", f"--run={network}", "--prompt=a")
    assert refused.code == 1 and "but" in refused.err and "is masked_lm" in refused.err
    report = call("report", f"--run={run}")
    assert report.code == 0, report.err
    page = (run / "report.html").read_text()
    assert "two-sided bigrams" in page and "The unigram has" in page
    value = json.loads(call("evaluate", f"--run={run}", "--split=test", "--json").out)
    assert [each["model"] for each in value["baselines"]] == ["unigram", "bigrams"]
    documented.check("evaluate --json", value, required="none")


@pytest.mark.slow
def test_a_run_that_selects_words_is_moved_and_continued_bit_for_bit(tmp_path):
    """The words are told by the tokenizer of the data, wherever it lies."""
    data_dir = tiny_data(tmp_path)
    own = config(data_dir, mask_scheme="word")
    whole = trainer(tmp_path / "whole", own, data_dir)
    whole.run()
    half = trainer(tmp_path / "half", own, data_dir)
    half.run(until=own.total_steps // 2)
    moved = shutil.copytree(tmp_path / "half", tmp_path / "moved")
    there = shutil.copytree(data_dir, tmp_path / "there")
    shutil.rmtree(data_dir)
    again = trainer(moved, own, there)
    again.run()
    for name, layer in whole.learner.objective.layers.items():
        for mine, theirs in zip(layer.weights, again.learner.objective.layers[name].weights):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)
    tokens = dataclasses.replace(own, objective_settings=MaskedLMSettings())
    other = trainer(tmp_path / "tokens", tokens, there)
    other.run()
    mine, theirs = whole.learner.objective.head.weights[0], other.learner.objective.head.weights[0]
    assert (mine.numpy() != theirs.numpy()).any()


@pytest.mark.slow
def test_a_markov_chain_is_learned_from_both_sides(tmp_path):
    """Of a chain of order one, what both neighbours leave open is known in closed form; it is less
    than what the token before alone leaves open."""
    draw = np.random.default_rng(7)
    chain = draw.dirichlet(np.full(32, 0.3), size=32)
    values, vectors = np.linalg.eig(chain.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    joint = stationary[:, None, None] * chain[:, :, None] * chain[None]  # before, token, after
    outer = joint.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        two_sided = -np.nansum(joint * np.log(joint / outer))
        one_sided = -np.nansum(stationary[:, None] * chain * np.log(chain))
    ends = chain.cumsum(axis=1)

    def stream(count, rng):
        tokens, uniform = np.zeros(count, np.int64), rng.random(count)
        for i in range(1, count):
            tokens[i] = min(np.searchsorted(ends[tokens[i - 1]], uniform[i]), 31)
        return tokens + 8

    data_dir = small_data(
        tmp_path / "chain", stream, train=200_000, valid=6_000, batch_size=64, seq_len=16
    )
    own = small_config(
        data_dir,
        "aa",
        epochs=8,
        d_model=64,
        num_heads=4,
        d_ffn=128,
        mem_len=0,
        max_lr=1e-2,
        warmup_steps=100,
        dropout_rate=0,
    )
    masked = MaskedLMSettings(mask_rate=0.3, mask_split=(1.0, 0.0, 0.0))
    own = dataclasses.replace(own, objective="masked_lm", objective_settings=masked)
    made = trainer(tmp_path / "run", own, data_dir)
    made.run()
    scores = evaluation.token_scores(
        made.learner, data_dir, manifest.load(data_dir), "valid", "fixed"
    )
    nll, weight = (
        each.reshape(4, -1)[:, : 5_999 // 16 * 16].reshape(4, -1, 16) for each in scores["nll"]
    )
    # the bound is of tokens between two that are seen, which not all masked ones are
    seen = (weight[:, :, :-2] == 0) & (weight[:, :, 2:] == 0) & (weight[:, :, 1:-1] > 0)
    found = nll[:, :, 1:-1][seen].mean()
    assert two_sided - 0.05 < found < two_sided + 0.05 < one_sided - 0.7  # 1.78, 1.83, 1.86
