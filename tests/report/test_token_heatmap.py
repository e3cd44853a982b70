"""A text in colours: all of it is there, none of it is markup, and every colour can be read."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from par.core.errors import UsageError
from par.report import heat_map, token_heatmap
from pictures import luminance


class Page(HTMLParser):
    """The elements of a page, and the text of its spans."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.spans, self.texts, self.inside = [], [], [], False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag == "span"
        if self.inside:
            self.spans.append(dict(attrs))
            self.texts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] += data


def page_of(texts: list[str], nll: list[float] | None = None, most: float = 8.0) -> Page:
    return Page(
        token_heatmap.coloured(
            [f"▁{text}" for text in texts], texts, nll or [1.0] * len(texts), most
        )
    )


def test_every_token_is_a_span_with_its_piece_and_its_numbers():
    page = page_of(["The", " cat", "\n"], [0.0, math.log(4), 30.0])
    assert page.texts[:3] == ["The", " cat", "↵\n"]
    titles = [span["title"] for span in page.spans]
    assert titles[:3] == [
        "▁The: 0.00 nats, probability 100 %",
        "▁ cat: 1.39 nats, probability 25 %",
        "▁↵\n: 30.00 nats, probability 9.36e-12 %",
    ]
    for span, darkness in zip(page.spans, (0.0, math.log(4) / 8, 30 / 8)):
        background, colour = heat_map.colours(darkness)
        assert span["style"] == f"background:{background};color:{colour}"


def test_the_bytes_of_a_character_are_one_span_with_the_sum_of_their_nll():
    pieces, texts = (
        ["a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "b"],
        [
            "a",
            "",
            "",
            "",
            "😀",
            "b",
        ],
    )
    found = list(token_heatmap.spans(pieces, texts, [1, 2, 3, 4, 5, 6]))
    assert found == [("a", ["a"], 1.0), ("😀", pieces[1:5], 14.0), ("b", ["b"], 6.0)]
    assert list(token_heatmap.spans(["<0xF0>", "<0x9F>"], ["", ""], [1, 2])) == [
        ("<0xF0><0x9F>", ["<0xF0>", "<0x9F>"], 3.0)
    ]


def test_colours_get_darker_with_nll_and_stay_legible():
    shades = [heat_map.colours(share) for share in np.linspace(0, 1, 101)]
    light = [luminance(background) for background, _ in shades]
    assert (np.diff(light) <= 0).all() and light[0] > 0.8 and light[-1] < 0.1
    for background, colour in shades:
        brighter, darker = sorted((luminance(background), luminance(colour)), reverse=True)
        assert (brighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG AA
    assert heat_map.colours(-1) == shades[0] and heat_map.colours(99) == shades[-1]


@pytest.mark.parametrize("most", [0, -1.0, math.nan, math.inf])
def test_a_scale_that_has_no_end_above_zero_is_refused(most):
    with pytest.raises(UsageError, match="most must be a number of nats above 0, but is"):
        token_heatmap.coloured(["a"], ["a"], [1.0], most)


HOSTILE = [
    "</span><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onclick='x",
    "&lt;b&gt;",
    "&#x3c;",
    "<!--",
    "]]>",
    "\u202eevil",
    "\x1b[31m",
    "\x00",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_shown_and_is_no_markup(text):
    plain = page_of(["a", "b"])
    page = page_of(["a", text])
    assert page.tags == plain.tags and [sorted(span) for span in page.spans] == [
        sorted(span) for span in plain.spans
    ]
    assert page.texts[1] == "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


@given(st.lists(st.text(max_size=20), max_size=8))
def test_whatever_the_text_is_the_page_has_the_same_elements(texts):
    page = page_of(texts)
    groups = list(token_heatmap.spans([f"▁{text}" for text in texts], texts, [1.0] * len(texts)))
    assert page.tags == ["div", *["span"] * len(groups), "div", *["span"] * token_heatmap.LEGEND]
    assert all(set(span) == {"title", "style"} for span in page.spans)


def test_no_text_and_very_long_text_are_shown():
    assert "(no text)" in token_heatmap.coloured([], [], [], 8.0)
    many = token_heatmap.MOST_TOKENS + 1234
    page = token_heatmap.coloured(["a"] * many, ["a"] * many, np.ones(many), 8.0)
    assert (
        page.count("<span") == token_heatmap.MOST_TOKENS + token_heatmap.LEGEND
        and "and 1,234 more tokens" in page
    )
