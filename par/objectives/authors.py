"""Who wrote it: other texts of an author (anchors) and one more (the positive) shall have similar
encodings, and those of other authors (negatives) others.

    anchors  [B, N, T]  ->  trunk, pooled, mean  ->  user encodings [B, D] ─┐
                                                                            ├─ cosines [B, C]
    candidates  [C, T]  ->  trunk, pooled        ->  encodings [C, D]      ─┘

In training the candidates are the positives of all rows of the batch, and each row's own negative
behind them where the loss needs it; in an evaluation a row is compared with its own positive and
its own negative alone, so that its score does not depend on the batch. Texts are read by
themselves, without a memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from par.core.config import ModelConfig
from par.data.manifest import Manifest
from par.data.tokenizer import BOS, PAD
from par.nn.forward_mode import Phase, row_integers
from par.nn.transformer import Memories, Transformer
from par.objectives import author_pools, contrast
from par.objectives.document_reader import DocumentReader, Draws, PoolTensors, Readers
from par.objectives.settings import AuthorsSettings

# dropout counts the candidates from here on, and the anchors, of which there are fewer, from 0
CANDIDATES = 1 << 32


class AuthorNetwork:
    """A trunk, whose pooled hidden states are the encodings."""

    visibility = "bidirectional"

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: AuthorsSettings):
        self._settings = settings
        self._readers = Readers(settings.doc_len, self._draws)

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: one trunk."""
        self.trunk = make_trunk()

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints."""
        return {"trunk": self.trunk}

    def read_data(self, data_dir: Path) -> None:
        """Reads nothing: `documents` does, when it is needed."""

    def documents(self, data_dir: Path, manifest: Manifest, split: str) -> DocumentReader:
        """The documents of a split, read once. Raises: DataError, ResourceError as DocumentReader;
        UsageError if no document has an anchor and a negative."""
        return self._readers.of(data_dir, manifest, split)

    def _draws(self, table: np.ndarray, split: str, data_dir: Path) -> Draws:
        pools = author_pools.of_table(table, self._settings)
        author_pools.check_targets(pools, self._settings, split, data_dir)
        anchors, negatives = PoolTensors.of(pools.anchors), PoolTensors.of(pools.negatives)
        names, count = tf.constant(pools.names, tf.int32), self._settings.anchors

        def draw(rows: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
            numbers = row_integers(seeds, count + 1)
            return {
                "anchors": anchors.draw(rows, numbers[:, :count]),
                "positive": rows,
                "negative": negatives.draw(rows, numbers[:, count:])[:, 0],
            }

        return Draws(pools.targets, draw, lambda rows: {"name": tf.gather(names, rows)})

    def element_spec(self, batch_size: int, seq_len: int) -> dict[str, tf.TensorSpec]:
        """anchors [B, N, doc_len], positive and negative [B, doc_len], name [B]: the author or
        group, scored [B]: 0 for a row that is not; all int32."""
        length = self._settings.doc_len
        shapes = {
            "anchors": [self._settings.anchors, length],
            "positive": [length],
            "negative": [length],
            "name": [],
            "scored": [],
        }
        return {name: tf.TensorSpec([batch_size, *of], tf.int32) for name, of in shapes.items()}

    def prepare(
        self, element: dict[str, tf.Tensor], seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """anchors [B, N, T]; candidates [C, T], of all rows: the positives, then the negatives if
        they are needed; own [B]: the column of the row's positive; other [B]: of its negative;
        allowed [B, C]: which candidates it is compared with; weights [B]. seed is not used."""
        rows = tf.shape(element["name"])[0]
        own, texts, name = tf.range(rows), [element["positive"]], element["name"]
        with_negatives = self._settings.is_hard or not training
        is_own = tf.eye(rows, dtype=tf.bool)
        allowed = is_own if not training else is_own | (name[:, None] != name[None])
        if with_negatives:
            texts.append(element["negative"])
            allowed = tf.concat([allowed, is_own], axis=1)
        return {
            "anchors": self.window(element["anchors"]),
            "candidates": self.window(tf.concat(texts, axis=0)),
            "own": own,
            "other": own + rows if with_negatives else own,
            "allowed": allowed,
            "weights": tf.cast(element["scored"] > 0, tf.float32),
        }

    def window(self, tokens: tf.Tensor) -> tf.Tensor:
        """Texts [..., doc_len] as the trunk reads them, with [BOS] before each if its state is the
        encoding."""
        if self._settings.pool != "cls":
            return tokens
        return tf.concat([tf.where(tokens[..., :1] == PAD, PAD, BOS), tokens], axis=-1)

    def token_scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[dict[str, tuple[tf.Tensor, tf.Tensor]], Memories]:
        """`nll`, the loss, and `accuracy`, 1 where the positive is nearer than the negative, of
        each row, [B, 1] each, with their weights; and the memories as they are."""
        cosines = self._cosines(batch, phase)
        loss, weights = self._loss(cosines, batch), batch["weights"][:, None]
        both = (self._column(cosines, batch[name]) for name in ("own", "other"))
        hits = contrast.nearer(*both)
        return {
            "nll": (loss[:, None], weights),
            "accuracy": (hits[:, None], weights),
        }, memories

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict, Memories]:
        """Sums over the rows of the loss and of the weights, no parts, and the memories as they
        are."""
        loss, weights = self._loss(self._cosines(batch, phase), batch), batch["weights"]
        return tf.reduce_sum(loss * weights), tf.reduce_sum(weights), {}, memories

    def _loss(self, cosines: tf.Tensor, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """[B] from the cosines [B, C]."""
        settings = self._settings
        if settings.loss == "infonce":
            return contrast.info_nce(cosines, batch["own"], batch["allowed"], settings.temperature)
        both = (self._column(cosines, batch[name]) for name in ("own", "other"))
        return contrast.triplet(*both, settings.margin)

    @staticmethod
    def _column(cosines: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        return tf.gather(cosines, columns, batch_dims=1)

    def _cosines(self, batch: dict[str, tf.Tensor], phase: Phase) -> tf.Tensor:
        """[B, C] of the user encodings and the candidates."""
        anchors = batch["anchors"]
        rows, count, length = anchors.shape
        flat = tf.reshape(anchors, [rows * count, length])
        of_anchors = dataclasses.replace(phase, first_row=phase.first_row * count)
        users = contrast.user(tf.reshape(self.encode(flat, of_anchors), [rows, count, -1]))
        of_candidates = dataclasses.replace(phase, first_row=tf.constant(CANDIDATES, tf.int64))
        return tf.matmul(users, self.encode(batch["candidates"], of_candidates), transpose_b=True)

    def encode(self, tokens: tf.Tensor, phase: Phase) -> tf.Tensor:
        """The encodings [B, D] of texts [B, T] as `prepare` gives them, of length 1; 0 for empty
        slots."""
        real, rows = tokens != PAD, tokens.shape[0]
        hidden, _ = self.trunk(
            tokens,
            self.trunk.empty_memories(tf.shape(tokens)[0] if rows is None else rows, 0),
            visibility=self.visibility,
            phase=phase,
            real=real,
        )
        return contrast.unit(
            contrast.pooled(tf.cast(hidden, tf.float32), real, self._settings.pool)
        )
