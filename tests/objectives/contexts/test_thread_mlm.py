"""Masked prediction from the texts that a text answers: a thread is read once, and what is read is
what context_mlm reads."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from authored import answering, build, coded, config
from par.core.errors import SettingError
from par.data import documents, manifest
from par.data.documents import DEPTH, PARENT
from par.data.tokenizer import PAD
from par.nn.forward_mode import EVALUATION, Phase
from par.objectives import OBJECTIVES
from par.objectives.context_settings import ContextSettings
from par.objectives.contexts.thread_mlm import each_once, in_turn
from par.train.learner import Learner

B, N, T = 4, 3, 8
own = functools.partial(config, objective="thread_mlm")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    texts = [{**each, "text": " ".join([each["text"]] * 3)} for each in answering(coded())]
    return build(tmp_path_factory.mktemp("threads"), "coded", texts, "--vocab_size=40")


def forest(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The parent and the depth of each row; parents stand before or behind their answers."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(size)
    parent, depth = np.full(size, -1), np.zeros(size, np.int64)
    for place, row in enumerate(order):
        if place and draw.random() < 0.8:
            parent[row] = order[draw.integers(place)]
            depth[row] = depth[parent[row]] + 1
    return parent, depth


def line_above(parent: np.ndarray, row: int, most: int) -> list[int]:
    found: list[int] = []
    while (row := int(parent[row])) >= 0 and len(found) < most:
        found.append(row)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_texts_take_their_turns_behind_those_that_they_answer_and_a_thread_at_once(seed):
    parent, depth = forest(60, seed)
    order = in_turn(parent, depth)
    assert sorted(order.tolist()) == list(range(60))
    place = np.argsort(order)
    for row in range(60):
        below = [r for r in range(60) if row in line_above(parent, r, 60)]
        places = sorted(place[below].tolist())
        assert places == list(range(place[row] + 1, place[row] + 1 + len(below)))
    for rows, most in ((1, 1), (5, 2), (7, 60)):
        for first in range(60 - rows + 1):
            texts = order[first : first + rows]
            read = {above for text in texts for above in line_above(parent, text, most)}
            assert len(read) <= rows + most  # and one for empty slots


def test_of_more_texts_above_than_fit_the_farthest_are_left_out():
    comb = tf.constant([[7, 6], [5, 4], [3, 2], [1, 0]])  # of a deep thread that branches often
    for most, expected in (
        (9, [[7, 6], [5, 4], [3, 2], [1, 0]]),
        (7, [[7, 6], [5, 4], [3, -1], [1, -1]]),
    ):
        values, places = (each.numpy() for each in each_once(comb, most))
        assert values.shape == (most,) and values[places].tolist() == expected


def test_an_epoch_reads_each_document_once_and_each_thread_in_one_piece(data_dir):
    made = Learner(own(data_dir, ancestors=N, doc_len=T))
    reader = made.objective.documents(data_dir, manifest.load(data_dir), "train")
    table = documents.load(data_dir, "train")
    turns = [reader._in_turn(0, cycle * len(table), len(table)) for cycle in range(2)]
    assert [sorted(each.tolist()) for each in turns] == [list(range(len(table)))] * 2
    assert (turns[0] != turns[1]).any()
    for order in turns:
        place = np.argsort(order)
        for row in np.flatnonzero(table[:, PARENT] >= 0):
            assert place[row] == place[table[row, PARENT]] + 1  # every thread is a line here
    tokens = documents.token_reader(data_dir, "train").beginnings(T, PAD)
    seen = 0
    for step, each in enumerate(reader.training(B, 0, 0, 5).as_numpy_iterator()):
        rows = turns[0][step * B : (step + 1) * B]
        np.testing.assert_array_equal(each["text"], tokens[rows])
        for row, slots in zip(rows, each["slots"]):
            above = line_above(np.array(table[:, PARENT]), row, N)
            expected = np.zeros([N, T], np.int32)
            expected[: len(above)] = tokens[above]
            np.testing.assert_array_equal(each["contexts"][slots], expected)
            seen += len(above)
        texts = [text.tobytes() for text in each["contexts"] if text.any()]
        assert len(texts) <= B + N
    assert seen > 10 and table[:, DEPTH].max() == 3


def test_it_is_the_recipe_of_context_mlm_in_loss_and_gradient(data_dir):
    thread = Learner(own(data_dir, "sa", ancestors=N, doc_len=T))
    settings = thread.config.objective_settings.as_contexts
    assert settings == ContextSettings(
        context="ancestors", contexts=N, doc_len=T, combine="attention", context_gradient=True
    )
    names = {"context", "contexts", "combine", "context_gradient"}
    how = {name: getattr(settings, name) for name in names}
    other = Learner(config(data_dir, "sa", objective="context_mlm", doc_len=T, **how))
    for weight, theirs in zip(thread.weights, other.weights, strict=True):
        weight.assign(np.random.default_rng(3).normal(0, 0.3, weight.shape))
        theirs.assign(weight)
    reader = thread.objective.documents(data_dir, manifest.load(data_dir), "train")
    element = next(reader.training(B, 0, 0, 1).as_numpy_iterator())
    by_text = {key: element[key] for key in ("text", "scored")}
    by_text["contexts"] = element["contexts"][element["slots"]]
    seeds = Phase().row_seeds("objective", tf.range(B, dtype=tf.int64))
    found = []
    for made, each in ((thread, element), (other, by_text)):
        batch = made.objective.prepare(tf.nest.map_structure(tf.constant, each), seeds)
        with tf.GradientTape() as tape:
            loss, *_ = made.objective.loss(batch, None, EVALUATION)
        gradients = tape.gradient(loss, [weight.value for weight in made.weights])
        found.append((loss, [tf.convert_to_tensor(each).numpy() for each in gradients]))
    (loss, gradients), (again, others) = found
    assert float(loss) == pytest.approx(float(again), rel=1e-5) and float(loss) > 0
    for mine, theirs in zip(gradients, others, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_settings_of_its_own(data_dir, call, tmp_path):
    shape = own(data_dir, ancestors=7, doc_len=T)
    assert shape.read_rows == 2 * B and shape.read_shape[0].mem_len == 7
    with pytest.raises(SettingError, match="ancestors must be at least 1"):
        own(data_dir, ancestors=0)
    assert OBJECTIVES["thread_mlm"].settings().ancestors == 32
    flat = [{k: v for k, v in each.items() if k != "parent"} for each in coded()]
    sets = {"whole": data_dir, "flat": build(tmp_path, "flat", flat, "--vocab_size=40")}
    for name, flag, said in (
        ("whole", "--contexts=3", "--contexts is a setting of --objective=context_mlm, but the"),
        ("flat", "--ancestors=3", "no text has a parent, but thread_mlm needs it: "),
    ):
        run = tmp_path / "run"
        shape = ("--architecture=ad", "--cutoffs=none", f"--run={run}")
        done = call("train", f"--data={sets[name]}", "--objective=thread_mlm", *shape, flag)
        assert done.code == 1 and said in done.err and done.err.count("\n") == 1, done.err
        assert not run.exists()
