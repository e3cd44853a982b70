"""Masked prediction beside other texts: which are read, that contexts are memory, and what has no
effect."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import documented
from authored import answering, build, coded, config
from par.bench import training_speed
from par.core.errors import SettingError
from par.data import documents, manifest
from par.data.documents import AUTHOR, GROUP, PARENT
from par.data.tokenizer import PAD
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.nn.forward_mode import EVALUATION, Phase
from par.objectives import OBJECTIVES
from par.objectives.settings import MaskedLMSettings
from par.train import history, weight_transfer
from par.train.learner import Learner
from small import NETWORK, small_data, trainer

CONTRACT = OBJECTIVES["context_mlm"]
B, N, T, V = 4, 3, 8, 18
FIRST_BESIDE = 13  # pieces from here on stand in contexts alone
WAYS = [  # encoder, combine
    *(("batch", combine) for combine in ("tokens", "attention", "sum", "concat")),
    *(("biencoder", combine) for combine in ("tokens", "attention", "sum", "concat")),
    *(("hierarchical", combine) for combine in ("attention", "sum", "concat")),
]
each_way = pytest.mark.parametrize(("encoder", "combine"), WAYS)
own = functools.partial(config, objective="context_mlm")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    texts = [{**each, "text": " ".join([each["text"]] * 3)} for each in answering(coded())]
    return build(tmp_path_factory.mktemp("contexts"), "coded", texts, "--vocab_size=40")


@functools.cache
def learner(data_dir, blocks="ada", **settings):
    """With large weights, so that every output depends on every input."""
    made = Learner(own(data_dir, blocks, **settings))
    for number, weight in enumerate(sorted(made.weights, key=lambda each: each.path)):
        draw = np.random.default_rng([number, *weight.shape])
        weight.assign(draw.normal(0, 0.4, weight.shape))
    return made


def element(number=N, seed=0):
    """Texts and contexts without padding, and without a piece in common."""
    draw = np.random.default_rng(seed)
    return {
        "text": draw.integers(8, FIRST_BESIDE, [B, T]).astype(np.int32),
        "contexts": draw.integers(FIRST_BESIDE, V, [B, number, T]).astype(np.int32),
        "scored": np.ones([B], np.int32),
    }


def prepared(made, of, training=False):
    seeds = Phase().row_seeds("objective", tf.range(B, dtype=tf.int64))
    return made.objective.prepare(tf.nest.map_structure(tf.constant, of), seeds, training)


def scores(made, of):
    batch = prepared(made, of)
    found, _ = made.objective.token_scores(batch, None, EVALUATION)
    return found["nll"][0].numpy()


# ---- what equals what ----


@pytest.mark.parametrize(
    "how",
    [{"context": "none"}, pytest.param({"contexts": 0}, marks=pytest.mark.slow)],
    ids=["none", "0"],
)
def test_without_contexts_all_is_as_masked_lm_to_the_last_bit(data_dir, how):
    ours = own(data_dir, "sad", dropout_rate=0.2, mem_len=0, **how)
    theirs = dataclasses.replace(
        ours, objective="masked_lm", objective_settings=MaskedLMSettings()
    )
    context, masked = Learner(ours), Learner(theirs)
    reader = context.objective.documents(data_dir, manifest.load(data_dir), "train")
    texts = reader.training(B, 0, 0, 7)
    windows = texts.map(lambda each: tf.pad(each["text"], [[0, 0], [0, 1]]))
    rows = [
        made.train(iter(read), tf.constant(7)).numpy()
        for made, read in ((context, texts), (masked, windows))
    ]
    np.testing.assert_array_equal(*rows)
    for mine, other in zip(context.weights, masked.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy(), err_msg=mine.path)
    np.testing.assert_array_equal(context.logits[0].numpy(), masked.logits[0].numpy())


@pytest.mark.parametrize("kind", ["author", "ancestors"])
def test_the_tokens_of_one_context_are_a_window_before_with_memory(data_dir, kind):
    made, of = learner(data_dir, context=kind, contexts=1), element(1)
    trunk, batch = made.objective.trunk, prepared(made, of)
    _, memories = trunk(
        batch["contexts"][:, 0], trunk.empty_memories(B, T), visibility="bidirectional"
    )
    hidden, _ = trunk(batch["tokens"], memories, visibility="bidirectional", real=batch["real"])
    np.testing.assert_array_equal(made.objective._hidden(batch, None, EVALUATION)[0], hidden)


def test_the_tokens_of_ancestors_are_the_windows_before_the_oldest_first(data_dir):
    made, of = learner(data_dir, "a", context="ancestors"), element()
    trunk, batch = made.objective.trunk, prepared(made, of)
    memories = trunk.empty_memories(B, N * T)
    for place in reversed(range(N)):  # of one block, whose inputs depend on no memory
        _, memories = trunk(batch["contexts"][:, place], memories, visibility="bidirectional")
    hidden, _ = trunk(batch["tokens"], memories, visibility="bidirectional", real=batch["real"])
    found = made.objective._hidden(batch, None, EVALUATION)[0]
    np.testing.assert_allclose(found, hidden, rtol=1e-5, atol=1e-5)


@each_way
def test_the_order_of_contexts_matters_only_to_ancestors(data_dir, encoder, combine):
    how = {"encoder": encoder, "combine": combine}
    of = element()
    turned = {**of, "contexts": of["contexts"][:, [2, 0, 1]]}
    others = {**of, "contexts": element(seed=1)["contexts"]}
    for kind, distances, matters in (
        ("author", True, False),
        ("ancestors", False, False),
        ("ancestors", True, combine in ("tokens", "attention") or encoder == "hierarchical"),
    ):
        made = learner(data_dir, context=kind, depth_distances=distances, **how)
        nll, again = scores(made, of), scores(made, turned)
        if matters:
            assert np.abs(nll - again).max() > 1e-3
        else:
            np.testing.assert_allclose(nll, again, rtol=1e-4, atol=1e-4)
        assert np.abs(nll - scores(made, others)).max() > 1e-3  # contexts are read


@each_way
@pytest.mark.parametrize("kind", ["author", "ancestors"])
def test_empty_slots_have_neither_effect_nor_gradient(data_dir, encoder, combine, kind):
    how = {"encoder": encoder, "combine": combine, "context": kind, "context_gradient": True}
    of = element()
    padded = {**of, "contexts": np.pad(of["contexts"], [[0, 0], [0, 2], [0, 0]])}
    one, more = learner(data_dir, **how), learner(data_dir, contexts=N + 2, **how)
    np.testing.assert_allclose(scores(one, of), scores(more, padded), rtol=1e-4, atol=1e-4)
    gradients = {}
    for trunk in (more.objective.trunk, more.objective.encoder):
        if trunk is not None:
            gradients[trunk.name] = gradient_of_table(more, padded, trunk)
    assert all(not each[PAD].any() for each in gradients.values())
    assert any(each[FIRST_BESIDE:].any() for each in gradients.values())
    # a text that has no context at all
    alone = {**padded, "contexts": 0 * padded["contexts"]}
    assert np.isfinite(scores(more, alone)).all()


def gradient_of_table(made, of, trunk):
    """[V, D] of the loss, by the embedding of each piece."""
    table, batch = trunk.embedding.value, prepared(made, of)
    with tf.GradientTape() as tape:
        tape.watch(table)
        loss = made.objective.loss(batch, None, EVALUATION)[0]
    return tf.convert_to_tensor(tape.gradient(loss, table)).numpy()


@pytest.mark.parametrize("checkpointing", [False, True])
@each_way
def test_the_gradient_goes_through_contexts_where_it_is_asked_for(
    data_dir, encoder, combine, checkpointing
):
    if checkpointing and (encoder, combine) not in (("batch", "tokens"), WAYS[-1]):
        pytest.skip("the same code for all of them")
    how = {"encoder": encoder, "combine": combine, "gradient_checkpointing": checkpointing}
    for learns in (False, True):
        made = learner(data_dir, context_gradient=learns, **how)
        trunk = made.objective.encoder or made.objective.trunk
        gradient = gradient_of_table(made, element(), trunk)
        assert gradient[FIRST_BESIDE:].any() == (learns or encoder == "biencoder")
        if encoder != "biencoder":
            assert gradient[8:FIRST_BESIDE].any()


# ---- which texts are read ----


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("kind", ["random", "author", "group", "ancestors"])
def test_contexts_are_those_of_the_kind_and_of_the_same_split(data_dir, kind, cross):
    if cross and kind in ("random", "ancestors"):
        with pytest.raises(SettingError, match=f"cross needs context author or group, .* {kind}"):
            own(data_dir, context=kind, cross=True)
        return
    made = Learner(own(data_dir, context=kind, cross=cross))
    for split in ("train", "valid"):
        reader = made.objective.documents(data_dir, manifest.load(data_dir), split)
        table, drawn = documents.load(data_dir, split), reader.drawn()
        assert drawn["text"].tolist() == list(range(len(table)))  # every one is a target
        seen = 0
        for row, contexts in enumerate(drawn["contexts"]):
            found = contexts[contexts >= 0]
            seen += len(found)
            assert row not in found and len(set(found.tolist())) == len(found)
            assert (found < len(table)).all()
            if kind == "ancestors":
                line, at = [], row
                while (at := table[at, PARENT]) >= 0:
                    line.append(at)
                assert found.tolist() == line[:N]
            elif kind != "random":
                same, other = (AUTHOR, GROUP) if kind == "author" else (GROUP, AUTHOR)
                assert (table[found, same] == table[row, same]).all()
                assert not cross or (table[found, other] != table[row, other]).all()
        assert seen > len(table)
    tokens = documents.token_reader(data_dir, "valid").beginnings(T, PAD)
    first = next(reader.evaluation(len(table)).as_numpy_iterator())
    np.testing.assert_array_equal(first["text"], tokens)
    kept = np.append(tokens, np.full([1, T], PAD, np.int32), axis=0)
    np.testing.assert_array_equal(first["contexts"], kept[drawn["contexts"]])


def test_the_same_tokens_are_scored_whatever_is_read_beside_them(data_dir):
    found = {}
    for kind, rows in (("none", None), ("random", None), ("group", 7), ("ancestors", 3)):
        made = learner(data_dir, "ad", context=kind, encoder="batch")
        found[kind] = evaluation.token_scores(
            made, data_dir, manifest.load(data_dir), "valid", "fixed", EvalConfig(batch_size=rows)
        )
    table = documents.load(data_dir, "valid")
    values, weights = found["none"]["nll"]
    assert values.shape == (CONTRACT.draws * len(table) * T,) and 0 < weights.sum() < weights.size
    for each in found.values():
        np.testing.assert_array_equal(each["nll"][1], weights)
    by_draw = weights.reshape(CONTRACT.draws, -1)
    assert (by_draw[0] != by_draw[1]).any()
    figures = evaluation.figures(CONTRACT, manifest.load(data_dir), "valid", found["group"])
    assert figures["tokens"] == int(weights.sum()) and 0 <= figures["accuracy"] <= 1


def test_only_the_given_words_are_masked(data_dir, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("ta\nte\n\nnowhere\n")
    settings = own(data_dir, mask_words=(str(path),)).objective_settings.as_typed()
    assert settings.mask_words == ("ta", "te", "nowhere")
    assert dataclasses.replace(settings, mask_words=("ta", "te")).as_typed().mask_words == (
        "ta",
        "te",
    )
    made = Learner(dataclasses.replace(own(data_dir), objective_settings=settings))
    found = manifest.load(data_dir)
    reader = made.objective.documents(data_dir, found, "train")
    spelled = {piece for word in made.objective._words.spelled for piece in word}
    assert len(spelled) == 2
    seen = 0
    for each in reader.training(B, 0, 0, 9).as_numpy_iterator():
        batch = prepared(made, each, training=True)
        targets, weights = batch["targets"].numpy(), batch["weights"].numpy()
        assert set(targets[weights > 0].tolist()) <= spelled
        most = weights.shape[1]
        expected = np.isin(each["text"], list(spelled)).sum(axis=1)
        assert weights.sum(axis=1).tolist() == np.minimum(expected, most).tolist()
        seen += int(weights.sum())
    assert seen > 3


# ---- costs, refusals, commands ----


@each_way
def test_the_costs_are_those_of_all_texts_that_are_read(data_dir, encoder, combine):
    alone = own(data_dir, context="none")
    read = own(data_dir, encoder=encoder, combine=combine)
    learning = own(data_dir, encoder=encoder, combine=combine, context_gradient=True)
    counts = [1.0] * 40
    less, some, most = (
        training_speed.step_flops(each, counts) for each in (alone, read, learning)
    )
    assert less < some < most or (encoder == "biencoder" and less < some == most)
    assert read.read_rows == B * (1 + N) and alone.read_rows == B
    assert read.read_tokens == B * (1 + N) * T
    memory = {"tokens": N * T, "attention": N}.get(combine, 0)
    model, rows, length = read.read_shape
    assert (rows, length) == (B, T)
    assert model.mem_len == (1 + N if encoder == "hierarchical" else memory)
    assert read.latency_shape.batch_size == B * (1 + N)
    assert read.text_shape == (T, 0)


def test_an_encoder_of_the_blocks_of_the_network_takes_its_weights_from_the_same_places(data_dir):
    search, network = (
        Learner(own(data_dir, blocks, encoder="biencoder")) for blocks in ("sss", "ad")
    )
    weight_transfer.copy_weights(network, search, "aid")
    for name in ("trunk", "contexts"):
        mine, theirs = (each.objective.layers[name].blocks for each in (network, search))
        for block, place, kind in ((0, 0, "a"), (1, 2, "d")):
            parts = [*mine[block].parts(kind)], [*theirs[place].parts(kind)]
            mine_of, theirs_of = (
                [v.numpy() for part in of for v in part.variables] for of in parts
            )
            assert mine_of and all(map(np.array_equal, mine_of, theirs_of)), (name, block)


def test_settings_that_contradict_each_other_are_refused(data_dir):
    for settings, said in (
        ({"encoder": "hierarchical"}, "combine must be attention, sum or concat with encoder"),
        ({"pool": "cls"}, "pool must be mean with combine tokens"),
        ({"context_architecture": "ad"}, "context_architecture needs encoder biencoder"),
        ({"depth_distances": False}, "depth_distances is of context ancestors, but context is"),
        ({"mask_words": ("ta",), "mask_scheme": "span"}, "mask_scheme span has no effect"),
        ({"doc_len": 2}, r"scores 15% of each text, but that is not one token of 2: raise --doc"),
        ({"doc_len": 2, "mask_rate": 0.1}, "mask_rate of 0.1 selects no token of a text of 2"),
    ):
        with pytest.raises(SettingError, match=said):
            own(data_dir, **settings)
    made = own(data_dir, encoder="biencoder", context_architecture="2(ai)d").objective_settings
    assert made.context_architecture == "aad"


def test_what_the_data_lack_is_refused_in_a_line_before_anything_is_written(
    tmp_path, call, data_dir
):
    lone = [{**each, "author": each["id"]} for each in coded(authors=8, each=6)]
    sets = {
        "plain": small_data(tmp_path / "plain", train=300, valid=60),
        "lone": build(tmp_path, "lone", lone, "--vocab_size=40"),
        "whole": data_dir,
    }
    for name, flags, code, said in (
        ("plain", (), 3, "has no documents, as it was built from plain text: build it from"),
        ("lone", ("--context=author",), 1, "no author has two texts, but --context=author needs"),
        ("lone", ("--context=ancestors",), 1, "no text has a parent, but --context=ancestors"),
        ("whole", ("--anchors=3",), 1, "--anchors is a setting of --objective=authors, but the"),
        ("whole", ("--contexts=-1",), 1, "contexts must be at least 0"),
        (
            "whole",
            ("--mask_words=nowhere",),
            1,
            "can spell none of --mask_words, such as 'nowhere'",
        ),
        ("whole", ("--mask_words=gone.txt",), 3, "the file of words gone.txt does not exist"),
    ):
        run = tmp_path / "run"
        done = call(
            "train",
            f"--data={sets[name]}",
            "--objective=context_mlm",
            "--architecture=ad",
            "--cutoffs=none",
            f"--run={run}",
            *flags,
        )
        assert done.code == code and said in done.err, (name, done.err)
        assert done.err.count("\n") == 1 and not run.exists()
    done = call("train", f"--data={data_dir}", "--doc_len=9")
    assert done.code == 1 and "--doc_len is a setting of --objective=authors or " in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [{"encoder": "biencoder", "context": "group"}, {"context": "ancestors"}], ids=str
)
def test_a_run_that_is_stopped_goes_on_bit_for_bit(data_dir, tmp_path, how):
    made = own(data_dir, "sd", dropout_rate=0.2, epochs=2, **how)
    whole = trainer(tmp_path / "whole", made, data_dir)
    whole.run()
    half = trainer(tmp_path / "half", made, data_dir)
    half.run(until=made.data.steps_per_epoch + 3)
    moved, there = tmp_path / "moved", tmp_path / "there"
    shutil.copytree(tmp_path / "half", moved)
    shutil.copytree(data_dir, there)
    again = trainer(moved, made, there)
    again.run()
    mine, theirs = ([*each.learner.weights, *each.learner.logits] for each in (whole, again))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    rows = [
        history.read_rows(path / "history.jsonl", CONTRACT)["valid"][-1]
        for path in (tmp_path / "whole", moved)
    ]
    assert {k: v for k, v in rows[0].items() if k != "seconds"} == {
        k: v for k, v in rows[1].items() if k != "seconds"
    }


@pytest.mark.slow
def test_a_search_its_network_and_its_scores_go_through_the_commands(data_dir, call, tmp_path):
    masked, run = tmp_path / "masked", tmp_path / "search"
    shape = (f"--data={data_dir}", "--cutoffs=none", "--num_blocks=2", *NETWORK)
    done = call("train", *shape, "--objective=masked_lm", f"--run={masked}", "--quiet")
    assert done.code == 0, done.err
    flags = ("--objective=context_mlm", "--contexts=2", "--doc_len=8", "--encoder=biencoder")
    begun = (f"--init_from={masked}", f"--run={run}", "--json")
    done = call("train", *shape, *flags, *begun)
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["valid"]["soft"]["accuracy"] <= 1
    timed = ("--repeats=2", "--steps=1")
    trained = ("--match=parameters", "--num_seeds=2", "--num_random=1", "--epochs=1")
    for tool, more in (
        ("measure_latency", timed),
        ("derive", ()),
        ("compare", (*trained, *timed)),
        ("report", ()),
    ):
        done = call(tool, f"--run={run}", *more)
        assert done.code == 0, done.err
    page = (run / "report.html").read_text()
    assert "nll per masked token" in page and "erplexity" not in page
    other = tmp_path / "other"
    alone = ("--objective=context_mlm", "--context=none", "--doc_len=8", f"--run={other}")
    assert call("train", *shape, *alone, "--architecture=ad", "--quiet").code == 0
    both = (f"--run={other}", f"--run={run}", "--split=test")
    told = call("evaluate", *both)
    assert told.code == 0 and "depth 1" in told.out and "for other authors" in told.out, told.err
    value = json.loads(call("evaluate", *both, "--json").out)
    documented.check("evaluate --json", value, required="none")
    first, second, _ = value["results"]
    pair = value["paired"][0]
    more = pair["differences"][0]["nats"]["mean"]
    assert more == pytest.approx(second["nll_per_token"] - first["nll_per_token"], rel=1e-5)
    assert (pair["run"], pair["less_run"]) == (str(run), str(other))
    assert sum(own["targets"] for own in pair["differences"][1:]) == first["tokens"]
    for tool, flag in (("generate", "--prompt=a"), ("fill", "--text=[MASK]")):
        refused = call(tool, f"--run={run}", flag)
        assert refused.code == 1 and "is context_mlm: use embed or probe" in refused.err
    dry = call("train", *shape, *flags, "--dry_run", "--json")
    assert dry.code == 0 and json.loads(dry.out)["gflop_per_step"] > 0, dry.err


def test_all_ways_are_tried():
    settings = CONTRACT.settings
    pairs = itertools.product(settings.choices("encoder"), settings.choices("combine"))
    assert {*pairs} - {*WAYS} == {("hierarchical", "tokens")}
