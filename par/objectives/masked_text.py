"""Text in which [MASK] stands for a piece -> ids.

    "The [MASK] sees"   ->  ▁The [MASK] ▁sees       the space before [MASK] is in the piece that
                                                    it stands for
    "The [MASK]ing"     ->  ▁The [MASK] ing
    characters:             T h e ▁ [MASK] ...      a space is a piece of its own

What stands between two [MASK]s, or behind one, goes on a line: it must not get the space that
SentencePiece puts in front of every text. So a copy of the model without that space encodes it.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from par.core.errors import UsageError
from par.data import sentencepiece_proto
from par.data.tokenizer import EOS, MASK, SPECIAL_PIECES, Tokenizer, properties

WRITTEN = SPECIAL_PIECES[MASK]
NOTHING_TO_FILL = (
    f"the text has no {WRITTEN}: write {WRITTEN} for each piece that is to be filled in, such as"
    f" 'A {WRITTEN} file'"
)


def check_masked(text: str) -> None:
    """Raises: UsageError for a text without a [MASK]."""
    if WRITTEN not in text:
        raise UsageError(NOTHING_TO_FILL)


def continuing(model: bytes) -> bytes:
    """The model that encodes what goes on a line: no space is put in front or left out. A word
    model is as it is, as it encodes each word by itself."""
    proto = sentencepiece_proto.ModelProto.FromString(model)
    if properties(model)["model_type"] != "word":
        proto.normalizer_spec.add_dummy_prefix = False
        proto.normalizer_spec.remove_extra_whitespaces = False
    return proto.SerializeToString(deterministic=True)


def pattern(model: bytes) -> str:
    """The regular expression of what a piece of the model stands for: [MASK], with the space
    before it where pieces hold spaces."""
    return ("" if properties(model)["model_type"] == "char" else " ?") + re.escape(WRITTEN)


class MaskedText:
    """Encodes texts with [MASK] in them by a tokenizer's model."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._separator = re.compile(f"(\n|{pattern(tokenizer.model)})")

    @functools.cached_property
    def _continuing(self) -> Tokenizer:
        return Tokenizer(continuing(self._tokenizer.model))

    def encode(self, text: str) -> np.ndarray:
        """The ids [N] int32 of a cleaned text of whole lines, [EOS] at the end of each and MASK
        for each [MASK]; where there is none, those of `Tokenizer.encode_block`."""
        found = self._separator.split(text)
        parts, ends = found[::2], found[1::2]
        begins = [True, *(end == "\n" for end in ends)]
        lines = [part if begin else "" for part, begin in zip(parts, begins)]
        inner = ["" if begin else part for part, begin in zip(parts, begins)]
        return _joined(
            self._rows(self._tokenizer, lines), self._rows(self._continuing, inner), ends
        )

    @staticmethod
    def _rows(tokenizer: Tokenizer, parts: list[str]) -> list[np.ndarray]:
        """The ids of each part."""
        ids = tokenizer.encode_block("".join(f"{part}\n" for part in parts))
        return [row[:-1] for row in np.split(ids, np.flatnonzero(ids == EOS) + 1)[:-1]]


def _joined(lines: list[np.ndarray], inner: list[np.ndarray], ends: list[str]) -> np.ndarray:
    """The ids of all parts, each with its end but the last: what begins a line, or what goes on
    one; the other is empty."""
    pieces = []
    for place, end in enumerate(ends):
        pieces += [lines[place], inner[place], [EOS if end == "\n" else MASK]]
    pieces += [lines[-1], inner[-1]]
    return np.concatenate([np.asarray(piece, np.int32) for piece in pieces])
