"""A short text that a user gives to a command: by a flag, from a file or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from par.core.errors import DataError, UsageError
from par.data.cleaning import clean_text
from par.data.text_formats import plain_bytes
from par.tools.cli.flags import Flags, define_path

MAX_BYTES = 1 << 20


def text_flags(name: str, what: str) -> list[tuple[Callable, str, Any, str]]:
    """--NAME and --NAME_file. what: what the text is."""
    from_file = (
        "the same from a file, decoded as --input_text of build_data is; - is standard input. A"
        " line end at its end is removed"
    )
    return [
        (flags.DEFINE_string, name, None, what),
        (define_path, f"{name}_file", None, from_file),
    ]


def read_text(values: Flags, flag: str, remedy: str) -> str:
    """The text of --FLAG or --FLAG_file, decoded and cleaned as a corpus is; "" if none is given.
    remedy: what to do with a text that is too long.

    Raises: UsageError if it is given twice or too long; DataError if a file is not text.
    """
    given, path = getattr(values, flag), getattr(values, f"{flag}_file")
    if given is not None and path is not None:
        raise UsageError(f"give --{flag} or --{flag}_file, not both")
    if path is None:
        text = (given or "").encode("utf-8")
    elif path == "-":
        text = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with open(Path(path), "rb") as file:
            text = file.read(MAX_BYTES + 1)
    if len(text) <= MAX_BYTES and path is not None:
        name = "of standard input" if path == "-" else path
        text = plain_bytes(name, text, MAX_BYTES)
    if len(text) > MAX_BYTES:
        raise UsageError(
            f"a {flag} must have at most {MAX_BYTES:,} bytes, but this one has more: {remedy}"
        )
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the {flag} is not UTF-8: byte {error.start:,} is 0x{text[error.start]:02x}; convert"
            " it, with iconv for example"
        ) from None
    cleaned = clean_text(text)
    return cleaned.removesuffix("\n") if path else cleaned
