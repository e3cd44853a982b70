"""The texts of a data set as models of counts read them: streams, and the tokens that an
evaluation masks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from par.baselines import two_sided
from par.core.progress import Progress
from par.data import records
from par.data.manifest import Manifest, check_size
from par.data.tokenizer import SPECIAL_PIECES


class Reading(NamedTuple):
    """Which masked tokens are scored: those of windows of `seq_len` in so many draws; skips_first:
    without the first token of the split, which no causal network predicts."""

    seq_len: int
    draws: int
    skips_first: bool = False


class Texts:
    """The streams of a data set, each read when it is first asked for, and their masked tokens."""

    def __init__(self, data_dir: str | Path, manifest: Manifest, reading: Reading | None = None):
        self.manifest, self.reading = manifest, reading
        self.vocab_size, self._dir = manifest.vocab_size, data_dir
        self._streams: dict[str, np.ndarray] = {}

    def has(self, split: str) -> bool:
        """Whether the record files of a split are there: a network from a shelf may come with
        those of some splits."""
        return all((Path(self._dir) / f.name).is_file() for f in self.manifest.splits[split].files)

    def stream(self, split: str) -> np.ndarray:
        """[N] ids; of train those that windows hold. Raises: DataError if a record file is not
        there."""
        for file in self.manifest.splits[split].files:
            check_size(Path(self._dir) / file.name, file.size)
        if split not in self._streams:
            self._streams[split] = records.read_stream(self._dir, self.manifest, split)
        return self._streams[split]

    @functools.cached_property
    def counts(self) -> two_sided.Counts:
        """Of train."""
        train = self.stream("train")
        with Progress("bigrams", "token", len(train) - 1) as progress:
            return two_sided.Counts.of(train, self.vocab_size, len(SPECIAL_PIECES), progress)

    def masked(self, split: str) -> two_sided.Places:
        """The masked tokens of a split, one draw after the other."""
        stream, reading = self.stream(split), self.reading
        return _masked_places(stream, reading.seq_len, reading.draws, reading.skips_first)

    def weights(self) -> two_sided.Weights:
        """The weights of the mixture, fitted to masked tokens of the end of train that is not
        counted for that."""
        train = self.stream("train")
        held = max(len(train) // two_sided.HELD, 2)
        counted = two_sided.Counts.of(train[:-held], self.vocab_size, len(SPECIAL_PIECES))
        return two_sided.fit(counted, _masked_places(train[-held:], *self.reading[:2]))


def _masked_places(
    stream: np.ndarray, seq_len: int, draws: int, skips_first: bool = False
) -> two_sided.Places:
    from par.evaluate import masked_positions  # imports TensorFlow

    masked = masked_positions.scored(stream, seq_len, draws)
    found = []
    for each in masked:
        own = two_sided.places(stream, each, seq_len)
        found.append([part[int(skips_first and each[:1].any()) :] for part in own])
    return two_sided.Places(*(np.concatenate(parts) for parts in zip(*found)))
