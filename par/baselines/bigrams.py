"""Probabilities of a masked token by counting: its frequency, and the tokens on both sides.

    p(w)          = c(w) / c                 how often w is among the tokens that can be masked
    p(w | a _)    = c(a w) / sum_v c(a v)    after the token before it
    p(w | _ b)    = c(w b) / sum_v c(v b)    before the token after it

v and w are ordinary ids: a special piece is never masked. Where the neighbour is masked, too, or
was never seen, a probability is that of the frequency alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from par.data.tokenizer import SPECIAL_PIECES

ORDINARY = len(SPECIAL_PIECES)  # the first id that can be masked
HIDDEN = -1  # in the place of a neighbour that is masked
SCANNED = 1 << 20  # tokens that are counted at once


class Targets(NamedTuple):
    """Masked tokens and their neighbours, [n] ids each; HIDDEN for a neighbour that is masked."""

    before: np.ndarray
    word: np.ndarray
    after: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Targets]) -> Targets:
        """All of them, in this order."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """The counts of a stream, of all tokens, and of the pairs that targets ask for.

    words: [V] of the ordinary tokens. befores, afters: [V] how often a token stands before or
    after an ordinary one. keys: [P] the pairs a * V + b that are asked for, sorted. pairs: [P].
    """

    words: np.ndarray
    befores: np.ndarray
    afters: np.ndarray
    keys: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(
        cls,
        stream: Any,
        targets: Targets,
        vocab_size: int,
        progress: Callable[[int], None] = lambda made: None,
    ) -> PairCounts:
        """Counts a stream, which is read in parts: what has a length and gives arrays for slices.

        progress: is told how many more tokens are counted. Memory is that of the vocabulary, of
        the targets and of a part.
        """
        asked = [
            _keys(targets.before, targets.word, vocab_size),
            _keys(targets.word, targets.after, vocab_size),
        ]
        keys = np.unique(np.concatenate(asked))
        keys = keys[keys >= 0]
        words, befores, afters = (np.zeros([vocab_size], np.int64) for _ in range(3))
        pairs = np.zeros([len(keys)], np.int64)
        for part, last in _parts(stream):
            is_word = part >= ORDINARY
            words += np.bincount(part[:last][is_word[:last]], minlength=vocab_size)
            befores += np.bincount(part[:-1][is_word[1:]], minlength=vocab_size)
            afters += np.bincount(part[1:][is_word[:-1]], minlength=vocab_size)
            if len(keys):
                found = _keys(part[:-1], part[1:], vocab_size)
                place = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
                pairs += np.bincount(place[keys[place] == found], minlength=len(keys))
            progress(last)
        return cls(words, befores, afters, keys, pairs)

    def probabilities(self, targets: Targets) -> np.ndarray:
        """[n, 3] of each target: by its frequency, by the token before it, by the one after it.

        The targets must be among those that were asked for.
        """
        total = max(self.words.sum(), 1)
        alone = self.words[targets.word] / total
        columns = [alone]
        for first, second, near, totals in (
            (targets.before, targets.word, targets.before, self.befores),
            (targets.word, targets.after, targets.after, self.afters),
        ):
            known = np.where(near >= 0, totals[np.maximum(near, 0)], 0)
            count = self._pairs(_keys(first, second, len(self.words)))
            columns.append(np.where(known > 0, count / np.maximum(known, 1), alone))
        return np.stack(columns, 1)

    def _pairs(self, keys: np.ndarray) -> np.ndarray:
        if not len(self.keys):
            return np.zeros(keys.shape, np.int64)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.pairs[place], 0)


def of_few(
    texts: Sequence[np.ndarray], targets: Targets, vocab_size: int, unseen: np.ndarray
) -> np.ndarray:
    """[n, 3] as `PairCounts.probabilities`, by the counts of a few short texts [length] of ids.

    HIDDEN ids in them are not counted. unseen: [n] the probabilities where the texts hold no
    ordinary token.
    """
    gap = np.array([HIDDEN], np.int64)
    line = np.concatenate([part for text in texts for part in (text, gap)] or [gap])
    words = np.sort(line[line >= ORDINARY])
    alone = _count(words, targets.word) / len(words) if len(words) else unseen
    first, second = line[:-1], line[1:]
    columns = [alone]
    for near, key, is_counted, nears in (
        (targets.before, _keys(targets.before, targets.word, vocab_size), second, first),
        (targets.after, _keys(targets.word, targets.after, vocab_size), first, second),
    ):
        mine = (is_counted >= ORDINARY) & (nears >= 0)
        known = np.where(near >= 0, _count(np.sort(nears[mine]), near), 0)
        pairs = _count(np.sort(_keys(first[mine], second[mine], vocab_size)), key)
        columns.append(np.where(known > 0, pairs / np.maximum(known, 1), alone))
    return np.stack(columns, 1)


def _count(ordered: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How often each of `asked` [n] is among sorted values."""
    return np.searchsorted(ordered, asked, "right") - np.searchsorted(ordered, asked, "left")


def _keys(first: np.ndarray, second: np.ndarray, vocab_size: int) -> np.ndarray:
    """[n] int64 of pairs, -1 where one of both is hidden."""
    key = first.astype(np.int64) * vocab_size + second
    return np.where((first >= 0) & (second >= 0), key, -1)


def _parts(stream: Any) -> Iterator[tuple[np.ndarray, int]]:
    """Parts of a stream, each with the first token of the next one; how many are its own."""
    for start in range(0, len(stream), SCANNED):
        part = np.asarray(stream[start : start + SCANNED + 1])
        yield part, min(SCANNED, len(part))
