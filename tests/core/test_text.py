"""Tables are aligned, nouns agree with their number, and escapes show what can't be shown."""

from __future__ import annotations

import math

import pytest

from par.core import text


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces():
    rows = [["name", "kind", "12"], ["a", "longer", "3"], ["b", "c", ""]]
    assert text.table(rows) == ["name    kind  12", "   a  longer   3", "   b       c"]
    assert text.table(rows, left=2) == ["name  kind    12", "a     longer   3", "b     c"]


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1234, "1,234 steps")]
)
def test_a_noun_agrees_with_its_number(count, said):
    assert text.plural(count, "step") == said


def test_a_figure_has_thousands_separators_and_one_of_hundreds_of_digits_is_short():
    assert text.number(1889.638, 2) == "1,889.64"
    assert text.number(999_999_999_999.0, 1) == "999,999,999,999.0"
    assert text.number(6.8e185, 2) == "6.8e+185"
    assert text.number(math.inf, 2) == "inf"


def test_what_a_terminal_or_a_page_can_not_show_is_escaped_and_the_rest_stays():
    for shown in ("plain", "é 漢 😀"):
        assert text.escape(shown) == text.escape(shown, text.is_safe_in_html) == shown
    for hidden, code in (
        ("\x1b[2J", r"\x1b[2J"),
        ("a\u202eb", r"a\u202eb"),
        ("\udce9", r"\udce9"),
        ("\0", r"\x00"),
        ("\U000e0fff", r"\U000e0fff"),
    ):
        assert text.escape(hidden) == text.escape(hidden, text.is_safe_in_html) == code
    assert text.escape("a\n\t\u00a0b") == r"a\n\t\xa0b"
    assert text.escape("a\n\t\u00a0b", text.is_safe_in_html) == "a\n\t\u00a0b"
