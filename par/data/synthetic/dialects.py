"""Dialects: for each thing there are synonyms, and each author always uses the same one.

    thing3 word3.1 thing0 word0.2 ...        P of S things, each followed by its author's word

An author's choice is one of K words for each thing, drawn anew for each author. A text names a
thing at most once, so the text itself says nothing about its words; another text of the author
names the thing with probability P/S. Groups are drawn at random and mean nothing. The bounds are
for authors that training has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from par.core.errors import SettingError
from par.data.synthetic.settings import Bound, Document, SyntheticConfig

USES = ("authors", "groups", "texts", "slots", "synonyms", "pairs", "contexts")
SPLIT_BY = "author"


def documents(config: SyntheticConfig, seed: int) -> Iterator[Document]:
    """The texts, author by author."""
    for author in range(config.authors):
        draw = np.random.default_rng([seed, author])
        choice = draw.integers(config.synonyms, size=config.slots)
        for text in range(config.texts):
            things = draw.permutation(config.slots)[: config.pairs]
            words = " ".join(f"thing{thing} word{thing}.{choice[thing]}" for thing in things)
            group = draw.integers(config.groups)
            yield Document(f"{author}.{text}", words, f"author{author}", f"group{group}")


def count(config: SyntheticConfig) -> int:
    """How many texts there are."""
    return config.authors * config.texts


def bounds(config: SyntheticConfig) -> list[Bound]:
    """At an author's words, by the number N of other texts of the author.

    The word is known if one of them names the thing, 1 - (1 - P/S)^N; else all K are equal.
    Raises: UsageError if the author has not so many other texts.
    """
    check_contexts(config, "texts", "dialects")
    return [
        seen("author", n, "synonyms", config.synonyms, (1 - config.pairs / config.slots) ** n)
        for n in range(config.contexts + 1)
    ]


def check_contexts(config: SyntheticConfig, name: str, task: str) -> None:
    """Raises: UsageError unless there are so many other texts; name: the setting that says how
    many there are of one author or group."""
    if config.contexts >= getattr(config, name):
        raise SettingError(
            f"contexts must be below {name} with the task {task}, {getattr(config, name)}, but is"
            f" {config.contexts}",
            "contexts",
            name,
        )


def seen(kind: str, contexts: int, targets: str, synonyms: int, miss: float) -> Bound:
    """The bound where a word is known, but with the probability `miss` is any of K."""
    accuracy = 1 - miss * (1 - 1 / synonyms)
    return Bound(kind, contexts, targets, accuracy, miss * math.log(synonyms))
