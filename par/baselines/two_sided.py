"""What stands in a place, from the tokens on both sides of it: a unigram model, and its mixture
with the bigrams of both neighbours.

    u(w) = (c(w) + 1) / (n + V')            of V' pieces; n is the sum of c(w)
    l(w) = c(a w) / sum_v c(a v)            a: the token before
    r(w) = c(w b) / sum_v c(v b)            b: the token after
    p(w) = w_0 u(w) + w_1 l(w) + w_2 r(w)

Only ordinary pieces w are predicted; neighbours may be any token. A neighbour that is not known,
or that no ordinary piece stood beside in train, is absent, and the weights are those of the
neighbours that are there (Jelinek & Mercer 1980; fitted by par.baselines.mixture). The counts are
exact. Beside the streams, memory is about 100 bytes a bigram that occurs in train.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from par.baselines import mixture

SCANNED = 1 << 22  # tokens, or entries of rows, that are taken at once
ABSENT = -1
HELD = 10  # the last tenth of train is held out for the weights
# by whether the neighbour before and the one after is there
PATTERNS = {
    "both": (True, True),
    "before": (True, False),
    "after": (False, True),
}


class Places(NamedTuple):
    """Tokens to predict [N], and their neighbours [N] before and after; ABSENT where unknown."""

    token: np.ndarray
    before: np.ndarray
    after: np.ndarray


class Scores(NamedTuple):
    """Of each place [N]: nll in nats, and whether the token is the most probable piece, the lowest
    id among equals."""

    nll: np.ndarray
    hits: np.ndarray


def places(stream: np.ndarray, masked: np.ndarray, seq_len: int) -> Places:
    """The masked places of a stream in its order. stream: [N] ids; masked: [N - 1] bool, of all
    but the last token, which are read in windows of `seq_len`.

    A neighbour is absent if it is masked itself, if there is none, or if it stands behind the end
    of the window: no network sees it there. The one before the window is in memory.
    """
    found = np.flatnonzero(masked)
    before = np.where(found > 0, stream[found - 1], ABSENT)
    before[masked[found - 1] & (found > 0)] = ABSENT
    after = stream[found + 1]
    ends = (found + 1) % seq_len == 0
    hidden = np.append(masked, True)[found + 1]
    return Places(stream[found], before, np.where(ends | hidden, ABSENT, after))


@dataclasses.dataclass(frozen=True)
class Rows:
    """How often each piece stands beside each context: rows of a sparse matrix.

    keys: [D] sorted, context * V + piece; counts: [D]; starts: [V + 1] where a row begins; totals:
    [V] sums of the rows.
    """

    vocab_size: int
    keys: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    totals: np.ndarray

    @classmethod
    def of(cls, contexts: np.ndarray, ids: np.ndarray, counts: np.ndarray, size: int) -> Rows:
        """From pairs [D] that are all different, in any order."""
        keys = contexts.astype(np.int64) * size + ids
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys, np.arange(size + 1) * size, sorter=order)
        totals = np.bincount(contexts, counts, size).astype(np.int64)
        return cls(size, keys[order], counts[order], starts, totals)

    def known(self, contexts: np.ndarray) -> np.ndarray:
        """[N] bool: which contexts have a row with something in it."""
        return (contexts >= 0) & (self.totals[np.maximum(contexts, 0)] > 0)

    def probability(self, contexts: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """[N] of pieces beside contexts that are known."""
        if not len(self.keys):
            return np.zeros([len(ids)])
        key = contexts.astype(np.int64) * self.vocab_size + ids
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, self.counts[place], 0) / self.totals[contexts]

    def row(self, context: int) -> tuple[np.ndarray, np.ndarray]:
        """The pieces of a context, rising, and their probabilities."""
        part = slice(self.starts[context], self.starts[context + 1])
        ids = self.keys[part] - context * self.vocab_size
        return ids, self.counts[part] / max(self.totals[context], 1)


@dataclasses.dataclass(frozen=True)
class Counts:
    """The counts of a train stream. unigram: [V], 0 for what is never predicted."""

    unigram: np.ndarray
    before: Rows  # by the token before
    after: Rows  # by the token after

    @classmethod
    def of(
        cls,
        stream: np.ndarray,
        vocab_size: int,
        first: int,
        progress: Callable[[int], None] = lambda made: None,
    ) -> Counts:
        """Counts a stream [N] of ids below V; pieces below `first` are never predicted. progress
        is told how many more tokens were counted."""
        occurs = np.bincount(stream, minlength=vocab_size)
        occurs[:first] = 0
        unigram = (occurs + 1) / (occurs.sum() + vocab_size - first)
        unigram[:first] = 0
        keys, counts = _pairs(stream, vocab_size, progress)
        left, right = np.divmod(keys, vocab_size)
        is_left, is_right = left >= first, right >= first
        return cls(
            unigram,
            Rows.of(left[is_right], right[is_right], counts[is_right], vocab_size),
            Rows.of(right[is_left], left[is_left], counts[is_left], vocab_size),
        )

    def patterns(self, given: Places) -> Iterator[tuple[str, np.ndarray]]:
        """The names of PATTERNS, each with the indices of the places that have these
        neighbours."""
        before, after = self.before.known(given.before), self.after.known(given.after)
        for name, (has_before, has_after) in PATTERNS.items():
            yield name, np.flatnonzero((before == has_before) & (after == has_after))

    def probabilities(self, given: Places) -> np.ndarray:
        """[N, K] of the tokens under the unigram model and each neighbour that is there, which
        must be the same ones in all places."""
        found = [self.unigram[given.token]]
        for rows, contexts in ((self.before, given.before), (self.after, given.after)):
            if len(contexts) and rows.known(contexts[:1])[0]:
                found.append(rows.probability(contexts, given.token))
        return np.stack(found, axis=1)


def _pairs(
    stream: np.ndarray, vocab_size: int, progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of neighbours of a stream, sorted, as left * V + right [D], and their counts."""
    merged = np.zeros([0], np.int64), np.zeros([0], np.int64)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, max(len(stream) - 1, 0), SCANNED):
        part = stream[start : start + SCANNED + 1].astype(np.int64)
        waiting.append(np.unique(part[:-1] * vocab_size + part[1:], return_counts=True))
        # so each pair is merged a few times only, however long the stream is
        if sum(len(keys) for keys, _ in waiting) >= len(merged[0]):
            merged, waiting = _merged([merged, *waiting]), []
        progress(len(part) - 1)
    return _merged([merged, *waiting])


