"""What reading other texts can tell of a masked word, by counting: a check before any training.

A seventh of a text's tokens is masked at a time, so that each is masked once. A masked token w is
predicted by a mixture of probabilities that are counted:

    uniform, frequency, left and right pair       in the train split
    frequency                                     in the text itself, without what is masked
    frequency, left and right pair                in its N contexts

The weights are those of expectation maximization. The gain of a kind of contexts is the mixture's
nll less that with as many unrelated texts in their place, for the same masked tokens. The count
model knows exact words alone: a network may gain more from contexts by what is alike in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from par.baselines.bigrams import HIDDEN, ORDINARY, PairCounts, Targets, of_few
from par.baselines.mixture import em_weights, mixed
from par.baselines.relations import KINDS, Relations, cluster_numbers
from par.core.bootstrap import ratio_interval
from par.core.errors import DataError
from par.core.stats import Interval
from par.data.documents import LENGTH, START
from par.data.tokenizer import EOS

PARTS = 7  # of a text: what is masked at a time is 14 %, near the 15 % of scores
MOST_TOKENS = 1 << 18  # masked tokens: memory is about 400 bytes for each
MOST_HELD = 1 << 26  # tokens of a split that are read at once; of a longer one text by text
TOLERANCE = 1e-5  # nats a token that better weights could gain at most


class Split(NamedTuple):
    """The held-out documents of a split.

    name: for messages. table: [R, 6] of par/data/documents.py. stream: its token ids, what has a
    length and gives arrays for slices.
    """

    name: str
    table: np.ndarray
    stream: Any


class Gain(NamedTuple):
    """What one kind of contexts gives.

    documents: texts that have some. contexts: their mean number. tokens: masked ones of these
    texts. clusters: groups, authors or threads that they are of. nll: nats a masked token with
    these contexts; unrelated_nll: with as many unrelated texts. difference: the first less the
    second.
    """

    kind: str
    documents: int
    contexts: float
    tokens: int
    clusters: int
    nll: float
    unrelated_nll: float
    difference: Interval


class Result(NamedTuple):
    """documents, tokens, clusters: what is scored in all. unigram_nll: by frequency alone; nll:
    without contexts. gains: of every kind that the documents have. lacking: why others can't be
    measured, by kind."""

    documents: int
    tokens: int
    clusters: int
    unigram_nll: float
    nll: float
    gains: list[Gain]
    lacking: dict[str, str]


def measure(
    train: Any,
    splits: Sequence[Split],
    vocab_size: int,
    cluster: str,
    *,
    contexts: int,
    context_len: int | None = None,
    text_len: int | None = None,
    most: int = 10_000,
    seed: int = 0,
    counting: Callable[[int], None] = lambda made: None,
    scoring: Callable[[int], None] = lambda made: None,
) -> Result:
    """The gain of every kind of contexts on held-out documents.

    train: the train stream. cluster: `group`, `author` or `thread`: the intervals are for other
    ones of these. contexts: N. context_len, text_len: so many tokens of a context are read, and of
    a text that is scored, from the beginning; None: all. most: documents that are scored, drawn by
    the seed. counting, scoring: are told how many more tokens of train are counted, and documents
    scored.
    Raises: DataError if no document has a token to mask.
    """
    texts = [_Texts(split, Relations(split.table), cluster) for split in splits]
    masked = _masked(texts, text_len, most, seed)
    if not masked:
        raise DataError(
            f"no text of {' and '.join(split.name for split in splits)} has a token that can be"
            " masked: give more text"
        )
    targets = Targets.joined([each.targets for each in masked])
    counts = PairCounts.of(train, targets, vocab_size, counting)
    alone, by_kind = _Columns(), {kind: _Columns() for kind in KINDS}
    lacking = {kind: KINDS[kind].none for kind in KINDS}
    for each in masked:
        own, of_kinds = _probabilities(each, counts, vocab_size, contexts, context_len)
        alone.add(each.cluster, own, own, 0)
        for kind, (number, related, unrelated) in of_kinds.items():
            if number:
                with_related, with_unrelated = (
                    np.hstack([own, columns]) for columns in (related, unrelated)
                )
                by_kind[kind].add(each.cluster, with_related, with_unrelated, number)
                lacking[kind] = f"only one {cluster} of those that are scored has such texts"
            elif not by_kind[kind].clusters:
                lacking[kind] = "no text is unrelated to those that have such texts"
        scoring(1)
    gains = []
    for kind, columns in by_kind.items():
        if len(set(columns.clusters)) > 1:
            gains.append(columns.gain(kind, seed))
            del lacking[kind]
    frequency = [each[:, :2] for each in alone.related]
    return Result(
        len(masked),
        len(targets.word),
        len(set(alone.clusters)),
        float(alone.nll(frequency, seed).mean()),
        float(alone.nll(alone.related, seed).mean()),
        gains,
        lacking,
    )


class _Texts:
    """The texts of a split, with their relations. cluster: [R] numbers of what it is divided by;
    a document without a name is of its thread alone."""

    def __init__(self, split: Split, relations: Relations, cluster: str):
        self.relations = relations
        self._starts, self._lengths = (np.array(split.table[:, n]) for n in (START, LENGTH))
        is_small = len(split.stream) <= MOST_HELD
        self._stream = split.stream[: len(split.stream)] if is_small else split.stream
        self.cluster = cluster_numbers(split.table, cluster)

    def ids(self, row: int, most: int | None = None) -> np.ndarray:
        """The first tokens [length] of a document."""
        start, length = int(self._starts[row]), int(self._lengths[row])
        return self._stream[start : start + min(length, most or length)]


class _Masked(NamedTuple):
    """A document, and which of its tokens are masked when.

    cluster: which it is of, in its split for those without a name. parts: the places that are
    masked at a time. targets: those of all parts, in this order. draw: what its contexts are drawn
    with.
    """

    texts: _Texts
    row: int
    cluster: tuple[int, int]
    ids: np.ndarray
    parts: list[np.ndarray]
    targets: Targets
    draw: np.random.Generator


def _masked(texts: Sequence[_Texts], text_len: int | None, most: int, seed: int) -> list[_Masked]:
    """Documents drawn from all splits, those without an ordinary token left out."""
    firsts = np.cumsum([0, *(len(each.relations) for each in texts)])
    found, tokens = [], 0
    for number in np.random.default_rng(seed).permutation(firsts[-1]):
        if len(found) == most or tokens >= MOST_TOKENS:
            break
        which = int(np.searchsorted(firsts, number, "right")) - 1
        own, row = texts[which], int(number - firsts[which])
        draw = np.random.default_rng([seed, which, row])
        ids = own.ids(row, text_len)
        if parts := divide(ids, draw):
            targets = Targets.joined([_targets(ids, part) for part in parts])
            cluster = int(own.cluster[row])
            named = (cluster, which if cluster < 0 else 0)
            found.append(_Masked(own, row, named, ids, parts, targets, draw))
            tokens += len(targets.word)
    return found


def divide(ids: np.ndarray, draw: np.random.Generator) -> list[np.ndarray]:
    """The places of a text's ordinary tokens in PARTS equal parts at random, none of them
    empty."""
    places = draw.permutation(np.flatnonzero(ids >= ORDINARY))
    return [np.sort(part) for part in np.array_split(places, PARTS) if len(part)]


def visible(ids: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The ids [length] of a text, HIDDEN where they are masked."""
    found = ids.astype(np.int64)
    found[part] = HIDDEN
    return found


