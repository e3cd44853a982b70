"""Typing errors: in the graph as character by character, at the rate that was asked for, in
training only."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from built import tiny_data
from par.core.errors import UsageError
from par.data.characters import typos as law
from par.data.characters.letters import Letters
from par.data.tokenizer import PAD, UNK, Tokenizer
from par.nn.forward_mode import Phase
from par.objectives import masking
from par.objectives.masked_lm import MaskedLanguageModel
from par.objectives.settings import MaskedLMSettings
from par.objectives.typos import Typos, typed
from par.tools import build_data
from par.train.learner import Learner
from small import small_config, trainer

TEXT = "The cat sees A dog .\nit is 7 o'clock, Cats see 中 dogs\n"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Characters of a small text."""
    root = tmp_path_factory.mktemp("typos")
    (root / "text.txt").write_text(TEXT * 40)
    sizes = ("--batch_size=2", "--seq_len=20", "--baseline=none", "--model_type=char")
    flags = (f"--input_text={root}/text.txt", f"--output_dir={root / 'data'}")
    assert build_data.main([*flags, *sizes]) == 0
    return root / "data"


@pytest.fixture(scope="module")
def tokenizer(data_dir):
    return Tokenizer.load(data_dir / "tokenizer.model")


def seeds(rows: int, step: int = 5) -> tf.Tensor:
    phase = Phase(training=True, seed=3, step=tf.constant(step, tf.int64))
    return phase.row_seeds("objective", tf.range(rows, dtype=tf.int64))


def windows(tokenizer, rows: int = 3, size: int = 21) -> np.ndarray:
    ids = tokenizer.encode_block(TEXT)
    return np.stack([np.resize(np.roll(ids, -7 * row), size) for row in range(rows)])


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize("rate", (0.0, 0.3, 1.0))
def test_the_graph_types_as_character_by_character(size, rate):
    draw = np.random.default_rng(size)
    letters = draw.random([300, size]) < 0.7
    hits, kinds = draw.random([2, 300, size]).astype(np.float32)
    kinds[::3, :] = np.float32(law.SWAP + 0.5) / 4  # neighbours that would be swapped with others
    places, flips = typed(
        tf.constant(letters), tf.constant(hits), tf.constant(kinds), np.float32(rate)
    )
    for row in range(300):
        found = law.typed(letters[row], hits[row], kinds[row], np.float32(rate))
        lacking = max(size - len(found.places), 0)
        assert places[row].numpy().tolist() == (found.places + [size] * lacking)[:size]
        assert flips[row].numpy().tolist() == (found.has_other_case + [False] * lacking)[:size]


def test_each_kind_does_what_its_name_says():
    def made(kind, place=1, text="abc"):
        hits = [0.0 if number == place else 1.0 for number in range(len(text))]
        numbers = [(law.KINDS.index(kind) + 0.5) / 4] * len(text)
        found = law.typed([each.isalpha() for each in text], hits, numbers, 0.5)
        return "".join(text[n].swapcase() if of else text[n] for n, of in zip(*found))

    assert [made(kind) for kind in law.KINDS] == ["aBc", "acb", "ac", "abbc"]
    assert made("swap", place=2) == "abc" and made("swap", text="ab.") == "ab."
    assert made("drop", text="a1b") == "a1b" and made("case", text="中中中") == "中中中"


def test_a_share_of_the_letters_is_hit_and_each_kind_as_often():
    draw, text = np.random.default_rng(1), "abcdefgh" * 4000
    hits, kinds = draw.random([2, len(text)])
    assert ((hits < 0.05).mean() * 4) == pytest.approx(0.2, abs=0.02)
    found = law.typed([True] * len(text), hits, kinds, 0.05)
    number = Counter(found.places)
    doubled, dropped = (sum(n == 2 for n in number.values()), len(text) - len(number))
    swapped = sum(one > other for one, other in zip(found.places, found.places[1:]))
    for count in (doubled, dropped, swapped, sum(found.has_other_case)):
        assert count / len(text) == pytest.approx(0.05 / 4, rel=0.15)
    assert law.of_text("no letters: 1234 ...", 0.0, draw) == "no letters: 1234 ..."
    assert law.of_text("1234 ...", 1.0, draw) == "1234 ..."
    again = [law.of_text(TEXT, 0.3, np.random.default_rng(seed)) for seed in (4, 4, 5)]
    assert again[0] == again[1] != again[2] and again[0] != TEXT


