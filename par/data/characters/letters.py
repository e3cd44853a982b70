"""Which data sets are of characters, and what their pieces are: letters, and the other case of
each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from par.core.errors import UsageError
from par.data.tokenizer import Tokenizer, properties


def character_tokenizer(data_dir: Path | str, what: str) -> Tokenizer:
    """The tokenizer of a data set of characters.

    Raises: UsageError, saying `what` needs it, if its pieces are others; DataError if it can't be
    read.
    """
    tokenizer = Tokenizer.load(Path(data_dir) / "tokenizer.model")
    if (kind := properties(tokenizer.model)["model_type"]) != "char":
        raise UsageError(
            f"{what} is for characters, but the data in {data_dir} has a {kind} model: build it"
            " with --model_type=char, or leave the flag out"
        )
    return tokenizer


class Letters(NamedTuple):
    """Of V pieces of a character model, which are letters, [V] bool, and the id of each one's
    other case, [V] int32: its own where it has none or the vocabulary lacks it."""

    is_letter: np.ndarray
    other_case: np.ndarray

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Letters:
        """Those of a tokenizer's vocabulary."""
        pieces = tokenizer.pieces(range(tokenizer.vocab_size))
        ids = {piece: number for number, piece in enumerate(pieces)}
        letters = [len(piece) == 1 and piece.isalpha() for piece in pieces]
        cases = [
            ids.get(piece.swapcase(), number) if is_letter else number
            for number, (piece, is_letter) in enumerate(zip(pieces, letters))
        ]
        return cls(np.array(letters), np.array(cases, np.int32))
