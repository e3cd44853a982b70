"""A text whose tokens are coloured by how much they surprised a network: HTML for a notebook or a
page, without scripts.

    The  cat  sat  on  the  mat        darker: the network gave the token less probability; the
         numbers are in each token's title
    ...  ###  ##   .   .    ###        (shown when the mouse rests on it)

Whatever the text holds is escaped, and what can't be printed is shown by its code, so that it can
neither be markup nor turn the reading direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from par.core.errors import UsageError
from par.core.text import escape
from par.report import heat_map
from par.report.markup import Html, element, joined

# of a longer text the beginning is shown: a page of that many spans is still quick
MOST_TOKENS = 2_000
LEGEND = 6  # steps of the scale below the text


class Span(NamedTuple):
    """A part of a text that is seen as one: of a token, or of several that make one character
    together."""

    text: str
    pieces: list[str]
    nll: float  # nats, summed


def spans(pieces: Sequence[str], texts: Sequence[str], nll: Sequence[float]) -> Iterator[Span]:
    """Tokens as parts that can be seen: those without a text of their own, as the first bytes of a
    character, go with the next one that has one."""
    open_pieces: list[str] = []
    total = 0.0
    for piece, text, of_token in zip(pieces, texts, nll, strict=True):
        open_pieces.append(piece)
        total += float(of_token)
        if text:
            yield Span(text, open_pieces, total)
            open_pieces, total = [], 0.0
    if open_pieces:
        yield Span("".join(open_pieces), open_pieces, total)


def coloured(
    pieces: Sequence[str], texts: Sequence[str], nll: Sequence[float], most: float
) -> Html:
    """A <div> with the text, coloured from 0 nats (light) to `most` nats and above (dark), and the
    scale below it.

    pieces, texts, nll: of each of the N tokens, as par.evaluate.trained_model.Model.token_scores
    gives them. Raises: UsageError if `most` is not above 0.
    """
    if not 0 < most < math.inf:
        raise UsageError(f"most must be a number of nats above 0, but is {most!r}")
    count = len(pieces)
    seen = spans(pieces[:MOST_TOKENS], texts[:MOST_TOKENS], nll[:MOST_TOKENS])
    shown = joined([_span(_printable(span.text), _title(span), span.nll / most) for span in seen])
    more = (
        f" ... and {count - MOST_TOKENS:,} more tokens"
        if count > MOST_TOKENS
        else ""
        if count
        else "(no text)"
    )
    steps = (most * i / (LEGEND - 1) for i in range(LEGEND))
    scale = joined(
        [
            _span(f" {step:.1f} ", f"{step:.1f} nats: probability {_percent(step)}", step / most)
            for step in steps
        ]
    )
    look = "background:#fff;color:#000;padding:0.6em;font-family:monospace;line-height:1.7;white-space:pre-wrap;overflow-wrap:anywhere"
    return element(
        "div",
        shown,
        more,
        element("div", "nats of a token: ", scale, " and more", style="margin-top:0.8em"),
        style=look,
    )


def _span(text: str, title: str, share: float) -> Html:
    background, colour = heat_map.colours(share)
    return element("span", text, title=title, style=f"background:{background};color:{colour}")


def _title(span: Span) -> str:
    pieces = " ".join(_printable(piece) for piece in span.pieces)
    return (
        f"{pieces}: {span.nll:.2f} nats, probability"
        f" {_percent(span.nll)}{', together' * (len(span.pieces) > 1)}"
    )


def _percent(nll: float) -> str:
    """exp(-nll) to three digits."""
    return f"{100 * math.exp(-nll):.3g} %"


def _printable(text: str) -> str:
    """The text with a sign before its line ends and with unprintable characters escaped."""
    return "\u21b5\n".join(map(escape, text.split("\n")))
