"""Two latents: one word of a text is the author's, one the group's, independently.

    thing word3 topic mark2            or the two pairs in the other order

An author has one of K words, a group one of K marks, and each author writes one text in each
group. So another text of the author, from another group, tells the author's word alone, and a text
of another author in the group the group's mark alone.

Authors are drawn anew, and the bounds are for those that training has not seen. The groups are
few, and the same in all splits, so a network may know their marks by heart: all marks are equally
frequent, so that a text of unknown group has each with the same probability.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from par.core.errors import SettingError
from par.data.synthetic.dialects import check_contexts, seen
from par.data.synthetic.settings import Bound, Document, SyntheticConfig

USES = ("authors", "groups", "synonyms", "contexts")
SPLIT_BY = "author"


def documents(config: SyntheticConfig, seed: int) -> Iterator[Document]:
    """The texts, author by author. Raises: UsageError if the groups are not a multiple of K."""
    _check(config)
    draw = np.random.default_rng([seed, config.authors])
    marks = draw.permutation(config.groups) % config.synonyms
    for author in range(config.authors):
        draw = np.random.default_rng([seed, author])
        word = draw.integers(config.synonyms)
        for group, is_reversed in enumerate(draw.integers(2, size=config.groups)):
            pairs = [f"thing word{word}", f"topic mark{marks[group]}"]
            text = " ".join(pairs[::-1] if is_reversed else pairs)
            yield Document(f"{author}.{group}", text, f"author{author}", f"group{group}")


def count(config: SyntheticConfig) -> int:
    """How many texts there are."""
    return config.authors * config.groups


def bounds(config: SyntheticConfig) -> list[Bound]:
    """By the number of contexts of each kind, at the author's words and at the group's marks.

    Raises: UsageError if the groups are not a multiple of K, or the author has not so many other
    texts, or the group.
    """
    _check(config)
    found = []
    for n in range(config.contexts + 1):
        miss = float(n == 0)
        found += [
            seen("author", n, "words", config.synonyms, miss),
            Bound("author", n, "marks", *_by_heart(n, config.groups, config.synonyms)),
            seen("group", n, "words", config.synonyms, 1.0),
            seen("group", n, "marks", config.synonyms, miss),
        ]
    return found


def _by_heart(n: int, groups: int, synonyms: int) -> tuple[float, float]:
    """Accuracy and nll at the mark of a group, after those of n others.

    Of G groups, G/K have each mark. One that c_k of the n others show is that of the own group
    with the probability (G/K - c_k) / (G - n).
    """
    each = groups // synonyms
    accuracy = nll = 0.0
    for parts in _partitions(n, min(n, each)):
        if len(parts) > synonyms:
            continue
        counts = Counter([*parts, *[0] * (synonyms - len(parts))])
        ways = math.factorial(synonyms)
        for c, times in counts.items():  # which marks, and which of the groups with each
            ways = ways // math.factorial(times) * math.comb(each, c) ** times
        left = {(each - c) / (groups - n): times for c, times in counts.items()}
        share = ways / math.comb(groups, n)
        accuracy += share * max(left)
        nll -= share * sum(times * p * math.log(p) for p, times in left.items() if p > 0)
    return accuracy, nll


def _partitions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """The ways to write a number as a sum of falling integers from `largest` to 1."""
    if not total:
        yield ()
    for first in range(min(total, largest), 0, -1):
        for rest in _partitions(total - first, first):
            yield first, *rest


def _check(config: SyntheticConfig) -> None:
    if config.groups % config.synonyms:
        message = f"groups must be a multiple of synonyms, {config.synonyms}"
        raise SettingError(f"{message}, but is {config.groups}", "groups", "synonyms")
    for name in ("groups", "authors"):
        check_contexts(config, name, "two_latents")
