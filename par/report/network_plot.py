"""A network as a stack of blocks, drawn from its string: the embedding at the bottom, the softmax
on top, and between them each block with its kind.

                 [     softmax      ]   -> next token
                          ^
                3 [ d    Dense      ]
                2 [ a    Attention  ] <- memory
                1 [ adi  Stochastic ] <- memory, if it becomes attention
                          ^
                 [    embedding     ]   <- tokens

Kinds differ by letter, name and line style (as in the plots of pi), not by colour alone. A long
stack continues in the next column.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from par.core.text import plural
from par.report import style
from par.search.architecture import KINDS, NAMES, Architecture

COLUMN = 16  # blocks in a column, unless the picture would be too wide
# inches: size of a block, distance of blocks, space beside a column for memories
WIDTH, HEIGHT, PITCH, LANE = 1.55, 0.3, 0.42, 0.85
TILE, SMALL_TILE = 0.28, 0.28 - 0.06  # inches: the field with the letter, of one kind and of three
LINES = style.DASHES | {"s": "-."}
ENDS = "#333333"  # embedding and softmax
MAX_NAME = 60  # letters of the string that fit the title
Place = tuple[float, float]  # inches, of the lower left corner of a box


def height_of(count: int) -> int:
    """Number of blocks in a column: all up to COLUMN; of more, evenly filled columns whose number
    makes the picture about half as high as wide."""
    most = max(COLUMN, math.ceil(math.sqrt(2.6 * count)))
    return math.ceil(count / math.ceil(count / most))


def network(path: Path, architecture: Architecture) -> None:
    """Writes `network_figure`, as SVG if the path ends so, else as PNG."""
    if path.suffix.lower() == ".svg":
        network_svg(path, architecture)
    else:
        style.save(network_figure(architecture), path)


def network_svg(path: style.Target, architecture: Architecture) -> None:
    """Writes `network_figure` as SVG, its texts as texts."""
    with style.style({"svg.fonttype": "none", "svg.hashsalt": "par"}), style.written(path) as file:
        FigureCanvasSVG(network_figure(architecture)).print_svg(file, metadata={"Date": None})


def network_figure(architecture: Architecture) -> Figure:
    """The picture of a network. A block has the same size in every picture. Artists of block b
    (from 1) have the gid `block-b`, its memory `memory-b`."""
    blocks, rows = architecture.blocks, height_of(len(architecture))
    columns = math.ceil(len(blocks) / rows)
    column = LANE + WIDTH + LANE
    # the embedding's place below the first row, the softmax's above the last
    width, height = max(column * columns, 3.4), (rows + 2) * PITCH + 1.5
    with style.style():
        figure = Figure((width, height), dpi=160, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height), aspect="equal")
        axes.axis("off")
        left, bottom = (width - column * columns) / 2 + LANE, 0.55
        places = [
            (left + column * (b // rows), bottom + PITCH * (1 + b % rows))
            for b in range(len(blocks))
        ]
        _stack(axes, blocks, (left, bottom), places)
        short = architecture.short
        title = short if len(short) <= MAX_NAME else f"{short[: MAX_NAME - 3]}..."
        centred = {"ha": "center", "va": "top"}
        axes.text(width / 2, height - 0.12, title, weight="bold", fontsize=11, **centred)
        size = style.SMALL if columns > 1 else 7
        axes.text(width / 2, height - 0.36, summary(blocks), fontsize=size, **centred)
    return figure


def _stack(axes: Axes, blocks: str, start: Place, places: Sequence[Place]) -> None:
    """Draws the embedding at `start`, the blocks at their places, the softmax, and the arrows
    between them, from the tokens to the next token."""
    for number, (kind, (x, y)) in enumerate(zip(blocks, places), 1):
        _block(axes, x, y, kind, number)
    end = (places[-1][0], places[-1][1] + PITCH)
    _end(axes, *start, "embedding", "embedding")
    _end(axes, *end, "softmax", "softmax")
    for here, there in zip([start, *places], [*places, end]):
        _way(axes, here, there)
    below, above = start[0] + WIDTH / 2, end[0] + WIDTH / 2
    bottom, top = start[1], end[1] + HEIGHT
    _arrow(axes, (below, bottom - 0.22), (below, bottom))
    axes.text(below, bottom - 0.24, "tokens", ha="center", va="top", fontsize=style.SMALL)
    _arrow(axes, (above, top), (above, top + 0.22))
    axes.text(above, top + 0.24, "next token", ha="center", va="bottom", fontsize=style.SMALL)


def summary(blocks: str) -> str:
    """Number of blocks, in total and of each kind that occurs."""
    counts = collections.Counter(blocks)
    kinds = ", ".join(
        f"{counts[kind]} {name.lower()}" for kind, name in NAMES.items() if counts[kind]
    )
    return f"{plural(len(blocks), 'block')}: {kinds}"


def _block(axes: Axes, x: float, y: float, kind: str, number: int) -> None:
    """Draws a block: its number, a tile for each kind that it is or may become, its name, and the
    arrow of its memory."""
    edge, middle = style.COLOURS.get(kind, "black"), y + HEIGHT / 2
    line = {"edgecolor": edge, "linestyle": LINES[kind], "lw": 1.4}
    axes.add_patch(
        Rectangle(
            (x, y), WIDTH, HEIGHT, facecolor="white", gid=f"block-{number}", zorder=2, **line
        )
    )
    tile = SMALL_TILE if kind == "s" else TILE
    options = KINDS if kind == "s" else kind
    for i, option in enumerate(options):
        _tile(axes, x + 0.04 + i * tile, y, tile, option)
    name = x + (0.04 + 3 * SMALL_TILE if kind == "s" else TILE) + 0.1
    written = {"va": "center_baseline", "zorder": 4}
    axes.text(name, middle, NAMES[kind], fontsize=8.5, gid=f"kind-{number}", **written)
    axes.text(
        x - 0.08,
        middle,
        str(number),
        ha="right",
        va="center_baseline",
        fontsize=style.SMALL,
        color="#444444",
    )
    if kind in "as":
        right, dashes = x + WIDTH, "-" if kind == "a" else ":"
        _arrow(
            axes, (right + 0.22, middle), (right, middle), linestyle=dashes, gid=f"memory-{number}"
        )
        axes.text(right + 0.24, middle, "memory", ha="left", va="center_baseline", fontsize=7.5)


def _tile(axes: Axes, x: float, y: float, width: float, kind: str) -> None:
    """Draws the field with the letter of a kind."""
    axes.add_patch(
        Rectangle(
            (x, y + 0.04),
            width,
            HEIGHT - 0.08,
            facecolor=style.COLOURS[kind],
            edgecolor="white",
            lw=0.6,
            zorder=3,
        )
    )
    axes.text(
        x + width / 2,
        y + HEIGHT / 2,
        kind,
        ha="center",
        va="center_baseline",
        weight="bold",
        color=style.ON_COLOUR[kind],
        fontsize=style.SMALL,
        zorder=4,
    )


def _end(axes: Axes, x: float, y: float, text: str, gid: str) -> None:
    look = {
        "boxstyle": "round,pad=0,rounding_size=0.12",
        "facecolor": "#eeeeee",
        "edgecolor": ENDS,
        "lw": 1.2,
    }
    axes.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, gid=gid, zorder=2, **look))
    axes.text(
        x + WIDTH / 2,
        y + HEIGHT / 2,
        text,
        ha="center",
        va="center_baseline",
        fontsize=8.5,
        zorder=4,
    )


def _way(axes: Axes, here: Place, there: Place) -> None:
    """Draws the arrow from the top of a box to the bottom of the next one: straight up, or over
    the top of this column to below the next column."""
    (x, y), (to_x, to_y) = here, there
    start, end = (x + WIDTH / 2, y + HEIGHT), (to_x + WIDTH / 2, to_y)
    if x != to_x:
        lane, above, below = to_x - 0.36, y + HEIGHT + 0.14, to_y - 0.14
        corners = [start, (start[0], above), (lane, above), (lane, below), (end[0], below)]
        axes.plot(*zip(*corners), color=ENDS, lw=1.0, zorder=1)
        start = corners[-1]
    _arrow(axes, start, end)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    linestyle: str = "-",
    gid: str | None = None,
) -> None:
    style = {
        "arrowstyle": "-|>,head_width=0.16,head_length=0.3",
        "color": ENDS,
        "lw": 1.0,
        "linestyle": linestyle,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", end, start, arrowprops=style, gid=gid, zorder=1)
