"""The tokenizer as TensorFlow operations: the ids of par.data.tokenizer, inside a graph that needs
TensorFlow Text and no Python.

    bytes -> clean -> lines -> pieces of each line -> ids, [EOS] after each line but the last

Two segmentations of a unigram model can be equally likely, such as five spaces and four or four
and five. SentencePiece takes the one whose last piece begins first; the SentencePiece inside
TensorFlow Text compares rounded with exact sums, it seems, and may take the other. TensorFlow
Text's fast tokenizer takes the same as SentencePiece, but has no bytes for unknown characters. So
a unigram text is cut by the fast tokenizer, and the bytes come from the other.
"""

from __future__ import annotations

import re

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from par.data import sentencepiece_proto
from par.data.tokenizer import EOS, MASK, UNK, Tokenizer, properties
from par.objectives import masked_text

# what Python's split() takes as white space
SPACES = "[" + re.escape("".join(chr(code) for code in range(0x3001) if chr(code).isspace())) + "]"
# the fast tokenizer takes these for spaces: Unicode's characters for internal use
HIDDEN = dict(zip("\t\v\f\r", "\ufdd0\ufdd1\ufdd2\ufdd3"))
MARK = "\0"  # in the place of [MASK]: no cleaned text has it
_Piece = sentencepiece_proto.SentencePiece


