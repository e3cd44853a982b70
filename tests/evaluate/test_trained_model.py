"""A trained run as a library and by tools/generate.py: texts scored, gone on with, embedded; and
how both refuse."""

from __future__ import annotations

import importlib
import io
import itertools
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import documented
import par
from built import tiny_data, tiny_text
from par.core.errors import DataError, ResourceError, UsageError
from par.data import manifest, sentencepiece_proto
from par.data.tokenizer import EOS, Tokenizer
from par.evaluate import eval_config, trained_model
from par.evaluate.generation import Decoder
from par.evaluate.trained_model import Model
from par.nn.forward_mode import EVALUATION
from par.train.learner import Learner
from project import Finished
from small import small_config, trainer
from synthetic import word_tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """A network that was trained on a tiny text: its run, its data, and the valid split's text;
    not to be changed."""
    root = tmp_path_factory.mktemp("model")
    tiny_data(root)
    config = small_config(root / "data", "ad", epochs=1, seq_len=8)
    config.save(root / "run", root / "data")
    trainer(root / "run", config, root / "data").run()
    return SimpleNamespace(
        run=root / "run", data=root / "data", text=(root / "valid.txt").read_text()
    )


@pytest.fixture(scope="module")
def model(made) -> Model:
    return par.load(made.run)


@pytest.fixture
def generate(made, capsys):
    def run(*flags: object) -> Finished:
        code = importlib.import_module("par.tools.generate").main(
            [f"--run={made.run}", "--length=12", *map(str, flags)]
        )
        return Finished(code, *capsys.readouterr())

    return run


def test_a_text_scores_what_the_naive_sum_over_one_window_says(model):
    ids = [EOS, *model.encode("the cat sees the dog .\nthe crow")]
    hidden, _ = model.trunk(
        tf.constant([ids[:-1]]),
        model.trunk.empty_memories(1),
        phase=EVALUATION,
        visibility="causal",
    )
    log_prob = model.learner.objective.head.log_prob(hidden[0]).numpy()
    expected = -log_prob[np.arange(len(ids) - 1), ids[1:]].sum()
    assert ids[-1] == EOS and len(ids) > 8
    for sizes in ({"seq_len": len(ids)}, {"mem_len": len(ids)}, {"seq_len": 3, "mem_len": 50}):
        scores = model.score("the cat sees the dog .\nthe crow", **sizes)
        np.testing.assert_allclose(scores["nll"], expected, rtol=1e-5)
        assert scores["tokens"] == len(ids) - 1 and scores["words"] == 10
        np.testing.assert_allclose(scores["perplexity_per_word"], np.exp(expected / 10), rtol=1e-4)


def test_a_text_has_the_tokens_words_and_bytes_of_the_split_that_it_is(model, made):
    scores, split = model.score(made.text), manifest.load(made.data).splits["valid"]
    assert (scores["tokens"], scores["words"]) == (split.tokens, split.words)
    np.testing.assert_allclose(scores["bits_per_byte"], scores["nll"] / np.log(2) / split.bytes)
    assert scores["perplexity_per_token"] < 40  # of 283 pieces


def test_what_is_embedded_is_the_hidden_state_after_each_token(model):
    text = "the cat sees the dog .\nthe crow hears"
    ids, found = model.encode(text), model.embed(text)
    memories, expected = model.trunk.empty_memories(1), []
    for start in range(0, len(ids), 8):
        hidden, memories = model.trunk(
            tf.constant([ids[start : start + 8]]), memories, visibility="causal"
        )
        expected.append(hidden[0])
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    assert found.shape == (len(ids), 16) and len(ids) % 8 and model.embed("").shape == (0, 16)


PROMPTS = ["the cat", "the cat\nthe", "the cat\n", "", "\n\n\u4e2d\nx", "the cat " * 20 + "\u2581"]


@pytest.mark.quick(4)
@pytest.mark.parametrize(
    "prompt", [*PROMPTS, "the " * 40 + "\u4e2d" * 20, "the \0\0\0", "\0" * 50], ids=ascii
)
def test_a_stream_is_the_text_that_generate_gives_piece_by_piece(model, prompt):
    pieces = list(model.stream(prompt, length=30, seed=2))
    (text,) = model.generate(prompt, length=30, seed=2)
    assert "".join(pieces) == text
    assert pieces[0] == model.tokenizer.decode(model._prompt_ids(prompt))  # all at once
    assert len(pieces) > 30


