"""Values for the templates that several sections of a report use: tables, pictures, hints."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from PIL import Image

CSS_DOTS = 96  # per inch
# a cell of a column of numbers: 1,234.5 ms, +1.4 % (+0.3 % to +2.5 %), 1:02:03, or - for none
NUMBER = re.compile(r"[-+]?\d[\d,.]*(?![\w:])|\d+(:\d\d)+$|-$")
Command = Callable[..., str]  # gives the command line of a tool by its name and its flags


class Section(Protocol):
    """A section of the page: its anchor, its heading, and the template of its content."""

    name: str
    title: str
    template: str


@dataclasses.dataclass(frozen=True)
class Missing:
    """A hint in place of missing content, and the command that makes it, if any."""

    text: str
    command: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column names the rows."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Collection[int] = ()  # numbers of the rows that stand out

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers alone, which are aligned to the right."""
        columns = [[row[place] for row in self.rows if row[place]] for place in self._places]
        return [bool(cells) and all(map(NUMBER.match, cells)) for cells in columns]

    @property
    def _places(self) -> range:
        return range(len(self.heads))


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture inside the page."""

    source: str  # a data: URI
    alt: str  # its content in words and figures
    caption: str
    width: int | None = None  # CSS pixels; None: as the picture itself says


def png(alt: str, caption: str, draw: Callable[..., None], *arguments: Any) -> Picture:
    """The picture that `draw(file, *arguments)` writes, in the size of its inches whatever its
    resolution."""
    content = _drawn(draw, *arguments)
    with Image.open(io.BytesIO(content)) as image:
        width = round(image.width * CSS_DOTS / image.info["dpi"][0])
    return Picture(_data_uri("image/png", content), alt, caption, width)


def svg(alt: str, caption: str, draw: Callable[..., None], *arguments: Any) -> Picture:
    """The picture that `draw(file, *arguments)` writes as SVG."""
    return Picture(_data_uri("image/svg+xml", _drawn(draw, *arguments)), alt, caption)


def _drawn(draw: Callable[..., None], *arguments: Any) -> bytes:
    file = io.BytesIO()
    draw(file, *arguments)
    return file.getvalue()


def _data_uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
