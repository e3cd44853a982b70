"""SentencePiece: train, reorder so that an id is a frequency rank, load, encode, decode.

Ids 0 to 7 are the special pieces of `SPECIAL_PIECES`; the others follow in descending count of the
train split, unless the model was given. Any valid UTF-8 can be encoded (unknown characters become
bytes) and is decoded to the same text, except for U+2581, which SentencePiece uses for the space.
A word model has no bytes: an unknown word becomes [UNK]. Every line, blank ones too, ends with
[EOS].
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from par.core.config import MAX_VOCAB_SIZE
from par.core.errors import DataError, SettingError, UsageError
from par.data import corpus, sentencepiece_proto

SPECIAL_PIECES = (
    "[PAD]",
    "[UNK]",
    "[BOS]",
    "[EOS]",
    "[MASK]",
    "[RESERVED_0]",
    "[RESERVED_1]",
    "[RESERVED_2]",
)
PAD, UNK, BOS, EOS, MASK = range(5)

# encoded in one call: each starts a thread, and more make longer lists of ids
TEXTS_AT_ONCE = 5000
LONG_TEXT = 100  # characters from which an array a text is made faster than a list
MAX_WORD_BYTES = 4096  # SentencePiece takes no piece of 8,000
# SentencePiece trains on no sentence that is longer; `_sentences` cuts those
SENTENCE_BYTES = 4192
_Piece = sentencepiece_proto.SentencePiece
_SPECIAL_TYPES = (_Piece.CONTROL, _Piece.UNKNOWN) + (_Piece.CONTROL,) * 6
MAX_MODEL_BYTES = 1 << 30

# Decoding lines together starts threads: 100 µs, where a line by itself takes 2.
FEW_LINES = 50


class Tokenizer:
    """A SentencePiece model whose first ids are the special ones. `model` is the serialised model,
    byte for byte as in the file."""

    def __init__(self, model: bytes):
        """Raises: ValueError if these bytes are not a SentencePiece model."""
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"not a SentencePiece model ({' '.join(str(error).split())})"
            ) from None
        proto = sentencepiece_proto.ModelProto.FromString(model)
        self._adds_space, self._is_word, self._space_ends_word = (
            proto.normalizer_spec.add_dummy_prefix,
            proto.trainer_spec.model_type == proto.trainer_spec.WORD,
            proto.trainer_spec.treat_whitespace_as_suffix,
        )

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Raises: DataError if the file is missing, unreadable or not a model with our special
        pieces."""
        model = read_model(path)
        if not is_ours(model):
            raise DataError(
                f"tokenizer {path} lacks the special pieces {', '.join(SPECIAL_PIECES)} at ids 0"
                " to 7: make the data with tools/build_data.py"
            )
        made = cls(model)
        # its settings name another piece: SentencePiece would find out when it first encodes
        if made._processor.eos_id() != EOS:
            raise DataError(
                f"tokenizer {path} ends lines with id {made._processor.eos_id()}, not {EOS}: make"
                " the data with tools/build_data.py"
            )
        return made

    @property
    def vocab_size(self) -> int:
        """Number of ids V, special and byte pieces included."""
        return self._processor.get_piece_size()

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the model file."""
        return hashlib.sha256(self.model).hexdigest()

    @property
    def vocab(self) -> str:
        """The pieces with their scores, one line an id: the text of tokenizer.vocab."""
        return "".join(
            f"{piece.piece}\t{piece.score:g}\n"
            for piece in sentencepiece_proto.ModelProto.FromString(self.model).pieces
        )

    def encode(self, lines: Iterable[str]) -> list[np.ndarray]:
        """The ids of each line, int32, [EOS] at the end of each."""
        return [self.encode_block(f"{line}\n") for line in lines]

    def encode_block(self, block: str, continues: bool = False) -> np.ndarray:
        """The ids, int32, of a block of text as `corpus.Text.blocks` yields it; `continues`: it
        begins inside a line.

        Lines of more than 65,536 characters are encoded piece by piece. A piece that continues a
        line loses the space that it begins with, as the model puts one in front. Pieces of our
        vocabularies do not continue over a space in their middle, and lines are cut beside visible
        characters (par/data/corpus.py), so the ids are those of the whole line. The exception is a
        line that offers no such place in 65,536 characters or thereafter. Of a word model every
        word is a piece of its own, because SentencePiece makes one [UNK] of unknown words that
        follow one another.
        """
        texts, goes_on = corpus.pieces(block)
        if self._is_word:
            texts, goes_on = _words(texts, set(goes_on))
        elif self._adds_space:
            inner = [i + 1 for i in goes_on if i + 1 < len(texts)]
            for i in [0, *inner] if continues else inner:
                texts[i] = texts[i].removeprefix(" ")
        open_ends = deque(goes_on)
        kind = "numpy" if len(block) > LONG_TEXT * len(texts) else int
        parts = [np.zeros([0], np.int32)]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            ids = self._processor.encode(
                texts[start : start + TEXTS_AT_ONCE], add_eos=True, num_threads=1, return_type=kind
            )
            while open_ends and open_ends[0] < start + TEXTS_AT_ONCE:
                i = open_ends.popleft() - start
                ids[i] = ids[i][:-1]
            parts.append(
                np.concatenate(ids)
                if kind == "numpy"
                else np.fromiter(itertools.chain.from_iterable(ids), np.int32)
            )
        return np.concatenate(parts)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a stream of ids, a line end for each [EOS]: the inverse of `encode` joined.
        Other special ids leave no text.

        Raises: ValueError for an id outside the vocabulary.
        """
        lines: list[list[int]] = [[]]
        for token in np.asarray(ids).tolist():
            if not 0 <= token < self.vocab_size:
                raise ValueError(
                    f"token id {token} is outside the vocabulary of {self.vocab_size}"
                )
            if token == EOS:
                lines.append([])
            else:
                lines[-1].append(token)
        if len(lines) < FEW_LINES:
            return "\n".join(self._processor.decode(line) for line in lines)
        return "\n".join(self._processor.decode(lines))

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """What each id adds to the text, and what is left at the end; joined, what `decode` gives
        for all of them.

        The bytes of a character are held back until all of them are there, or the line or the
        stream ends.
        """
        # ids on which the text of the next one may depend, how many of them ended a character, and
        # their text as far as it was given
        line, ended, shown = [], 0, ""
        for token in ids:
            line.append(token)
            text = self.decode(line)
            whole = text if token == EOS else text.rstrip("\ufffd")
            yield whole[len(shown) :]
            if token == EOS:
                line, ended, shown = [], 0, ""
            elif whole == text and not self._processor.is_control(token):
                # the last piece, or the bytes of the last character: they alone decide about the
                # next one's space
                line = line[ended:]
                ended, shown = len(line), self.decode(line)
            else:
                shown = whole
        yield self.decode(line)[len(shown) :]

    def id_of(self, piece: str) -> int | None:
        """The id of a piece as the vocabulary spells it, None if it has no such piece."""
        token = self._processor.piece_to_id(piece)
        return token if self._processor.id_to_piece(token) == piece else None

    def word_starts(self) -> np.ndarray:
        """[V] bool: which pieces begin a word: those with a space in front. Of a character model
        that is the space alone; a byte begins none. A line begins a word, too.

        Raises: UsageError for a model that has its spaces behind the words.
        """
        if self._space_ends_word:
            raise UsageError(
                "words can't be told by this tokenizer, whose pieces end with the space (▁), not"
                " begin with it: build the data with another --tokenizer_model"
            )
        pieces = self.pieces(range(self.vocab_size))
        starts = np.array([piece.startswith("▁") for piece in pieces])
        starts[: len(SPECIAL_PIECES)] = False
        return starts

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The piece of each id; ▁ stands for a space."""
        return [self._processor.id_to_piece(int(token)) for token in ids]


def _words(texts: list[str], goes_on: set[int]) -> tuple[list[str], list[int]]:
    """The words of pieces of text, and the indices of those that do not end a line; a blank line
    is one empty word."""
    words: list[str] = []
    unfinished: list[int] = []
    for i, text in enumerate(texts):
        found = text.split() or [""]
        last = len(words) + len(found) - 1
        unfinished += range(len(words), last + (i in goes_on))
        words += found
    return words, unfinished


def read_model(path: str | Path) -> bytes:
    """Reads a SentencePiece model. Raises: DataError if it can't be read or is something else."""
    try:
        if (size := os.path.getsize(path)) > MAX_MODEL_BYTES:
            raise DataError(
                f"tokenizer {path} has {size} bytes, more than the {MAX_MODEL_BYTES} that a model"
                " can have"
            )
        model = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"tokenizer {path} does not exist") from None
    except OSError as error:
        raise DataError(f"tokenizer {path} can't be read ({error.strerror})") from None
    try:
        Tokenizer(model)
    except ValueError as error:
        raise DataError(f"tokenizer {path} is {error}") from None
    return model


