"""A heat map of attention probabilities for each head: queries from top to bottom, keys from left
to right.

          memory | window
     the cat sat | on  the mat
on    .   #   .  | .
the   .   .   .  | #   .                 blank: not visible, as it comes later
mat   .   #   #  | .   .   .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure

from par.core.errors import UsageError
from par.report import heat_map, style

CELL = 0.17  # inches: a label of FONT points has room beside the next
FONT = 7.0
# inches: labels of queries, legend, title, labels of keys, from map to map
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 1.1, 0.9, 0.3, 1.0, 0.45
NAME = 1.5  # inches: what stands above a map
NARROW = 36  # positions up to which two maps stand side by side
MOST = 512  # positions: with more, no label could be read
LONGEST = 12  # characters of a label
TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)  # of the legend
Box = tuple[float, float, float, float]  # left, bottom, width, height: fractions of the figure


def attention(
    path: Path | str,
    probability: np.ndarray,
    keys: Sequence[str],
    title: str = "",
    head: int | None = None,
) -> None:
    """Writes `attention_figure` as PNG."""
    style.save(attention_figure(probability, keys, title, head), Path(path))


def attention_figure(
    probability: np.ndarray, keys: Sequence[str], title: str = "", head: int | None = None
) -> Figure:
    """The picture of probabilities [H, T, S], as par.evaluate.trained_model.Model.attention gives
    them: the map of one head, counted from 1, or of all.

    keys: the pieces of the S positions; the last T are the window's, the queries. Darkness
    is proportional to the square root of the probability, as attention that is spread over many
    positions would be too faint. Axes of head h have the label `head-h`.
    Raises: UsageError for a head that is not there, or more positions than can be read.
    """
    heads, seq_len, key_len = probability.shape
    if head is not None and not (type(head) is int and 1 <= head <= heads):
        raise UsageError(f"head must be from 1 to {heads}, or None for all, but is {head!r}")
    if key_len > MOST:
        raise UsageError(
            f"at most {MOST} positions can be drawn, but there are {key_len:,}: give a smaller"
            " seq_len or mem_len"
        )
    shown = list(range(heads)) if head is None else [head - 1]
    columns = min(len(shown), 2 if key_len <= NARROW else 1)
    rows = math.ceil(len(shown) / columns)
    across, down = max(key_len * CELL, NAME), seq_len * CELL
    width = columns * (LEFT + across) + RIGHT
    height = TOP + rows * (down + BETWEEN) + BOTTOM
    labels = [_label(key) for key in keys]
    colours = ListedColormap(heat_map.ramp() / 255)
    with style.style():
        figure = Figure((max(width, 3.4), height), dpi=110, facecolor="white")

        def box(left: float, top: float, across: float, down: float) -> Box:
            """Inches from the upper left corner as fractions of the figure."""
            whole = figure.get_figwidth()
            return left / whole, 1 - (top + down) / height, across / whole, down / height

        for place, number in enumerate(shown):
            row, column = divmod(place, columns)
            left, top = LEFT + column * (LEFT + across), TOP + BETWEEN + row * (down + BETWEEN)
            axes = figure.add_axes(box(left, top, across, down), label=f"head-{number + 1}")
            is_lowest = place + columns >= len(shown)
            _map(axes, probability[number], labels, colours, f"head {number + 1}", is_lowest)
        tall = min(1.6, max(rows * (down + BETWEEN) - BETWEEN, 0.6))
        _legend(figure, box(width - RIGHT + 0.15, TOP + BETWEEN, 0.13, tall), colours)
        left, top, _, _ = box(0.12, 0.16, 0, 0)
        figure.text(left, top, style.literal(title), va="top", weight="bold")
    return figure


def _map(
    axes: Axes,
    probability: np.ndarray,
    labels: Sequence[str],
    colours: Colormap,
    name: str,
    has_labels: bool,
) -> None:
    """Draws the map of one head, [T, S]. has_labels: its tokens stand below it."""
    seq_len, key_len = probability.shape
    memory = key_len - seq_len
    seen = np.ma.masked_equal(probability, 0.0)
    axes.pcolormesh(
        _darkness(seen), cmap=colours, vmin=0, vmax=255, edgecolor="white", linewidth=0.5
    )
    axes.set(xlim=(0, key_len), ylim=(seq_len, 0))
    axes.set_yticks(np.arange(seq_len) + 0.5, labels[memory:], fontsize=FONT)
    axes.set_xticks(
        np.arange(key_len) + 0.5,
        labels if has_labels else [""] * key_len,
        fontsize=FONT,
        rotation=90,
    )
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    if memory:
        axes.axvline(memory, color=style.ORANGE, linewidth=1.2)
    axes.text(
        0,
        -0.35,
        f"{name}:  memory | window" if memory else f"{name}:  window",
        va="bottom",
        fontsize=style.SMALL,
    )


def _darkness(probability: np.ndarray) -> np.ndarray:
    """Palette indices of heat_map.ramp."""
    return heat_map.cell_index(np.ma.sqrt(probability))


def _legend(figure: Figure, box: Box, colours: Colormap) -> None:
    axes = figure.add_axes(box, label="legend")
    axes.imshow(
        heat_map.cell_index(np.linspace(1, 0, 128))[:, None],
        cmap=colours,
        vmin=0,
        vmax=255,
        aspect="auto",
        extent=(0, 1, 0, 1),
    )
    axes.set_xticks([])
    axes.set_yticks(np.sqrt(TICKS), [f"{tick:g}" for tick in TICKS], fontsize=FONT)
    axes.set_ylabel("probability", fontsize=FONT + 1)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)


def _label(piece: str) -> str:
    """A piece as a label: cut to LONGEST characters; a box stands for each character that the font
    lacks, as an escape sequence would be too long here."""
    shown = "".join(char if style.is_drawable(char) else "\u25a1" for char in piece)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}\u2026"
