"""A short text by the network as it stands: what it has learnt so far, for a reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from par.core.config import SamplingConfig
from par.data.tokenizer import EOS, Tokenizer
from par.evaluate.generation import Decoder
from par.train.learner import Learner

TEMPERATURE = 0.8


class Sampler:
    """Writes as many tokens with the same seed each time, so that only the network makes the
    difference; changes nothing of it."""

    def __init__(self, learner: Learner, data_dir: Path, length: int):
        """length: tokens of a text; 0: there is no text. Nothing is loaded or traced before the
        first text."""
        self._learner, self._data_dir, self._length = learner, data_dir, length
        self._decoder: Decoder | None = None

    def text(self) -> str:
        """What the network writes where a line begins, a SuperNet as its mixture."""
        if not self._length:
            return ""
        if self._decoder is None:
            config = self._learner.config
            self._tokenizer = Tokenizer.load(self._data_dir / "tokenizer.model")
            self._decoder = Decoder(self._learner.objective, config.data.seq_len, config.reach)
        drawn = SamplingConfig(
            length=self._length, temperature=TEMPERATURE, seed=self._learner.config.training.seed
        )
        return self._tokenizer.decode(
            np.stack(list(self._decoder.write([EOS], drawn)))[:, 0].tolist()
        )