def is_ours(model: bytes) -> bool:
    """Whether ids 0 to 7 are our special pieces, as in every model that build_data writes."""
    pieces = sentencepiece_proto.ModelProto.FromString(model).pieces[: len(SPECIAL_PIECES)]
    return tuple((p.piece, p.type) for p in pieces) == tuple(
        zip(SPECIAL_PIECES, _SPECIAL_TYPES, strict=True)
    )


def train(
    pieces: Iterable[str],
    *,
    vocab_size: int,
    model_type: str,
    lowercase: bool = False,
    symbols: Sequence[str] = (),
    threads: int = 2,
) -> bytes:
    """Trains a model with our special pieces at ids 0 to 7. Equal pieces and threads give equal
    bytes, whatever the machine.

    A unigram or BPE vocabulary is exactly `vocab_size`. A word or char model has the most frequent
    words or characters, all of them if `vocab_size` is 0 or larger.

    Raises: UsageError, with the size that works, if the text does not support `vocab_size`, or if
    a symbol can't be one piece.
    """
    for symbol in symbols:
        if not symbol or symbol in SPECIAL_PIECES or re.search(r"\s|▁|^<0x[0-9A-F]{2}>$", symbol):
            raise UsageError(
                f"symbol {symbol!r} can't stay one piece: it must not be empty, hold white space"
                " or ▁, or be a special or byte piece"
            )
    is_word, is_whole = model_type == "word", model_type in ("word", "char")
    if is_word:
        symbols = ()  # each word is one piece, a symbol too
    num_fixed = len(SPECIAL_PIECES) + len(symbols) + (0 if is_word else 256)
    sentences = _sentences(pieces)
    if is_whole:
        if 0 < vocab_size <= num_fixed:
            raise _too_small(vocab_size, num_fixed, num_fixed + 1)
        units = _units(pieces, is_word, lowercase)[
            : vocab_size - num_fixed if vocab_size else None
        ]
        if num_fixed + len(units) > MAX_VOCAB_SIZE:
            raise UsageError(
                f"the text has {len(units)} distinct words, too many for one vocabulary: give"
                f" --vocab_size, at most {MAX_VOCAB_SIZE}"
            )
        sentences, vocab_size = iter(units), num_fixed + len(units)
    options = dict(
        model_type=model_type,
        vocab_size=vocab_size,
        hard_vocab_limit=not is_whole,
        byte_fallback=not is_word,
        allow_whitespace_only_pieces=True,
        # a character model would have one character more in each line
        add_dummy_prefix=model_type != "char",
        # without it a word model takes a run of spaces into the word
        remove_extra_whitespaces=is_word,
        normalization_rule_name="nfkc_cf" if lowercase else "identity",
        user_defined_symbols=list(symbols),
        control_symbols=list(SPECIAL_PIECES[MASK:]),
        # below 1, words with rare characters are left out, too
        character_coverage=1.0 if is_whole else 0.9995,
        max_sentence_length=1 << 30 if is_whole else SENTENCE_BYTES,
        num_threads=threads,
        minloglevel=2,
    )
    for name, token in (("pad", PAD), ("unk", UNK), ("bos", BOS), ("eos", EOS)):
        options |= {f"{name}_id": token, f"{name}_piece": SPECIAL_PIECES[token]}
    model, failures = io.BytesIO(), []

    def watched() -> Iterator[str]:
        try:
            yield from sentences
        # SentencePiece turns it into a RuntimeError: an unreadable text, Ctrl-C
        except BaseException as error:
            failures.append(error)
            raise

    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=watched(), model_writer=model, **options
        )
    except RuntimeError as error:
        raise (
            failures[0] if failures else _training_error(str(error), vocab_size, num_fixed)
        ) from None
    return model.getvalue()


