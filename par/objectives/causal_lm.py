"""Causal language modelling: each token is predicted from those before it in memory and window."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.data.tokenizer import PAD
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.forward_mode import Phase
from par.nn.ops import TYPES, Initial
from par.nn.transformer import Memories, Transformer


class CausalLanguageModel:
    """A trunk and an adaptive softmax over its hidden states."""

    visibility = "causal"

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int):
        self._config, self._vocab_size, self._seed = config, vocab_size, seed

    def build(self, make_trunk: Callable[[], Transformer]) -> None:
        """Makes the layers: one trunk, one head."""
        self.trunk = make_trunk()
        embedding = self.trunk.embedding if self._config.tie_embeddings else None
        self.head = AdaptiveSoftmax(
            self._config,
            self._vocab_size,
            Initial(self._seed, self._config.init_std).within("head"),
            embedding,
        )

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints."""
        return {"trunk": self.trunk, "head": self.head}

    @staticmethod
    def prepare(window: tf.Tensor, seed: int | tf.Tensor = 0) -> dict[str, tf.Tensor]:
        """[B, T+1] -> tokens [B, T], targets [B, T], weights [B, T] float32: 0 where the target is
        padding. `seed` is not used."""
        tokens, targets = window[:, :-1], window[:, 1:]
        return {
            "tokens": tokens,
            "targets": targets,
            "weights": tf.cast(targets != PAD, tf.float32),
        }

    def log_prob(
        self, tokens: tf.Tensor, memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, Memories]:
        """Log-probabilities [B, V] (nats) of the token after tokens [B, T], and the memories after
        these."""
        hidden, memories = self.trunk(tokens, memories, visibility=self.visibility, phase=phase)
        return self.head.log_prob(tf.cast(hidden[:, -1], TYPES[self._config.precision])), memories

    def token_nll(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, Memories]:
        """nll (nats) and weight of each target of the window, both [B, T], and the memories after
        it."""
        hidden, memories = self.trunk(
            batch["tokens"], memories, visibility=self.visibility, phase=phase
        )
        flat = tf.cast(tf.reshape(hidden, [-1, hidden.shape[-1]]), TYPES[self._config.precision])
        nll = self.head.nll(flat, tf.reshape(batch["targets"], [-1]))
        return tf.reshape(nll, batch["targets"].shape), batch["weights"], memories

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict, Memories]:
        """Sums over the window of nll (nats) and weight (tokens), no further metrics, and the
        memories after it."""
        nll, weight, memories = self.token_nll(batch, memories, phase)
        return tf.reduce_sum(nll * weight), tf.reduce_sum(weight), {}, memories
