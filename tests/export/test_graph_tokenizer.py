"""The tokenizer inside a graph gives the ids and the texts of par.data.tokenizer, on whole corpora
and on what no corpus holds."""

from __future__ import annotations

import functools
import random
import re
from pydoc_data.topics import topics

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from par.data import named_corpora, sentencepiece_proto, tokenizer
from par.data.corpus import Text
from par.data.encoding import encode_block
from par.data.tokenizer import EOS, MASK, UNK, Tokenizer
from par.export.graph_tokenizer import GraphMaskedText, GraphTokenizer, with_cuts_of
from par.objectives.masked_text import MaskedText

ALPHABET = "ab  \t\v\f\u00a0\u3000\u2581é你😀\x1c\x85.,=_-\n\r\n\ufeffﬁ中\0A"
KINDS = {"unigram": 700, "bpe": 700, "word": 0, "char": 0, "lower-cased": 700}


@functools.cache
def reference() -> str:
    """100,000 characters of Python's language reference, which every CPython carries. Runs of
    spaces are one: pieces of several would have many equally likely cuts."""
    return re.sub(" +", " ", "\n".join(topics[name] for name in sorted(topics)))[:100_000]


@functools.cache
def made(kind: str) -> tuple[Tokenizer, GraphTokenizer]:
    """A tokenizer of the reference, and the same as a graph."""
    settings = (
        {"model_type": "unigram", "lowercase": True}
        if kind == "lower-cased"
        else {"model_type": kind}
    )
    model = Tokenizer(
        tokenizer.train(reference().split("\n"), vocab_size=KINDS[kind], threads=1, **settings)
    )
    return model, GraphTokenizer(model)


@functools.cache
def corpus_of(name: str) -> bytes:
    """The test split of python-docs, noise of odd characters, of broken UTF-8 and of what
    is or becomes a space, or a line of 75,000 characters."""
    rng = random.Random(0)
    if name == "python-docs":
        return "".join(named_corpora.python_docs().texts["test"].blocks()).encode()
    if name == "noise":
        return "".join(rng.choice(ALPHABET) for _ in range(20_000)).encode()
    if name == "broken":
        return bytes(
            rng.choice(b"a \n\xe2\x96\x81\xf0\x9f\x98\x80\xff\xed\xa0\x00\xc0")
            for _ in range(5_000)
        )
    if name == "spaces":  # without a line end; runs too short for two equally likely cuts
        words = "\u00e9\u00a0  x", " \u3000x", "\u2581 x", "x \u00a0\u00e9", "  x"
        return "".join(rng.choice(words) for _ in range(300)).encode()
    return ("word " * 13_000 + "x" * 10_000 + "\n\n").encode()


@pytest.mark.quick(4)
@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("python-docs", "long")),
        *("noise", "broken", "spaces"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_ids_words_and_text_are_those_of_the_library(kind, name):
    (model, graph), data = made(kind), corpus_of(name)
    blocks = [encode_block(model, block, False) for block in Text.of(data).raw_blocks()]
    expected = np.concatenate([block.ids for block in blocks])
    cleaned = graph.clean(data if data.endswith(b"\n") else data + b"\n")
    np.testing.assert_array_equal(graph.encode(cleaned), expected)
    assert graph.words(cleaned).numpy() == sum(block.sizes[1] for block in blocks)
    assert graph.decode(tf.constant(expected)).numpy().decode() == model.decode(expected)


@pytest.mark.quick(3)
@pytest.mark.parametrize("kind", KINDS)
def test_masked_texts_have_the_ids_of_the_library(kind):
    model, graph = made(kind)
    own, masked = MaskedText(model), GraphMaskedText(model, graph)
    encode = tf.function(
        masked.encode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False
    )
    rng = random.Random(2)
    parts = (
        "[MASK]",
        " [MASK]",
        "[MASK] ",
        " ",
        "the",
        " list",
        "\n",
        "é你",
        "x.",
        "  ",
        "[mask]",
    )
    texts = ["".join(rng.choice(parts) for _ in range(rng.randrange(12))) for _ in range(60)]
    for text in ("", "[MASK]", "the [MASK]\n\n[MASK] list", *texts):
        whole = text if text.endswith("\n") or not text else f"{text}\n"
        expected = own.encode(whole)
        np.testing.assert_array_equal(encode(whole), expected, err_msg=repr(text))
        assert (expected == MASK).sum() == text.count("[MASK]")


@pytest.mark.parametrize("kind", KINDS)
def test_any_ids_decode_as_in_the_library(kind):
    model, graph = made(kind)
    rng, decode = (
        np.random.default_rng(0),
        tf.function(
            graph.decode, input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False
        ),
    )
    for size in (0, 1, 2, *rng.integers(1, 14, 200)):
        ids = np.where(
            rng.random(size) < 0.2,
            EOS,
            rng.integers(0, model.vocab_size if size % 2 else 300, size),
        ).astype(np.int32)
        assert decode(ids).numpy().decode() == model.decode(ids), model.pieces(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_line_has_the_ids_of_a_finished_one_but_its_end(kind):
    model, graph = made(kind)
    spaces = ("\u00e9\u00a0  x", " \u3000x", "a \u2581 x", "a\nx \u00a0\u00e9")
    for text in ("", "a", "a\n", "a\n\n b", "\n", *spaces):
        found = graph.encode(tf.constant(text)).numpy().tolist()
        assert found == (model.encode_block(text).tolist() if text else [])
        assert [*found, EOS] == model.encode_block(text + "\n").tolist()


def test_tensorflow_text_alone_would_break_ties_otherwise():
    model, _ = made("unigram")
    lines = reference().split("\n")
    alone = (
        tf_text.SentencepieceTokenizer(model.model, out_type=tf.int32).tokenize(lines).to_list()
    )
    differing = [
        ids != expected[:-1].tolist()
        for ids, expected in zip(alone, model.encode(lines), strict=True)
    ]
    assert 0 < sum(differing) < 0.05 * len(lines)


def test_white_space_that_is_a_piece_stays_one():
    text = "\tdef f(x):\n\t\treturn x\v\f\r.\n" * 200
    model = Tokenizer(
        tokenizer.train(text.split("\n"), vocab_size=283, model_type="unigram", threads=1)
    )
    assert any(
        "\t" in piece.piece
        for piece in sentencepiece_proto.ModelProto.FromString(model.model).pieces
    )
    np.testing.assert_array_equal(
        GraphTokenizer(model).encode(tf.constant(text)), model.encode_block(text)
    )


def test_each_unknown_run_is_filled_with_its_own_bytes():
    unknown = np.array([token == UNK or 10 <= token < 20 for token in range(30)])
    slow = tf.constant([20, 10, 11, 12, 21, 3, 13, 3, 22])
    fast = tf.constant([20, UNK, 22, 3, UNK, 3, 22])
    assert with_cuts_of(fast, slow, unknown).numpy().tolist() == [20, 10, 11, 12, 22, 3, 13, 3, 22]
    assert with_cuts_of(fast[:4], slow, unknown).numpy().tolist() == slow.numpy().tolist()
    assert with_cuts_of(fast[:0], slow[:0], unknown).numpy().tolist() == []
