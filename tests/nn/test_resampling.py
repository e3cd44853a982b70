"""Blocks that read several characters as one position: for every length, against a NumPy twin, and
without any effect where the factor is 1."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from built import run as build
from par.core.config import ModelConfig, SearchConfig
from par.core.errors import SettingError, UsageError
from par.data.characters.letters import character_tokenizer
from par.evaluate.eval_config import needed_bytes
from par.evaluate.filling import Filler
from par.evaluate.trained_model import Model
from par.export.formats import FORMATS
from par.export.plain import arrays, plain
from par.export.shipped import forward
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.resampling import neighbours
from par.nn.transformer import MAIN, Transformer
from par.objectives import OBJECTIVES
from par.objectives.masked_lm import MaskedLanguageModel
from par.objectives.settings import MaskedLMSettings
from par.search import flops
from par.search.architecture import Architecture
from par.tools import build_data
from par.train import run_config, warm_start, weight_transfer
from par.train.learner import Learner
from small import NETWORK, random_run, small_config, small_data, trainer

B, D, V, R = 3, 6, 23, 4
LENGTHS = range(1, 3 * R + 1)
MODEL = ModelConfig(d_model=D, num_heads=2, d_ffn=10, mem_len=7, dropout_rate=0, downsample=R)


def randomised(layer, seed: int = 1):
    for number, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng([seed, number]).normal(0, 0.4, weight.shape))
    return layer


def trunk(blocks: str = "ad", **settings) -> Transformer:
    model = dataclasses.replace(MODEL, **settings)
    return randomised(Transformer(Architecture(blocks), model, SearchConfig(), V, 1))


@pytest.fixture(scope="module")
def network() -> Transformer:
    """Not to be changed."""
    return trunk()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=700, valid=300)


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    """A run of random weights on characters of a text; not to be changed."""
    root = tmp_path_factory.mktemp("characters")
    (root / "text.txt").write_text("the cat sees a dog .\nA dog feeds the cat .\n" * 60)
    sizes = ("--batch_size=2", "--seq_len=10", "--baseline=none", "--model_type=char")
    flags = (f"--input_text={root}/text.txt", f"--output_dir={root / 'data'}")
    assert build_data.main([*flags, *sizes]) == 0
    return random_run(root / "run", config(root / "data", "ada"), root / "data")


def config(data_dir, blocks="ad", downsample=3, **settings) -> run_config.RunConfig:
    own = small_config(data_dir, blocks, epochs=1, **{"mem_len": 6} | settings)
    return dataclasses.replace(
        own,
        objective="masked_lm",
        objective_settings=MaskedLMSettings(),
        model=dataclasses.replace(own.model, downsample=downsample),
    )


def text(length: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(8, V, [B, length]).astype(np.int32)


def states(network, tokens, real=None, memories=None) -> tuple[np.ndarray, object]:
    hidden, after = network(
        tf.constant(tokens),
        memories or network.empty_memories(B),
        visibility="bidirectional",
        real=None if real is None else tf.constant(real),
    )
    return hidden.numpy(), after


def twin_of_join(layer, x, real):
    """Character by character: the sum over a position of its matrix times each that is there."""
    length = x.shape[1]
    kernel = layer.down.numpy().reshape(layer.factor, D, D)
    found = np.zeros([B, -(-length // layer.factor), D]) + layer.down_bias.numpy()
    for t in range(length):
        found[:, t // layer.factor] += (x[:, t] * real[:, t, None]) @ kernel[t % layer.factor]
    return found


def twin_of_split(layer, groups, x):
    """Character by character: what its place takes of its position, and of three characters."""
    length, found = x.shape[1], np.zeros(x.shape)
    up = layer.up.numpy().reshape(D, layer.factor, D)
    near = layer.near.numpy().reshape(3, D, D)
    for t in range(length):
        normed = layer.norm(groups[:, t // layer.factor]).numpy()
        inner = normed @ up[:, t % layer.factor] + layer.near_bias.numpy()
        for k, place in enumerate((t - 1, t, t + 1)):
            if 0 <= place < length:
                inner = inner + x[:, place] @ near[k]
        made = np.maximum(inner, 0) @ layer.out.numpy() + layer.out_bias.numpy()
        found[:, t] = x[:, t] + made
    return found


@pytest.mark.parametrize("factor", (2, 3, 4))
def test_every_length_from_one_to_three_times_the_factor_equals_the_twin(factor):
    model = dataclasses.replace(MODEL, downsample=factor)
    initial = Transformer(Architecture("i"), model, SearchConfig(), V, 1)
    layer = randomised(initial.resampling)
    draw = np.random.default_rng(3)
    for length in range(1, 3 * factor + 1):
        x = draw.normal(size=[B, length, D]).astype(np.float32)
        real = draw.random([B, length]) < 0.7
        kept, joined, there = layer.join(tf.constant(x), tf.constant(real))
        np.testing.assert_allclose(joined, twin_of_join(layer, x, real), atol=1e-5)
        expected = [
            [row[first : first + factor].any() for first in range(0, length, factor)]
            for row in real
        ]
        assert there.numpy().tolist() == expected
        np.testing.assert_array_equal(kept, x * real[..., None])
        every, whole, none = layer.join(tf.constant(x), None)
        np.testing.assert_allclose(whole, twin_of_join(layer, x, real | True), atol=1e-5)
        assert none is None and (every.numpy() == x).all()
        groups = tf.constant(draw.normal(size=joined.shape), tf.float32)
        found = layer.split(groups, tf.constant(x), EVALUATION)
        np.testing.assert_allclose(found, twin_of_split(layer, groups, x), atol=1e-5)


def test_neighbours_are_one_before_itself_and_one_after():
    found = neighbours(tf.reshape(tf.range(1.0, 7.0), [1, 3, 2])).numpy().tolist()
    assert found == [[[0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 0, 0]]]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_row_of_any_length_is_the_same_with_padding_behind_it(network, length):
    tokens = text(length)
    alone, after = states(network, tokens)
    assert alone.shape == (B, length, D) and np.isfinite(alone).all()
    assert after.valid.numpy().tolist() == [min(-(-length // R), 2)] * B
    padded = np.pad(tokens, [[0, 0], [0, 3 * R + 1 - length]])
    real = np.arange(padded.shape[1]) < length
    found, _ = states(network, padded, np.tile(real, [B, 1]))
    np.testing.assert_allclose(found[:, :length], alone, rtol=1e-4, atol=1e-5)


def test_what_padding_holds_is_seen_by_nobody(network):
    tokens, real = text(11), np.tile(np.arange(11) < 6, [B, 1])
    other = np.where(real, tokens, text(11, seed=6))
    found = [states(network, each, real)[0][:, :6] for each in (tokens, other)]
    np.testing.assert_array_equal(*found)


def test_every_character_is_seen_by_every_other_and_by_those_of_the_next_window():
    """Through attention between positions, memory included: no character is lost in its own."""
    own = trunk("ad")
    tokens = text(9)
    _, memories = states(own, tokens)
    expected, later = states(own, tokens)[0], states(own, text(5, 8), memories=memories)[0]
    for place in range(9):
        changed = tokens.copy()
        changed[:, place] = 8 + (tokens[:, place] - 7) % (V - 8)
        found, after = states(own, changed)
        assert (found != expected).any(axis=2).all(), place
        if place >= 4:  # of three positions the memory of 7 characters holds two
            moved = states(own, text(5, 8), memories=after)[0]
            assert (moved != later).any(axis=2).all(), place


def test_memory_counts_positions_and_windows_of_whole_ones_equal_one_long_window():
    """What the blocks read: only a character at the end of a window lacks its neighbour."""
    own, tokens = trunk("ada"), text(8)
    empty = own.empty_memories(B)
    assert empty.hidden.shape == (2, B, 2, D)  # 7 characters
    assert own.empty_memories(B, 9).hidden.shape[2] == 3
    causal = {"visibility": "causal"}
    _, first = own(tf.constant(tokens[:, :4]), empty, **causal)
    parts, after = own(tf.constant(tokens[:, 4:]), first, **causal)
    whole, at_once = own(tf.constant(tokens), empty, **causal)
    np.testing.assert_allclose(after.hidden, at_once.hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts[:, 1:], whole[:, 5:], rtol=1e-4, atol=1e-5)


def test_distances_are_clamped_in_positions(network):
    tokens = tf.constant(text(12))
    how = {"visibility": "bidirectional"}
    found = [
        network(tokens, network.empty_memories(B), phase=Phase(clamp_len=clamp), **how)[0].numpy()
        for clamp in (None, 8, 5, 4)
    ]
    np.testing.assert_array_equal(found[0], found[1])  # three positions: no distance above 2
    np.testing.assert_array_equal(found[1], found[2])
    assert (found[2] != found[3]).any()


def test_a_factor_of_one_is_off_bit_for_bit(data_dir):
    plain, one = (trunk("ad", **how) for how in ({"downsample": 1}, {"downsample": 1}))
    assert ModelConfig(downsample=1) == ModelConfig() and one.resampling is None
    assert not [weight for weight in plain.weights if "resampling" in weight.path]
    given, none = (small_config(data_dir, "ad", **of) for of in ({"downsample": 1}, {}))
    assert given.default_name() == none.default_name() and given.identity() == none.identity()
    assert "model.downsample" not in none.identity()
    assert config(data_dir).identity()["model.downsample"] == 3
    assert given == none


def test_a_run_of_before_has_no_such_setting_and_is_read(data_dir, tmp_path):
    own = small_config(data_dir, "ad")
    own.save(tmp_path, data_dir)
    path = tmp_path / "config.json"
    value = json.loads(path.read_text())
    assert value["model"].pop("downsample") == 1
    path.write_text(json.dumps(value))
    assert run_config.load(tmp_path)[0] == own
    masked = config(data_dir)
    other = dataclasses.replace(masked, model=dataclasses.replace(masked.model, downsample=1))
    assert run_config.differences(other, masked) == ["model.downsample: 1 -> 3"]


def test_flops_and_weights_are_those_of_the_layer(data_dir):
    for norm in ("pre", "post"):
        made = (
            Learner(config(data_dir, norm=norm)),
            Learner(config(data_dir, norm=norm, downsample=1)),
        )
        more = flops.resampling_parameters(made[0].config.model)
        assert made[0].parameters - made[1].parameters == more > 0
    model = dataclasses.replace(MODEL, mem_len=0)
    products = flops.resampling_products(model, B, 10)
    assert flops.total(products) == 2 * B * (3 * (R * D * D) * 2 + 10 * (3 * D * D + D * D))
    alike = dataclasses.replace(MODEL, mem_len=8)
    of_blocks = [
        flops.forward_flops("ad", each, B, length, [1] * V, "bidirectional", predicted=1)
        for each, length in ((alike, 12), (dataclasses.replace(alike, downsample=1, mem_len=2), 3))
    ]
    more = flops.total(flops.resampling_products(alike, B, 12))
    assert of_blocks[0] - more == of_blocks[1]


def test_an_evaluation_needs_less_memory(data_dir):
    needed = [
        needed_bytes(config(data_dir, downsample=factor), 4, 1 << 12, 0) for factor in (1, 4)
    ]
    assert needed[1] < needed[0] / 4


def test_a_masked_character_does_not_tell_itself():
    """Through neither of the two ways past the blocks."""
    made = MaskedLanguageModel(MODEL, V, 1, MaskedLMSettings())
    made.build(lambda: trunk("ad"))
    randomised(made.head)
    tokens = np.pad(text(10), [[0, 0], [0, 1]], constant_values=9)
    seeds = EVALUATION.row_seeds("objective", tf.range(B, dtype=tf.int64))
    batch = made.prepare(tf.constant(tokens), seeds, training=False)
    embedding = made.trunk.embedding.value
    with tf.GradientTape() as tape:
        tape.watch(embedding)
        scores, _ = made.token_scores(batch, made.trunk.empty_memories(B), EVALUATION)
        total = tf.reduce_sum(scores["nll"][0])
    gradient = tf.convert_to_tensor(tape.gradient(total, embedding)).numpy()
    shown = set(batch["tokens"].numpy().ravel().tolist())
    assert set(np.flatnonzero(np.abs(gradient).max(axis=1))) <= shown
    for row, place in enumerate(batch["places"].numpy()[:, 0]):
        other = tokens.copy()
        other[row, place] = 8 + (other[row, place] - 7) % (V - 8)
        changed = made.prepare(tf.constant(other), seeds, training=False)
        np.testing.assert_array_equal(changed["tokens"], batch["tokens"])
        again, _ = made.token_scores(changed, made.trunk.empty_memories(B), EVALUATION)
        differs = np.argwhere(scores["nll"][0].numpy() != again["nll"][0].numpy())
        assert differs.tolist() == [[row, place]]  # only the target is another


def test_the_loss_of_masked_characters_is_ln_v_at_the_start(data_dir):
    learner = Learner(config(data_dir))
    tokens = np.random.default_rng(1).integers(8, 40, [4, 9]).astype(np.int32)
    seeds = EVALUATION.row_seeds("objective", tf.range(4, dtype=tf.int64))
    batch = learner.objective.prepare(tf.constant(tokens), seeds)
    empty = learner.objective.trunk.empty_memories(4)
    total, count, _, _ = learner.objective.loss(batch, empty, EVALUATION)
    assert float(total / count) == pytest.approx(np.log(40), rel=0.02)


def test_every_weight_learns(data_dir):
    own = trunk("ad", dropout_rate=0.1)
    variables = [weight.value for weight in own.weights]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        hidden, _ = own(
            tf.constant(text(10)),
            own.empty_memories(B),
            visibility="bidirectional",
            phase=Phase(training=True, seed=1, step=tf.constant(2, tf.int64)),
        )
        loss = tf.reduce_sum(hidden * np.random.default_rng(1).normal(size=hidden.shape))
    for weight, gradient in zip(own.weights, tape.gradient(loss, variables)):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, weight.path


def test_a_derived_network_takes_the_weights_that_join_characters(data_dir):
    supernet = Learner(config(data_dir, "ss"))
    randomised(supernet.objective.trunk.resampling)
    found = weight_transfer.derive_network(supernet, "da")
    pairs = zip(
        found.objective.trunk.resampling.weights, supernet.objective.trunk.resampling.weights
    )
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine, theirs)


def test_weights_of_another_factor_do_not_fit(data_dir):
    init = run_config.Origin("source", "last", 1, "0" * 64)
    with pytest.raises(UsageError, match=r"do not fit \(model.downsample: 1 -> 3\)"):
        warm_start.check_settings(config(data_dir), config(data_dir, downsample=1), init)


@pytest.mark.parametrize("name", ("masked_lm", "span_electra", "authors", "classify", "distill"))
def test_every_objective_that_sees_both_sides_reads_with_it_and_learns(name):
    contract = OBJECTIVES[name]
    made = contract.network_class()(MODEL, V, 1, contract.default_settings())

    def make_trunk(part=MAIN, blocks=None, table=None, on_base=True, **changes):
        model, own = dataclasses.replace(MODEL, **changes), Architecture(blocks or "ad")
        return Transformer(own, model, SearchConfig(), V, 1, part=part, table=table)

    made.build(make_trunk)
    draw = np.random.default_rng(4)
    element = tf.nest.map_structure(
        lambda of: tf.constant(draw.integers(8, V, of.shape), tf.int32), made.element_spec(B, 11)
    )
    seeds = EVALUATION.row_seeds("objective", tf.range(B, dtype=tf.int64))
    variables = [weight.value for weight in made.trunk.resampling.weights]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        batch = made.prepare(element, seeds)
        total, weight, _, _ = made.loss(batch, made.trunk.empty_memories(B), EVALUATION)
    assert np.isfinite(total) and weight > 0
    for gradient in tape.gradient(total, variables):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0


def test_products_in_bfloat16_are_near_those_in_float32():
    exact, rounded = (trunk(precision=precision) for precision in ("f32", "bf16"))
    found = [states(each, text(9))[0] for each in (exact, rounded)]
    np.testing.assert_allclose(*found, atol=0.15)
    assert (found[0] != found[1]).any() and rounded.resampling.type == tf.bfloat16


def test_an_objective_that_sees_the_past_alone_is_refused_in_words(data_dir, call, tmp_path):
    with pytest.raises(SettingError, match="downsample must be 1 with objective causal_lm"):
        small_config(data_dir, "ad", downsample=2)
    common = ("train", f"--data={data_dir}", "--cutoffs=none", f"--run={tmp_path / 'run'}")
    refused = call(*common, "--downsample=4")
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "would see those that are to be predicted" in refused.err
    for value in ("0", "65"):
        refused = call(*common, f"--downsample={value}")
        assert refused.code == 1 and "downsample must be at" in refused.err
    assert not (tmp_path / "run").exists()


def test_pieces_that_are_no_characters_are_refused_in_words(capsys, call, tmp_path):
    (tmp_path / "text.txt").write_text("one line of words .\n" * 90)
    sizes = ("--batch_size=2", "--seq_len=8", "--baseline=none")
    for kind in ("char", "word"):
        flags = (f"--input_text={tmp_path}/text.txt", f"--output_dir={tmp_path / kind}")
        build(capsys, *flags, f"--model_type={kind}", *sizes)
    assert character_tokenizer(tmp_path / "char", "x").vocab_size > 256
    with pytest.raises(
        UsageError, match=r"x is for characters, but the data in .* has a word mod"
    ):
        character_tokenizer(tmp_path / "word", "x")
    run = f"--run={tmp_path / 'run'}"
    common = ("train", f"--data={tmp_path / 'word'}", "--cutoffs=none", run)
    refused = call(*common, "--objective=masked_lm", "--downsample=4")
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "--downsample=4 is for characters" in refused.err and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_is_continued_bit_for_bit(data_dir, tmp_path):
    own = config(data_dir, max_lr=2e-2)
    whole = trainer(tmp_path / "whole", own, data_dir, record_every=5)
    whole.run()
    half = trainer(tmp_path / "half", own, data_dir, record_every=5)
    half.run(until=own.total_steps // 2)
    again = trainer(tmp_path / "half", own, data_dir, record_every=5)
    again.run()
    for mine, theirs in zip(whole.learner.weights, again.learner.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


def test_a_loaded_network_fills_embeds_and_says_why_it_shows_no_attention(characters):
    model = Model.load(characters)
    long = "the cat sees a dog . A dog feeds the c[MASK]t . " * 3
    filled = model.fill(long)
    assert len(filled.masks) == 3 and "[MASK]" not in filled.text
    vectors = model.embed(["the cat", "the cat sees a dog and feeds it", ""])
    assert vectors.shape == (3, 16) and not vectors[2].any()
    np.testing.assert_allclose(vectors[0], model.embed("the cat").mean(axis=0), atol=1e-5)
    with pytest.raises(UsageError, match="the blocks of this network read 3 characters as one"):
        model.attention("the cat", block=1)


def test_windows_that_no_mask_can_see_are_not_read_and_make_no_difference(characters, monkeypatch):
    model = Model.load(characters)
    text = "a dog . " * 30 + "the cat sees a d[MASK]g ."
    found = model.fill(text)
    monkeypatch.setattr(Filler, "_needed", lambda *of: set(range(1000)))
    every = Model.load(characters).fill(text)
    for mine, theirs in zip(found.masks[0], every.masks[0], strict=True):
        assert mine.id == theirs.id and mine.probability == theirs.probability


def test_the_forward_pass_in_numpy_gives_the_library_s_states(characters):
    model = Model.load(characters)
    network = forward.Network(*arrays(plain(model)))
    tokens, memories = text(7), network.empty(B)
    real = np.tile(np.arange(7) < 5, [B, 1])
    expected, after = states(model.trunk, tokens, real)
    found, kept = network(tokens, memories, real)
    np.testing.assert_allclose(found[:, :5], expected[:, :5], atol=2e-5)
    np.testing.assert_allclose(kept.hidden, after.hidden, atol=2e-5)
    expected, _ = states(model.trunk, text(10, 9), memories=after)
    np.testing.assert_allclose(network(text(10, 9), kept)[0], expected, atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("savedmodel", "safetensors", "onnx", "litert"))
def test_every_format_ships_such_a_network_and_passes_its_check(characters, call, tmp_path, name):
    for module in FORMATS[name].packages:
        pytest.importorskip(module)
    made = call(
        "export", f"--run={characters}", f"--output={tmp_path / 'out'}", f"--format={name}"
    )
    assert made.code == 0, made.err
    assert "read 3 characters as one position" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_a_search_its_costs_its_network_and_its_report_go_through_the_commands(
    characters, call, tmp_path
):
    data_dir = characters.parent / "data"
    flags = ("--objective=masked_lm", f"--data={data_dir}", "--cutoffs=none", *NETWORK)
    run, network = tmp_path / "search", tmp_path / "network"
    more = ("--downsample=4", "--epochs=1")
    dry = call("train", *flags, *more, "--num_blocks=2", "--dry_run", "--json")
    assert dry.code == 0 and json.loads(dry.out)["gflop_per_step"] > 0, dry.err
    searched = call("train", *flags, *more, "--num_blocks=2", f"--run={run}")
    assert searched.code == 0, searched.err
    table = call("measure_latency", f"--run={run}", "--repeats=1", "--steps=1")
    assert table.code == 0, table.err
    other = call(
        *("train", *flags, "--num_blocks=2", f"--latency_table={run / 'latency.json'}"),
        *("--target_latency=0.7", f"--run={tmp_path / 'other'}"),
    )
    assert other.code == 3 and "downsample 4 there, 1 here" in other.err, other.err
    derived = call("derive", f"--run={run}", f"--latency_table={run / 'latency.json'}")
    assert derived.code == 0, derived.err
    blocks = f"--architecture={run}/architecture.json"
    trained = call("train", *flags, *more, blocks, f"--init_from={run}", f"--run={network}")
    assert trained.code == 0, trained.err
    refused = call("train", *flags, blocks, f"--init_from={run}", f"--run={tmp_path / 'x'}")
    assert refused.code == 1 and "model.downsample: 4 -> 1" in refused.err
    for command in (("evaluate", "--split=test"), ("report",), ("plot_pi",)):
        done = call(command[0], f"--run={run}", *command[1:])
        assert done.code == 0, done.err
    assert "memory 5, 4 as one position" in (run / "report.html").read_text()
