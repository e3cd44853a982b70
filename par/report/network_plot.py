"""A network as a stack of blocks, from its string alone: the embedding at the bottom, the softmax
on top, and between them each block with its kind.

                 [     softmax      ]   -> next token
                          ^
                3 [ d    Dense      ]
                2 [ a    Attention  ] <- memory
                1 [ adi  Stochastic ] <- memory, if it becomes attention
                          ^
                 [    embedding     ]   <- tokens

Kinds are told by letter, name and line (as in the plots of pi), the colours only help. A long
stack goes on in the next column.
"""

from __future__ import annotations

import collections
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from par.core.text import plural
from par.report import style
from par.search.architecture import KINDS, NAMES, Architecture

COLUMN = 16  # blocks in one column, unless there are so many that the picture would be too wide
# inches: a block, a block, from block to block, what is left and right of a column for memories
WIDTH, HEIGHT, PITCH, LANE = 1.55, 0.3, 0.42, 0.85
TILE = 0.28  # inches: the field with the letter
LINES = style.DASHES | {"s": "-."}
ENDS = "#333333"  # embedding and softmax
MAX_NAME = 60  # letters of the string that the title has room for


def height_of(count: int) -> int:
    """How many blocks stand in a column: all up to COLUMN; of more, evenly filled columns, about
    as many that the picture is half as high as wide."""
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
    """The picture; in inches, so that a block is as large in every one. Artists of block b (from
    1) have the gid `block-b`, its memory `memory-b`."""
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
        for number, (kind, (x, y)) in enumerate(zip(blocks, places), 1):
            _block(axes, x, y, kind, number)
        x, y = places[-1]
        top = (x, y + PITCH)
        _end(axes, left, bottom, "embedding", "embedding")
        _end(axes, *top, "softmax", "softmax")
        for here, there in zip([(left, bottom), *places], [*places, top]):
            _way(axes, here, there)
        _arrow(axes, (left + WIDTH / 2, bottom - 0.22), (left + WIDTH / 2, bottom))
        axes.text(
            left + WIDTH / 2, bottom - 0.24, "tokens", ha="center", va="top", fontsize=style.SMALL
        )
        _arrow(
            axes,
            (top[0] + WIDTH / 2, top[1] + HEIGHT),
            (top[0] + WIDTH / 2, top[1] + HEIGHT + 0.22),
        )
        axes.text(
            top[0] + WIDTH / 2,
            top[1] + HEIGHT + 0.24,
            "next token",
            ha="center",
            va="bottom",
            fontsize=style.SMALL,
        )
        short = architecture.short
        title = short if len(short) <= MAX_NAME else f"{short[: MAX_NAME - 3]}..."
        axes.text(
            width / 2, height - 0.12, title, ha="center", va="top", weight="bold", fontsize=11
        )
        axes.text(
            width / 2,
            height - 0.36,
            summary(blocks),
            ha="center",
            va="top",
            fontsize=style.SMALL if columns > 1 else 7,
        )
    return figure


def summary(blocks: str) -> str:
    """How many blocks there are, and of each kind that occurs."""
    counts = collections.Counter(blocks)
    kinds = ", ".join(
        f"{counts[kind]} {name.lower()}" for kind, name in NAMES.items() if counts[kind]
    )
    return f"{plural(len(blocks), 'block')}: {kinds}"


def _block(axes: Axes, x: float, y: float, kind: str, number: int) -> None:
    """One block: its number, a tile a kind that it is or may become, its name, and where its
    memory comes in."""
    edge = style.COLOURS.get(kind, "black")
    options = KINDS if kind == "s" else kind
    line = {"edgecolor": edge, "linestyle": LINES[kind], "lw": 1.4}
    axes.add_patch(
        Rectangle(
            (x, y), WIDTH, HEIGHT, facecolor="white", gid=f"block-{number}", zorder=2, **line
        )
    )
    for i, option in enumerate(options):
        tile = x + 0.04 + i * (TILE - 0.06 * (len(options) > 1))
        wide = TILE - 0.06 * (len(options) > 1)
        axes.add_patch(
            Rectangle(
                (tile, y + 0.04),
                wide,
                HEIGHT - 0.08,
                facecolor=style.COLOURS[option],
                edgecolor="white",
                lw=0.6,
                zorder=3,
            )
        )
        colour = style.ON_COLOUR[option]
        axes.text(
            tile + wide / 2,
            y + HEIGHT / 2,
            option,
            ha="center",
            va="center_baseline",
            weight="bold",
            color=colour,
            fontsize=style.SMALL,
            zorder=4,
        )
    name = x + (0.04 + 3 * (TILE - 0.06) if kind == "s" else TILE) + 0.1
    axes.text(
        name,
        y + HEIGHT / 2,
        NAMES[kind],
        ha="left",
        va="center_baseline",
        fontsize=8.5,
        zorder=4,
        gid=f"kind-{number}",
    )
    axes.text(
        x - 0.08,
        y + HEIGHT / 2,
        str(number),
        ha="right",
        va="center_baseline",
        fontsize=style.SMALL,
        color="#444444",
    )
    if kind in "as":
        right, middle = x + WIDTH, y + HEIGHT / 2
        _arrow(
            axes,
            (right + 0.22, middle),
            (right, middle),
            linestyle="-" if kind == "a" else ":",
            gid=f"memory-{number}",
        )
        axes.text(right + 0.24, middle, "memory", ha="left", va="center_baseline", fontsize=7.5)


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


def _way(axes: Axes, here: tuple[float, float], there: tuple[float, float]) -> None:
    """From the top of one box to the bottom of the next: straight up, or over the top of this
    column to below the next one."""
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
