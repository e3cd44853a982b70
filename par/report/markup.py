"""HTML in which nothing is markup but what this program makes: all other text is escaped where it
is put in."""

from __future__ import annotations

import base64
import html
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from PIL import Image

CSS_DOTS = 96  # to the inch
VOID = {"meta", "img", "input"}
MIME = {".png": "image/png", ".svg": "image/svg+xml"}
# would write what follows backwards
OVERRIDES = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
# how a cell begins that stands flush right
FIGURE = re.compile(r"[-+]?\d[\d,.]*(?![\w:])|\d+(:\d\d)+$|-$")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Text as HTML. What has no sign, or turns the writing around, is shown by its code: `\\x1b`,
    half characters too."""
    if isinstance(text, Html):
        return text
    signs = text if text.isascii() and text.isprintable() else "".join(map(_sign, text))
    return Html(html.escape(signs))


def _sign(char: str) -> str:
    hidden = (
        unicodedata.category(char) in ("Cc", "Cs", "Cn")
        or unicodedata.bidirectional(char) in OVERRIDES
    )
    return char.encode("unicode_escape").decode() if hidden and char not in "\n\t" else char


def element(name: str, /, *children: str, **attributes: Any) -> Html:
    """`<name key="value">children</name>`; children that are no Html are text.

    An attribute of None or False is left out, of True stands alone. `class_` is class,
    `aria_label` is aria-label.
    """
    shown = {
        key.rstrip("_").replace("_", "-"): value
        for key, value in attributes.items()
        if value is not None and value is not False
    }
    start = "".join(
        [
            name,
            *(
                f" {key}" if value is True else f' {key}="{escaped(str(value))}"'
                for key, value in shown.items()
            ),
        ]
    )
    return Html(
        f"<{start}>" if name in VOID else f"<{start}>{''.join(map(escaped, children))}</{name}>"
    )


def joined(parts: Sequence[str], separator: str = "") -> Html:
    """Parts as one piece of HTML."""
    return Html(separator.join(map(escaped, parts)))


def paragraph(*children: str, **attributes: Any) -> Html:
    """A `<p>`."""
    return element("p", *children, **attributes)


def code(text: str) -> Html:
    """A word of a computer's, or a command, in a line. Each flag stands whole: a browser would end
    the line behind its `--`."""
    parts = re.split(r"(\s+)(?=--)", text)
    return element(
        "code",
        *(
            element("span", part, class_="flag") if part.startswith("--") else part
            for part in parts
        ),
    )


def several(count: int, what: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def listing(text: str, label: str) -> Html:
    """A text as it is, lines and blanks kept. label: what it is, for whom does not see it."""
    return element("pre", element("code", text), tabindex=0, role="region", aria_label=label)


def table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[int] = ()
) -> Html:
    """A table whose first column names the rows. A wide one scrolls by itself; figures stand flush
    right; `marked` rows stand out."""
    columns = [[row[column] for row in rows if row[column]] for column in range(len(heads))]
    right = [bool(cells) and all(map(FIGURE.match, cells)) for cells in columns]
    head = element(
        "tr",
        *(
            element("th", text, scope="col", class_="n" if n else None)
            for text, n in zip(heads, right)
        ),
    )
    body = []
    for number, (first, *cells) in enumerate(rows):
        made = [
            element("th", first, scope="row", class_="n" if right[0] else None),
            *(element("td", text, class_="n" if n else None) for text, n in zip(cells, right[1:])),
        ]
        body.append(element("tr", *made, class_="marked" if number in marked else None))
    inner = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body)
    )
    return scrolling(caption, inner)


def scrolling(label: str, inner: Html) -> Html:
    """What may be wider than the page: it scrolls by itself, by the keyboard too."""
    return element("div", inner, class_="scroll", role="region", tabindex=0, aria_label=label)


def facts(pairs: Sequence[tuple[str, str]]) -> Html:
    """Terms and what is said of each."""
    return element(
        "dl",
        *(element("div", element("dt", term), element("dd", said)) for term, said in pairs),
        class_="facts",
    )


def picture(content: bytes, suffix: str, alt: str, caption: str) -> Html:
    """A picture inside the page, as large as its inches say, whatever its dots to the inch. alt:
    its figures in words."""
    source, width = f"data:{MIME[suffix]};base64,{base64.b64encode(content).decode()}", None
    if suffix == ".png":
        with Image.open(io.BytesIO(content)) as image:
            width = round(image.width * CSS_DOTS / image.info["dpi"][0])
    return element(
        "figure", element("img", src=source, alt=alt, width=width), element("figcaption", caption)
    )
