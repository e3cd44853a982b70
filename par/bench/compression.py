"""How small compressors make a text that stands behind another one: what every model of its
characters must beat."""

from __future__ import annotations

import lzma
from collections.abc import Callable

# The dictionary of preset 9, 64 MiB, holds all that stands before, if that is not larger.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
PRESET_BYTES = 1 << 26


def xz(text: bytes) -> int:
    """The bytes that xz makes of a text, without the header and the checksum of a file."""
    return len(lzma.compress(text, lzma.FORMAT_RAW, filters=FILTERS))


def primed_bits(before: bytes, text: bytes, size: Callable[[bytes], int] = xz) -> int:
    """The bits that a text adds to those of what stands before it. size: bytes of a compressed
    text."""
    return 8 * (size(before + text) - size(before))
