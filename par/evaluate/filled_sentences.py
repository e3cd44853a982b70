"""Held-out sentences with some tokens masked, and what a network that is being trained puts there.

the cat [sees: hears 41%] the dog .      the token, the piece that the network expects, and
                                         with which probability
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from par.data import manifest, records
from par.data.tokenizer import EOS, MASK, Tokenizer
from par.evaluate.filling import Filler
from par.objectives.masking import FIRST
from par.train.learner import Learner

SENTENCES = 8
LEAST_TOKENS = 5  # ordinary ones, of a sentence
SHARE = 0.15  # of its ordinary tokens that are masked
TOKENS_READ = 4096


class FilledSentences:
    """The sentences of one training run, always the same ones; the network is not changed."""

    def __init__(self, learner: Learner, data_dir: Path, length: int):
        """length: how many tokens the sentences have together, at most; 0: no text. Nothing is
        read or traced before the first text."""
        self._learner, self._data_dir, self._length = learner, data_dir, length
        self._filler: Filler | None = None

    def text(self) -> str:
        """The sentences, a line each, filled by the network; a SuperNet as its mixture."""
        if not self._length:
            return ""
        if self._filler is None:
            self._tokenizer = Tokenizer.load(self._data_dir / "tokenizer.model")
            stream = records.read_stream(self._data_dir, manifest.load(self._data_dir), "valid")
            self._sentences = list(sentences(stream[:TOKENS_READ], self._length))
            self._filler = Filler(self._learner.objective)
        return "\n".join(self._shown(ids) for ids in self._sentences)

    def _shown(self, ids: np.ndarray) -> str:
        config, places = self._learner.config, masked_places(ids)
        masked = ids.copy()
        masked[places] = MASK
        probability, pieces = self._filler.predict(
            masked, 1, config.data.seq_len, config.model.mem_len
        )
        guesses = self._tokenizer.pieces(pieces[:, 0])
        own = self._tokenizer.pieces(ids[places])
        shown = list(self._tokenizer.decode_stream(ids.tolist()))
        for place, piece, guess, share in zip(places, own, guesses, probability[:, 0]):
            space = " " if shown[place].startswith(" ") else ""
            shown[place] = f"{space}[{bare(piece)}: {bare(guess)} {share:.0%}]"
        return "".join(shown).strip()


def sentences(stream: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """The first lines of a stream [N] that have LEAST_TOKENS ordinary tokens, each with its [EOS]:
    SENTENCES at most, and together at most `length` tokens, of a longer first one its
    beginning."""
    made, left = 0, length
    for line in np.split(stream, np.flatnonzero(stream == EOS) + 1):
        if made == SENTENCES or left < LEAST_TOKENS:
            return
        if np.count_nonzero(line >= FIRST) < LEAST_TOKENS or (len(line) > left and made):
            continue
        line = np.append(line[line != EOS][: left - 1], np.int32(EOS))
        yield line
        made, left = made + 1, left - len(line)


def masked_places(ids: np.ndarray) -> np.ndarray:
    """Which places of a sentence [N] are masked: SHARE of its ordinary tokens, at least one, at
    equal distances."""
    ordinary = np.flatnonzero(ids >= FIRST)
    count = max(1, round(SHARE * len(ordinary)))
    return ordinary[((2 * np.arange(count) + 1) * len(ordinary)) // (2 * count)]


def bare(piece: str) -> str:
    """A piece without the mark of the space before it."""
    return piece.removeprefix("▁") or piece
