"""Heads that read contexts of one kind alone: nothing of another kind reaches them."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import tensorflow as tf

import documented
import par
from authored import build, coded, config
from par.core.errors import SettingError, UsageError
from par.data import documents, manifest
from par.data.documents import AUTHOR, GROUP
from par.evaluate.trained_model import Model
from par.nn import positions
from par.nn.attention import Window
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import Contexts
from par.objectives import head_groups
from par.train.learner import Learner
from small import NETWORK

B, N, T, H = 4, 3, 8, 4
BOTH = "author:0-1,group:2"  # head 3 reads the text alone
KINDS = {"author": slice(0, N * T), "group": slice(N * T, 2 * N * T)}  # of the memory positions
own = functools.partial(
    config, objective="context_mlm", context="group", head_groups=BOTH, num_heads=H
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    texts = [{**each, "text": " ".join([each["text"]] * 3)} for each in coded()]
    return build(tmp_path_factory.mktemp("heads"), "coded", texts, "--vocab_size=40")


@functools.cache
def learner(data_dir, blocks="ad", **settings):
    """With large weights, so that every output depends on every input."""
    made = Learner(own(data_dir, blocks, **settings))
    for number, weight in enumerate(sorted(made.weights, key=lambda each: each.path)):
        draw = np.random.default_rng([number, *weight.shape])
        weight.assign(draw.normal(0, 0.4, weight.shape))
    return made


def batch_of(made, number):
    draw = np.random.default_rng(0)
    of = {
        "text": draw.integers(8, 18, [B, T]).astype(np.int32),
        "contexts": draw.integers(8, 18, [B, number, T]).astype(np.int32),
        "scored": np.ones([B], np.int32),
    }
    seeds = Phase().row_seeds("objective", tf.range(B, dtype=tf.int64))
    return made.objective.prepare(tf.nest.map_structure(tf.constant, of), seeds, False)


def hidden(made, batch):
    return made.objective._hidden(batch, None, EVALUATION)[0].numpy()


def halves_of(made, texts):
    return made.objective.halves(made.objective.of_every_kind(texts))


def test_groups_are_read_as_they_are_typed():
    assert head_groups.parsed("author:0-1,random:3") == (
        ("author", (0, 1)),
        ("random", (3,)),
    )
    seen = head_groups.seen(head_groups.parsed(BOTH), H, 2).astype(int)
    assert seen.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ancestors:0", "takes a kind of contexts, author, group or random, .* 'ancestors:0'"),
        ("author", "such as author:0-1 or group:2, but got 'author'"),
        ("author:", "but got 'author:'"),
        ("author:a-b", "but got 'author:a-b'"),
        ("author:²", "but got 'author:²'"),
        ("author:2-1", "the lower head first, but got 'author:2-1'"),
        ("author:0,author:1", "has the kind author twice"),
        ("author:0-1,group:1-2", "has head 1 twice"),
        ("author:0-4", "gives author the head 4, but the network has 4, counted from 0"),
    ],
)
def test_what_is_no_group_is_refused(data_dir, given, said):
    with pytest.raises(SettingError, match=said):
        own(data_dir, head_groups=given)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"context": "author"}, "says which contexts there are, so that context author has no"),
        ({"combine": "sum"}, "needs combine tokens or attention .*, but combine is sum"),
        ({"encoder": "hierarchical", "combine": "attention"}, "and encoder hierarchical"),
        ({"head_groups": "random:0", "cross": True}, "cross needs context author or group"),
    ],
)
def test_what_contradicts_groups_is_refused(data_dir, settings, said):
    with pytest.raises(SettingError, match=said):
        own(data_dir, **settings)


@pytest.mark.parametrize("combine", ["tokens", "attention"])
@pytest.mark.parametrize("encoder", ["batch", "biencoder"])
def test_one_kind_for_all_heads_is_the_network_without_groups(data_dir, encoder, combine):
    how = {"encoder": encoder, "combine": combine}
    every = learner(data_dir, head_groups="author:0-3", **how)
    plain = learner(data_dir, head_groups="", context="author", **how)
    batch = batch_of(plain, N)
    np.testing.assert_array_equal(hidden(every, batch), hidden(plain, batch))


@pytest.mark.parametrize("kind", KINDS)
def test_no_head_has_a_gradient_from_another_kind(data_dir, kind):
    made = learner(data_dir, "a")
    trunk, batch = made.objective.trunk, batch_of(made, 2 * N)
    beside = made.objective._memory(batch, EVALUATION)
    memory = beside.memory(0, tf.zeros([0]))
    heads = dict(made.objective._contexts.groups)[kind]
    output = trunk.blocks[0].parts("a")[0].output_kernel
    before, width = output.numpy(), output.shape[0] // H
    is_own = np.isin(np.arange(H), heads).repeat(width)
    output.assign(before * is_own[:, None])  # what other heads find is dropped
    try:
        with tf.GradientTape() as tape:
            tape.watch(memory)
            read = trunk(
                batch["tokens"],
                trunk.empty_memories(B, 0),
                visibility="bidirectional",
                contexts=Contexts(
                    lambda place, x: memory, beside.real, beside.placement, True, beside.heads
                ),
            )[0]
            total = tf.reduce_sum(read**2)
        gradient = tape.gradient(total, memory).numpy()
    finally:
        output.assign(before)
    other = next(each for each in KINDS if each != kind)
    assert not gradient[:, KINDS[other]].any()
    assert (np.abs(gradient[:, KINDS[kind]]).max(axis=(0, 2)) > 0).all()


def test_each_kind_has_contexts_of_its_own(data_dir):
    made = Learner(own(data_dir, cross=True))
    reader = made.objective.documents(data_dir, manifest.load(data_dir), "train")
    table, drawn = documents.load(data_dir, "train"), reader.drawn()["contexts"]
    assert drawn.shape == (len(table), 2 * N)
    for columns, same, other in (
        (drawn[:, :N], AUTHOR, GROUP),
        (drawn[:, N:], GROUP, AUTHOR),
    ):
        assert (columns >= 0).sum() > len(table)
        for row, found in enumerate(columns):
            found = found[found >= 0]
            assert (table[found, same] == table[row, same]).all()
            assert (table[found, other] != table[row, other]).all()
    assert made.config.read_tokens == B * (1 + 2 * N) * T
    assert made.config.read_shape[0].mem_len == 2 * N * T


@pytest.mark.parametrize("combine", ["tokens", "attention"])
def test_halves_are_what_the_heads_take_from_a_text_alone(data_dir, combine):
    made = learner(data_dir, "ada", combine=combine)
    draw = np.random.default_rng(1)
    texts = draw.integers(8, 18, [B, T]).astype(np.int32)
    texts[1, 5:] = 0
    halves = {kind: each.numpy() for kind, each in halves_of(made, texts).items()}
    width = made.config.model.d_model // H
    assert {kind: each.shape for kind, each in halves.items()} == {
        "author": (B, 2 * 2 * width),
        "group": (B, 2 * 1 * width),
    }
    for row in range(B):
        alone = halves_of(made, texts[row : row + 1])
        for kind, each in alone.items():
            np.testing.assert_allclose(each[0], halves[kind][row], rtol=1e-4, atol=1e-5)


def test_a_half_does_not_depend_on_contexts_of_another_kind(data_dir):
    made = learner(data_dir, "ada")
    contexts = batch_of(made, 2 * N)["contexts"].numpy()
    others = np.concatenate([contexts[:, :N], contexts[::-1, N:]], axis=1)
    one, other = (made.objective.halves(each) for each in (contexts, others))
    np.testing.assert_array_equal(one["author"], other["author"])
    assert np.abs(one["group"] - other["group"]).max() > 1e-3


def test_a_head_takes_the_mean_of_the_values_that_it_sees(data_dir):
    made = learner(data_dir, "a")
    attention, width = made.objective.trunk.blocks[0].parts("a")[0], made.config.model.d_model
    draw, per = np.random.default_rng(2), 5
    x, memory = (draw.normal(size=[B, n, width]).astype(np.float32) for n in (T, 2 * per))
    heads = head_groups.seen(made.objective._contexts.groups, H, per)
    places = positions.Placement(texts=2)
    codes = positions.sinusoids(places.distances(T, 2 * per, "bidirectional"), width)
    mask = np.zeros([B, 1, T, 2 * per + T], np.float32) + positions.head_mask(heads, T)
    window = Window(codes, tf.constant(mask), places)
    weights = attention.probabilities(x, memory, window).numpy()[..., : 2 * per]
    value = (memory @ attention.key_value.numpy())[..., width:].reshape(B, 2 * per, H, -1)
    assert not weights[:, 3].any() and not weights[:, 0, :, per:].any()
    found = attention.taken(x, memory, window).numpy()
    assert not found[:, 3].any()
    for head in range(3):
        share = weights[:, head] / weights[:, head].sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(found[:, head], share @ value[:, :, head], rtol=1e-4, atol=1e-5)


def test_a_run_has_halves_of_texts_and_others_refuse_in_a_line(data_dir, tmp_path, call):
    of = (
        f"--data={data_dir}",
        "--objective=context_mlm",
        "--contexts=3",
        "--doc_len=8",
        "--cross",
    )
    how = ("--head_groups=author:0,group:1", "--architecture=ad", "--cutoffs=none", *NETWORK)
    done = call("train", *of, *how, f"--run={tmp_path / 'run'}")
    assert done.code == 0, done.err
    model = par.load(str(tmp_path / "run"))
    found = model.halves(["ca ta", "", "de " * 40])
    assert list(found) == ["author", "group"]
    for each in found.values():
        assert np.linalg.norm(each, axis=1).tolist() == pytest.approx([1, 0, 1])
    told = call("discriminate", f"--run={tmp_path / 'run'}", "--nocross", "--json")
    assert told.code == 0, told.err
    value = json.loads(told.out)
    documented.check("discriminate --json", value)
    assert [each["half"] for each in value["networks"]] == [None, "author", "group"]
    plain = Learner(own(data_dir, head_groups="", context="author"))
    with pytest.raises(UsageError, match="has no heads for kinds of contexts: train context_mlm"):
        Model(plain.config, plain, model.tokenizer).halves(["ca"])