def _merged(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    keys, inverse = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
    counts = np.concatenate([counts for _, counts in parts])
    return keys, np.bincount(inverse, counts, len(keys)).astype(np.int64)


Weights = dict[str, tuple[float, ...]]  # by PATTERNS: of u, then of the neighbours that are there


def fit(counts: Counts, held: Places) -> Weights:
    """The weights for which places that were not counted are most probable, by the neighbours that
    they have; each model counts as if it had explained one place more, so that none has weight 0
    however few they are."""
    found = {}
    for name, there in PATTERNS.items():
        found[name] = (1 / (1 + sum(there)),) * (1 + sum(there))
    for name, index in counts.patterns(held):
        if len(index):
            own = counts.probabilities(Places(*(each[index] for each in held)))
            best = mixture.em_weights(own)
            found[name] = tuple(((len(own) * best + 1) / (len(own) + len(best))).tolist())
    return found


def unigram_scores(counts: Counts, given: Places) -> Scores:
    """The scores of the unigram model."""
    probability = counts.unigram[given.token]
    return Scores(-np.log(probability), given.token == np.argmax(counts.unigram))


def mixture_nll(counts: Counts, weights: Weights, given: Places) -> np.ndarray:
    """[N] nats of the tokens under the mixture."""
    nll = unigram_scores(counts, given).nll
    for name, index in counts.patterns(given):
        if len(index):
            own = Places(*(each[index] for each in given))
            nll[index] = -np.log(mixture.mixed(counts.probabilities(own), np.array(weights[name])))
    return nll


def mixture_scores(
    counts: Counts,
    weights: Weights,
    given: Places,
    progress: Callable[[int], None] = lambda made: None,
) -> Scores:
    """The scores of the mixture. progress is told how many more places were scored."""
    nll, guesses = mixture_nll(counts, weights, given), np.empty_like(given.token)
    guesses[:] = np.argmax(counts.unigram)  # where neither neighbour is there
    rest = len(given.token)
    for name, index in counts.patterns(given):
        own = Places(*(each[index] for each in given))
        if len(index):
            guesses[index] = _guesses(counts, weights[name], own, PATTERNS[name])
            progress(len(index))
            rest -= len(index)
    progress(rest)
    return Scores(nll, given.token == guesses)


def _guesses(
    counts: Counts, weights: tuple[float, ...], given: Places, there: tuple[bool, bool]
) -> np.ndarray:
    """[N] the most probable piece of each place.

    For all places with one token before, w_0 u + w_1 l is one vector [V]. A piece that the token
    after never follows has just that, so beside the largest entry only the row of the token after
    is to be looked at.
    """
    has_before, has_after = there
    contexts = given.before if has_before else np.zeros_like(given.before)
    order = np.argsort(contexts, kind="stable")
    found = np.empty_like(given.token)
    for group in np.split(order, np.flatnonzero(np.diff(contexts[order])) + 1):
        base = weights[0] * counts.unigram
        if has_before:
            ids, probability = counts.before.row(contexts[group[0]])
            base[ids] += weights[1] * probability
        top = int(np.argmax(base))
        if not has_after:
            found[group] = top
            continue
        afters, inverse = np.unique(given.after[group], return_inverse=True)
        best = np.empty([len(afters)], found.dtype)
        for place, after in enumerate(afters):
            ids, probability = counts.after.row(after)
            sums = base[ids] + weights[-1] * probability
            at = int(np.argmax(sums))
            piece, value = int(ids[at]), sums[at]
            is_row = value > base[top] or (value == base[top] and piece < top)
            best[place] = piece if is_row else top
        found[group] = best[inverse]
    return found