def _targets(ids: np.ndarray, part: np.ndarray) -> Targets:
    """Before and after a text stands the end of a line."""
    line = np.concatenate([[EOS], visible(ids, part), [EOS]])
    return Targets(line[part], ids[part].astype(np.int64), line[part + 2])


def _probabilities(
    masked: _Masked, counts: PairCounts, vocab_size: int, most: int, context_len: int | None
) -> tuple[np.ndarray, dict[str, tuple[int, np.ndarray, np.ndarray]]]:
    """[n, 5] without contexts; and of each kind of contexts that there are, their number, [n, 3]
    with them, and [n, 3] with as many unrelated texts. The number is 0 if there are no such."""
    texts, row, targets = masked.texts, masked.row, masked.targets
    of_train = counts.probabilities(targets)
    uniform = np.full([len(targets.word), 1], 1 / (vocab_size - ORDINARY))
    caches, start = [], 0
    for part in masked.parts:
        mine = slice(start, start := start + len(part))
        own = Targets(*(column[mine] for column in targets))
        hidden = visible(masked.ids, part)
        caches.append(of_few([hidden], own, vocab_size, of_train[mine, 0])[:, :1])

    def of(rows: np.ndarray) -> np.ndarray:
        ids = [texts.ids(int(other), context_len) for other in rows]
        return of_few(ids, targets, vocab_size, of_train[:, 0])

    unrelated = texts.relations.unrelated(row, most, masked.draw)
    found, known = {}, {}
    for kind in KINDS:
        rows = texts.relations.contexts(kind, row, most, masked.draw)
        if len(rows):
            number = min(len(rows), len(unrelated))
            if number not in known:
                known[number] = of(unrelated[:number])
            found[kind] = (number, of(rows[:number]), known[number])
    return np.hstack([uniform, of_train, np.concatenate(caches)]), found


