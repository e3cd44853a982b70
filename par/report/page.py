"""The frame of a report: one HTML file that loads nothing, whatever stands in it.

Its Content-Security-Policy names the one style and the one script by their SHA-256 and lets
nothing else run, no picture come from elsewhere and no
form be sent. So text that got in as markup, which par.report.markup prevents, would still do
nothing.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from par import __version__
from par.report import heat_map
from par.report.markup import Html, element

POLICY = (
    "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}';"
    " base-uri 'none'; form-action 'none'"
)


class Section(NamedTuple):
    """A part of the page. name: in its address."""

    name: str
    title: str
    body: Sequence[Html]

    @property
    def html(self) -> Html:
        """With its heading."""
        heading = element("h2", self.title, id=f"{self.name}-title")
        return element(
            "section", heading, *self.body, id=self.name, aria_labelledby=f"{self.name}-title"
        )


def page(title: str, lede: str, begin: Sequence[Html], sections: Sequence[Section]) -> str:
    """The whole file. begin: what stands below the title, before the table of contents."""
    style, script = style_sheet(), _file("page.js")
    policy = POLICY.format(style=_digest(style), script=_digest(script))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"par-transformer-xl {__version__}"),
        element("title", f"{title}: report"),
        element("style", Html(style)),
    )
    contents = element(
        "ul",
        *(
            element("li", element("a", section.title, href=f"#{section.name}"))
            for section in sections
        ),
    )
    body = element(
        "body",
        element("a", "To the content", class_="skip", href="#main"),
        element("header", element("h1", title), element("p", lede, class_="lede"), *begin),
        element("nav", contents, aria_label="Contents"),
        element("main", *(section.html for section in sections), id="main", tabindex=-1),
        element(
            "footer",
            element(
                "p",
                f"Made by PAR Transformer-XL search {__version__} from the files of the run. This"
                " page loads nothing.",
            ),
        ),
        element("script", Html(script)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def style_sheet() -> str:
    """page.css, and the colours of the map of pi: a class for each level of probability."""
    levels = (heat_map.colours(level / heat_map.LEVELS) for level in range(heat_map.LEVELS + 1))
    return _file("page.css") + "".join(
        f".p{level} {{ background: {cell}; color: {text}; }}\n"
        for level, (cell, text) in enumerate(levels)
    )


@functools.cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
