"""Masked prediction from the texts that a text answers: the recipe `ancestors`, `attention`, with
gradient, of par.objectives.contexts.context_mlm, where a thread is read once.

    thread      0 ── 1 ── 2        in turn   0 1 2 3 4    each text behind those that it answers
                └─── 3 ── 4

    step of     text       2    3    4
    3 texts     ancestors  1 0  0    3 0      contexts that are read   1 0 3 -    at most B + N + 1

The texts of a step follow each other in such an order, so that those above them are mostly among
the texts of the step themselves, or above the first one: each is read once as a context, however
many texts it is above. One more context is that of empty slots. Where a thread is so deep, and
branches so often, that B + N + 1 are not enough, the farthest are left out; a text that it answers
is always read.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from par.baselines.relations import roots
from par.core.config import ModelConfig
from par.data.documents import DEPTH, PARENT
from par.nn.forward_mode import Phase
from par.objectives.context_settings import ThreadSettings
from par.objectives.contexts.context_mlm import CONTEXTS, ContextLanguageModel, ancestors
from par.objectives.document_reader import EMPTY, Draws


class ThreadLanguageModel(ContextLanguageModel):
    """A masked language model of documents with their ancestors' pooled vectors beside them."""

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: ThreadSettings):
        super().__init__(config, vocab_size, seed, settings.as_contexts)

    def _draws(self, table: np.ndarray, split: str, data_dir: Path) -> Draws:
        """Every document is a target; nothing is drawn."""
        parent, number = np.array(table[:, PARENT]), self._contexts.number
        order = in_turn(parent, np.array(table[:, DEPTH]))
        parents = tf.constant(np.append(parent, EMPTY), tf.int32)

        def read(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return each_once(ancestors(parents, rows, number), rows.shape[0] + number + 1)

        return Draws(
            order,
            lambda rows, seeds: {"text": rows, "contexts": read(rows)[0]},
            lambda rows: {"slots": read(rows)[1]},
            together=roots(parent)[order],
        )

    def element_spec(self, batch_size: int, seq_len: int) -> dict[str, tf.TensorSpec]:
        """text [B, doc_len]; contexts [B + N + 1, doc_len], of all texts together; slots [B, N]:
        which of them each ancestor is, the nearest first; scored [B]; all int32."""
        length, number = self._contexts.doc_len, self._contexts.number
        shapes = {
            "text": [batch_size, length],
            "contexts": [batch_size + number + 1, length],
            "slots": [batch_size, number],
            "scored": [batch_size],
        }
        return {name: tf.TensorSpec(of, tf.int32) for name, of in shapes.items()}

    def prepare(
        self, element: dict[str, tf.Tensor], seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """As of context_mlm, but contexts [C, T] and slots [B, N] as the element has them."""
        batch = super().prepare(element, seed, training)
        # ids of synthetic elements may be anything
        return batch | {"slots": element["slots"] % element["contexts"].shape[0]}

    def _flat(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return batch["contexts"]

    def _of_each(self, x: tf.Tensor, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.gather(x, batch["slots"])

    def _of_contexts(self, phase: Phase) -> Phase:
        """All replicas read the same contexts."""
        return dataclasses.replace(phase, first_row=tf.constant(CONTEXTS, tf.int64))


def in_turn(parent: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """[R] the rows of all documents, thread by thread, each directly behind its parent or behind
    what answers the parent before it (preorder). parent: [R] rows or EMPTY; depth: [R]."""
    size = np.ones(len(parent), np.int64)  # of the tree below a document
    deepest_first = np.argsort(-depth, kind="stable")
    for row in deepest_first:
        if parent[row] != EMPTY:
            size[parent[row]] += size[row]
    place, taken = np.zeros(len(parent), np.int64), 0
    filled = np.ones(len(parent), np.int64)  # of the tree, so far
    for row in np.argsort(depth, kind="stable"):
        above = parent[row]
        if above == EMPTY:
            place[row] = taken
            taken += size[row]
        else:
            place[row] = place[above] + filled[above]
            filled[above] += size[row]
    return np.argsort(place)


def each_once(rows: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The different values of rows [B, N], those of the first columns first, [most], EMPTY behind
    them; and the place of each value among them [B, N]; int32. If there are more than `most`, the
    last ones are left out, and EMPTY stands for them."""
    number, size = rows.shape[1], rows.shape[0]
    different, places = tf.unique(tf.reshape(tf.transpose(rows), [-1]))
    found = tf.shape(different)[0]
    kept = tf.where(found > most, most - 1, found)
    padded = tf.pad(different[:kept], [[0, most - kept]], constant_values=EMPTY)
    places = tf.reshape(tf.minimum(places, most - 1), [number, size])
    return tf.ensure_shape(padded, [most]), tf.transpose(places)
