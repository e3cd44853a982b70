"""A network that imitates another: distances in closed form, a teacher that stays as it is, and
teachers that can't be imitated."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from par.core.errors import DataError, SettingError, UsageError
from par.data import manifest
from par.data.tokenizer import MASK, Tokenizer
from par.nn.forward_mode import EVALUATION
from par.objectives.settings import MaskedLMSettings
from par.objectives.tower_settings import DistillSettings
from par.objectives.towers.distill import cosine, normalised
from par.tools import build_data
from par.train import run_config, weight_transfer
from par.train.learner import Learner
from par.train.loading import load_learner
from small import NETWORK, random_run, small_config, small_data, trainer


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=700, valid=300)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory, data_dir):
    """Runs of random weights by name; not to be changed."""
    root = tmp_path_factory.mktemp("teachers")
    masked = {"objective": "masked_lm", "objective_settings": MaskedLMSettings()}
    made = {
        "masked": dataclasses.replace(small_config(data_dir, "ad", d_model=24), **masked),
        "causal": small_config(data_dir, "a", cutoffs=(20,)),
        "search": small_config(data_dir, "s"),
    }
    return {name: random_run(root / name, own, data_dir) for name, own in made.items()}


def config(data_dir, teacher, blocks="d", epochs=1, model=None, **settings):
    own = dataclasses.replace(
        small_config(data_dir, blocks, epochs=epochs, **(model or {})),
        objective="distill",
        objective_settings=DistillSettings(teacher=str(teacher), **settings),
    )
    return own.settled(data_dir, manifest.load(data_dir))


def begun(own, data_dir):
    learner = Learner(own)
    weight_transfer.take_teacher(learner, data_dir, print)
    return learner


def loaded(run):
    """The network of a run, with its head."""
    return load_learner(run, run_config.load(run)[0]).objective


def batch_of(learner, training=False, seed=1):
    tokens = np.random.default_rng(seed).integers(8, 40, [4, 9]).astype(np.int32)
    seeds = EVALUATION.row_seeds("objective", tf.range(4, dtype=tf.int64))
    return learner.objective.prepare(tf.constant(tokens), seeds, training)


def scores(learner, batch):
    empty = learner.objective.trunk.empty_memories(4)
    return learner.objective.token_scores(batch, empty, EVALUATION)[0]


def test_hidden_states_are_imitated_as_the_mean_square_of_differences(data_dir, teachers):
    learner = begun(config(data_dir, teachers["masked"]), data_dir)
    batch = batch_of(learner)
    teacher = load_learner(
        teachers["masked"], run_config.load(teachers["masked"])[0], "last", print
    ).objective
    states, _ = teacher.trunk(
        batch["tokens"], teacher.trunk.empty_memories(4, 0), visibility="bidirectional"
    )
    states = states.numpy().astype(np.float64)
    centred = states - states.mean(axis=-1, keepdims=True)
    wanted = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-6)
    learner.objective.layers["head"].kernel.assign(np.zeros([16, 24]))
    start = scores(learner, batch)
    np.testing.assert_allclose(start["nll"][0], 1.0, atol=1e-3)  # nothing is told yet
    assert not start["agreement"][0].numpy().any()
    kernel = np.random.default_rng(2).normal(size=[16, 24])
    learner.objective.layers["head"].kernel.assign(kernel)
    own, _ = learner.objective.trunk(
        batch["tokens"],
        learner.objective.trunk.empty_memories(4, 0),
        visibility="bidirectional",
    )
    found = own.numpy() @ kernel
    made = scores(learner, batch)
    np.testing.assert_allclose(made["nll"][0], np.square(found - wanted).mean(axis=-1), rtol=1e-4)
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(wanted, axis=-1)
    np.testing.assert_allclose(
        made["agreement"][0], (found * wanted).sum(axis=-1) / lengths, atol=1e-4
    )
    assert made["nll"][1].numpy().all()


def test_distributions_are_imitated_as_kullback_and_leibler_say(data_dir, teachers):
    own = config(data_dir, teachers["masked"], distill="log_prob")
    learner = begun(own, data_dir)
    batch, layers = batch_of(learner), learner.objective.layers
    assert (batch["tokens"].numpy() == MASK).sum() == 4  # one of 8 a row
    empty = learner.objective.trunk.empty_memories(4, 0)
    found = []
    for trunk, head in (("teacher", "teacher_head"), ("trunk", "head")):
        memories = layers[trunk].empty_memories(4, 0) if trunk == "teacher" else empty
        states, _ = layers[trunk](batch["tokens"], memories, visibility="bidirectional")
        picked = tf.gather(states, batch["places"], batch_dims=1)
        flat = tf.reshape(picked, [-1, picked.shape[-1]])
        found.append(layers[head].log_prob(flat).numpy().astype(np.float64))
    expected = (np.exp(found[0]) * (found[0] - found[1])).sum(axis=1)
    made = scores(learner, batch)
    at = made["nll"][1].numpy() > 0
    assert at.sum() == 4
    np.testing.assert_allclose(made["nll"][0].numpy()[at], expected, rtol=1e-3)
    same = found[0].argmax(axis=1) == found[1].argmax(axis=1)
    assert made["agreement"][0].numpy()[at].tolist() == same.tolist()
    total, count, parts, _ = learner.objective.loss(batch, empty, EVALUATION)
    assert float(total) == pytest.approx(expected.sum(), rel=1e-3) and (count, parts) == (4, {})


def test_a_network_that_is_its_teacher_is_at_distance_0(data_dir, teachers):
    own = config(data_dir, teachers["masked"], "ad", distill="log_prob", model={"d_model": 24})
    learner = begun(own, data_dir)
    layers = learner.objective.layers
    for one, other in (("trunk", "teacher"), ("head", "teacher_head")):
        for mine, theirs in zip(layers[one].weights, layers[other].weights, strict=True):
            mine.assign(theirs)
    made = scores(learner, batch_of(learner))
    np.testing.assert_allclose(made["nll"][0], 0, atol=1e-5)
    weights = made["nll"][1].numpy()
    np.testing.assert_array_equal(made["agreement"][0].numpy()[weights > 0], 1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("masked", {}), ("masked", {"distill": "log_prob"}), ("causal", {})],
    ids=str,
)
def test_the_teacher_learns_nothing_and_everything_else_does(data_dir, teachers, name, settings):
    learner = begun(config(data_dir, teachers[name], "ad", **settings), data_dir)
    layers = learner.objective.layers
    frozen = [w for key, layer in layers.items() if "teacher" in key for w in layer.weights]
    assert frozen and not {id(w) for w in frozen} & {id(w) for w in learner.weights}
    before = [weight.numpy() for weight in frozen]
    tokens = np.random.default_rng(1).integers(8, 40, [4, 9]).astype(np.int32)
    own = [weight.numpy() for weight in learner.weights]
    rows = learner.train(iter(tf.data.Dataset.from_tensors(tokens).repeat()), tf.constant(8))
    for weight, value in zip(frozen, before):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert all((w.numpy() != value).any() for w, value in zip(learner.weights, own))
    distances = rows.numpy()[:, 0] / rows.numpy()[:, 1]
    assert distances[-1] < distances[0]
    assert set(learner.objective.exported_layers) == {"trunk", "head"}


def test_characters_of_another_tokenizer_are_those_of_the_same_name(tmp_path):
    def data(name, text):
        (tmp_path / f"{name}.txt").write_text(text * 40)
        sizes = ("--batch_size=4", "--seq_len=8", "--baseline=none", "--model_type=char")
        given = (f"--input_text={tmp_path}/{name}.txt", f"--output_dir={tmp_path / name}")
        assert build_data.main([*given, *sizes]) == 0
        return tmp_path / name

    one, other = data("one", "a cat sees dogs\n"), data("other", "zzzz yy dog\n cats seee\n")
    masked = {"objective": "masked_lm", "objective_settings": MaskedLMSettings()}
    run = random_run(tmp_path / "run", dataclasses.replace(small_config(one, "ad"), **masked), one)
    learner = begun(config(other, run), other)
    tokenizers = [Tokenizer.load(each / "tokenizer.model") for each in (one, other)]
    ids = [tokenizer.encode_block("a dog sees cats\n") for tokenizer in tokenizers]
    assert ids[0].tolist() != ids[1].tolist()
    teacher = loaded(run).trunk
    how = {"visibility": "bidirectional"}
    expected, found = (
        trunk(tf.constant(each[None]), trunk.empty_memories(1, 0), **how)[0].numpy()
        for trunk, each in ((teacher, ids[0]), (learner.objective.teacher, ids[1]))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    unknown = tokenizers[1].id_of("z")
    table = learner.objective.teacher.embedding.numpy()
    np.testing.assert_array_equal(table[unknown], teacher.embedding.numpy()[1])  # [UNK]
    with pytest.raises(UsageError, match="its distributions are over others"):
        config(other, run, distill="log_prob")


def test_teachers_that_can_t_be_imitated_are_refused_in_words(data_dir, teachers, tmp_path):
    with pytest.raises(SettingError, match="needs the run that is imitated: give --teacher=RUN"):
        config(data_dir, "")
    with pytest.raises(UsageError, match=r"a teacher must be a fixed network, but .* is a search"):
        config(data_dir, teachers["search"])
    with pytest.raises(UsageError, match="--distill=log_prob needs a run that predicts masked"):
        config(data_dir, teachers["causal"], distill="log_prob")
    with pytest.raises(DataError, match="does not exist"):
        config(data_dir, tmp_path / "nothing")
    blind = json.dumps(DistillSettings(teacher="x").shape | {"visibility": "none"})
    for shape in ('{"blocks": "ad"}', blind):
        with pytest.raises(SettingError, match="teacher_shape must be a network's"):
            DistillSettings(teacher="x", teacher_shape=shape)
    (tmp_path / "text.txt").write_text("one line of words .\n" * 90)
    given = (f"--input_text={tmp_path}/text.txt", f"--output_dir={tmp_path / 'words'}")
    flags = ("--batch_size=2", "--seq_len=8", "--baseline=none", "--model_type=word")
    assert build_data.main([*given, *flags]) == 0
    with pytest.raises(UsageError, match=r"has another tokenizer .* whose tokens do not align"):
        config(tmp_path / "words", teachers["masked"])


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_when_its_teacher_is_gone(data_dir, teachers, tmp_path):
    teacher = shutil.copytree(teachers["masked"], tmp_path / "teacher")
    own = config(data_dir, teacher)
    whole = trainer(tmp_path / "whole", own, data_dir, record_every=5)
    whole.run()
    half = trainer(tmp_path / "half", own, data_dir, record_every=5)
    half.run(until=own.total_steps // 2)
    shutil.rmtree(teacher)
    again = trainer(tmp_path / "half", own, data_dir, record_every=5)
    again.run()
    for name, layer in whole.learner.objective.layers.items():
        others = again.learner.objective.layers[name].weights
        for mine, theirs in zip(layer.weights, others, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


@pytest.mark.slow
def test_a_tower_is_distilled_scored_and_shipped_by_the_commands(
    data_dir, teachers, call, tmp_path
):
    run, search = tmp_path / "run", tmp_path / "search"
    flags = ("--objective=distill", f"--teacher={teachers['masked']}", f"--data={data_dir}")
    flags = (*flags, "--cutoffs=none", *NETWORK)
    searched = call("train", *flags, "--num_blocks=2", f"--run={search}", "--json")
    assert searched.code == 0, searched.err
    found = json.loads(searched.out)["valid"]["soft"]
    assert 0 < found["nll_per_token"] < 1.0 and -1 <= found["agreement"] <= 1
    again = call("train", *flags, "--num_blocks=2", f"--run={search}", "--json")
    assert json.loads(again.out)["state"] == "already done", again.err
    assert call("derive", f"--run={search}").code == 0
    blocks = f"--architecture={search}/architecture.json"
    trained = call("train", *flags, "--distill=log_prob", blocks, f"--run={run}")
    assert trained.code == 0, trained.err
    for command in (
        ("evaluate", "--split=test"),
        ("report",),
        ("export", f"--output={tmp_path / 'out'}", "--format=safetensors"),
        ("measure_latency", "--repeats=1", "--steps=1"),
    ):
        done = call(command[0], f"--run={run}", *command[1:])
        assert done.code == 0, done.err
    refused = call("fill", f"--run={run}", "--text=a [MASK]")
    assert refused.code == 1 and "is distill: use embed" in refused.err


def test_pure_functions_in_closed_form():
    states = tf.constant([[3.0, 1.0], [5.0, 5.0]])
    np.testing.assert_allclose(normalised(states), [[1, -1], [0, 0]], atol=1e-5)
    one, other = tf.constant([[1.0, 0.0], [0.0, 0.0]]), tf.constant([[1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(cosine(one, other), [2**-0.5, 0])