def test_a_prompt_is_cleaned_as_a_corpus_is(model, generate, tmp_path):
    expected = model.generate("the cat\nthe", length=12)[0]
    assert model.generate("\ufeffthe cat\r\nthe", length=12)[0] == expected
    (tmp_path / "crlf.txt").write_bytes(b"\xef\xbb\xbfthe cat\r\nthe\r\n")
    assert generate(f"--prompt_file={tmp_path / 'crlf.txt'}").out == expected + "\n"


def test_more_memory_than_a_text_can_fill_changes_nothing(model):
    few, many = ({"mem_len": m} for m in (60, 1 << 20))
    assert model.generate("the cat", length=20, **few) == model.generate(
        "the cat", length=20, **many
    )
    for text in ("the cat", tiny_text(5)):
        np.testing.assert_allclose(
            model.token_scores(text, seq_len=1 << 20, **many).nll,
            model.token_scores(text, seq_len=200, mem_len=0).nll,
            rtol=1e-4,
            atol=1e-5,
        )
    heads = [model.attention(tiny_text(3), 1, 8, m).probability for m in (100, 1 << 20)]
    np.testing.assert_allclose(*heads, rtol=1e-4, atol=1e-6)


def test_a_memory_that_no_machine_has_is_refused_in_python_as_on_the_command_line(
    model, generate, monkeypatch
):
    monkeypatch.setattr(eval_config, "memory_bytes", lambda: 10_000)
    for call in (
        lambda: model.score(tiny_text(20), mem_len=200),
        lambda: model.attention(tiny_text(20), 1, mem_len=200),
        lambda: model.generate("the", num_samples=100),
        lambda: model.generate(tiny_text(20), mem_len=200),
    ):
        with pytest.raises(ResourceError, match=r"need at least .* lower"):
            call()
    done = generate("--mem_len=1048576", "--num_samples=100")
    assert done.code == 6 and "--num_samples or --mem_len" in done.err


def test_a_directory_of_several_seeds_is_refused_with_those_that_there_are(made, tmp_path):
    for seed in (3, 11):
        (tmp_path / f"seed{seed}").mkdir()
        (tmp_path / f"seed{seed}" / "config.json").write_bytes(
            (made.run / "config.json").read_bytes()
        )
    with pytest.raises(UsageError) as raised:
        par.load(tmp_path)
    told = str(raised.value)
    assert "2 seeds" in told and "seed3" in told and "seed11" in told and "\n" not in told


def test_a_prompt_ends_with_no_space_as_a_piece_begins_with_its_own(model):
    assert model.generate("the cat ", length=9) == model.generate("the cat", length=9)


def test_a_model_without_the_run_s_tokenizer_is_refused_with_both_hashes(made, tmp_path):
    other = tmp_path / "data"
    other.mkdir()
    for path in made.data.iterdir():
        (other / path.name).symlink_to(path)
    (other / "tokenizer.model").unlink()
    with pytest.raises(DataError, match=r"tokenizer .* does not exist"):
        par.load(made.run, data=other)
    (other / "tokenizer.model").write_bytes(word_tokenizer(283).model)
    with pytest.raises(
        DataError, match=r"has SHA-256 [0-9a-f]{64}, but run .* was trained with [0-9a-f]{64}"
    ):
        par.load(made.run, data=other)


@pytest.mark.parametrize(
    "text",
    ["the cat sees the dog .\nthe crow", "", "\n", "the 😀 cat <b>&", "cat " * 50, "  the\tcat  "],
)
def test_the_tokens_of_a_text_add_up_to_its_score_and_to_itself(model, text):
    for sizes in ({}, {"seq_len": 3, "mem_len": 2}):
        pieces, texts, nll = model.token_scores(text, **sizes)
        assert pieces == model.tokenizer.pieces(model.encode(text)) and len(pieces) == len(
            texts
        ) == len(nll)
        assert "".join(texts) == (text if text.endswith("\n") or not text else f"{text}\n")
        assert not text or nll.sum() == pytest.approx(model.score(text, **sizes)["nll"])


def test_the_nll_of_a_token_hangs_on_what_stands_before_it_and_not_on_what_follows(model):
    texts = ("the cat sees the dog .", "the cat sees the crow .")
    one, other = map(model.token_scores, texts)
    differs = next(i for i, (a, b) in enumerate(zip(*map(model.encode, texts))) if a != b)
    np.testing.assert_allclose(one.nll[:differs], other.nll[:differs], rtol=1e-5)
    assert differs > 2 and abs(one.nll[differs] - other.nll[differs]) > 1e-3


