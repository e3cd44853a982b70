"""Heads that read contexts of one kind alone: `author:0-1,group:2-3`.

Every attention block has the same heads. Those of a group see, of the contexts of a text, those of
its kind, and the text itself; heads of no group see the text alone. So what the heads of a kind
take from the contexts holds nothing of another kind's. Needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from par.core.errors import SettingError

KINDS = ("author", "group", "random")  # of contexts without an order
FIELD = "head_groups"


class HeadGroup(NamedTuple):
    """A kind of contexts, and the numbers of the heads that read it, from 0."""

    kind: str
    heads: tuple[int, ...]


def parsed(given: str) -> tuple[HeadGroup, ...]:
    """The groups as they were typed, each as `KIND:FIRST-LAST` or `KIND:HEAD`; () for "". Raises:
    SettingError for what is no group, for a kind that is given twice, or a head of two kinds."""
    groups = tuple(map(_group, given.split(",") if given else ()))
    kinds = [group.kind for group in groups]
    heads = [head for group in groups for head in group.heads]
    for what, found in (("the kind", kinds), ("head", heads)):
        if twice := {each for each in found if found.count(each) > 1}:
            raise SettingError(f"{FIELD} has {what} {min(twice)} twice: give it once", FIELD)
    return groups


def _group(given: str) -> HeadGroup:
    kind, _, heads = given.partition(":")
    first, _, last = heads.partition("-")
    ends = (first, last or first)
    if kind not in KINDS or not all(end.isascii() and end.isdigit() for end in ends):
        raise SettingError(
            f"{FIELD} takes a kind of contexts, {', '.join(KINDS[:-1])} or {KINDS[-1]}, with its"
            f" heads, such as author:0-1 or group:2, but got {given!r}",
            FIELD,
        )
    low, high = map(int, ends)
    if low > high:
        raise SettingError(f"{FIELD} must give the lower head first, but got {given!r}", FIELD)
    return HeadGroup(kind, tuple(range(low, high + 1)))


def check_heads(groups: Sequence[HeadGroup], num_heads: int) -> None:
    """Raises: SettingError for a head that the network lacks."""
    for group in groups:
        if group.heads[-1] >= num_heads:
            raise SettingError(
                f"{FIELD} gives {group.kind} the head {group.heads[-1]}, but the network has"
                f" {num_heads}, counted from 0: change it, or --num_heads",
                FIELD,
                "num_heads",
            )


def seen(groups: Sequence[HeadGroup], num_heads: int, each: int) -> np.ndarray:
    """[H, M] bool: which memory positions a head sees, `each` of every kind, in the order of the
    groups."""
    found = np.zeros([num_heads, len(groups), each], bool)
    for number, group in enumerate(groups):
        found[list(group.heads), number] = True
    return found.reshape(num_heads, len(groups) * each)
