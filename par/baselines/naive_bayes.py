"""Multinomial naive Bayes over the n-grams of tokens: what counting alone tells of a document's
label (McCallum & Nigam 1998).

    log P(c) + sum_g log((n_cg + a) / (n_c + a F))        g: the n-grams of the document

n-grams are counted in F buckets by a hash, so that a table has C x F numbers whatever the text.
"""

from __future__ import annotations

import numpy as np

BUCKETS = 1 << 15  # F
ADDED = 0.1  # a
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
NUMBERS_AT_ONCE = 1 << 22


def buckets(tokens: np.ndarray, longest: int, pad: int) -> np.ndarray:
    """[R, longest T] int32: of each place of documents [R, T] the buckets of the n-grams, n from 1
    to `longest`, that begin there; -1 where one would reach into padding."""
    size, found = tokens.shape[1], []
    hashed, real = np.zeros(tokens.shape, np.uint64), np.ones(tokens.shape, bool)
    for n in range(longest):
        ahead = np.full(tokens.shape, pad, tokens.dtype)
        ahead[:, : max(size - n, 0)] = tokens[:, n:]
        real &= ahead != pad
        hashed = (hashed + ahead.astype(np.uint64) + np.uint64(1)) * MULTIPLIER
        found.append(np.where(real, (hashed >> np.uint64(49)).astype(np.int32), -1))
    return np.concatenate(found, axis=1)


class NaiveBayes:
    """A classifier of documents, counted from some of them."""

    def __init__(
        self, tokens: np.ndarray, classes: np.ndarray, number: int, longest: int, pad: int
    ):
        """tokens: [R, T] ids, `pad` behind the end; classes: [R] from 0 to number - 1; longest:
        the most tokens of an n-gram."""
        self._longest, self._pad = longest, pad
        counts = np.zeros([number, BUCKETS], np.float32)
        for row, own in zip(buckets(tokens, longest, pad), classes.tolist(), strict=True):
            np.add.at(counts[own], row[row >= 0], 1.0)
        totals = counts.sum(axis=1, keepdims=True) + ADDED * BUCKETS
        self._log_table = np.log((counts + ADDED) / totals).T.copy()  # [F, C]
        prior = np.bincount(classes, minlength=number) + ADDED
        self._log_prior = np.log(prior / prior.sum())

    def predict(self, tokens: np.ndarray) -> np.ndarray:
        """[R] the most probable class of each document [R, T], of equals the lowest."""
        found = np.empty([len(tokens)], np.int32)
        each = max(self._longest * tokens.shape[1] * self._log_table.shape[1], 1)
        for first in range(0, len(tokens), at_once := max(NUMBERS_AT_ONCE // each, 1)):
            own = buckets(tokens[first : first + at_once], self._longest, self._pad)
            scores = np.where((own >= 0)[..., None], self._log_table[own], 0.0)
            total = scores.sum(axis=1, dtype=np.float64) + self._log_prior
            found[first : first + at_once] = total.argmax(axis=1)
        return found
