"""Vectors of texts: hidden states, the encodings of a network that has its own for them, and what
its heads take from texts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import tensorflow as tf

from par.core.errors import UsageError
from par.data import windows
from par.data.tokenizer import PAD
from par.evaluate.eval_config import check_memory
from par.nn.forward_mode import Phase
from par.train.learner import Learner
from par.train.run_config import RunConfig

ROWS = 32  # texts, or parts of them, that are read at once


class TextEncoder:
    """Cuts each text into parts as long as the texts of training; its encoding is the mean of
    theirs by their tokens."""

    def __init__(self, encode: Callable[[tf.Tensor], tf.Tensor], length: int):
        """encode: [B, W] of texts [B, T], padded. length: T."""
        self._length, self._encode = length, tf.function(encode, autograph=False)

    def mean(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """[n, W] float64 of n texts of ids [N]; zeros for an empty one."""
        owners, parts = [], []
        for owner, ids in enumerate(rows):
            for start in range(0, len(ids), self._length):
                owners.append(owner)
                parts.append(ids[start : start + self._length])
        # one shape, so that one graph is traced
        tokens = np.full([max(-(-len(parts) // ROWS), 1) * ROWS, self._length], PAD, np.int32)
        for place, part in enumerate(parts):
            tokens[place, : len(part)] = part
        encoded = np.concatenate(
            [
                self._encode(tf.constant(tokens[first : first + ROWS])).numpy()
                for first in range(0, len(tokens), ROWS)
            ]
        )
        lengths = np.array([len(part) for part in parts], np.float64)
        sums = np.zeros([len(rows), encoded.shape[1]])
        np.add.at(sums, owners, lengths[:, None] * encoded[: len(parts)])
        return sums / np.array([max(len(ids), 1) for ids in rows])[:, None]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., D] of length 1; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


class TextVectors:
    """What a trained run tells of texts by vectors: a part of par.evaluate.trained_model.Model.

    _seen: what a pass of the trunk needs beside tokens and memories.
    """

    config: RunConfig
    learner: Learner
    phase: Phase
    trunk: Any
    encode: Callable[[str], np.ndarray]
    _seen: dict[str, Any]

    @overload
    def embed(self, texts: str) -> np.ndarray: ...

    @overload
    def embed(self, texts: Iterable[str]) -> np.ndarray: ...

    def embed(self, texts):
        """The hidden states of texts: of several the mean of each, of one all of them.

        A token's state is that of the last block, after everything that the token sees in window
        and memory. Longer texts are read in windows of training's T, with training's memory.

        Args:
          texts: n texts, read as by `encode`, each by itself: its row does not depend on the
            others; or one text as a str.

        Returns: [n, D] float32, the mean over the tokens of each text, zeros for an empty one; or
          of a str [N, D] float32, one row after each of the N ids of `encode(text)`.

        Raises:
          UsageError: if something is not a text.
          ResourceError: as `score`.

        Example:
          a, b = model.embed(["A line of text.", "Another."])
          a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        """
        if isinstance(texts, str):
            parts = [hidden[0][real[0]] for hidden, real in self._states([self.encode(texts)])]
            empty = np.zeros([0, self.config.model.d_model], np.float32)
            return np.concatenate([empty, *parts])
        ids = [self.encode(text) for text in _several(texts)]
        found = np.zeros([len(ids), self.config.model.d_model], np.float32)
        # texts of about equal length are read side by side
        order = sorted(
            (row for row in range(len(ids)) if len(ids[row])), key=lambda r: len(ids[r])
        )
        for start in range(0, len(order), ROWS):
            chosen = order[start : start + ROWS]
            # one shape, so that one graph is traced
            padding = [np.zeros([0], np.int32)] * (ROWS - len(chosen) if len(ids) > 1 else 0)
            sums = sum(
                (hidden * real[..., None]).sum(axis=1, dtype=np.float64)
                for hidden, real in self._states([*(ids[row] for row in chosen), *padding])
            )
            lengths = np.array([len(ids[row]) for row in chosen])
            found[chosen] = sums[: len(chosen)] / lengths[:, None]
        return found

    def _states(self, rows: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Hidden states [B, T, D] of B texts of ids that are read side by side, and which of them
        are of tokens [B, T], window by window."""
        seq_len, mem_len = self.config.text_shape
        check_memory(self.config, len(rows), seq_len, mem_len, flags="mem_len")
        memories = self.trunk.empty_memories(len(rows), mem_len)
        for tokens, real in windows.padded_windows(rows, seq_len, PAD):
            hidden, memories = self._hidden(tf.constant(tokens), tf.constant(real), memories)
            yield hidden.numpy(), real

    def user_encoding(self, texts: Iterable[str]) -> np.ndarray:
        """Who wrote these texts, as a vector: that of another author's texts is another one.

        Args:
          texts: texts of one author.

        Returns: [D] float32, the mean of `encodings(texts)`, scaled to length 1; zeros without any
          text.

        Raises:
          UsageError, ResourceError: as `embed`.

        Example:
          one, other = (model.user_encoding(texts) for texts in (by_one, by_another))
          one @ other  # their cosine
        """
        return unit(self.encodings(texts).sum(axis=0))

    def encodings(self, texts: Iterable[str]) -> np.ndarray:
        """The vectors of texts by which a network tells their authors apart.

        Args:
          texts: n texts, read as by `encode`.

        Returns: [n, D] float32 of length 1: of a run of `authors` its own encodings, of texts
          longer than those of training the mean of their parts'; of any other run the mean of the
          hidden states, as of `embed`. Zeros for an empty text.

        Raises:
          UsageError, ResourceError: as `embed`.

        Example:
          model.encodings(["A line of text.", "Another."])
        """
        if not self.config.contract.encodes:
            return unit(self.embed(_several(texts)))
        means = self._encoder.mean([self.encode(text) for text in _several(texts)])
        return unit(means).astype(np.float32)

    @functools.cached_property
    def _encoder(self) -> TextEncoder:
        objective, length = self.learner.objective, self.config.objective_settings.doc_len
        return TextEncoder(
            lambda tokens: objective.encode(objective.window(tokens), self.phase), length
        )

    def halves(self, texts: Iterable[str]) -> dict[str, np.ndarray]:
        """What the heads of each kind of context take from texts: of a run with `--head_groups`.

        Each text is read as the one context of every kind beside a single [MASK], so that a vector
        tells what the heads of that kind would tell a text of it.

        Args:
          texts: n texts, read as by `encode`; of longer ones than those of training the mean of
            their parts.

        Returns: by kind [n, A h K] float32 of length 1, of A blocks that attend and h heads of
          width K each; zeros for an empty text.

        Raises:
          UsageError: if something is not a text, or the run's heads have no kinds.

        Example:
          one, other = model.halves(["A line of text.", "Another."])["author"]
        """
        if not self._halves:
            raise UsageError(
                "this network has no heads for kinds of contexts: train context_mlm with"
                " --head_groups=author:0-1,group:2-3"
            )
        means = self._halves_encoder.mean([self.encode(text) for text in _several(texts)])
        ends = np.cumsum([0, *self._halves.values()])
        return {
            kind: unit(means[:, first:last]).astype(np.float32)
            for kind, first, last in zip(self._halves, ends, ends[1:], strict=False)
        }

    @functools.cached_property
    def _halves(self) -> dict[str, int]:
        """The kinds of contexts that have heads of their own, and the widths of their vectors."""
        settings = self.config.objective_settings
        if not self.config.contract.halves(settings):
            return {}
        found = self._halves_of(tf.zeros([1, settings.doc_len], tf.int32))
        return {kind: vector.shape[1] for kind, vector in found.items()}

    def _halves_of(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        objective = self.learner.objective
        return objective.halves(objective.of_every_kind(tokens))

    @functools.cached_property
    def _halves_encoder(self) -> TextEncoder:
        return TextEncoder(
            lambda tokens: tf.concat(list(self._halves_of(tokens).values()), axis=-1),
            self.config.objective_settings.doc_len,
        )

    @functools.cached_property
    def _hidden(self) -> Any:
        return tf.function(
            lambda tokens, real, memories: self.trunk(tokens, memories, real=real, **self._seen),
            autograph=False,
        )


def _several(texts: Iterable[str]) -> Iterator[str]:
    """The texts. Raises: UsageError for what can't be gone through."""
    if not isinstance(texts, Iterable):
        raise UsageError(f"texts must be a str or several, but are {type(texts).__name__}")
    return iter(texts)
