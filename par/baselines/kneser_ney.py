"""An interpolated Kneser-Ney model of token ids: what a network must beat, in seconds.

    p_k(w | h) = max(c(hw) - D_k, 0) / c(h) + D_k t(h) / c(h) * p_{k-1}(w | h')
    p_{-1}(w)  = 1 / V

    h      the k tokens before w; h' is h without its first
    c(hw)  for the longest h, how often hw occurs; for a shorter one, after how many other tokens
    c(h)   the sum of c(hw) over w; where it is 0, p_k is p_{k-1}
    t(h)   the number of w with c(hw) > 0
    D_k    n_1 / (n_1 + 2 n_2), n_i the number of hw with c(hw) = i

Kneser & Ney 1995, interpolated as by Chen & Goodman 1999, with one discount a level. The counts
are exact, but only those are kept that the text to be scored asks for: beside the streams, memory
is about 200 bytes a scored token and 0.4 GiB. The train stream is counted in parts by the hash of
a gram's last two tokens, so that all grams with one end are in one part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

ORDER = 5  # tokens of the longest gram: the one that is predicted, and those before it
PART = 1 << 21  # train tokens of a part, about
SCANNED = 1 << 22  # tokens that are hashed at once
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: Knuth's multiplicative hash
NO_SINGLES = 0.5  # the discount of a level without a gram of count 1


class Scores(NamedTuple):
    """nll: of each stream, [N - 1] nats of every token but the first. discounts: D_k, [order]."""

    nll: list[np.ndarray]
    discounts: list[float]


def score(
    train: np.ndarray,
    streams: Sequence[np.ndarray],
    vocab_size: int,
    *,
    order: int = ORDER,
    part: int = PART,
    progress: Callable[[int], None] = lambda made: None,
) -> Scores:
    """Scores streams [N] of ids below V by the model of another one, `train`.

    order: at least 2. part: train tokens that are counted at once, about; no effect on the
    result. progress: is told how many more of them are counted.
    """
    ends = [_ends(stream, np.arange(len(stream)), order) for stream in streams]
    asked = _Asked(np.concatenate(ends, axis=1))
    levels = [_Level.empty(*asked.sizes[k : k + 2]) for k in range(order)]
    befores = np.zeros([vocab_size], np.int64)  # [V] different tokens before each token
    for places in _parts(train, -(-len(train) // part), vocab_size):
        befores += _count(_ends(train, places, order), asked, levels, vocab_size)
        progress(len(places))
    tokens = np.arange(vocab_size)
    levels[0].add(befores, asked.ids(tokens[None])[1], np.zeros_like(tokens))
    nll = [-np.log(_probability(own, asked, levels, vocab_size)) for own in ends]
    return Scores(nll, [level.discount for level in levels])


def _ends(stream: np.ndarray, places: np.ndarray, order: int) -> np.ndarray:
    """The gram that ends at each place, from its end: [order, n]; -1 before the stream begins."""
    back = np.arange(order)[:, None]
    return np.where(places >= back, stream[np.maximum(places - back, 0)], -1)


class _Asked:
    """The grams that are asked for, numbered by length."""

    def __init__(self, ends: np.ndarray):
        """ends: [order, n] as of `_ends`."""
        self.sizes = [1]  # of lengths 0, 1, ...: how many grams
        self._keys: list[np.ndarray] = []  # of lengths 1, 2, ...: sorted
        rest = np.zeros(ends.shape[1:], np.int64)
        for length, first in enumerate(ends):
            key = self._key(first, rest, length)
            self._keys.append(np.unique(key[key >= 0]))
            self.sizes.append(len(self._keys[-1]))
            rest = self._number(key, length)

    def ids(self, ends: np.ndarray) -> list[np.ndarray]:
        """The numbers [n] of the grams of lengths 0, 1, ... that end as `ends` [length, n] does;
        -1 for one that is not asked for."""
        found = [np.zeros(ends.shape[1:], np.int64)]
        for length, first in enumerate(ends):
            found.append(self._number(self._key(first, found[-1], length), length))
        return found

    def _key(self, first: np.ndarray, rest: np.ndarray, length: int) -> np.ndarray:
        """What a gram is found by, from its first token and the number of the rest, which is of
        that length; -1 if one of both is."""
        key = first.astype(np.int64) * self.sizes[length] + rest  # beyond 32 bits
        return np.where((first >= 0) & (rest >= 0), key, -1)

    def _number(self, key: np.ndarray, length: int) -> np.ndarray:
        keys = self._keys[length]
        if not len(keys):
            return np.full(key.shape, -1, np.int64)
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        return np.where(keys[place] == key, place, -1)


@dataclasses.dataclass
class _Level:
    """The counts of one k."""

    count: np.ndarray  # [grams of length k + 1] c(hw)
    total: np.ndarray  # [grams of length k] c(h)
    kinds: np.ndarray  # [grams of length k] t(h)
    ones: int = 0
    twos: int = 0

    @classmethod
    def empty(cls, histories: int, grams: int) -> _Level:
        """Nothing is counted yet."""
        return cls(*(np.zeros([size], np.int64) for size in (grams, histories, histories)))

    def add(self, count: np.ndarray, gram: np.ndarray, history: np.ndarray) -> None:
        """Adds grams that were not added before: counts [n], numbers of the grams and of their
        histories [n], -1 where not asked for. Those of count 0 don't occur."""
        self.ones += int((count == 1).sum())
        self.twos += int((count == 2).sum())
        is_asked = gram >= 0
        self.count[gram[is_asked]] = count[is_asked]
        is_asked = (history >= 0) & (count > 0)
        for sums, values in ((self.total, count[is_asked]), (self.kinds, None)):
            sums += np.bincount(history[is_asked], values, len(sums)).astype(np.int64)

    @property
    def discount(self) -> float:
        """D_k."""
        return self.ones / (self.ones + 2 * self.twos) if self.ones else NO_SINGLES


