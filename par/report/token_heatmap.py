"""A text whose tokens are coloured by their nll: HTML for a notebook or a page, without scripts.

    The  cat  sat  on  the  mat        darker: the network gave the token less probability; the
         numbers are in each token's title
    ...  ###  ##   .   .    ###        (shown when the mouse rests on it)

The text is escaped, unprintable characters included, so that it can neither become markup nor
change the reading direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from par.core.errors import UsageError
from par.core.text import escape
from par.report import heat_map, rendering

# more are cut off: a page with that many spans is still fast
MOST_TOKENS = 2_000
LEGEND = 6  # steps of the scale below the text


class Span(NamedTuple):
    """A visible part of a text: one token, or several that make one character together."""

    text: str
    pieces: list[str]
    nll: float  # nats, summed


class Cell(NamedTuple):
    """A text, its tooltip, and its colours."""

    text: str
    title: str
    background: str
    colour: str


def spans(pieces: Sequence[str], texts: Sequence[str], nll: Sequence[float]) -> Iterator[Span]:
    """The visible parts of a text: tokens without a text of their own, as the first bytes of a
    character, are joined to the next one with a text."""
    open_pieces: list[str] = []
    total = 0.0
    for piece, text, token_nll in zip(pieces, texts, nll, strict=True):
        open_pieces.append(piece)
        total += float(token_nll)
        if text:
            yield Span(text, open_pieces, total)
            open_pieces, total = [], 0.0
    if open_pieces:
        yield Span("".join(open_pieces), open_pieces, total)


def coloured(
    pieces: Sequence[str], texts: Sequence[str], nll: Sequence[float], most: float
) -> str:
    """A <div> with the text, coloured from 0 nats (light) to `most` nats and above (dark), and the
    scale below it.

    pieces, texts, nll: for each of the N tokens, as par.evaluate.trained_model.Model.token_scores
    gives them. Raises: UsageError if `most` is not above 0.
    """
    if not 0 < most < math.inf:
        raise UsageError(f"most must be a number of nats above 0, but is {most!r}")
    count, more = len(pieces), ""
    if not count:
        more = "(no text)"
    elif count > MOST_TOKENS:
        more = f" ... and {count - MOST_TOKENS:,} more tokens"
    shown = spans(pieces[:MOST_TOKENS], texts[:MOST_TOKENS], nll[:MOST_TOKENS])
    scale = (most * i / (LEGEND - 1) for i in range(LEGEND))
    return rendering.render(
        "token_heatmap.html.j2",
        cells=[_cell(_printable(span.text), _title(span), span.nll / most) for span in shown],
        more=more,
        scale=[
            _cell(f" {nats:.1f} ", f"{nats:.1f} nats: probability {_percent(nats)}", nats / most)
            for nats in scale
        ],
    )


def _cell(text: str, title: str, darkness: float) -> Cell:
    return Cell(text, title, *heat_map.colours(darkness))


def _title(span: Span) -> str:
    pieces = " ".join(_printable(piece) for piece in span.pieces)
    together = ", together" if len(span.pieces) > 1 else ""
    return f"{pieces}: {span.nll:.2f} nats, probability {_percent(span.nll)}{together}"


def _percent(nll: float) -> str:
    """exp(-nll) to three digits."""
    return f"{100 * math.exp(-nll):.3g} %"


def _printable(text: str) -> str:
    """The text with a sign before its line ends and with unprintable characters escaped."""
    return "\u21b5\n".join(map(escape, text.split("\n")))
