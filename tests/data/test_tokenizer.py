"""SentencePiece models: any text comes back, ids are frequency ranks, what can't be trained or
taken is refused."""

from __future__ import annotations

import numpy as np
import pytest
import sentencepiece

from built import foreign
from par.core.errors import DataError, UsageError
from par.data import corpus, sentencepiece_proto, tokenizer
from par.data.tokenizer import BOS, EOS, MASK, PAD, SPECIAL_PIECES, UNK, Tokenizer
from synthetic import word_tokenizer

SIZES = {"unigram": 509, "bpe": 509, "char": 307, "word": 401}
LOSSLESS = ("unigram", "bpe", "char")
NASTY = [
    "",
    " ",
    "   ",
    "\t",
    "  two  spaces and   three ",
    "tab\tand\ttab ",
    " = Robert <unk> = ",
    "<unk><unk>",
    "[MASK] [PAD] </s> <s> <0x41>",
    "\ufb01ne \u00e9 e\u0301 \u212b \uff21",
    "\U0001f600\u200d\U0001f525 \u4e2d\u6587\u0e44\u0e17\u0e22",
    "\ufeffmark \ufffd \u2028 \x85 \x0c \x1c \r end",
    "\x01\x7f\u2585 \ue000 \U0010ffff",
    "x" * 4999,
    "The QUICK brown fox",
]


def words(number: int) -> str:
    """A word for a number, with some letters more frequent than others."""
    return "".join("etaoinshrdlu"[int(digit)] for digit in str(number * number))


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """401 lines of a made-up language in which few words are frequent."""
    draw = np.random.default_rng(7)
    return [
        " ".join(words(int(w)) for w in draw.zipf(1.4, size=draw.integers(1, 17)) % 997) + " ."
        for _ in range(400)
    ] + ["\u00df"]


@pytest.fixture(scope="module")
def trained(lines) -> dict[str, tuple[Tokenizer, Tokenizer]]:
    """Of each kind, a model as trained and the same in the order of its counts."""
    models = {}
    for kind, size in SIZES.items():
        raw = Tokenizer(
            tokenizer.train(lines, vocab_size=size, model_type=kind, symbols=("<unk>",))
        )
        counts = np.bincount(np.concatenate(raw.encode(lines)), minlength=raw.vocab_size)
        models[kind] = raw, Tokenizer(tokenizer.reorder(raw.model, tokenizer.order(counts)))
    return models


@pytest.mark.parametrize("kind", LOSSLESS)
def test_any_valid_utf8_comes_back_as_it_was(trained, kind):
    model = trained[kind][1]
    for line in NASTY:
        assert model.decode(model.encode([line])[0]) == line + "\n"
    assert model.decode(np.concatenate(model.encode(NASTY))) == "".join(
        line + "\n" for line in NASTY
    )


def test_u2581_alone_comes_back_as_a_space(trained):
    model = trained["unigram"][1]
    assert model.decode(model.encode(["a\u2581b"])[0]) == "a b\n"


@pytest.mark.parametrize("kind", SIZES)
def test_every_line_ends_with_eos_and_only_there(trained, kind):
    for ids in trained[kind][1].encode(NASTY):
        assert ids.dtype == np.int32 and ids[-1] == EOS and np.count_nonzero(ids == EOS) == 1
        assert not np.isin(ids, [PAD, BOS, MASK]).any()


def test_a_word_model_knows_its_words_and_no_others(trained, lines):
    model = trained["word"][1]
    known = next(word for word in lines[0].split() if len(model.encode([word])[0]) == 2)
    assert model.pieces(model.encode([f"  {known} \tneverseen never {known}"])[0]) == [
        f"▁{known}",
        "[UNK]",
        "[UNK]",
        f"▁{known}",
        "[EOS]",
    ]
    everything = Tokenizer(
        tokenizer.train(
            [*lines, "<unk> Upper"], vocab_size=0, model_type="word", symbols=("<unk>",)
        )
    )
    words = {word for line in lines for word in line.split()} | {"<unk>", "Upper"}
    assert set(everything.pieces(range(8, everything.vocab_size))) == {
        f"▁{word}" for word in words
    } and everything.vocab_size == 8 + len(words)
    folded = Tokenizer(
        tokenizer.train(
            ["Upper upper \tUPPER", "x\ty"], vocab_size=0, model_type="word", lowercase=True
        )
    )
    assert (
        folded.pieces(folded.encode(["UPPER\ty"])[0]) == ["▁upper", "▁y", "[EOS]"]
        and folded.vocab_size == 8 + 3
    )