def test_letters_and_their_cases_are_those_of_the_vocabulary(tokenizer):
    letters = Letters.of(tokenizer)
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    assert letters.is_letter.sum() == len({each for each in TEXT if each.isalpha()})
    assert not letters.is_letter[:8].any() and not letters.is_letter[pieces.index("▁")]
    other = {pieces[n]: pieces[of] for n, of in enumerate(letters.other_case) if n != of}
    assert other == {"T": "t", "t": "T", "A": "a", "a": "A", "C": "c", "c": "C"}


def test_training_reads_errors_and_expects_what_was_meant(data_dir, tokenizer):
    made = Typos(0.5, tokenizer.vocab_size)
    tokens = tf.constant(windows(tokenizer))
    untyped = [each.numpy() for each in made(tokens, seeds(3))]  # no data were read
    np.testing.assert_array_equal(untyped[0], tokens)
    made.read_data(data_dir)
    seen, clean = (each.numpy() for each in made(tokens, seeds(3)))
    assert (seen != tokens.numpy()).any(axis=1).all() and seen.shape == tokens.shape
    for row in range(3):
        # typed letters have another case at most, and nothing but letters has moved
        texts = [tokenizer.decode(each[each != PAD]) for each in (seen[row], clean[row])]
        assert texts[0].lower() == texts[1].lower()
        assert ((seen[row] == PAD) == (clean[row] == PAD)).all()
        kept = [each for each in texts[1] if not each.isalpha()]
        whole = [each for each in tokenizer.decode(tokens.numpy()[row]) if not each.isalpha()]
        assert kept == whole[: len(kept)]
    again, other = made(tokens, seeds(3))[0], made(tokens, seeds(3, step=6))[0]
    np.testing.assert_array_equal(again, seen)
    assert (other.numpy() != seen).any()
    alone = made(tokens[1:2], seeds(3)[1:2])[0]  # whatever the batch
    np.testing.assert_array_equal(alone[0], seen[1])


def test_masked_characters_are_those_that_were_meant(data_dir, tokenizer):
    rows = 12

    def prepared(training, **settings):
        network = MaskedLanguageModel(
            small_config(data_dir, "a").model,
            tokenizer.vocab_size,
            1,
            MaskedLMSettings(**settings),
        )
        network.read_data(data_dir)
        window = windows(tokenizer, rows)
        batch = network.prepare(tf.constant(window), seeds(rows), training)
        return network, tf.constant(window[:, :-1]), batch

    network, tokens, batch = prepared(True, typos=0.8, mask_split=(1.0, 0.0, 0.0))
    seen, clean = network._typos(tokens, seeds(rows))
    places = batch["places"].numpy()
    np.testing.assert_array_equal(
        batch["targets"], np.take_along_axis(clean.numpy(), places, axis=1)
    )
    other = np.take_along_axis(seen.numpy(), places, axis=1) != batch["targets"].numpy()
    assert other.any()  # a masked letter that was typed in the other case
    np.testing.assert_array_equal(batch["real"], seen != PAD)
    shown = np.array(seen)
    for row in range(rows):
        shown[row, places[row][batch["weights"][row].numpy() > 0]] = 4
    np.testing.assert_array_equal(batch["tokens"], shown)
    for same in (prepared(False, typos=0.8), prepared(False)):  # an evaluation has none
        np.testing.assert_array_equal(same[2]["tokens"], prepared(False)[2]["tokens"])
    without = prepared(True)[2]
    np.testing.assert_array_equal(without["tokens"], prepared(True, typos=0.0)[2]["tokens"])


