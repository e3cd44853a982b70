"""Encodings of texts, by which a network tells their authors apart, with sentencepiece.

python encode.py FILE [FILE ...]     a line of JSON: the encoding of each text, and their cosines
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from part import Part
from text import PAD, Tokenizer

HERE = Path(__file__).parent


class Encoder:
    """The network, which reads a text in parts as long as the texts of its training."""

    def __init__(self, directory: str | Path = HERE):
        self._tokenizer, self._part = Tokenizer(directory), Part(directory)

    def encodings(self, texts: Iterable[str | bytes]) -> np.ndarray:
        """[n, D] of length 1 of n texts: the mean of the encodings of their parts by the tokens of
        these; zeros for an empty text."""
        return unit(np.stack([self._sum(self._tokenizer.encode(text)) for text in texts]))

    def user_encoding(self, texts: Iterable[str | bytes]) -> np.ndarray:
        """[D] of length 1: the mean of the encodings of texts of one author."""
        return unit(self.encodings(texts).sum(axis=0))

    def _sum(self, ids: list[int]) -> np.ndarray:
        total, size = np.zeros(self._part.width), self._part.length
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            total += len(part) * self._part(part + [PAD] * (size - len(part)))
        return total


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., D] of length 1; 0 stays 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def main() -> None:
    """Prints the encodings of files, and the cosine of each with each."""
    if not sys.argv[1:]:
        sys.exit("give at least one FILE")
    found = Encoder().encodings(Path(name).read_bytes() for name in sys.argv[1:])
    print(json.dumps({"encodings": found.tolist(), "cosines": (found @ found.T).tolist()}))


if __name__ == "__main__":
    main()
