"""A whole text is cleaned as the blocks of a corpus are."""

from __future__ import annotations

import pytest

from par.data.cleaning import clean_text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\xef\xbb\xbfa\r\nb\xef\xbb\xbf", "a\nb\ufeff"),
        (b"a\rb\r\r\n", "a\rb\r\n"),
        (b"x\x00\xff\xe2\x82", "x\ufffd\ufffd\ufffd"),
    ],
)
def test_a_whole_text_is_cleaned_and_gets_no_line_end(raw, text):
    assert clean_text(raw) == text