@pytest.mark.parametrize("length", (1, 3, 5, 50))
def test_runs_have_their_length_and_do_not_touch(length):
    rows, size, rate = 200, 40, 0.3
    *_, of_places = masking.uniforms(seeds(rows), size)
    selected = masking.runs_of(of_places, tf.ones([rows, size], tf.bool), rate, length).numpy()
    assert (selected.sum(axis=1) == 12).all()
    starts = Counter()
    for row in selected:
        edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
        lengths = (edges[1::2] - edges[::2]).tolist()
        whole, rest = divmod(12, length)
        assert sorted(lengths) == sorted([length] * whole + [rest] * (rest > 0))
        starts.update(edges[::2].tolist())
    if length == 3:
        assert len(starts) > 30  # anywhere
    alike = masking.spans_of(
        of_places[:, 1:], of_places, tf.ones([rows, size], tf.bool), rate, 1, 9
    )
    if length == 1:
        np.testing.assert_array_equal(selected, alike)


@pytest.mark.slow
def test_a_run_with_errors_and_runs_is_a_function_of_its_seed(data_dir, tmp_path):
    """Half of it, and the rest by another process, equal the whole."""
    own = dataclasses.replace(
        small_config(data_dir, "a", epochs=1, mem_len=4),
        objective="masked_lm",
        objective_settings=MaskedLMSettings(typos=0.2, mask_scheme="run", run_length=4),
    )
    whole = trainer(tmp_path / "whole", own, data_dir, record_every=5)
    whole.run(until=10)
    trainer(tmp_path / "half", own, data_dir, record_every=5).run(until=5)
    again = trainer(tmp_path / "half", own, data_dir, record_every=5)
    again.run(until=10)
    for mine, theirs in zip(whole.learner.weights, again.learner.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)
    clean = dataclasses.replace(own, objective_settings=MaskedLMSettings(mask_scheme="run"))
    assert clean.default_name() != own.default_name()
    assert "objective.typos" not in clean.identity() and own.identity()["objective.typos"] == 0.2
    assert Learner(clean).parameters == whole.learner.parameters


def test_pieces_that_are_no_characters_are_refused_in_words(call, tmp_path):
    data_dir = tiny_data(tmp_path)
    with pytest.raises(UsageError, match=r"--typos=0\.2 is for characters"):
        made = Typos(0.2, 283)
        made.read_data(data_dir)
    Typos(0.0, 283).read_data(data_dir)
    command = ("train", f"--data={data_dir}", "--cutoffs=none", "--objective=masked_lm")
    refused = call(*command, "--typos=0.1", f"--run={tmp_path / 'run'}")
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "has a unigram model: build it with --model_type=char" in refused.err
    refused = call(*command, "--typos=1.5", f"--run={tmp_path / 'run'}")
    assert refused.code == 1 and "typos must be at most 1.0" in refused.err
    assert not (tmp_path / "run").exists()


def test_an_unknown_character_is_its_bytes_and_without_bytes_unk_but_never_padding(tokenizer):
    (ids,) = tokenizer.encode(["a€t"])
    assert PAD not in ids and UNK not in ids
    assert tokenizer.pieces(ids) == ["a", "<0xE2>", "<0x82>", "<0xAC>", "t", "[EOS]"]
    assert tokenizer.decode(ids) == "a€t\n"
    from par.data import sentencepiece_proto

    proto = sentencepiece_proto.ModelProto.FromString(tokenizer.model)
    kept = [piece for piece in proto.pieces if piece.type != piece.BYTE]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    proto.trainer_spec.byte_fallback = False
    without = Tokenizer(proto.SerializeToString())
    (ids,) = without.encode(["a€t"])
    assert ids.tolist()[1] == UNK and PAD not in ids and len(ids) == 4
