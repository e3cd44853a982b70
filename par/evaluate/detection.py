"""The probability of each token of a text that it was put there by a generator, from a network
that tells replaced tokens.

    ▁The ▁cat ▁hears ▁the ▁dog ... [EOS]     in windows of T tokens, each with the memory of those
                                             before it
    logits  ->  probabilities [N] = 1 / (1 + e^-z)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.data import windows
from par.data.tokenizer import PAD
from par.nn.forward_mode import EVALUATION, Phase


class Suspected(NamedTuple):
    """Each of the N tokens of a text: its piece, the text that it adds ("" before the last byte of
    a character), and the probability [N] that it was replaced."""

    pieces: list[str]
    texts: list[str]
    probability: np.ndarray


class Detector:
    """Tells which tokens of a stream of ids were replaced. One graph serves each T and M."""

    def __init__(self, objective: Any, phase: Phase = EVALUATION):
        """objective: one of par.objectives that detects."""
        self._objective, self._phase = objective, phase
        self._graph = tf.function(self._probabilities, autograph=False)

    def predict(self, ids: np.ndarray, seq_len: int, mem_len: int) -> np.ndarray:
        """[N] float32 of ids [N]."""
        memories = self._objective.trunk.empty_memories(1, mem_len)
        found = [np.zeros([0], np.float32)]
        for tokens, real in windows.padded_windows([ids], seq_len, PAD):
            probability, memories = self._graph(tf.constant(tokens), tf.constant(real), memories)
            found.append(probability.numpy()[0][real[0]])
        return np.concatenate(found)

    def _probabilities(self, tokens: tf.Tensor, real: tf.Tensor, memories: Any) -> Any:
        logits, memories = self._objective.replaced_logits(tokens, real, memories, self._phase)
        return tf.sigmoid(logits), memories