def _units(pieces: Iterable[str], is_word: bool, lowercase: bool) -> list[str]:
    """All words or characters of a text, frequent ones first, equally frequent ones in the order
    of their code points.

    They are counted in memory. A word of more than MAX_WORD_BYTES, which no piece can hold, is
    left out and becomes [UNK].
    """
    fold = sentencepiece.SentencePieceNormalizer(
        rule_name="nfkc_cf",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        escape_whitespaces=False,
    )
    counts: Counter = Counter()
    for piece in pieces:
        text = fold.normalize(piece) if lowercase else piece
        counts.update(text.split() if is_word else text)
    return sorted(
        (unit for unit in counts if len(unit.encode()) <= MAX_WORD_BYTES),
        key=lambda unit: (-counts[unit], unit),
    )


def _sentences(pieces: Iterable[str]) -> Iterator[str]:
    """What a unigram or BPE model is trained on: the lines, cut into groups of three words (it
    counts words only) and at `SENTENCE_BYTES`.

    A unigram model's first candidates are strings that are followed by different characters. Where
    white space follows every word, as in WikiText, whole words are not candidates unless a
    sentence ends there, too. This saves 12 % of the tokens of WikiText-2 at 4,000 pieces, 20 % at
    6,000, and under 1 % of plain English; BPE gives the same model both ways.
    """
    for line in pieces:
        words = re.findall(r" *[^ ]+| +$", line)
        for i in range(0, len(words), 3):
            # SentencePiece puts a space in front of every sentence
            group = "".join(words[i : i + 3])[i > 0 :]
            for start in range(0, len(group), SENTENCE_BYTES // 4):
                yield group[start : start + SENTENCE_BYTES // 4]


def _training_error(message: str, vocab_size: int, num_fixed: int) -> Exception:
    if match := re.search(r"set it to a value <= (\d+)", message):
        return SettingError(
            f"vocab_size {vocab_size} is too large for this text: the largest that works is"
            f" {match[1]}",
            "vocab_size",
        )
    if match := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return SettingError(
            f"vocab_size {vocab_size} is too small for the characters of this text: the smallest"
            f" that works is {match[1]}",
            "vocab_size",
        )
    if "(vocab_size) >= (0)" in message:
        return _too_small(vocab_size, num_fixed, num_fixed)
    return DataError(f"SentencePiece can't train on this text: {' '.join(message.split())}")


def _too_small(vocab_size: int, num_fixed: int, smallest: int) -> SettingError:
    fixed = f"special pieces, bytes and symbols are {num_fixed}"
    return SettingError(
        f"vocab_size {vocab_size} is too small: {fixed}, the smallest that works is {smallest}",
        "vocab_size",
    )


def order(counts: np.ndarray, num_fixed: int = len(SPECIAL_PIECES)) -> np.ndarray:
    """[V] old ids in their new order: the first `num_fixed` stay, the others follow in descending
    count, equal counts in the old order."""
    rest = np.argsort(-np.asarray(counts)[num_fixed:], kind="stable") + num_fixed
    return np.concatenate([np.arange(num_fixed), rest])


def reorder(model: bytes, old_ids: np.ndarray) -> bytes:
    """The model with piece `old_ids[i]` at id i. Segmentation does not change: it depends on
    scores, not on ids."""
    proto = sentencepiece_proto.ModelProto.FromString(model)
    pieces = [_Piece.FromString(proto.pieces[i].SerializeToString()) for i in old_ids]
    del proto.pieces[:]
    proto.pieces.extend(pieces)
    return proto.SerializeToString(deterministic=True)


def adopt(model: bytes, path: str | Path) -> bytes:
    """A model of ours as it is; a foreign one with its special pieces moved to the front, and the
    reserved ones added.

    Raises: DataError that lists the special pieces which a foreign model lacks or has as another
    kind.
    """
    if is_ours(model):
        return model
    proto = sentencepiece_proto.ModelProto.FromString(model)
    ids = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    needed = [SPECIAL_PIECES[token] for token in (PAD, UNK, BOS, EOS, MASK)]
    lacking = [piece for piece in needed if piece not in ids]
    wrong = [
        piece
        for piece, kind in zip(SPECIAL_PIECES, _SPECIAL_TYPES, strict=True)
        if piece in ids and proto.pieces[ids[piece]].type != kind
    ]
    if lacking or wrong:
        found = "; ".join(
            f"{what}: {', '.join(names)}"
            for what, names in (("missing", lacking), ("not control or unknown pieces", wrong))
            if names
        )
        raise DataError(
            f"--tokenizer_model={path} needs the special pieces {', '.join(needed)} ({found}):"
            " train one with them, or without --tokenizer_model"
        )
    for piece in SPECIAL_PIECES:
        if piece not in ids:
            ids[piece] = len(proto.pieces)
            proto.pieces.add(piece=piece, score=0.0, type=_Piece.CONTROL)
    for name, token in (("pad", PAD), ("unk", UNK), ("bos", BOS), ("eos", EOS)):
        setattr(proto.trainer_spec, f"{name}_id", token)
        setattr(proto.trainer_spec, f"{name}_piece", SPECIAL_PIECES[token])
    first = [ids[piece] for piece in SPECIAL_PIECES]
    rest = sorted(set(range(len(proto.pieces))) - set(first))
    return reorder(proto.SerializeToString(deterministic=True), np.array(first + rest))


def properties(model: bytes) -> dict[str, Any]:
    """The settings that a model decides, under their names in DataConfig."""
    proto = sentencepiece_proto.ModelProto.FromString(model)
    return {
        "model_type": (
            sentencepiece_proto.TrainerSpec.ModelType.Name(proto.trainer_spec.model_type).lower()
        ),
        "lowercase": proto.normalizer_spec.name.endswith("_cf"),
        "vocab_size": len(proto.pieces),
        # word: both
        "symbols": tuple(
            sorted(
                {
                    piece.piece.lstrip("▁")
                    for piece in proto.pieces
                    if piece.type == _Piece.USER_DEFINED
                }
            )
        ),
    }
