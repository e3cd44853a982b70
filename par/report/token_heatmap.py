"""A text whose tokens are coloured by their nll, or by the probability that they were replaced:
HTML for a notebook or a page, without scripts.

    The  cat  sat  on  the  mat        darker: the network gave the token less probability; the
         numbers are in each token's title
    ...  ###  ##   .   .    ###        (shown when the mouse rests on it)

The text is escaped, unprintable characters included, so that it can neither become markup nor
change the reading direction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from par.core.errors import UsageError
from par.core.text import escape
from par.report import heat_map, rendering

# more are cut off: a page with that many spans is still fast
MOST_TOKENS = 2_000
LEGEND = 6  # steps of the scale below the text
# what par.evaluate.replaced_passages puts in brackets, and its per cent
MARKED = re.compile(r"(\[[^\[\]\n]* (\d{1,3})%\])")


class Span(NamedTuple):
    """A visible part of a text: one token, or several that make one character together."""

    text: str
    pieces: list[str]
    value: float  # nats, summed; or the largest probability


class Cell(NamedTuple):
    """A text, its tooltip, and its colours."""

    text: str
    title: str
    background: str
    colour: str


def spans(
    pieces: Sequence[str],
    texts: Sequence[str],
    values: Sequence[float],
    joined: Callable[[list[float]], float] = sum,
) -> Iterator[Span]:
    """The visible parts of a text: tokens without a text of their own, as the first bytes of a
    character, are joined to the next one with a text. joined: what their values are together."""
    open_pieces: list[str] = []
    own: list[float] = []
    for piece, text, value in zip(pieces, texts, values, strict=True):
        open_pieces.append(piece)
        own.append(float(value))
        if text:
            yield Span(text, open_pieces, joined(own))
            open_pieces, own = [], []
    if open_pieces:
        yield Span("".join(open_pieces), open_pieces, joined(own))


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
    shown = spans(pieces[:MOST_TOKENS], texts[:MOST_TOKENS], nll[:MOST_TOKENS])
    scale = (most * i / (LEGEND - 1) for i in range(LEGEND))
    return rendering.render(
        "token_heatmap.html.j2",
        cells=[_cell(_printable(span.text), _title(span), span.value / most) for span in shown],
        more=_more(len(pieces)),
        what="nats of a token",
        scale=[
            _cell(f" {nats:.1f} ", f"{nats:.1f} nats: probability {_percent(nats)}", nats / most)
            for nats in scale
        ],
        beyond=" and more",
    )


def suspected(pieces: Sequence[str], texts: Sequence[str], probability: Sequence[float]) -> str:
    """A <div> with the text, coloured by the probability that a token was replaced, from 0 (light)
    to 1 (dark), and the scale below it. pieces, texts, probability: as `Model.replaced` of
    par.evaluate.trained_model gives them."""
    shown = spans(pieces[:MOST_TOKENS], texts[:MOST_TOKENS], probability[:MOST_TOKENS], joined=max)
    scale = [i / (LEGEND - 1) for i in range(LEGEND)]
    return rendering.render(
        "token_heatmap.html.j2",
        cells=[
            _cell(
                _printable(span.text),
                f"{_pieces(span)}: replaced with probability {span.value:.1%}",
                span.value,
            )
            for span in shown
        ],
        more=_more(len(pieces)),
        what="probability that a token was replaced",
        scale=[_cell(f" {p:.1f} ", f"{p:.0%}", p) for p in scale],
        beyond="",
    )


class Passage(NamedTuple):
    """A part of a text, and the level of its colour, up to heat_map.LEVELS; None: it has none."""

    text: str
    level: int | None


def marked(text: str) -> list[Passage]:
    """The parts of a text of par.evaluate.replaced_passages: what is in brackets has a colour, by
    its per cent."""
    parts, rest = [], 0
    for found in MARKED.finditer(text):
        parts += [Passage(text[rest : found.start()], None)]
        parts += [Passage(found[1], round(min(int(found[2]), 100) * heat_map.LEVELS / 100))]
        rest = found.end()
    return [part for part in (*parts, Passage(text[rest:], None)) if part.text]


def _more(count: int) -> str:
    """What stands behind the tokens that are shown, of so many."""
    if not count:
        return "(no text)"
    return f" ... and {count - MOST_TOKENS:,} more tokens" if count > MOST_TOKENS else ""


def _cell(text: str, title: str, darkness: float) -> Cell:
    return Cell(text, title, *heat_map.colours(darkness))


def _title(span: Span) -> str:
    together = ", together" if len(span.pieces) > 1 else ""
    numbers = f"{span.value:.2f} nats, probability {_percent(span.value)}"
    return f"{_pieces(span)}: {numbers}{together}"


def _pieces(span: Span) -> str:
    return " ".join(_printable(piece) for piece in span.pieces)


def _percent(nll: float) -> str:
    """exp(-nll) to three digits."""
    return f"{100 * math.exp(-nll):.3g} %"


def _printable(text: str) -> str:
    """The text with a sign before its line ends and with unprintable characters escaped."""
    return "\u21b5\n".join(map(escape, text.split("\n")))
