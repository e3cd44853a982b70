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