def test_a_word_or_char_vocabulary_that_is_cut_keeps_the_most_frequent(lines):
    for kind, fixed, units in (
        ("word", 8, [word for line in lines for word in line.split()]),
        ("char", 264, list("".join(lines))),
    ):
        counts = {unit: units.count(unit) for unit in set(units)}
        expected = sorted(counts, key=lambda unit: (-counts[unit], unit))[:5]
        model = Tokenizer(tokenizer.train(lines, vocab_size=fixed + 5, model_type=kind))
        assert {
            piece.replace("▁", " ").strip() or " "
            for piece in model.pieces(range(fixed, fixed + 5))
        } == set(expected)
        with pytest.raises(
            UsageError, match=f"vocab_size {fixed} is too small.* the smallest that works"
        ):
            tokenizer.train(lines, vocab_size=fixed, model_type=kind)


@pytest.mark.parametrize("kind", SIZES)
def test_special_pieces_come_first_and_then_ids_fall_in_count_order(trained, lines, kind):
    model = trained[kind][1]
    counts = np.bincount(np.concatenate(model.encode(lines)), minlength=model.vocab_size)
    assert tuple(model.pieces(range(8))) == SPECIAL_PIECES
    assert (np.diff(counts[8:]) <= 0).all() and counts[8] > counts[-1]


@pytest.mark.parametrize("kind", SIZES)
def test_reordering_does_not_change_the_segmentation(trained, lines, kind):
    raw, ordered = trained[kind]
    assert raw.model != ordered.model and raw.vocab_size == ordered.vocab_size
    assert not np.array_equal(
        np.concatenate(raw.encode(lines)), np.concatenate(ordered.encode(lines))
    )
    for a, b in zip(raw.encode(lines + NASTY), ordered.encode(lines + NASTY)):
        assert raw.pieces(a) == ordered.pieces(b)


def test_order_keeps_the_special_ids_and_is_stable():
    counts = np.array([9, 0, 5, 0, 0, 0, 0, 0, 3, 7, 3, 0, 7])
    assert tokenizer.order(counts).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 8, 10, 11]


def test_a_symbol_of_the_text_is_one_piece_everywhere(trained):
    for kind in LOSSLESS:
        model = trained[kind][1]
        assert model.pieces(model.encode(["a<unk>b <unk>"])[0]).count("<unk>") == 2


def test_a_char_model_knows_every_character_of_its_text_however_rare(trained):
    assert trained["char"][1].pieces(trained["char"][1].encode(["\u00df"])[0]) == [
        "\u00df",
        "[EOS]",
    ]


def test_lowercase_folds_case_and_compatibility(lines):
    model = tokenizer.train(lines, vocab_size=307, model_type="char", lowercase=True)
    assert Tokenizer(model).decode(Tokenizer(model).encode(["\uff21bC \ufb01"])[0]) == "abc fi\n"
    assert tokenizer.properties(model)["lowercase"] is True


def test_training_twice_gives_the_same_bytes(lines, trained):
    for kind in ("unigram", "bpe"):
        again = tokenizer.train(
            iter(lines), vocab_size=SIZES[kind], model_type=kind, symbols=("<unk>",)
        )
        assert again == trained[kind][0].model


