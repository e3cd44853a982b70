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
from par.objectives.stream_windows import ReadsWindows


class CausalLanguageModel(ReadsWindows):
    """A trunk and an adaptive softmax over its hidden states."""

    visibility = "causal"

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: None = None):
        self._config, self._vocab_size, self._seed = config, vocab_size, seed

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: one trunk, one head."""
        self.trunk = make_trunk()
        embedding = self.trunk.table if self._config.tie_embeddings else None
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
    def prepare(
        window: tf.Tensor, seed: int | tf.Tensor = 0, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """[B, T+1] -> tokens [B, T], targets [B, T], weights [B, T] float32: 0 where the target is
        padding. `seed` and `training` are not used."""
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

    def token_scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[dict[str, tuple[tf.Tensor, tf.Tensor]], Memories]:
        """`nll`: nats and weight of each target of the window, both [B, T]; with phase.scores_hits
        `accuracy`, 1 where the most probable piece is the target; and the memories after it."""
        hidden, memories = self.trunk(
            batch["tokens"], memories, visibility=self.visibility, phase=phase
        )
        flat = tf.cast(tf.reshape(hidden, [-1, hidden.shape[-1]]), TYPES[self._config.precision])
        targets, weights = batch["targets"], batch["weights"]
        nll = self.head.nll(flat, tf.reshape(targets, [-1]))
        found = {"nll": (tf.reshape(nll, targets.shape), weights)}
        if phase.scores_hits:
            # row by row: all of the softmax at once would be [B * T, V]
            guesses = tf.map_fn(
                self.head.most_probable,
                tf.reshape(flat, [*targets.shape, flat.shape[-1]]),
                fn_output_signature=tf.TensorSpec(targets.shape[1:], tf.int32),
            )
            found["accuracy"] = tf.cast(guesses == targets, tf.float32), weights
        return found, memories

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict, Memories]:
        """Sums over the window of nll (nats) and weight (tokens), no parts, and the memories after
        it."""
        scores, memories = self.token_scores(batch, memories, phase)
        nll, weight = scores["nll"]
        return tf.reduce_sum(nll * weight), tf.reduce_sum(weight), {}, memories
