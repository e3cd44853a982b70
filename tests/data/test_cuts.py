"""One cutting of lines for all: the ids of a text do not depend on the end of its last line, on
blocks, on shards, or on whether the line is cut at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from built import sentences
from par.data import corpus, tokenizer
from par.data.corpus import Text
from par.data.encoding import encode_block
from par.data.shards import shards
from par.data.tokenizer import EOS, Tokenizer

# what normalisation makes a space of, or nothing, and what is a space of SentencePiece
AWKWARD = " \u00a0\u3000\u2009\u2581\u200b\u00ad\ufe0f\u0301\u037a\x85\t"
KINDS = [
    (model_type, lowercase)
    for model_type in ("unigram", "bpe", "word", "char")
    for lowercase in (False, True)
]


@pytest.fixture(scope="module")
def models() -> dict[tuple[str, bool], Tokenizer]:
    lines = [*sentences(101), "a  x \u00e9   x\u00a0 \u00a0\u2581 \u3000 x", "  e  \u00e9 e"]
    return {
        (model_type, lowercase): Tokenizer(
            tokenizer.train(
                lines,
                vocab_size=0 if model_type in ("word", "char") else 330,
                model_type=model_type,
                lowercase=lowercase,
            )
        )
        for model_type, lowercase in KINDS
    }


def ids_of(model: Tokenizer, *texts: Text) -> list[int]:
    """The ids of texts, block by block, one after the other."""
    parts = [np.zeros([0], np.int32)]
    for text in texts:
        continues = False
        for block in text.raw_blocks():
            parts.append(encode_block(model, block, continues).ids)
            continues = not block.data.endswith(b"\n")
    return np.concatenate(parts).tolist()


def cuts_of(raw: bytes) -> Iterator[tuple[str, str]]:
    """The characters on both sides of the spaces where lines are cut."""
    parts, unfinished = [], set()
    for block in Text.of(raw).raw_blocks():
        texts, goes_on = corpus.pieces(block.clean(Counter()))
        unfinished |= {len(parts) + i for i in goes_on}
        parts += texts
    return ((parts[i][-1], parts[i + 1].lstrip(" ")[0]) for i in unfinished)


def whole_line(model: Tokenizer, line: str) -> list[int]:
    """The ids of a line that is never cut."""
    return [*model.encode([line])[0].tolist()]


LINES = st.lists(
    st.one_of(
        st.text(AWKWARD, max_size=3), st.sampled_from(["x", "\u00e9", "e\u0301", "Ab.", "\u4e2d"])
    ),
    max_size=12,
).map("".join)


@pytest.mark.quick(4)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
@given(lines=st.lists(LINES, min_size=1, max_size=3))
def test_a_last_line_without_an_end_is_encoded_as_one_with_an_end(models, kind, lines):
    model, text = models[kind], "\n".join(lines)
    with_end = ids_of(model, Text.of(f"{text}\n".encode()))
    assert with_end == [token for line in lines for token in whole_line(model, line)]
    assert ids_of(model, Text.of(text.encode())) == with_end[: None if lines[-1] else -1]
    assert model.encode_block(text).tolist() == with_end[:-1]  # as a prompt is


@pytest.mark.quick(4)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
@given(
    line=LINES.map(lambda text: f"a b{text}"),
    block_bytes=st.integers(1, 40),
    size=st.integers(1, 9),
)
def test_a_line_that_is_cut_beside_visible_characters_has_the_ids_of_the_whole(
    models, kind, line, block_bytes, size
):
    model = models[kind]
    text = "\n".join([line, "", line])
    whole = [token for part in (line, "", line) for token in whole_line(model, part)]
    raw = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "BLOCK_BYTES", block_bytes)
        patch.setattr(corpus, "PIECE_CHARACTERS", block_bytes)
        found, with_end = ids_of(model, Text.of(raw)), ids_of(model, Text.of(raw + b"\n"))
        apart = ids_of(model, *(Text((part,)) for part in shards(Text.of(raw), size)))
        cuts = list(cuts_of(raw))
    assert found == with_end == apart
    if all(corpus._is_visible(char) for cut in cuts for char in cut):
        assert found == whole


def test_the_end_of_a_line_does_not_decide_where_it_is_cut(monkeypatch):
    line = "ab\u00a0 c\u2581  d \u00e9  \u3000 e".encode()
    for block_bytes in range(1, len(line) + 3):
        monkeypatch.setattr(corpus, "BLOCK_BYTES", block_bytes)
        without, with_end = (
            [block.data for block in Text.of(text).raw_blocks()] for text in (line, line + b"\n")
        )
        assert b"".join(without) == line and with_end == [*without[:-1], without[-1] + b"\n"]


def test_the_line_of_the_fault_is_one_line(models):
    model = models["bpe", True]
    line = "\u00e9\u00a0  x"
    assert [block.data for block in Text.of(line.encode()).raw_blocks()] == [line.encode()]
    assert ids_of(model, Text.of(line.encode())) == whole_line(model, line)
    assert whole_line(model, line)[-1] == EOS