class _Columns:
    """The probabilities of masked tokens, text by text: those with contexts of a kind, and those
    with unrelated texts, [n, K] each."""

    def __init__(self) -> None:
        self.clusters: list[tuple[int, int]] = []
        self.related: list[np.ndarray] = []
        self.unrelated: list[np.ndarray] = []
        self._contexts = 0

    def add(
        self,
        cluster: tuple[int, int],
        related: np.ndarray,
        unrelated: np.ndarray,
        contexts: int,
    ) -> None:
        """Adds a text with so many contexts."""
        self.clusters.append(cluster)
        self.related.append(related.astype(np.float32))
        self.unrelated.append(unrelated.astype(np.float32))
        self._contexts += contexts

    def gain(self, kind: str, seed: int) -> Gain:
        """What this kind gives; of at least two clusters."""
        related, unrelated = (self.nll(each, seed) for each in (self.related, self.unrelated))
        of_token = np.repeat(self._numbers(), [len(each) for each in self.related])
        sums = np.bincount(of_token, related - unrelated)
        tokens = np.bincount(of_token)
        return Gain(
            kind,
            len(self.related),
            self._contexts / len(self.related),
            len(related),
            len(sums),
            float(related.mean()),
            float(unrelated.mean()),
            ratio_interval(sums, tokens, seed),
        )

    def nll(self, columns: Sequence[np.ndarray], seed: int) -> np.ndarray:
        """[n] nats of each token under the mixture, whose weights are fitted to the other half of
        the clusters; of a single one, to itself."""
        rows = np.concatenate(columns)
        numbers = self._numbers()
        half = np.random.default_rng(seed).permutation(numbers.max() + 1) % 2
        in_first = np.repeat(half[numbers] == 0, [len(each) for each in columns])
        found = np.empty([len(rows)])
        for mine in (in_first, ~in_first):
            if mine.any():
                others = rows[mine if mine.all() else ~mine]
                found[mine] = -np.log(mixed(rows[mine], em_weights(others, tolerance=TOLERANCE)))
        return found

    def _numbers(self) -> np.ndarray:
        """The cluster of each text, [texts] from 0 on."""
        order = {cluster: number for number, cluster in enumerate(dict.fromkeys(self.clusters))}
        return np.array([order[cluster] for cluster in self.clusters])
