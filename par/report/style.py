"""What all pictures share: style, colours for colour-blind readers too, names that are shown
literally, the axis of steps, and writing a file atomically."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib.font_manager
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from par.core import files
from par.core.text import escape

# Okabe and Ito's, which colour-blind readers can distinguish
COLOURS = {"a": "#d55e00", "d": "#0072b2", "i": "#6e6e6e"}
# text on them: white on the orange would have too little contrast
ON_COLOUR = {"a": "black", "d": "white", "i": "white"}
DASHES = {"a": "-", "d": "--", "i": ":"}  # for black and white
# Okabe and Ito's, too
SERIES = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # one for each of them
BLUE, ORANGE, GREY = COLOURS["d"], COLOURS["a"], COLOURS["i"]
GUIDE = "#888888"  # reference lines
WIDTH, DPI = 7.2, 120  # of a plot of curves: inches, dots per inch
SMALL = 8  # font size of labels inside a picture
# where a picture is written: into a file, or into memory for a page
Target = Path | io.BytesIO
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # a name may hold dollar signs
}
FONT = "DejaVu Sans"  # comes with matplotlib, so that a picture looks the same everywhere


def style(settings: Mapping[str, Any] | None = None) -> Any:
    """The context in which a picture is made: matplotlib's defaults, not the user's matplotlibrc,
    with STYLE and further settings."""
    return matplotlib.style.context(["default", STYLE | dict(settings or {})])


def literal(text: str) -> str:
    r"""A name as pictures show it: characters that FONT lacks, as Chinese ones and most emoji,
    become escape sequences: `\u5c0f`."""
    return escape(text, is_drawable)


def is_drawable(char: str) -> bool:
    """Whether FONT has a character in both of its weights."""
    return ord(char) in _code_points() and char.isprintable()


@functools.cache
def _code_points() -> frozenset[int]:
    properties = (
        matplotlib.font_manager.FontProperties(family=FONT, weight=weight)
        for weight in ("normal", "bold")
    )
    charmaps = [
        FT2Font(matplotlib.font_manager.findfont(font)).get_charmap() for font in properties
    ]
    return frozenset.intersection(*map(frozenset, charmaps))


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of `width` x `height` inches for axes that are laid out by themselves."""
    return Figure((width, height), dpi=DPI, layout="constrained")


def step_axis(axes: Axes, steps: list[int]) -> None:
    """Makes x the steps from 0 to the last, in thousands where they are (`2k`)."""
    axes.set_xlim(0, 1.02 * steps[-1] or 1)  # a history may consist of step 0 alone
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}")
    )


def dots(steps: list[int]) -> str:
    """The marker of a curve: few points are shown as dots, many as a line alone."""
    return "." if len(steps) < 20 else ""


def from_zero(axes: Axes) -> None:
    """Lets the axis of values that are never negative begin at 0, with a margin above that depends
    on the largest value, however little the values differ."""
    axes.set_ylim(0, 1.05 * axes.dataLim.ymax or 1)


def save(figure: Figure, path: Target) -> None:
    with written(path) as file:
        FigureCanvasAgg(figure).print_figure(file, format="png")


@contextlib.contextmanager
def written(path: Target) -> Iterator[io.BytesIO]:
    """A file in memory that is written to `path` at the end. Pillow itself would lose the system's
    reason if a file can't be written."""
    picture = io.BytesIO()
    yield picture
    if isinstance(path, io.BytesIO):
        path.write(picture.getvalue())
    else:
        files.write_bytes(path, picture.getvalue())


def described(path: Path) -> str:
    """Path, pixels (not of an SVG) and size of a picture, as a line of text."""
    size = f"{path.stat().st_size / 1000:,.0f} kB"
    if path.suffix.lower() == ".svg":
        return f"{path}: {size}"
    with Image.open(path) as image:
        return f"{path}: {image.width} x {image.height}, {size}"
