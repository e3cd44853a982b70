"""The page's tokenizer gives SentencePiece's ids and texts, whatever the kind of model."""

from __future__ import annotations

import math

import numpy as np
import pytest

import node
from par.data import sentencepiece_proto
from par.data import tokenizer as tokenizers
from par.data.tokenizer import EOS, Tokenizer

ODD = (
    "",
    " ",
    "  two  spaces ",
    "\ta tab\t",
    "\u00e9\u0301 \ufb01 \u0130 \u1e9e \u2167 \uff41 \u03a3\u03c2",
    "\u2581x \u2581",
    "\u2581zqzq\u2581qzqz",
    "the tthe thethe sting ing.",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "<unk><unk> a<unk>b <un",
    "[MASK] [EOS] <0x41> </s>",
    "a" * 300,
    "\u00a0no-break\u3000wide\u2003em",
    "\ud7ff\ue000\ufffd",
    "\ud55c\uad6d\uc5b4 \uac00 \u4e2d\u6587",
    "\x1c\x1d a\x85b \u2028",
)
KINDS = {
    "unigram": {"model_type": "unigram", "vocab_size": 1_000, "symbols": ("<unk>",)},
    "frequent_symbols": {
        "model_type": "unigram",
        "vocab_size": 900,
        "symbols": ("the", "ing", "re", "e"),
    },
    "bpe": {"model_type": "bpe", "vocab_size": 1_000, "symbols": ("<unk>", "<un")},
    "lowercase": {"model_type": "unigram", "vocab_size": 800, "lowercase": True},
    "lowercase_bpe": {"model_type": "bpe", "vocab_size": 800, "lowercase": True},
    "char": {"model_type": "char", "vocab_size": 0, "symbols": ("<unk>",)},
    "word": {"model_type": "word", "vocab_size": 2_000},
    "lowercase_word": {"model_type": "word", "vocab_size": 2_000, "lowercase": True},
}


def language_reference() -> list[str]:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics)).split("\n")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return language_reference()


@pytest.fixture(scope="module")
def model_of(lines):
    made: dict[str, Tokenizer] = {}

    def of(kind: str) -> Tokenizer:
        if kind not in made:
            made[kind] = Tokenizer(tokenizers.train(lines[:3000], **KINDS[kind]))
        return made[kind]

    return of


def check(tokenizer: Tokenizer, texts: list[str], most_ties: int = 0) -> None:
    """Fails unless the ids are SentencePiece's. most_ties: lines that may be cut otherwise, if
    that is as likely: runs of spaces, which it cuts by the last digit of the sum up to there."""
    job = {"encode": [f"{text}\n" for text in texts]} | node.tokenizer(tokenizer.model)
    found = node.answer(job)
    scores = [
        piece.score for piece in sentencepiece_proto.ModelProto.FromString(tokenizer.model).pieces
    ]
    ties = 0
    for text, ids in zip(texts, found, strict=True):
        own = tokenizer.encode([text])[0].tolist()
        if ids != own:
            assert "  " in text and tokenizer.decode(ids) == tokenizer.decode(own), text
            likelihoods = [math.fsum(scores[each] for each in line) for line in (ids, own)]
            assert likelihoods[0] == pytest.approx(likelihoods[1], rel=1e-6), text
            ties += 1
    assert ties <= most_ties


@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_of_odd_lines_are_those_of_sentencepiece(model_of, lines, kind):
    check(model_of(kind), [*ODD, *lines[3000:3600]])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_of_every_line_of_the_language_reference_are(model_of, lines, kind):
    check(model_of(kind), lines, most_ties=50 if kind == "frequent_symbols" else 0)


@pytest.mark.parametrize("kind", ["unigram", "char", "word"])
def test_the_text_of_ids_is_that_of_sentencepiece_also_token_by_token(model_of, kind):
    tokenizer, rng = model_of(kind), np.random.default_rng(0)
    texts = [tokenizer.encode([line])[0].tolist() for line in ODD]
    texts.append(np.concatenate([tokenizer.encode([line])[0] for line in ODD]).tolist())
    texts += [[*rng.integers(0, tokenizer.vocab_size, 40).tolist(), EOS] for _ in range(50)]
    found = node.answer({"decode": texts} | node.tokenizer(tokenizer.model))
    for ids, (whole, streamed) in zip(texts, found, strict=True):
        assert whole == tokenizer.decode(ids)
        # of special ids the stream knows no more than the text
        if not {*ids} & {0, 1, 2, 4, 5, 6, 7}:
            assert streamed == whole


def test_a_text_is_cleaned_as_a_corpus_is_and_a_prompt_s_last_line_goes_on(model_of):
    tokenizer = model_of("unigram")
    texts = ["\ufeffa line\r\nanother\0", "one", "", "\n\n"]
    found = node.answer({"encode": texts} | node.tokenizer(tokenizer.model))
    lines = [["a line", "another\ufffd"], ["one"], [], ["", ""]]
    for ids, expected in zip(found, lines, strict=True):
        assert ids == [token for line in expected for token in tokenizer.encode([line])[0]]
