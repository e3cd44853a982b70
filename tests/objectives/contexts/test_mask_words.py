"""Words among the tokens of a text, against a search in the text itself."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from built import tiny_data
from par.core.errors import SettingError
from par.data import records
from par.data.tokenizer import EOS, PAD, Tokenizer
from par.objectives.contexts.mask_words import MaskWords


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("words"))


def test_a_word_s_tokens_are_found_wherever_it_stands_and_no_longer_word_s(data_dir):
    tokenizer = Tokenizer.load(data_dir / "tokenizer.model")
    stream = records.read_stream(data_dir, records.load(data_dir), "train")
    text = tokenizer.decode(stream.tolist())
    words = sorted(set(re.findall(r"[a-z]+", text)), key=lambda word: (len(word), word))
    chosen = [words[0], words[len(words) // 2], words[-1]]
    found = MaskWords(tokenizer, chosen)
    assert len({len(ids) for ids in found.spelled}) > 1  # one piece, and several
    for word in chosen:
        alone = MaskWords(tokenizer, [word])
        (ids,) = alone.spelled
        lines = [line for line in text.splitlines() if re.search(rf"\b{word}\b", line)][:20]
        for line in [*lines, f"{word}zz", f"a {word}", word]:
            tokens = tokenizer.encode_block(f"{line}\n")
            marked = alone.occur(tf.constant(np.pad(tokens, [0, 3])[None])).numpy()[0]
            expected = len(re.findall(rf"(?<!\S){word}(?![A-Za-z0-9])", line))
            assert marked.sum() == expected * len(ids), (word, line)
            assert tokens[marked[: len(tokens)]].tolist() == [*ids] * expected
            assert not marked[len(tokens) - 1 :].any()  # [EOS], padding


def test_words_that_can_t_be_spelled_are_left_out_and_refused_if_all_are(data_dir):
    tokenizer = Tokenizer.load(data_dir / "tokenizer.model")
    with pytest.raises(SettingError, match="can spell none of mask_words, such as ''"):
        MaskWords(tokenizer, [""])
    assert not MaskWords(tokenizer, ["zq"]).occur(tf.constant([[EOS, PAD]])).numpy().any()
