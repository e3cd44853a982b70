"""The pieces that a network expects at the [MASK]s of a text, in one pass: each as if the other
[MASK]s stayed.

    [EOS] ▁The [MASK] ▁sees ... [EOS]     in windows of T tokens, each with the memory of those
                                          before it
    hidden states at [MASK]  ->  probabilities [K, V]  ->  the k largest of ordinary pieces

Special pieces are left out: training never asks for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.data import windows
from par.data.tokenizer import EOS, MASK, PAD, Tokenizer
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import Memories
from par.objectives.masking import FIRST


class Candidate(NamedTuple):
    """A piece that may stand at a [MASK], its id and its probability."""

    piece: str
    id: int
    probability: float


class Filled(NamedTuple):
    """A text with the most probable piece at each [MASK], and the candidates of each, the most
    probable first."""

    text: str
    masks: list[list[Candidate]]


def best(log_prob: tf.Tensor, k: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The k most probable ordinary pieces: log_prob [..., V] -> probabilities [..., k] and ids
    [..., k] int32, the largest first, of equal ones the lower id; k is at most V less the special
    pieces."""
    values, places = tf.math.top_k(log_prob[..., FIRST:], k)
    return tf.exp(values), places + FIRST


class Filler:
    """Predicts the pieces at the MASKs of a stream of ids. A graph is traced for each T and M."""

    def __init__(self, objective: Any, phase: Phase = EVALUATION):
        """objective: one of par.objectives that fills."""
        self._objective, self._phase = objective, phase
        self._graphs: dict[tuple[int, int], Any] = {}

    def predict(
        self,
        ids: np.ndarray,
        k: int,
        seq_len: int,
        mem_len: int,
        progress: Callable[[int], None] = lambda read: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [K, k] and ids [K, k] of the best pieces at the K MASKs of ids [N], which
        are read behind an [EOS], as if a line ended there.

        Windows that no MASK can see are left out; `progress` is called with the number of tokens
        that a window has, or would have.
        """
        stream = np.append(np.int32(EOS), ids)
        empty = memories = self._objective.trunk.empty_memories(1, mem_len)
        found, graph = [], self._graph(seq_len, mem_len, empty)
        needed = self._needed(np.flatnonzero(stream == MASK) // seq_len, seq_len, mem_len)
        for number, (tokens, real) in enumerate(windows.padded_windows([stream], seq_len, PAD)):
            progress(int(real.sum()))
            if number not in needed:
                memories = empty
                continue
            places = np.flatnonzero(tokens[0] == MASK)[None].astype(np.int32)
            (probability, pieces), memories = graph(places, tokens, real, memories, k)
            found.append((probability[0].numpy(), pieces[0].numpy()))
        return tuple(np.concatenate(parts) for parts in zip(*found))

    def _needed(self, asking: np.ndarray, seq_len: int, mem_len: int) -> set[int]:
        """The windows that have a MASK, by number, and those before them whose tokens reach it:
        each block with attention passes on M tokens before a window."""
        layout = self._objective.trunk.memory_layout
        if not mem_len:
            return set(asking.tolist())
        # in positions of the blocks, of which a window has a whole number
        sizes = [[-(-size // of) for size in (seq_len, mem_len)] for of in layout.factors]
        reach = max(-(-len(layout.slots) * (m + t - 1) // t) for t, m in sizes)
        return {number - back for number in set(asking.tolist()) for back in range(reach + 1)}

    def _graph(self, seq_len: int, mem_len: int, memories: Memories) -> Any:
        if (seq_len, mem_len) not in self._graphs:
            specs = [
                tf.TensorSpec([1, None], tf.int32),
                tf.TensorSpec([1, seq_len], tf.int32),
                tf.TensorSpec([1, seq_len], tf.bool),
                tf.nest.map_structure(tf.TensorSpec.from_tensor, memories),
                tf.TensorSpec([], tf.int32),
            ]
            self._graphs[seq_len, mem_len] = tf.function(
                self._predict, input_signature=specs, autograph=False
            )
        return self._graphs[seq_len, mem_len]

    def _predict(
        self,
        places: tf.Tensor,
        tokens: tf.Tensor,
        real: tf.Tensor,
        memories: Memories,
        k: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Memories]:
        log_prob, memories = self._objective.log_prob_at(
            places, tokens, real, memories, self._phase
        )
        return best(log_prob, k), memories


def candidates(
    tokenizer: Tokenizer, probability: np.ndarray, pieces: np.ndarray
) -> list[list[Candidate]]:
    """The candidates of each of K [MASK]s from probabilities and ids [K, k]."""
    return [
        [
            Candidate(name, int(token), float(share))
            for name, token, share in zip(tokenizer.pieces(row), row, shares)
        ]
        for row, shares in zip(pieces, probability)
    ]


def filled_ids(ids: np.ndarray, masks: Sequence[Sequence[Candidate]]) -> np.ndarray:
    """ids [N] with the best candidate at each MASK."""
    filled = np.array(ids)
    filled[filled == MASK] = [found[0].id for found in masks]
    return filled
