"""An error is one printable line, with the exit code of its kind and the flags it is about."""

from __future__ import annotations

import pytest

from par.core import errors
from par.core.errors import DataError, ResourceError, SettingError


def test_an_error_is_one_printable_line_of_bounded_length():
    for text in ("a\n b\tc", "x" * 10**6, "\x1b[2J\u202e\0", "caf\udce9", "\n" * 10**6):
        for kind in (DataError, ResourceError):
            said = str(kind(text))
            assert said.isprintable() and len(said) < 4_100
    assert (
        str(DataError("a\n b\tc")) == "a b c" and str(DataError("\x1bé\udce9")) == "\\x1bé\\udce9"
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ParError, 1),
        (errors.UsageError, 1),
        (errors.SettingError, 1),
        (errors.DataError, 3),
        (errors.DivergedError, 4),
        (errors.StoppedError, 5),
        (errors.ResourceError, 6),
    ],
)
def test_each_kind_has_its_exit_code(kind, code):
    assert kind("said").exit_code == code and isinstance(kind("said"), errors.ParError)


def test_a_message_names_settings_as_flags_only_where_they_are_flags_of_the_command():
    error = SettingError("depth and --width: depth must be 1, deep_depth too", "depth", "width")
    assert error.of_flags({"width"}) == str(error)
    assert error.of_flags({"depth", "width"}) == (
        "--depth and --width: --depth must be 1, deep_depth too"
    )
    error = SettingError("depth must not be logs/depth or depth.json", "depth")
    assert error.of_flags({"depth"}) == "--depth must not be logs/depth or depth.json"
    assert SettingError("depth is wrong").of_flags({"depth"}) == "depth is wrong"
