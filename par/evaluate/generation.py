"""Text from a trained network, one token at a time: the memory is carried, and no hidden state is
computed twice.

    prompt   windows of T tokens, the rest one by one  ->  memories, last token
    token    (last token, memories)  ->  the next token, the memories after it

Every query sees itself and exactly M tokens back (`same_length`), so that a text written token by
token equals one window with that band mask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.core.config import SamplingConfig
from par.data.tokenizer import EOS, SPECIAL_PIECES, Tokenizer
from par.evaluate import sampling
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import Memories
from par.train.learner import Learner

SAMPLER_TEMPERATURE = 0.8  # of the texts that a training run writes of itself


class Decoder:
    """A network that reads a prompt and goes on with it. Its graphs are traced once."""

    def __init__(self, objective: Any, seq_len: int, mem_len: int, phase: Phase = EVALUATION):
        """objective: a causal one of par.objectives. seq_len: T of the windows that a prompt is
        read in. mem_len: M, how far back a query sees."""
        self._objective, self._seq_len, self._mem_len = objective, seq_len, mem_len
        self._phase = dataclasses.replace(phase, same_length=True)
        self._writers: dict[SamplingConfig, Any] = {}

    def empty_memories(self) -> Memories:
        """The memories [A, 1, M, D] before any token."""
        return self._objective.trunk.empty_memories(1, self._mem_len)

    def read(self, tokens: Sequence[int], memories: Memories | None = None) -> Memories:
        """The memories [A, 1, M, D] after tokens [N], from empty ones or `memories`."""
        memories = memories or self.empty_memories()
        tokens, at = np.asarray(tokens, np.int32)[None], 0
        while at < tokens.shape[1]:
            count = self._seq_len if tokens.shape[1] - at >= self._seq_len else 1
            memories = self.after(tf.constant(tokens[:, at : at + count]), memories)
            at += count
        return memories

    def write(self, prompt: Sequence[int], config: SamplingConfig) -> Iterator[np.ndarray]:
        """The tokens [B] after a prompt [N >= 1], B = num_samples, `length` times; deterministic
        for a seed.

        What stands further back in the prompt than blocks can hand on is not read: the work does
        not grow with the prompt.
        """
        memories = self._objective.trunk.empty_memories(1, self._mem_len)
        # tokens back that a token hangs on: M in each attending block
        reach = memories.hidden.shape[0] * self._mem_len
        memories = self._spread(self.read(prompt[-1 - reach : -1], memories), config.num_samples)
        token = tf.fill([config.num_samples], tf.constant(prompt[-1], tf.int32))
        writer = self._writer(config)
        for place in range(config.length):
            token, memories = writer(token, memories, tf.constant(place))
            yield token.numpy()

    @tf.function(autograph=False)
    def after(self, tokens: tf.Tensor, memories: Memories) -> Memories:
        """The memories after tokens [B, N] int32, all at once."""
        return self._objective.trunk(tokens, memories, phase=self._phase)[1]

    @staticmethod
    def _spread(memories: Memories, rows: int) -> Memories:
        """The memories of one row for each of `rows`."""
        return Memories(tf.repeat(memories.hidden, rows, axis=1), tf.repeat(memories.valid, rows))

    def _writer(self, config: SamplingConfig) -> Any:
        """The graph of one token for these settings."""
        key = dataclasses.replace(config, length=1)
        if key not in self._writers:
            self._writers[key] = tf.function(
                lambda token, memories, place: self.next(token, memories, place, config),
                autograph=False,
            )
        return self._writers[key]

    def log_prob(self, token: tf.Tensor, memories: Memories) -> tuple[tf.Tensor, Memories]:
        """Log-probabilities [B, V] (nats) of what follows token [B] int32, and the memories after
        it."""
        return self._objective.log_prob(token[:, None], memories, self._phase)

    def next(
        self, token: tf.Tensor, memories: Memories, place: tf.Tensor, config: SamplingConfig
    ) -> tuple[tf.Tensor, Memories]:
        """After token [B] int32: the token drawn [B], the memories. place: scalar, tokens drawn
        before. Draws no special piece but the line's end."""
        log_prob, memories = self.log_prob(token, memories)
        special = np.arange(log_prob.shape[-1]) < len(SPECIAL_PIECES)
        special[EOS] = False
        return sampling.draw(tf.where(special, sampling.OUT, log_prob), config, place), memories


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
            self._decoder = Decoder(
                self._learner.objective, config.data.seq_len, config.trained_context
            )
        drawn = SamplingConfig(
            length=self._length,
            temperature=SAMPLER_TEMPERATURE,
            seed=self._learner.config.training.seed,
        )
        return self._tokenizer.decode(
            np.stack(list(self._decoder.write([EOS], drawn)))[:, 0].tolist()
        )