class GraphTokenizer(tf.Module):
    """A SentencePiece model of ours as TensorFlow operations. A text is a scalar string of
    bytes."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        proto, kind = (
            sentencepiece_proto.ModelProto.FromString(tokenizer.model),
            properties(tokenizer.model)["model_type"],
        )
        self._pieces, self._is_word = (
            tf_text.SentencepieceTokenizer(tokenizer.model, out_type=tf.int32),
            kind == "word",
        )
        self._unknown_text = len(proto.trainer_spec.unk_surface.encode())
        self._control = np.array([piece.type == _Piece.CONTROL for piece in proto.pieces])
        self._begins_with_space = (
            np.array([piece.piece.startswith("▁") for piece in proto.pieces])
            & proto.normalizer_spec.add_dummy_prefix
        )
        self._unknown = np.array(
            [piece.type in (_Piece.BYTE, _Piece.UNKNOWN) for piece in proto.pieces]
        )
        # a map makes spaces of them itself
        hidden = {} if proto.normalizer_spec.precompiled_charsmap else HIDDEN
        self._fast = (
            tf_text.FastSentencepieceTokenizer(_renamed(proto, hidden))
            if kind == "unigram"
            else None
        )
        self._hidden = hidden

    def clean(self, text: tf.Tensor) -> tf.Tensor:
        """As par.data.cleaning.clean: no byte order mark, LF for CRLF, U+FFFD for NUL and
        for invalid UTF-8."""
        text = tf.strings.unicode_transcode(
            text, "UTF-8", "UTF-8", errors="replace", replace_control_characters=False
        )
        return _replaced(text, {r"^\x{feff}": "", r"\r\n": "\n", r"\x00": "\ufffd"})

    def clean_file(self, text: tf.Tensor) -> tf.Tensor:
        """The same with an end of the last line, as in a file that build_data reads; an empty text
        has no line."""
        cleaned = self.clean(text)
        unfinished = (tf.strings.length(text) > 0) & ~tf.strings.regex_full_match(
            cleaned, r"(?s).*\n"
        )
        return tf.where(unfinished, cleaned + "\n", cleaned)

    def words(self, text: tf.Tensor) -> tf.Tensor:
        """Scalar int32: the words of a cleaned text, separated by white space, and one more for
        each line end."""
        between = tf.size(tf.strings.split(_replaced(text, {SPACES: " "})))
        return between + tf.size(tf.strings.split(text, "\n")) - 1

    def encode(self, text: tf.Tensor) -> tf.Tensor:
        """The ids [N] int32 of a cleaned text, [EOS] at each line end: none at the end of a last
        line that has none."""
        lines = tf.strings.split(text, "\n")
        # one by one, because SentencePiece makes one [UNK] of unknown words that follow one
        # another
        if self._is_word:
            words = tf.strings.split(_replaced(lines, {SPACES: " "}))
            return _joined(words.with_values(self._pieces.tokenize(words.values)).merge_dims(1, 2))
        ids = _joined(self._pieces.tokenize(lines))
        if self._fast is None:
            return ids
        return with_cuts_of(
            _joined(self._fast.tokenize(_replaced(lines, self._hidden))), ids, self._unknown
        )

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """The text, a scalar, of ids [N]: the inverse of `encode`.

        TensorFlow Text leaves out every single space that begins a line, not only the one that
        encoding put there. So an [UNK] stands in front.
        """
        is_end, shown = ids == EOS, ~tf.gather(self._control, ids)
        line = tf.boolean_mask(tf.cumsum(tf.cast(is_end, tf.int64)), shown)
        lines = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(ids, shown), line, nrows=tf.math.count_nonzero(is_end) + 1
        )
        texts = self._pieces.detokenize(
            tf.concat([tf.fill([lines.nrows(), 1], UNK), lines], axis=1)
        )
        added = tf.reduce_any(
            tf.ragged.map_flat_values(
                lambda ids: tf.gather(self._begins_with_space, ids), lines[:, :1]
            ),
            axis=1,
        )
        texts = tf.strings.substr(
            texts, self._unknown_text + tf.cast(added, tf.int32), tf.strings.length(texts)
        )
        return tf.strings.reduce_join(texts, separator="\n")


class GraphMaskedText(tf.Module):
    """par.objectives.masked_text as TensorFlow operations."""

    def __init__(self, tokenizer: Tokenizer, lines: GraphTokenizer):
        """lines: encodes what begins a line."""
        super().__init__()
        self._lines = lines
        self._continuing = GraphTokenizer(Tokenizer(masked_text.continuing(tokenizer.model)))
        self._pattern = masked_text.pattern(tokenizer.model)

    def encode(self, text: tf.Tensor) -> tf.Tensor:
        """The ids [N] int32 of a cleaned text of whole lines, MASK for each [MASK].

        What begins a line and what goes on one are encoded apart: as two texts of as many lines as
        there are parts, of which one is empty wherever the other is not.
        """
        marked = tf.strings.regex_replace(text, self._pattern, MARK)
        of_lines = tf.strings.split(tf.strings.split(marked, "\n"), MARK)
        parts, counts = of_lines.flat_values, of_lines.row_lengths()
        is_first = tf.scatter_nd(
            of_lines.row_starts()[:, None], tf.ones_like(counts), tf.shape(parts, tf.int64)
        )
        is_first = tf.cast(is_first, tf.bool)
        ends = tf.where(tf.concat([is_first[1:], [False]], axis=0), EOS, MASK)
        rows = [
            self._rows(self._lines, tf.where(is_first, parts, "")),
            self._rows(self._continuing, tf.where(is_first, "", parts)),
            tf.RaggedTensor.from_tensor(ends[:, None]),
        ]
        return tf.concat(rows, axis=1).flat_values[:-1]

    @staticmethod
    def _rows(tokenizer: GraphTokenizer, parts: tf.Tensor) -> tf.RaggedTensor:
        """The ids of each part, in a row each."""
        ids = tokenizer.encode(tf.strings.reduce_join(parts, separator="\n"))
        is_end = ids == EOS
        row = tf.cumsum(tf.cast(is_end, tf.int64))
        return tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(ids, ~is_end),
            tf.boolean_mask(row, ~is_end),
            nrows=tf.size(parts, tf.int64),
        )


def with_cuts_of(fast: tf.Tensor, slow: tf.Tensor, unknown: np.ndarray) -> tf.Tensor:
    """`fast` [N], each [UNK] replaced by the bytes that `slow` [S] has in its place.

        fast   the  [UNK]  cat           ->  the  <0xE2> <0x80>  cat
        slow   the  <0xE2> <0x80>  cat

    unknown: [V] bool, the ids that stand for unknown characters in `slow`. Where the two do not
    have as many runs of unknown characters, `slow`.
    """
    is_unknown = tf.gather(unknown, slow)
    starts = is_unknown & ~tf.concat([[False], is_unknown[:-1]], axis=0)
    # of each unknown id, the number of its run
    runs = tf.boolean_mask(tf.cumsum(tf.cast(starts, tf.int32)), is_unknown) - 1
    is_unk = fast == UNK

    def filled() -> tf.Tensor:
        counts = tf.tensor_scatter_nd_update(
            tf.ones_like(fast), tf.where(is_unk), tf.math.segment_sum(tf.ones_like(runs), runs)
        )
        places = tf.where(tf.repeat(is_unk, counts))
        return tf.tensor_scatter_nd_update(
            tf.repeat(fast, counts), places, tf.boolean_mask(slow, is_unknown)
        )

    return tf.cond(
        tf.math.count_nonzero(is_unk) == tf.math.count_nonzero(starts), filled, lambda: slow
    )


def _joined(lines: tf.RaggedTensor) -> tf.Tensor:
    """[N] the ids of all lines, [EOS] between them."""
    ends = tf.fill([lines.nrows(), 1], EOS)
    return tf.concat([lines, ends], axis=1).flat_values[:-1]


def _replaced(text: tf.Tensor, replacements: dict[str, str]) -> tf.Tensor:
    """Strings with regular expressions replaced, in this order."""
    for pattern, replacement in replacements.items():
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def _renamed(proto: sentencepiece_proto.ModelProto, characters: dict[str, str]) -> bytes:
    """The model with other characters in its pieces."""
    renamed = sentencepiece_proto.ModelProto.FromString(proto.SerializeToString())
    for piece in renamed.pieces:
        piece.piece = piece.piece.translate(str.maketrans(characters))
    return renamed.SerializeToString()