def read_whole(model, ids, block, seq_len, mem_len):
    """Attention [H, T, S] of the last `seq_len` tokens, after all the others were read in windows
    that end where these begin."""
    memories, first = model.trunk.empty_memories(1, mem_len), len(ids) % seq_len
    for start, stop in itertools.pairwise(
        [*([0] if first else []), *range(first, len(ids) + 1, seq_len)]
    ):
        found, memories = model.trunk.attention(
            tf.constant([ids[start:stop]]), memories, block - 1, visibility="causal"
        )
    return found[0].numpy()


@pytest.mark.parametrize(
    ("words", "seq_len", "mem_len"),
    [(1, 8, 5), (2, 8, 5), (9, 8, 5), (9, 5, 9), (4, 1, 4), (6, 8, 0)],
)
def test_attention_is_that_of_the_last_window_with_all_before_it_read(
    model, words, seq_len, mem_len
):
    text = " ".join(
        itertools.islice(
            itertools.cycle(
                ["the", "cat", "sees", "a", "dog", ".", "the", "crow", "hears", "no", "cat"]
            ),
            words,
        )
    )
    ids = model.encode(text)
    probability, keys = model.attention(text, 1, seq_len, mem_len)
    asking = min(len(ids), seq_len)
    there = asking + min(len(ids) - asking, mem_len)
    assert probability.shape == (2, asking, there) and keys == model.tokenizer.pieces(ids[-there:])
    np.testing.assert_allclose(
        probability, read_whole(model, ids, 1, asking, mem_len)[:, :, -there:], atol=1e-6
    )
    np.testing.assert_allclose(probability.sum(axis=-1), 1, rtol=1e-5)
    assert (np.triu(probability[0], there - asking + 1) == 0).all() and (
        np.tril(probability[0], there - asking) > 0
    ).sum() == np.tril(np.ones([asking, there]), there - asking).sum()


@pytest.mark.quick(1)
@pytest.mark.parametrize(("times", "seq_len", "mem_len"), [(1, 5, 4), (4, 2, 9), (4, 5, 4)])
def test_deep_blocks_lose_nothing_of_what_reaches_them(made, times, seq_len, mem_len):
    config = small_config(made.data, "asa", epochs=1, seq_len=8)
    model = Model(config, Learner(config), Tokenizer.load(made.data / "tokenizer.model"))
    for weight in model.learner.weights:
        # so that every output depends on every input
        weight.assign(np.random.default_rng(np.prod(weight.shape)).normal(0, 0.5, weight.shape))
    text = "the cat sees the dog . " * times
    found = model.attention(text, 3, seq_len, mem_len)
    np.testing.assert_allclose(
        found.probability,
        read_whole(model, model.encode(text), 3, seq_len, mem_len)[:, :, -len(found.keys) :],
        atol=1e-6,
    )


def test_attention_of_a_block_that_has_none_is_refused_with_those_that_have(model):
    for wrong in (0, 2, 3, -1, "1", 1.0, True):
        with pytest.raises(UsageError, match=r"block must be one with attention, 1 .*, but is"):
            model.attention("the cat", wrong)
    with pytest.raises(UsageError, match="seq_len must be"):
        model.attention("the cat", 1, seq_len=0)
    with pytest.raises(DataError, match="the text is empty"):
        model.attention("", 1)


def test_the_nearest_pieces_are_those_with_the_largest_cosines(model):
    table = model.trunk.embedding.numpy().astype(np.float64)
    row = model.tokenizer.id_of("he")
    cosine = table @ table[row] / np.linalg.norm(table, axis=1) / np.linalg.norm(table[row])
    best = [i for i in np.argsort(-cosine) if i >= 8 and i != row]
    found = model.nearest("he", k=4)
    assert [piece for piece, _ in found] == model.tokenizer.pieces(best[:4])
    np.testing.assert_allclose([value for _, value in found], cosine[best[:4]], rtol=1e-5)
    assert [piece for piece, _ in model.nearest("he", k=1000)] == model.tokenizer.pieces(best)


