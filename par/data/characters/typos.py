"""Typing errors, character by character: the law that training applies in its graph
(par.objectives.typos) and that a probe applies to texts.

    a letter is hit with a probability, and then, each as often,
    case      changes its case
    swap      changes places with the letter behind it
    drop      is left out
    double    is typed twice

Nothing is done where there is no other case, and where no letter stands behind, or one that is
hit itself. What is no letter stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

KINDS = ("case", "swap", "drop", "double")
CASE, SWAP, DROP, DOUBLE = range(4)


class Typed(NamedTuple):
    """What was typed in the place of T characters: of each of N, the place [N] of the one that it
    stands for, and whether its case is the other one [N]."""

    places: list[int]
    has_other_case: list[bool]


def typed(
    is_letter: Sequence[bool], of_hits: Sequence[float], of_kinds: Sequence[float], rate: float
) -> Typed:
    """Goes through T characters. of_hits, of_kinds: [T] uniform numbers in [0, 1)."""
    hit = [letter and number < rate for letter, number in zip(is_letter, of_hits, strict=True)]
    found, place = Typed([], []), 0
    while place < len(hit):
        kind = int(len(KINDS) * of_kinds[place]) if hit[place] else None
        behind = place + 1
        can_swap = behind < len(hit) and is_letter[behind] and not hit[behind]
        places = [place]
        if kind == SWAP and can_swap:
            places = [behind, place]
        elif kind == DROP:
            places = []
        elif kind == DOUBLE:
            places = [place, place]
        found.places.extend(places)
        found.has_other_case.extend([kind == CASE] * len(places))
        place = behind + (kind == SWAP and can_swap)
    return found


def of_text(text: str, rate: float, draw: np.random.Generator) -> str:
    """A text with typing errors in a share `rate` of its letters."""
    numbers = draw.random([2, len(text)]).tolist()
    found = typed([character.isalpha() for character in text], *numbers, rate)
    return "".join(
        text[place].swapcase() if is_other else text[place] for place, is_other in zip(*found)
    )