@pytest.mark.quick(4)
@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("adds_space", [True, False])
def test_a_text_in_blocks_and_pieces_has_the_ids_of_its_whole_lines(
    trained, lines, monkeypatch, kind, adds_space
):
    proto = sentencepiece_proto.ModelProto.FromString(trained[kind][1].model)
    proto.normalizer_spec.add_dummy_prefix = adds_space
    model = Tokenizer(proto.SerializeToString())
    text = "".join(
        f"{line}\n"
        for line in [*NASTY, " ".join(lines), *lines[:20], "   ", " a" * 50, "  tail  "]
    )
    whole = np.concatenate(
        [ids for line in text.split("\n")[:-1] for ids in whole_line(model, line, kind)]
    )
    np.testing.assert_array_equal(model.encode_block(text), whole)
    for block_bytes, piece_characters in ((5, 1000), (97, 30), (10_000, 3), (64, 64)):
        monkeypatch.setattr(corpus, "BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(corpus, "PIECE_CHARACTERS", piece_characters)
        monkeypatch.setattr(tokenizer, "TEXTS_AT_ONCE", 7)
        monkeypatch.setattr(tokenizer, "LONG_TEXT", block_bytes % 2 * 1000)
        blocks = list(corpus.Text.of(text.encode()).blocks())
        continues = [False] + [not block.endswith("\n") for block in blocks[:-1]]
        found = [model.encode_block(block, goes_on) for block, goes_on in zip(blocks, continues)]
        np.testing.assert_array_equal(np.concatenate(found), whole)
        assert any(continues) or block_bytes > 1000


def whole_line(model: Tokenizer, line: str, kind: str) -> list[np.ndarray]:
    """The ids of a line by SentencePiece alone: of a word model word by word."""
    encode = sentencepiece.SentencePieceProcessor(model_proto=model.model).encode
    return [
        (
            np.array([i for word in line.split() for i in encode(word)] + [EOS])
            if kind == "word"
            else np.array([*encode(line), EOS])
        )
    ]


def test_words_that_always_stand_before_a_space_become_pieces():
    # In a text of this kind SentencePiece itself finds no whole word, and at most 324 pieces: see
    # tokenizer._sentences.
    draw = np.random.default_rng(3)
    vocabulary = [words(i) for i in range(90, 150)]
    text = [
        " " + " ".join(vocabulary[i] for i in draw.integers(0, 60, 20)) + " " for _ in range(200)
    ]
    model = Tokenizer(tokenizer.train(text, vocab_size=331, model_type="unigram"))
    assert sum(len(model.encode([word])[0]) == 2 for word in vocabulary) > 50


def test_no_text_is_lost_to_training_however_long_its_lines():
    long = "zyx " * 5000 + "q" * 9000
    model = Tokenizer(tokenizer.train([long], vocab_size=271, model_type="unigram"))
    assert "▁zyx" in model.pieces(range(model.vocab_size)) and len(model.encode(["q"])[0]) <= 3


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_vocabulary_that_is_too_large_is_refused_with_the_largest_that_works(lines, kind):
    with pytest.raises(
        UsageError,
        match=r"vocab_size 300000 is too large for this text: the largest that works is \d+",
    ) as caught:
        tokenizer.train(lines, vocab_size=300_000, model_type=kind)
    largest = int(str(caught.value).split()[-1])
    assert (
        Tokenizer(tokenizer.train(lines, vocab_size=largest, model_type=kind)).vocab_size
        == largest
    )


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_vocabulary_that_is_too_small_is_refused_with_the_smallest_that_works(lines, kind):
    with pytest.raises(UsageError, match=r"vocab_size 19 is too small") as caught:
        tokenizer.train(lines, vocab_size=19, model_type=kind)
    smallest = next(
        int(word.rstrip(","))
        for word in reversed(str(caught.value).split())
        if word.rstrip(",").isdecimal()
    )
    assert (
        Tokenizer(tokenizer.train(lines, vocab_size=smallest, model_type=kind)).vocab_size
        == smallest
    )


def test_char_and_word_models_shrink_to_what_the_text_has(lines):
    for kind in ("char", "word"):
        assert (
            Tokenizer(tokenizer.train(lines, vocab_size=5003, model_type=kind)).vocab_size < 1000
        )


@pytest.mark.parametrize("symbol", ["", "a b", "\t", "▁x", "[MASK]"])
def test_what_can_be_no_symbol_is_refused(symbol):
    with pytest.raises(UsageError, match="can't stay one piece"):
        tokenizer.train(["a b"], vocab_size=300, model_type="char", symbols=(symbol,))


@pytest.mark.parametrize("error", [DataError("text gone"), KeyboardInterrupt()])
def test_an_error_of_the_text_while_training_stays_that_error(error):
    def failing():
        yield from ["some words"] * 7
        raise error

    with pytest.raises(type(error)) as caught:
        tokenizer.train(failing(), vocab_size=300, model_type="unigram")
    assert caught.value is error


def test_an_id_outside_the_vocabulary_is_not_decoded(trained):
    with pytest.raises(ValueError, match="token id 509 is outside the vocabulary of 509"):
        trained["unigram"][1].decode([8, 509])


# ---- files ----


def test_loading_refuses_what_is_no_model(tmp_path, trained):
    path = tmp_path / "m.model"
    with pytest.raises(DataError, match=r"m\.model does not exist"):
        Tokenizer.load(path)
    for content in (b"", b"no model", trained["unigram"][1].model[:700]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"m\.model is not a SentencePiece model"):
            Tokenizer.load(path)
    path.write_bytes(trained["unigram"][1].model)
    assert Tokenizer.load(path).model == trained["unigram"][1].model
    with pytest.raises(DataError, match="can't be read"):
        Tokenizer.load(tmp_path)


def test_a_model_of_ours_is_adopted_byte_for_byte_a_foreign_one_with_its_special_pieces_moved(
    trained, lines
):
    ours = trained["bpe"][1]
    assert tokenizer.adopt(ours.model, "x") == ours.model
    other = foreign(ours.model)
    adopted = Tokenizer(tokenizer.adopt(other, "x"))
    assert not tokenizer.is_ours(other) and tokenizer.is_ours(adopted.model)
    for a, b in zip(ours.encode(lines + NASTY), adopted.encode(lines + NASTY)):
        assert ours.pieces(a) == adopted.pieces(b)


def test_a_foreign_model_without_its_special_pieces_is_refused_with_what_is_missing(trained):
    other = foreign(trained["unigram"][1].model, drop=("[MASK]", "[BOS]"), ordinary=("[EOS]",))
    with pytest.raises(
        DataError,
        match=(
            r"my\.model needs .*missing: \[BOS\], \[MASK\]; not control or unknown pieces: \[EOS\]"
        ),
    ):
        tokenizer.adopt(other, "my.model")


def test_a_model_tells_the_settings_that_it_decides(trained):
    assert tokenizer.properties(trained["word"][1].model) == {
        "model_type": "word",
        "lowercase": False,
        "vocab_size": 401,
        "symbols": (),
    }


@pytest.mark.parametrize("kind", SIZES)
def test_words_are_told_by_the_pieces_that_begin_one(trained, lines, kind):
    """Bytes of a character, and symbols that are one piece, belong to their word."""
    model = trained[kind][1]
    starts = model.word_starts()
    assert starts.shape == (model.vocab_size,) and not starts[: len(SPECIAL_PIECES)].any()
    if kind == "word":
        assert starts[len(SPECIAL_PIECES) :].all()
    others = ["The \u4e2d\u6587 <unk>, \U0001f525fire"] if kind in LOSSLESS else []
    for line in [*lines[:40], *others]:
        (ids,) = model.encode([line])
        if UNK in ids:
            continue
        begins = np.flatnonzero(starts[ids[:-1]] | (np.arange(len(ids) - 1) == 0))
        found = [model.decode(word).strip() for word in np.split(ids[:-1], begins)[1:]]
        assert found == line.split()


def test_words_are_not_told_by_a_model_that_has_its_spaces_behind_them(trained):
    proto = sentencepiece_proto.ModelProto.FromString(trained["unigram"][1].model)
    proto.trainer_spec.treat_whitespace_as_suffix = True
    with pytest.raises(UsageError, match=r"words can't be told by this tokenizer.*model$"):
        Tokenizer(proto.SerializeToString()).word_starts()


def test_the_vocabulary_file_has_a_line_an_id(trained):
    model = trained["bpe"][1]
    assert [line.split("\t")[0] for line in model.vocab.splitlines()] == model.pieces(
        range(model.vocab_size)
    )


def test_unknown_is_the_second_special_id(trained):
    assert trained["word"][1].encode(["neverseen"])[0].tolist() == [UNK, EOS]


@pytest.mark.parametrize("kind", SIZES)
def test_a_stream_of_ids_gives_the_text_piece_by_piece_and_no_part_of_a_character(
    trained, lines, kind
):
    model = trained[kind][1]
    for text in [
        *NASTY,
        "na\u00efve caf\u00e9\n\n\u03c0 \u2248 3\nend",
        "\u65e5\u672c\U0001f600 \u8a9e",
        "a  b\n",
        *lines[:20],
    ]:
        ids = model.encode_block(text).tolist() if text else []
        for stream in (ids, ids[3:], [*ids[:2], MASK, *ids[2:], UNK, *ids]):
            pieces = list(model.decode_stream(stream))
            assert "".join(pieces) == model.decode(stream) and len(pieces) == 1 + len(stream)
            assert (
                stream is not ids
                or "\ufffd" in text
                or not any("\ufffd" in piece for piece in pieces)
            )


def test_a_stream_decodes_no_more_for_a_token_the_longer_a_run_of_bytes_is(trained, monkeypatch):
    model, sizes = trained["unigram"][1], []
    ids = model.encode_block("\u4e2d\U0001f600" * 40).tolist()
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda line: sizes.append(len(line)) or decode(line))
    assert "".join(model.decode_stream(ids)) == decode(ids) and len(ids) > 200 and max(sizes) <= 8


def test_a_model_that_ends_lines_with_another_piece_is_refused_when_it_is_loaded(tmp_path):
    model = sentencepiece_proto.ModelProto.FromString(word_tokenizer(40).model)
    model.trainer_spec.eos_piece = "w9"
    (tmp_path / "tokenizer.model").write_bytes(model.SerializeToString())
    with pytest.raises(
        DataError, match=r"tokenizer .*tokenizer.model ends lines with id .*, not 3"
    ):
        Tokenizer.load(tmp_path / "tokenizer.model")
