"""The paragraphs of WikiText as documents.

= Title =          begins an article: the group of its paragraphs
= = Section = =    belongs to no document, as blank lines do
One line.          a paragraph; its parent is the one before it in the article
"""

from __future__ import annotations

import array
import re
from collections.abc import Iterator, Mapping

import numpy as np

from par.data.corpus import FOUND, OWN_SPLITS, SPLITS, Listing, Text
from par.data.documents import COLUMNS, NONE

TITLE = re.compile(r" = [^=].* = ")
HEADING = re.compile(r" = .* = ")


def listing(texts: Mapping[str, Text]) -> Listing | None:
    """The paragraphs of each split, which is read once; None if there are none."""
    articles, tables = 0, {}
    for split in SPLITS:
        rows, group, above = array.array("q"), NONE, NONE
        for number, line in enumerate(_lines(texts[split])):
            if TITLE.fullmatch(line):
                group, above, articles = articles, NONE, articles + 1
            elif line.strip() and not HEADING.fullmatch(line):
                # the depth is found later
                rows.extend((number, 1, NONE, group, above, 0))
                above = len(rows) // len(COLUMNS) - 1
        tables[split] = np.array(rows, np.int64).reshape(-1, len(COLUMNS))
    if not any(map(len, tables.values())):
        return None
    return Listing(tables, OWN_SPLITS, 0, articles, dict.fromkeys(FOUND, 0))


def _lines(text: Text) -> Iterator[str]:
    """The cleaned lines, without their ends."""
    begun = ""
    for block in text.blocks():
        *whole, begun = (begun + block).split("\n")
        yield from whole
    if begun:
        yield begun
