"""What an objective that reads documents gets in a step, and in an evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from authored import build, coded
from par.core.errors import ResourceError
from par.data import documents, manifest
from par.data.tokenizer import PAD
from par.nn.forward_mode import Phase, row_integers
from par.objectives import document_reader
from par.objectives.document_reader import EMPTY, DocumentReader, Draws

T, SEED = 3, 7


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return build(tmp_path_factory.mktemp("reader"), "coded", coded(), "--vocab_size=40")


def draws_of(table: np.ndarray) -> Draws:
    """Every third document is a target; beside it, two of any rows, empty if these are
    multiples of four."""
    size = len(table)

    def draw(rows, seeds):
        drawn = tf.cast(row_integers(seeds, 2) % size, tf.int32)
        return {"own": rows, "others": tf.where(drawn % 4 == 0, EMPTY, drawn)}

    return Draws(np.arange(0, size, 3), draw, lambda rows: {"twice": 2 * rows})


def reader(data_dir, split: str = "train") -> DocumentReader:
    return DocumentReader(data_dir, manifest.load(data_dir), split, T, draws_of)


def test_the_beginnings_of_documents_are_those_of_their_ids(data_dir, monkeypatch):
    for split in ("train", "test"):
        whole = documents.token_reader(data_dir, split)
        expected = [whole.document(row)[:T].tolist() for row in range(len(whole.table))]
        assert len({len(each) for each in expected}) > 1  # some are shorter
        for at_once in (1, 4 * T, documents.TOKENS_AT_ONCE):
            monkeypatch.setattr(documents, "TOKENS_AT_ONCE", at_once)
            found = whole.beginnings(T, PAD)
            assert found.dtype == np.int32
            assert found.tolist() == [each + [PAD] * (T - len(each)) for each in expected]
        longest = whole.table[:, documents.LENGTH].max()
        assert (whole.beginnings(int(longest) + 2, PAD)[:, longest:] == PAD).all()


def test_an_element_has_the_tokens_of_what_is_drawn_and_pad_in_empty_slots(data_dir):
    made = reader(data_dir)
    tokens = documents.token_reader(data_dir, "train").beginnings(T, PAD)
    tokens = np.append(tokens, np.full([1, T], PAD, np.int32), axis=0)  # row -1
    seen = 0
    for step, element in enumerate(made.training(4, SEED, 2, 5).as_numpy_iterator()):
        phase = Phase(training=True, seed=SEED, step=tf.constant(2 + step, tf.int64))
        rows = element["twice"] // 2
        seeds = phase.row_seeds("documents", tf.range(4, dtype=tf.int64))
        for name, drawn in made.draws.draw(tf.constant(rows), seeds).items():
            np.testing.assert_array_equal(element[name], tokens[drawn.numpy()])
            seen += int((drawn.numpy() == EMPTY).sum())
        assert element["scored"].tolist() == [1] * 4
    assert seen  # some slots were empty


def test_all_targets_take_their_turns_before_one_comes_again(data_dir):
    made = reader(data_dir)
    size, targets = made.count, sorted(made.draws.targets.tolist())
    steps = 3 * size  # of 4 rows: 12 times all
    rows = [e["twice"] // 2 for e in made.training(4, SEED, 0, steps).as_numpy_iterator()]
    cycles = np.concatenate(rows).reshape(12, size)
    assert all(sorted(cycle) == targets for cycle in cycles.tolist())
    assert len({tuple(cycle) for cycle in cycles.tolist()}) == 12  # each in another order
    other = next(made.training(4, SEED + 1, 0, 1).as_numpy_iterator())["twice"] // 2
    assert other.tolist() != rows[0].tolist()


def test_from_any_step_on_it_reads_what_reading_from_the_start_does(data_dir):
    made = reader(data_dir)
    whole = list(made.training(4, SEED, 0, 30).as_numpy_iterator())
    for step in (1, 13, 29):
        rest = list(reader(data_dir).training(4, SEED, step, 30 - step).as_numpy_iterator())
        assert len(rest) == 30 - step
        for one, other in zip(rest, whole[step:], strict=True):
            for name in other:
                np.testing.assert_array_equal(one[name], other[name])


def test_an_evaluation_scores_each_target_once_and_draws_the_same_whatever_b(data_dir):
    made = reader(data_dir, "valid")
    found = {}
    for rows in (1, 4, made.count, made.count + 3):
        steps = list(made.evaluation(rows, draw=1).as_numpy_iterator())
        assert len(steps) == made.evaluation_steps(rows)
        flat = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
        assert flat["scored"].sum() == made.count and flat["scored"][: made.count].all()
        assert (flat["twice"][: made.count] // 2).tolist() == made.draws.targets.tolist()
        found[rows] = {name: each[: made.count] for name, each in flat.items()}
    for each in found.values():
        np.testing.assert_array_equal(each["others"], found[1]["others"])
    tokens = documents.token_reader(data_dir, "valid").beginnings(T, PAD)
    tokens = np.append(tokens, np.full([1, T], PAD, np.int32), axis=0)
    drawn, others = made.drawn(draw=1)["others"], made.drawn(draw=0)["others"]
    np.testing.assert_array_equal(tokens[drawn], found[1]["others"])
    assert (drawn != others).any(axis=1).sum() > made.count / 2


def test_documents_that_do_not_fit_into_the_memory_are_refused_in_a_line(data_dir, monkeypatch):
    monkeypatch.setattr(document_reader, "memory_bytes", lambda: 100)
    with pytest.raises(ResourceError, match=r"the first 3 tokens of \d+ documents take 0.0 GB"):
        reader(data_dir)
