"""Threads: each reply repeats the rare word of an ancestor, and says how far back it was.

    say rare17                     a chain of D texts, each of another word out of R,
     say rare3                     each the child of the one before
      say rare40
       back2 rare3                 replies to the last one: distance d = 1 to D, all equally
       back1 rare40                probable, and the word of the d-th ancestor

Authors and groups (a thread's) are drawn at random and mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from par.data.synthetic.settings import Bound, Document, SyntheticConfig

USES = ("authors", "groups", "threads", "replies", "rare_words", "distance", "contexts")
SPLIT_BY = "thread"


def documents(config: SyntheticConfig, seed: int) -> Iterator[Document]:
    """The texts, thread by thread, each after its parent."""
    for thread in range(config.threads):
        draw = np.random.default_rng([seed, thread])
        chain = draw.choice(config.rare_words, config.distance, replace=False)
        group = f"group{draw.integers(config.groups)}"
        texts = [f"say rare{word}" for word in chain]
        for back in draw.integers(1, config.distance + 1, config.replies):
            texts.append(f"back{back} rare{chain[-back]}")
        for place, text in enumerate(texts):
            before = min(place, config.distance) - 1
            parent = f"{thread}.{before}" if before >= 0 else None
            author = f"author{draw.integers(config.authors)}"
            yield Document(f"{thread}.{place}", text, author, group, parent)


def count(config: SyntheticConfig) -> int:
    """How many texts there are."""
    return config.threads * (config.distance + config.replies)


def bounds(config: SyntheticConfig) -> list[Bound]:
    """At the replies' words, by the number N of ancestors, the nearest first: in their order, in
    an unknown order, and of other threads."""
    found = []
    for n in range(config.contexts + 1):
        found += [_in_order(n, config), _shuffled(n, config)]
        found.append(
            Bound("random", n, "replies", 1 / config.rare_words, math.log(config.rare_words))
        )
    return found


def _in_order(n: int, config: SyntheticConfig) -> Bound:
    """The word is known if the ancestor is among the N of D; else it is any of the R - N others,
    as the words of a thread differ."""
    near = min(n, config.distance)
    far, others = 1 - near / config.distance, config.rare_words - near
    return Bound("ancestors", n, "replies", 1 - far + far / others, far * math.log(others))


def _shuffled(n: int, config: SyntheticConfig) -> Bound:
    """The word is any of the N words if the distance is up to N; else as in order."""
    near = min(n, config.distance)
    far, others = 1 - near / config.distance, config.rare_words - near
    accuracy, nll = far / others, far * math.log(others)
    if near:
        accuracy += 1 / config.distance
        nll += (1 - far) * math.log(near)
    return Bound("shuffled ancestors", n, "replies", accuracy, nll)
