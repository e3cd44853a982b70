"""Text for people: tables, plurals, and escapes of characters that can't be shown."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence

# Bidirectional classes that change the direction of the text around them (Unicode TR 9).
DIRECTION = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
USER = re.compile(r"(?<=://)[^/?#\s]*@")  # with a password, in a URL


def plural(count: int, noun: str) -> str:
    """`1 step`, `0 steps`, `2,000 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value: float, digits: int) -> str:
    """`1,889.64`; from a million millions on, as the perplexity of a run that diverged, `6.8e+185`
    instead of hundreds of digits; `-` for what is not a number, as the mean of nothing."""
    if math.isnan(value):
        return "-"
    return f"{value:,.{digits}f}" if abs(value) < 1e12 else f"{value:.2g}"


def table(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Aligns rows of cells as lines, the first `left` columns to the left, the others to the
    right, without spaces at the end of a line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if column < left else ">" for column in range(len(widths))]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def without_users(text: str) -> str:
    """A text without the users, and their passwords, of URLs in it."""
    return USER.sub("", text)


def is_safe_in_html(char: str) -> bool:
    """Whether a page can hold a character as it is: it is assigned, not a lone surrogate, not a
    control character other than tab and line feed, and does not change the text's direction."""
    if char in "\n\t":
        return True
    hidden = unicodedata.category(char) in ("Cc", "Cs", "Cn")
    return not hidden and unicodedata.bidirectional(char) not in DIRECTION


def escape(text: str, is_shown: Callable[[str], bool] = str.isprintable) -> str:
    r"""Replaces every character that can't be shown with its escape sequence: `\x1b`, `\u202e`.

    By default a character is shown if a terminal can print it as itself. Lone surrogates, by which
    Python shows file names that are not UTF-8, are escaped too, so the result can always be
    encoded as UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if is_shown(char) else char.encode("unicode_escape").decode("ascii") for char in text
    )