def _parts(train: np.ndarray, parts: int, vocab_size: int) -> Iterator[np.ndarray]:
    """The places of train, [n] each, those with the same two last tokens in one part. The first
    token, which ends no pair, is in none."""
    if parts < 2:
        yield np.arange(1, len(train))
        return
    for number in range(parts):
        found = []
        for start in range(1, len(train), SCANNED):
            stop = min(start + SCANNED, len(train))
            pair = train[start - 1 : stop - 1].astype(np.uint64) * np.uint64(vocab_size)
            mixed = (pair + train[start:stop].astype(np.uint64)) * np.uint64(GOLDEN)
            found.append(
                start + np.flatnonzero((mixed >> np.uint64(32)) % np.uint64(parts) == number)
            )
        yield np.concatenate(found)


def _count(
    ends: np.ndarray, asked: _Asked, levels: Sequence[_Level], vocab_size: int
) -> np.ndarray:
    """Counts the grams of a part, which end as `ends` [order, n], in all levels but the first.
    Returns: [V] how many different tokens precede each token in this part."""
    ends = ends[:, np.lexsort(ends[::-1])]  # grams with the same end stand together
    gram, history = asked.ids(ends), asked.ids(ends[1:])
    differs = np.ones(ends.shape, bool)  # [order, n] from the gram before
    differs[:, 1:] = np.logical_or.accumulate(ends[:, 1:] != ends[:, :-1])
    # [order, n] where a gram of length 1, 2, ... begins that does not reach before the stream
    begins = differs & (ends >= 0)
    # [order, n] what a gram's count adds up: longer grams that begin, and at last occurrences
    counted = np.concatenate([begins[1:], ends[-1:] >= 0])
    for k in range(1, len(ends)):
        first = np.flatnonzero(differs[k])
        count = np.add.reduceat(counted[k].astype(np.int64), first)
        levels[k].add(count, gram[k + 1][first], history[k][first])
    return np.bincount(ends[0][counted[0]], minlength=vocab_size)


def _probability(
    ends: np.ndarray, asked: _Asked, levels: Sequence[_Level], vocab_size: int
) -> np.ndarray:
    """[n - 1] the probability of every token of a stream but the first."""
    gram = asked.ids(ends)
    p = np.full([ends.shape[1] - 1], 1 / vocab_size)
    for k, level in enumerate(levels):
        history, own = gram[k][:-1], gram[k + 1][1:]
        # -1 where the stream has begun less than k tokens before
        known = np.flatnonzero(history >= 0)
        known = known[level.total[history[known]] > 0]
        history, own = history[known], own[known]
        kept = np.maximum(level.count[own] - level.discount, 0)
        p[known] = (kept + level.discount * level.kinds[history] * p[known]) / level.total[history]
    return p
