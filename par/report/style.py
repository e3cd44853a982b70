"""What every picture of this program shares: style, colours that everyone can tell apart, texts of
others, the axis of steps, and writing a file whole."""

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

# Okabe and Ito's, told apart by colour-blind readers
COLOURS = {"a": "#d55e00", "d": "#0072b2", "i": "#6e6e6e"}
# text on them: on the orange, white would be too faint
ON_COLOUR = {"a": "black", "d": "white", "i": "white"}
DASHES = {"a": "-", "d": "--", "i": ":"}  # and in black and white
# Okabe and Ito's, too
SERIES = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # one for each of them
BLUE, ORANGE, GREY = COLOURS["d"], COLOURS["a"], COLOURS["i"]
GUIDE = "#888888"  # lines that others are read against
WIDTH, DPI = 7.2, 120  # of a plot of curves: inches, dots per inch
SMALL = 8  # font size of labels inside a picture
# where a picture goes: into a file, or into memory, from where it goes into a page
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
    """The context in which a picture is made: matplotlib's defaults, whatever a user's
    matplotlibrc says, STYLE, and further settings."""
    return matplotlib.style.context(["default", STYLE | dict(settings or {})])


def literal(text: str) -> str:
    r"""A text of others, as the name of a run, as pictures show it: characters that FONT lacks, as
    Chinese ones and most emoji, by their escape sequences: `\u5c0f`."""
    return escape(text, is_drawable)


def is_drawable(char: str) -> bool:
    """Whether FONT has a character, in both of its weights."""
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
    axes.set_xlim(0, 1.02 * steps[-1] or 1)  # a history may consist of step 0 alone
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}")
    )


def dots(steps: list[int]) -> str:
    return "." if len(steps) < 20 else ""


def from_zero(axes: Axes) -> None:
    """The axis of what is drawn, and is never negative, begins at 0; the room above depends on
    the height, not on how little the values differ."""
    axes.set_ylim(0, 1.05 * axes.dataLim.ymax or 1)


def save(figure: Figure, path: Target) -> None:
    with written(path) as file:
        FigureCanvasAgg(figure).print_figure(file, format="png")


@contextlib.contextmanager
def written(path: Target) -> Iterator[io.BytesIO]:
    """A picture is made in memory and then written: Pillow loses the system's reason where a file
    can't take it."""
    picture = io.BytesIO()
    yield picture
    if isinstance(path, io.BytesIO):
        path.write(picture.getvalue())
    else:
        files.write_bytes(path, picture.getvalue())


def described(path: Path) -> str:
    """Path, pixels (of an SVG none) and size of a picture, for people."""
    size = f"{path.stat().st_size / 1000:,.0f} kB"
    if path.suffix.lower() == ".svg":
        return f"{path}: {size}"
    with Image.open(path) as image:
        return f"{path}: {image.width} x {image.height}, {size}"
