"""SpanELECTRA: what is masked, drawn and told; whose loss reaches what; two networks that share
nothing but what they are told to."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from par.bench import training_speed
from par.core.auc import auc
from par.core.config import ModelConfig, SearchConfig
from par.core.errors import SettingError
from par.data import manifest
from par.data.tokenizer import EOS, MASK, PAD
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import MAIN, Transformer
from par.objectives.electra.replaced import drawn, most_probable
from par.objectives.electra.span_electra import SpanElectra
from par.objectives.electra_figures import SPAN_ELECTRA
from par.objectives.electra_settings import SpanElectraSettings
from par.search import flops
from par.search.architecture import Architecture
from par.train.learner import Learner
from small import bigrams, small_config, small_data, trainer

B, T, V = 3, 16, 40
MODEL = ModelConfig(d_model=16, num_heads=2, d_ffn=24, mem_len=5, dropout_rate=0.1, cutoffs=(20,))
TRAINING = Phase(training=True, seed=3, step=tf.constant(5, tf.int64), tau=0.5)


def built(blocks: str = "ad", model: ModelConfig = MODEL, **settings) -> SpanElectra:
    def make_trunk(part=MAIN, own=None, table=None, **changes) -> Transformer:
        shape = dataclasses.replace(model, **changes)
        architecture = Architecture(blocks if own is None else own)
        return Transformer(architecture, shape, SearchConfig(), V, 1, part=part, table=table)

    made = SpanElectra(model, V, 1, SpanElectraSettings(**settings))
    made.build(make_trunk)
    return made


def window(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(8, V, [B, T + 1]).astype(np.int32)


def prepared(made, tokens=None, training=True):
    phase = dataclasses.replace(TRAINING, training=training)
    seeds = phase.row_seeds("objective", tf.range(B, dtype=tf.int64))
    return made.prepare(tf.constant(window() if tokens is None else tokens), seeds, training)


def shaken(made):
    for layer in made.layers.values():
        for number, weight in enumerate(layer.weights):
            weight.assign(np.random.default_rng(number).normal(0, 0.4, weight.shape))
    return made


def scored(made, batch, phase=EVALUATION):
    found, _ = made.token_scores(batch, made.trunk.empty_memories(B), phase)
    return {name: tuple(map(np.asarray, pair)) for name, pair in found.items()}


def mean(scores, name):
    values, weights = scores[name]
    return float((values * weights).sum() / weights.sum())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "chain", bigrams, train=700, valid=300)


def config(data_dir, blocks="ad", seed=0, search=None, **settings):
    own = small_config(data_dir, blocks, epochs=2, seed=seed, dropout_rate=0.2, **search or {})
    electra = SpanElectraSettings(**settings)
    return dataclasses.replace(own, objective="span_electra", objective_settings=electra)


def test_losses_begin_at_ln_2_and_ln_v():
    made = built(model=dataclasses.replace(MODEL, cutoffs=()))
    scores = scored(made, prepared(made))
    for name in ("detection_nll", "span_nll"):
        assert mean(scores, name) == pytest.approx(math.log(2), rel=0.02)
    for name in ("generator_nll", "boundary_nll"):
        assert mean(scores, name) == pytest.approx(math.log(V), rel=0.05)
    assert tuple(scores) == SPAN_ELECTRA.scored


def test_the_loss_is_the_sum_of_means_with_the_weight_of_the_discriminator():
    made = shaken(built(disc_weight=7.0))
    batch = prepared(made)
    total, weight, parts, _ = made.loss(batch, made.trunk.empty_memories(B), EVALUATION)
    scores = scored(made, batch)
    masked = batch["weights"].numpy().sum()
    assert masked == B * T / 4 and float(weight) == B * T
    # as many tokens are masked in each row, so that the mean of the rows' means is that of all
    of_masked = {
        name: float(np.prod(scores[name], axis=0).sum()) / masked
        for name in ("span_nll", "generator_nll", "boundary_nll")
    }
    expected = 7.0 * (mean(scores, "detection_nll") + of_masked["span_nll"])
    expected += of_masked["generator_nll"] + of_masked["boundary_nll"]
    assert float(total) / float(weight) == pytest.approx(expected, rel=1e-5)
    assert mean(scores, "nll") == pytest.approx(expected, rel=1e-5)
    assert tuple(parts) == SPAN_ELECTRA.training_parts


@pytest.mark.parametrize("sample", ["draw", "argmax"])
def test_a_label_is_1_where_another_token_was_put_and_0_where_the_draw_is_right(sample):
    made = shaken(built(sample=sample))
    tokens = np.repeat(np.arange(8, 11), T // 3 + 1)[None, :T].repeat(B, axis=0)
    tokens = np.pad(tokens, [[0, 0], [0, 1]]).astype(np.int32)
    for layer in ("generator_head",):  # a generator that prefers three pieces
        head = made.layers[layer].weights[0]
        head.assign(
            np.where(np.isin(np.arange(head.shape[1]), [8, 9, 10]), 1, -1) * np.ones(head.shape)
        )
    right = wrong = 0
    for step in range(4):
        phase = dataclasses.replace(TRAINING, step=tf.constant(step, tf.int64))
        seeds = phase.row_seeds("objective", tf.range(B, dtype=tf.int64))
        batch = made.prepare(tf.constant(tokens), seeds)
        scores = scored(made, batch)
        (label, weight), (seen, _) = scores["replaced"], scores["seen"]
        selected = batch["selected"].numpy()
        np.testing.assert_array_equal(label > 0, seen != tokens[:, :-1])
        np.testing.assert_array_equal(seen[~selected], tokens[:, :-1][~selected])
        assert (seen >= 8).all() and (weight == 1).all() and not label[~selected].any()
        right, wrong = right + (label[selected] == 0).sum(), wrong + (label[selected] > 0).sum()
    assert wrong > 0 and (right > 0 or sample == "argmax")


def test_pieces_are_drawn_from_the_mean_of_both_distributions():
    """Those that the sums of both heads' own probabilities say, of a span at an edge those of the
    LM head alone."""
    made = shaken(built())
    batch = prepared(made, training=False)
    inside = batch["bounded"].numpy() > 0
    pieces = {}
    for u in (0.0, 0.1, 0.35, 0.7, 0.99):
        batch["uniforms"] = tf.fill(inside.shape, u)
        pieces[u] = made.fill(batch, EVALUATION).pieces.numpy()
    hidden, _ = made.generator(
        tf.where(batch["selected"], MASK, batch["tokens"]),
        made.generator.empty_memories(B),
        visibility="bidirectional",
        phase=EVALUATION,
        real=batch["real"],
    )
    head, flat = made.layers["generator_head"], hidden.shape[-1]

    def probability(states):
        return np.exp(head.log_prob(tf.reshape(states, [-1, flat]))).reshape(*inside.shape, V)

    def at(name):
        return tf.gather(hidden, batch[name], batch_dims=1)

    alone = probability(at("places"))
    states = made.layers["sbgo"](
        tf.reshape(at("before"), [-1, flat]),
        tf.reshape(at("after"), [-1, flat]),
        tf.reshape(batch["place"], [-1]),
    )
    expected = np.where(inside[..., None], (alone + probability(states)) / 2, alone)
    assert inside.any() and not inside.all()
    sums = expected[..., 8:].cumsum(axis=-1)
    for u, found in pieces.items():
        np.testing.assert_array_equal(found, 8 + (sums <= u * sums[..., -1:]).sum(axis=-1))
    assert (pieces[0.1] != pieces[0.7]).any()


def test_draws_have_the_frequencies_of_their_probabilities_and_none_is_special():
    law = np.random.default_rng(1).dirichlet(np.full(12, 0.5)).astype(np.float32)
    count = 50_000
    uniforms = tf.constant((np.arange(count) + 0.5) / count, tf.float32)
    found = drawn(tf.constant(np.tile(law, [count, 1])), uniforms).numpy()
    shares = np.bincount(found, minlength=12) / count
    np.testing.assert_allclose(shares[8:], law[8:] / law[8:].sum(), atol=1e-4)
    assert found.min() == 8
    assert drawn(tf.constant(law[None]), tf.constant([1.0])).numpy() == 11  # rounded up
    one = np.float32([[0.9, 0, 0, 0, 0, 0, 0, 0, 0.02, 0.05, 0.03]])
    assert most_probable(tf.constant(one)).numpy() == [9]


@pytest.mark.parametrize("share", ["none", "tied", "gdes"])
def test_the_discriminators_loss_does_not_reach_the_generator(share):
    """Its gradient is nil, and there is none at all; of a tied table it is not, and with gdes not
    on the table but on what is added to it."""
    made = shaken(built(share_embeddings=share))
    batch = prepared(made)
    with tf.GradientTape(persistent=True) as tape:
        of_tokens, of_masked, _ = made._scores(batch, made.trunk.empty_memories(B), TRAINING)
        of_ato = tf.reduce_sum(tf.math.multiply(*of_tokens["detection_nll"]))
        of_sbpo = tf.reduce_sum(tf.math.multiply(*of_masked["span_nll"]))
        discriminator = of_ato + of_sbpo
        generator = tf.reduce_sum(of_masked["generator_nll"][0])
    mine = [
        v.value for n in ("generator", "generator_head", "sbgo") for v in made.layers[n].weights
    ]
    assert [g for g in tape.gradient(discriminator, mine) if g is not None] == []
    theirs = [v.value for v in made.layers["ato"].weights]
    assert [g for g in tape.gradient(generator, theirs) if g is not None] == []
    table = made.trunk.embedding.value
    assert np.abs(tf.convert_to_tensor(tape.gradient(discriminator, table))).max() > 0
    of_generator = tape.gradient(generator, table)
    assert (of_generator is not None) == (share == "tied")
    own = made.generator.embedding
    assert (own is None) == (share == "tied")
    if share == "gdes":  # the discriminator sees the sum of both
        rows = np.asarray(own) + np.asarray(made.trunk.embedding)
        np.testing.assert_allclose(made.trunk.table(), rows, rtol=1e-6)
        assert own.shape == (V, 16) and made.generator.projection.shape == (16, 8)


def test_what_gdes_adds_begins_at_nil():
    made = built(share_embeddings="gdes")
    assert not np.asarray(made.trunk.embedding).any()
    np.testing.assert_array_equal(made.trunk.table(), np.asarray(made.generator.embedding))


def test_generator_and_discriminator_are_no_twins(data_dir):
    """At equal sizes and blocks, weights and dropout differ, and only the run's trunk has
    logits."""
    learner = Learner(config(data_dir, "sds", generator_share=1.0, generator_blocks="adad"))
    objective = learner.objective
    trunk, generator = objective.trunk, objective.generator
    assert trunk.embedding.shape == generator.embedding.shape
    assert np.abs(trunk.embedding.numpy() - generator.embedding.numpy()).min() > 0
    assert learner.logits == [trunk.alpha] and not generator.logits
    assert not any(v is alpha for v in learner.weights for alpha in learner.logits)
    own = {id(v) for v in learner.weights}
    assert {id(v) for v in generator.weights} <= own
    assert generator.config.mem_len == 0 and trunk.config.mem_len == 5
    places = [
        phase_of.seed_of("dropout/embedding")
        for phase_of in (
            TRAINING.within(trunk.random_part),
            TRAINING.within(generator.random_part),
        )
    ]
    assert (places[0].numpy() != places[1].numpy()).any()
    assert generator.config.d_model == 16 and built().generator.config.d_model == 8


@pytest.mark.parametrize("settings", [{}, {"sample": "argmax"}, {"generator": "random"}], ids=str)
def test_every_path_of_a_step_sees_the_same_replacements(settings):
    made = shaken(built("ss", **settings))
    batch = prepared(made)
    paths = [
        scored(made, batch, dataclasses.replace(TRAINING, path=path))["seen"][0]
        for path in range(3)
    ]
    np.testing.assert_array_equal(paths[0], paths[1])
    np.testing.assert_array_equal(paths[0], paths[2])
    other = dataclasses.replace(TRAINING, step=tf.constant(6, tf.int64))
    seeds = other.row_seeds("objective", tf.range(B, dtype=tf.int64))
    again = made.prepare(tf.constant(window()), seeds)
    assert (scored(made, again, other)["seen"][0] != paths[0]).any()


def test_a_frozen_generator_is_not_trained_and_has_no_dropout():
    made = shaken(built(generator="frozen"))
    trained = {id(v) for layer in made.layers.values() for v in layer.trainable_variables}
    frozen = [*made.generator.weights, *made.layers["generator_head"].weights]
    assert not any(id(v) in trained for v in frozen)
    assert all(id(v) in trained for v in made.layers["sbgo"].weights)
    batch = prepared(made)
    np.testing.assert_array_equal(made.fill(batch, TRAINING).nll, made.fill(batch, EVALUATION).nll)
    joint = shaken(built())
    assert (joint.fill(batch, TRAINING).nll != joint.fill(batch, EVALUATION).nll).numpy().any()


def test_a_random_generator_puts_each_ordinary_piece_as_often():
    made = built(generator="random")
    assert set(made.layers) == {"trunk", "ato", "sbpo", "sbpo_logit"}
    batch = prepared(made)
    places = batch["places"].shape[1]
    batch["uniforms"] = tf.constant(np.linspace(0, 1, B * places).reshape(B, places), tf.float32)
    filled = made.fill(batch, TRAINING)
    assert int(tf.reduce_min(filled.pieces)) == 8 and int(tf.reduce_max(filled.pieces)) == V - 1
    assert float(filled.nll[0, 0]) == pytest.approx(math.log(V - 8))


def test_heads_can_be_left_out():
    made = built(sbgo=False, sbpo=False)
    assert set(made.layers) == {"trunk", "ato", "generator", "generator_head"}
    scores = scored(made, prepared(made))
    assert not scores["span_nll"][1].any() and not scores["boundary_nll"][1].any()
    spans = scored(built(ato=False), prepared(built(ato=False)))
    assert not spans["detection_nll"][1].any()
    # what is ranked then is what SBPO says of spans
    np.testing.assert_array_equal(spans["logit"][1], spans["span_nll"][1])


def test_padding_and_special_pieces_are_neither_replaced_nor_a_boundary():
    tokens = window()
    tokens[0, 4:], tokens[1, ::3] = PAD, EOS
    made = shaken(built())
    for training in (True, False):
        batch = prepared(made, tokens, training)
        scores = scored(made, batch)
        seen, real = scores["seen"]
        np.testing.assert_array_equal(seen[tokens[:, :-1] < 8], tokens[:, :-1][tokens[:, :-1] < 8])
        assert real[0].sum() == 4 and scores["nll"][1][0].sum() == 4
        assert (seen[tokens[:, :-1] >= 8] >= 8).all()
    hidden = np.pad(tokens[:, :-1], [[0, 0], [0, 1]])
    hidden[0, 4:] = 17  # what stands in the padding is not seen
    batch["tokens"] = tf.constant(hidden[:, :-1])
    again = scored(made, batch)["nll"]
    np.testing.assert_allclose(
        (again[0] * again[1])[0], (scores["nll"][0] * scores["nll"][1])[0], rtol=1e-5
    )


def test_scores_are_of_the_same_spans_whatever_settings_and_batch(data_dir):
    def found(settings, **reading):
        learner = Learner(config(data_dir, **settings))
        return evaluation.token_scores(
            learner, data_dir, manifest.load(data_dir), "valid", "fixed", EvalConfig(**reading)
        )

    blocks = {"blocks": "d", "generator_blocks": "d"}
    one = found(blocks)
    for settings, reading in ((blocks | {"span_rate": 0.5}, {}), (blocks, {"batch_size": 1})):
        other = found(settings, **reading)
        np.testing.assert_array_equal(other["unlikely"][1], one["unlikely"][1])
        np.testing.assert_array_equal(other["seen"][0], one["seen"][0])
    draws = one["seen"][0].reshape(2, -1)
    assert (draws[0] != draws[1]).any()


def test_figures_are_those_of_the_token_scores(data_dir):
    learner = Learner(config(data_dir))
    about = manifest.load(data_dir)
    scores = evaluation.token_scores(learner, data_dir, about, "valid", "fixed")
    figures = evaluation.figures(learner.config.contract, about, "valid", scores)
    labels, real = scores["replaced"][0] > 0, scores["replaced"][1] > 0
    assert figures["auc"] == auc(scores["logit"][0][real], labels[real])
    assert figures["bigram_auc"] == auc(scores["bigrams"][0][real], labels[real]) > 0.8
    masked = scores["unlikely"][1] > 0
    assert figures["masked_auc"] == auc(scores["logit"][0][masked], labels[masked])
    assert figures["confidence_auc"] == auc(scores["unlikely"][0][masked], labels[masked])
    assert figures["replaced"] == pytest.approx(labels[real].mean())
    contract = learner.config.contract
    ahead = evaluation.ahead(contract, scores, about.seq_len)["auc"]
    assert ahead.mean == pytest.approx(figures["auc"] - figures["bigram_auc"])
    assert ahead.low < ahead.mean < ahead.high < 0
    (warning,) = contract.warnings("ad", "valid", figures)
    assert warning.startswith("ad does not beat the bigram detector on valid, AUC of replaced")
    assert contract.warnings("ad", "valid", figures | {"auc": 0.999}) == []
    assert contract.warnings("ad", "valid", figures | {"bigram_auc": None}) == []


def test_bad_settings_are_refused_in_words(data_dir, call, tmp_path):
    for settings, said in (
        ({"ato": False, "sbpo": False}, "one of ato and sbpo must be on"),
        ({"generator_blocks": "asd"}, "generator_blocks must be fixed"),
        (
            {"generator": "frozen", "share_embeddings": "tied"},
            "share_embeddings=tied needs generator=joint: a frozen generator would be changed",
        ),
        (
            {"generator": "random", "share_embeddings": "gdes"},
            "needs generator=joint or frozen: a random generator has no table",
        ),
    ):
        with pytest.raises(SettingError, match=said):
            SpanElectraSettings(**settings)
    with pytest.raises(SettingError, match=r"span_rate of 0.05 masks no token of a window of 8"):
        config(data_dir, span_rate=0.05)
    refused = call("train", f"--data={data_dir}", "--disc_weight=3", f"--run={tmp_path / 'run'}")
    assert refused.code == 1 and "--disc_weight is a setting of --objective=span" in refused.err


def same_weights(one, other):
    for name, layer in one.objective.layers.items():
        for mine, theirs in zip(layer.weights, other.objective.layers[name].weights):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


@pytest.mark.slow
def test_a_search_that_was_stopped_equals_one_that_was_not(data_dir, tmp_path):
    tf.config.experimental.enable_op_determinism()
    settings = {"share_embeddings": "gdes", "generator_blocks": "a"}
    own = config(data_dir, "s", search={"sampling": "single_path"}, **settings)
    whole = trainer(tmp_path / "whole", own, data_dir)
    whole.run()
    half = trainer(tmp_path / "half", own, data_dir)
    half.run(until=own.total_steps // 3)
    again = trainer(tmp_path / "half", own, data_dir)
    assert 0 < again.step < again.total
    again.run()
    same_weights(whole.learner, again.learner)
    assert any("does not beat the bigram detector" in line for line in whole.announced)


@pytest.mark.slow
def test_it_learns_to_tell_what_a_chain_does_not_say(tmp_path):
    """Of a Markov chain, whose every neighbour tells: better than chance by far."""
    sizes = {"train": 40_000, "valid": 2_000, "batch_size": 16, "seq_len": 16}
    data_dir = small_data(tmp_path / "chain", bigrams, **sizes)
    shape = {"d_model": 32, "mem_len": 0, "dropout_rate": 0, "init_std": 0.1, "max_lr": 2e-3}
    own = small_config(data_dir, "aa", epochs=8, **shape)
    made = trainer(tmp_path / "run", dataclasses.replace(own, objective="span_electra"), data_dir)
    made.run()
    scores = evaluation.score(made.learner, data_dir, manifest.load(data_dir), "test", "fixed")
    assert scores["auc"] > 0.7 and scores["accuracy"] > 0.2, scores


def test_a_step_costs_what_the_generator_does_too(data_dir):
    """Three passes of a generator that is trained, one of a frozen one, none of a random one; SBGO
    is a softmax more."""
    counts = flops.zipf_counts(V).tolist()

    def cost(**settings):
        own = {"generator_blocks": "ad", "span_rate": 0.25} | settings
        return training_speed.step_flops(config(data_dir, **own), counts)

    none = cost(generator="random")
    joint, frozen = cost() - none, cost(generator="frozen") - none
    assert joint == pytest.approx(3 * frozen) and frozen > 0
    model = dataclasses.replace(
        small_config(data_dir, "ad").model, d_model=8, num_heads=1, d_ffn=6, mem_len=0
    )
    for sbgo, targets in ((True, 4), (False, 2)):  # of 8 tokens of a row
        once = flops.forward_flops("ad", model, 4, 8, counts, "bidirectional", predicted=targets)
        assert cost(sbgo=sbgo) - none == pytest.approx(3 * once)
