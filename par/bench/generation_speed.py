"""How fast a network writes: with its memory carried along, and with its whole context computed
again for every token."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import tensorflow as tf

from par.bench import synthetic
from par.core.config import SamplingConfig
from par.evaluate import sampling
from par.evaluate.generation import Decoder
from par.nn.forward_mode import EVALUATION
from par.train.learner import Learner
from par.train.run_config import RunConfig


class TimedGeneration:
    """A network that writes, timed with its memory carried along, and with its whole context
    computed again for every token."""

    def __init__(self, config: RunConfig, mem_len: int):
        self.objective, self._config = Learner(config).objective, SamplingConfig(length=1)
        # tokens that can reach a prediction through the memories of memories
        self.context = mem_len * config.architecture.blocks.count("a")
        self._decoder = Decoder(self.objective, config.data.seq_len, mem_len)
        self._text = synthetic.tokens(config.data.vocab_size, (max(self.context, 2),)).tolist()
        self.recomputed(1)

    def carried(self, length: int) -> float:
        """Tokens per second with memory; the prompt is read before, untimed."""
        written = self._decoder.write(
            self._text, dataclasses.replace(self._config, length=length + 1)
        )
        next(written)  # reads the prompt, and traces
        start = time.perf_counter()
        for _ in written:
            pass
        return length / (time.perf_counter() - start)

    def recomputed(self, length: int) -> float:
        """Tokens per second without memory: one window of the whole context for each token."""
        window = tf.constant([self._text])
        start = time.perf_counter()
        for place in range(length):
            token = self._from_window(window, tf.constant(place)).numpy()
            window = tf.concat([window[:, 1:], token[:, None]], axis=1)
        return length / (time.perf_counter() - start)

    @functools.cached_property
    def _from_window(self) -> Any:
        def draw(window: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
            log_prob, _ = self.objective.log_prob(
                window, self.objective.trunk.empty_memories(1, 0), EVALUATION
            )
            return sampling.draw(log_prob, self._config, place)

        return tf.function(draw, autograph=False)
