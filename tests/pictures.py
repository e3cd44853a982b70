"""What a picture shows, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def colour_share(path: Path, colour: str) -> float:
    """Share of the pixels that are near a colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((abs(pixels - wanted).max(axis=2) < 24).mean())


def luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
