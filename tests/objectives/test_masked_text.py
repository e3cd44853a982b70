"""Text with [MASK] in it: a masked word changes no other piece, whatever the model."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest

from built import sentences
from par.core.errors import UsageError
from par.data import tokenizer
from par.data.tokenizer import EOS, MASK, Tokenizer
from par.objectives.masked_text import MaskedText, check_masked

KINDS = {"unigram": 360, "bpe": 360, "char": 0, "word": 0}
SPACE = "▁"


@functools.cache
def model(kind: str) -> Tokenizer:
    lines = sentences(300)
    return Tokenizer(tokenizer.train(lines, vocab_size=KINDS[kind], model_type=kind, threads=1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_word_leaves_the_pieces_of_all_others(kind):
    own, rng = model(kind), random.Random(1)
    encode = MaskedText(own).encode
    for line in sentences(40, seed=3):
        words = line.split(" ")
        hidden = {place for place in range(len(words)) if rng.random() < 0.3}
        text = " ".join("[MASK]" if place in hidden else w for place, w in enumerate(words))
        expected = []
        for place, word in enumerate(words):
            # each word is encoded by itself, with the space before it
            ids = own.encode_block(word).tolist()
            # but for characters, of which a space is one
            between = [own.id_of(SPACE)] if kind == "char" and place else []
            expected += between + ([MASK] if place in hidden else ids)
        assert encode(f"{text}\n").tolist() == [*expected, EOS]


@pytest.mark.parametrize("kind", KINDS)
def test_text_without_a_mask_has_the_ids_that_it_always_has(kind):
    own = model(kind)
    encode = MaskedText(own).encode
    odd = "a\u00a0 b\t\n\n  two  spaces \n[mask] [MASK\n\u4e2d\U0001f600x\n" + "long " * 20_000
    for text in ("\n", "a\n", f"{odd}\n", "".join(f"{line}\n" for line in sentences(9))):
        np.testing.assert_array_equal(encode(text), own.encode_block(text))


def pieces(kind: str, text: str) -> list[str]:
    return model(kind).pieces(MaskedText(model(kind)).encode(text))


def test_what_goes_on_a_line_gets_no_space_and_the_one_before_a_mask_is_the_piece_s_own():
    own = model("unigram")
    ing = own.encode_block("the").tolist()
    assert SPACE not in "".join(pieces("unigram", "[MASK]the\n"))
    assert pieces("unigram", "the [MASK]\n") == [*own.pieces(ing), "[MASK]", "[EOS]"]
    assert pieces("unigram", "the[MASK]\n") == pieces("unigram", "the [MASK]\n")
    assert pieces("unigram", "[MASK] [MASK][MASK]\n\n[MASK]\n") == [
        *("[MASK]", "[MASK]", "[MASK]", "[EOS]"),
        *("[EOS]", "[MASK]", "[EOS]"),
    ]
    assert "".join(pieces("unigram", "e [MASK]  e\n")) == f"{SPACE}e[MASK]{SPACE}{SPACE}e[EOS]"


def test_characters_have_spaces_of_their_own():
    assert pieces("char", "[MASK]a [MASK] s\n") == [
        *("[MASK]", "a", SPACE, "[MASK]", SPACE, "s", "[EOS]")
    ]


def test_a_text_without_a_mask_is_refused_with_an_example():
    check_masked("a [MASK]")
    for text in ("", "a [mask]", "[MASK"):
        with pytest.raises(UsageError, match=r"has no \[MASK\]: write .* 'A \[MASK\] file'"):
            check_masked(text)