def test_a_word_that_is_one_piece_is_found_as_it_is_typed_and_what_is_none_has_no_neighbours(
    made, model
):
    of_words = Model(model.config, model.learner, word_tokenizer(283))
    piece = of_words.tokenizer.pieces([20])[0]
    assert piece.startswith("▁") and of_words.nearest(piece[1:], k=3) == of_words.nearest(
        piece, k=3
    ) != of_words.nearest("[EOS]", k=3)
    with pytest.raises(
        UsageError, match=r"piece must be one of the vocabulary, but 'unheard' is read as \[UNK\]"
    ):
        of_words.nearest("unheard")
    with pytest.raises(UsageError, match="but 'cat' is read as ▁ c a t"):
        model.nearest("cat")
    with pytest.raises(UsageError, match="but '' is read as nothing"):
        model.nearest("")
    with pytest.raises(UsageError, match=r" c a t ▁ c a t .* \.\.\.$") as refused:
        model.nearest("cat " * 5000)
    assert len(str(refused.value)) < 300  # one line that can be read
    for wrong in (0, -1, 1.5, None):
        with pytest.raises(UsageError, match="k must be an integer of at least 1"):
            model.nearest("he", k=wrong)


def test_a_piece_that_is_a_word_for_a_reader_has_neighbours_by_its_id(model):
    proto = sentencepiece_proto.ModelProto.FromString(word_tokenizer(283).model)
    proto.pieces[30].piece = "w20"  # as the end of a word; ▁w20 is piece 20
    of_both = Model(
        model.config, model.learner, Tokenizer(proto.SerializeToString(deterministic=True))
    )
    assert (
        of_both.nearest("w20", k=3)
        == of_both.nearest("▁w20", k=3)
        == of_both.nearest(20, k=3)
        != of_both.nearest(30, k=3)
    )
    assert [of_both.nearest(number, k=275)[-1] for number in (20, 30)] and "w20" not in dict(
        of_both.nearest(30, k=275)
    )
    for wrong in (-1, 283):
        with pytest.raises(
            UsageError,
            match=f"piece must be one of the vocabulary, as an id from 0 to 282, but is {wrong}",
        ):
            model.nearest(wrong)


def test_pi_of_a_fixed_network_is_one_hot(model):
    np.testing.assert_array_equal(model.pi, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (["the", "cat"], "a text must be a str, but is list"),
        (None, "but is NoneType"),
        ("the \ud83d cat", "half of one at position 4: "),
    ],
)
def test_what_is_no_text_is_refused(model, text, told):
    for call in (model.score, model.encode, model.generate, model.token_scores):
        with pytest.raises(UsageError, match=told):
            call(text)


def test_nothing_to_score_is_refused(model):
    with pytest.raises(DataError, match="empty"):
        model.score("")


def test_a_text_is_written_with_as_much_memory_as_training_showed_its_last_position(model):
    # T 8, M 5
    assert (
        model.decoder().empty_memories().hidden.shape[2]
        == model.config.trained_context
        == 8 + 5 - 1
    )


def test_generate_prints_the_same_text_for_a_seed_and_tells_its_speed(generate, model):
    first, again, other = (
        generate("--prompt=the cat"),
        generate("--prompt=the cat"),
        generate("--prompt=the cat", "--seed=1"),
    )
    assert first.code == 0 and first.out == again.out != other.out
    assert first.out == model.generate("the cat", length=12)[0] + "\n"
    assert "12 tokens in " in first.err and first.err.strip().endswith("tokens/s")


def test_the_speed_of_generate_is_that_of_writing_without_reading_the_prompt(
    generate, monkeypatch
):
    now = [0.0]
    read_prompt, write = Decoder.read_prompt, Decoder.write

    def slow_read(*args, **kept):
        now[0] += 1000
        return read_prompt(*args, **kept)

    def timed_write(self, prompt, config):
        for token in write(self, prompt, config):
            now[0] += 0.5
            yield token

    monkeypatch.setattr(Decoder, "read_prompt", slow_read)
    monkeypatch.setattr(Decoder, "write", timed_write)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert "12 tokens in 6.00 s: 2 tokens/s" in generate("--prompt=the cat").err
    assert now[0] < 2000  # read once


