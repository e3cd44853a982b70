"""The bytes of a text as clean UTF-8, whether it is a corpus or a prompt.

Cleaning removes a UTF-8 byte order mark at a file's start, turns CRLF into LF, turns invalid UTF-8
and NUL into U+FFFD, and ends the last line of a file. Only LF ends a line.
"""

from __future__ import annotations

from collections import Counter

CLEANING = {  # key in the manifest: description for the user
    "byte_order_marks": "byte order marks removed",
    "crlf": "CRLF line ends turned into LF",
    "invalid_utf8": "invalid UTF-8 sequences turned into U+FFFD",
    "nul": "NUL characters turned into U+FFFD",
    "final_newlines": "missing final newlines added",
    "u2581": "U+2581 characters (SentencePiece's mark of a space), which decode as spaces",
}


def clean(data: bytes, *, starts_file: bool, ends_file: bool, tally: Counter) -> str:
    """The cleaned text of a block that begins or ends a file, or neither; `tally` counts what was
    cleaned, by the keys of `CLEANING`.

    A block must not end inside a character or between CR and LF.
    """
    if starts_file and data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        tally["byte_order_marks"] += 1
    if crlf := data.count(b"\r\n"):
        data = data.replace(b"\r\n", b"\n")
        tally["crlf"] += crlf
    if ends_file and not data.endswith(b"\n"):
        data += b"\n"
        tally["final_newlines"] += 1
    if nul := data.count(b"\0"):
        data = data.replace(b"\0", b"\xef\xbf\xbd")
        tally["nul"] += nul
    if marks := data.count(b"\xe2\x96\x81"):
        tally["u2581"] += marks
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        tally["invalid_utf8"] += text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
        return text


def clean_text(data: bytes) -> str:
    """A whole text, such as a prompt, cleaned as a corpus is; a last line without an end stays
    without one."""
    return clean(data, starts_file=True, ends_file=False, tally=Counter())