def test_generate_reads_a_prompt_from_a_file_or_standard_input(generate, tmp_path, monkeypatch):
    (tmp_path / "prompt.txt").write_text("the cat\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"the cat\n")))
    typed, from_file, piped = (
        generate("--prompt=the cat"),
        generate(f"--prompt_file={tmp_path / 'prompt.txt'}"),
        generate("--prompt_file=-"),
    )
    assert typed.out == from_file.out == piped.out
    (tmp_path / "utf16.txt").write_text("the cat\n", encoding="utf-16")
    assert generate(f"--prompt_file={tmp_path / 'utf16.txt'}").out == typed.out


def test_generate_gives_several_samples_and_json(generate, model):
    texts = model.generate("the", length=12, num_samples=3, top_k=5)
    shown = generate("--prompt=the", "--num_samples=3", "--top_k=5").out
    assert shown == "".join(f"--- {number} of 3\n{text}\n" for number, text in enumerate(texts, 1))
    facts = json.loads(generate("--prompt=the", "--num_samples=3", "--top_k=5", "--json").out)
    documented.check("generate --json", facts)
    assert (
        facts["texts"] == texts
        and facts["tokens_per_second"] > 0
        and facts["top_k"] == 5
        and facts["blocks"] == "ad"
    )


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--prompt=a", "--prompt_file=b"], 1, ["not both"]),
        (["--prompt_file=missing.txt"], 1, ["missing.txt", "No such file"]),
        (["--temperature=-1"], 1, ["temperature", "-1"]),
        (["--top_p=2"], 1, ["top_p", "2"]),
        (["--mem_len=-1"], 1, ["mem_len", "-1"]),
        (["--run=missing"], 3, ["missing", "config.json"]),
        (["--data=missing"], 3, ["missing", "manifest.json"]),
    ],
    ids=str,
)
def test_generate_refuses_in_one_line(generate, flags, code, words):
    done = generate(*flags)
    assert (done.code, done.out) == (code, "") and len(done.err.splitlines()) == 1
    assert all(word in done.err for word in words), done.err


def test_a_prompt_that_is_no_text_is_refused_with_its_place(generate, tmp_path):
    (tmp_path / "prompt.txt").write_bytes(b"the \xff cat")
    done = generate(f"--prompt_file={tmp_path / 'prompt.txt'}")
    assert done.code == 3 and "byte 4 is 0xff" in done.err
    (tmp_path / "prompt.txt").write_bytes(b"a" * (1 << 20) + b"a")
    assert generate(f"--prompt_file={tmp_path / 'prompt.txt'}").code == 1


def test_settings_that_do_not_exist_are_refused(model):
    with pytest.raises(UsageError, match="top_k"):
        model.generate("the", top_k=-1)
    with pytest.raises(TypeError):
        model.generate("the", warmth=3)


def test_lengths_and_choices_that_are_none_are_refused_in_python_as_on_the_command_line(
    model, made
):
    for wrong in ({"seq_len": 0}, {"seq_len": -1}, {"mem_len": -1}, {"mem_len": 1.5}):
        with pytest.raises(UsageError, match=f"{next(iter(wrong))} must be"):
            model.score("the", **wrong)
    with pytest.raises(UsageError, match="mem_len must be at least 0, but is -1"):
        model.generate("the", mem_len=-1)
    for wrong in ({"checkpoint": "first"}, {"evaluate_as": "hard"}):
        with pytest.raises(UsageError, match=f"{next(iter(wrong))} must be one of"):
            par.load(made.run, **wrong)


@pytest.mark.parametrize("vocab_size", [0, -1, 1.5, None])
def test_a_network_without_a_vocabulary_is_refused(vocab_size):
    with pytest.raises(UsageError, match="vocab_size must be an integer from 1"):
        par.network("ad", vocab_size)


def test_a_setting_that_no_network_has_is_refused():
    with pytest.raises(UsageError, match=r"unknown setting 'heads'; .*d_model"):
        par.network("ad", vocab_size=100, heads=4)


VECTORS = np.array([[0, 0], [5, 0], [3, 4], [0, 2], [-1, 0], [6, 8]], np.float32)


def test_cosines_are_those_of_the_angles_whatever_the_lengths():
    np.testing.assert_allclose(trained_model.cosines(VECTORS, 1), [0, 1, 0.6, 0, -1, 0.6])
    np.testing.assert_array_equal(trained_model.cosines(VECTORS, 0), np.zeros(6))


def test_the_nearest_come_first_equal_ones_in_their_order_and_never_the_row_itself():
    assert [row for row, _ in trained_model.nearest_rows(VECTORS, 1, 9)] == [2, 5, 0, 3, 4]
    assert trained_model.nearest_rows(VECTORS, 2, 1) == [(5, pytest.approx(1.0))]
    assert [row for row, _ in trained_model.nearest_rows(VECTORS, 1, 2, first=3)] == [5, 3]
