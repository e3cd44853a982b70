"""The heat map of pi for one or several searches: a column for each block, a row for each kind;
darker is more probable.

It is drawn in grey and coloured by its palette: every pixel is an index into one single-hue ramp,
black to white through blue, whose OKLab lightness is linear in the index. So all frames of a GIF
share one palette of 256 colours, anti-aliased text included, and nothing is quantised; equal steps
of probability are equal steps of lightness, also for colour-blind readers and in black and white.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from par.report import style
from par.search import derive
from par.search.architecture import KINDS, NAMES

# palette indices: the page, a cell of probability 0, one of probability 1, text, unchanged
PAGE, LIGHTEST, DARKEST, INK, CLEAR = 255, 238, 48, 1, 0
LEVELS = 40
# cells with a smaller index have white text, whose contrast is higher there
LIGHT_TEXT_BELOW = 126
# pixels: names of the kinds, probability's legend, numbers of the blocks, a row, between maps
LEFT, RIGHT, BOTTOM, HEIGHT, GAP = 82, 62, 46, 58, 22
# pixels: the width of a line's cells together, and the widest picture whose maps stand side by
# side: a README's width
ACROSS, PAGE_WIDTH = 600, 900
CELLS = (30, 130)  # pixels: the narrowest and the widest cell
NAMED = 200  # pixels: the least width of a map that has a name above it
HEAD, NAMED_HEAD = 40, 74  # pixels above a map, without and with a name
NARROW = 42  # pixels: narrower cells have shorter numbers
# x, y, and which side of the text stands there
Place = tuple[float, float, str]


class State(NamedTuple):
    """The state of a search at a step: pi [L, O] and tau."""

    pi: np.ndarray
    step: int
    tau: float


@dataclasses.dataclass(frozen=True)
class Panel:
    """The map of one search, and what changes in it from frame to frame."""

    blocks: str
    axes: Axes
    cells: Any
    numbers: list[Text]
    iteration: Text
    tau: Text


@dataclasses.dataclass(frozen=True)
class Layout:
    """Positions of the maps of one or several searches, in pixels from the upper left."""

    cell: int  # width of a cell
    spans: list[int]  # width that each map takes, its name included
    corners: list[tuple[int, int]]  # upper left corner of each map
    width: int
    height: int

    def places(self) -> list[tuple[Place, Place]]:
        """Positions of the iteration and of tau for each map: above it on two lines, or for a
        single map at both ends of one line."""
        if len(self.corners) > 1:
            return [((x, y - 40, "left"), (x, y - 18, "left")) for x, y in self.corners]
        middle = HEAD / 2
        is_single_block = self.spans[0] == self.cell
        end = self.width - (12 if is_single_block else RIGHT)
        return [((12, middle, "left"), (end, middle, "right"))]


def _layout(counts: Sequence[int]) -> Layout:
    """The layout of maps with so many blocks each: side by side if the picture fits a README's
    width, else below each other."""
    several = len(counts) > 1
    least, head = (NAMED, NAMED_HEAD) if several else (0, HEAD)
    cell = ACROSS // sum(counts)
    spans = [max(least, max(CELLS[0], cell) * count) for count in counts]
    gaps = GAP * (len(counts) - 1)
    beside = not several or (cell >= CELLS[0] and LEFT + sum(spans) + gaps + RIGHT <= PAGE_WIDTH)
    cell = int(np.clip(cell if beside else ACROSS // max(counts), *CELLS))
    spans = [max(least, cell * count) for count in counts]
    line = head + HEIGHT * len(KINDS) + BOTTOM
    if beside:
        corners = [(LEFT + sum(spans[:i]) + GAP * i, head) for i in range(len(counts))]
        return Layout(cell, spans, corners, LEFT + sum(spans) + gaps + RIGHT, line)
    corners = [(LEFT, head + line * i) for i in range(len(counts))]
    return Layout(cell, spans, corners, LEFT + max(spans) + RIGHT, line * len(counts))


class HeatMap:
    """Draws states of one or several searches. The likeliest kind's probability is written in its
    cell; fixed blocks say so instead of a number.

    The still parts are drawn once. blocks: of each search one letter a block; names: what stands
    above each map, if there are several; scale: device pixels a pixel.
    """

    def __init__(self, blocks: Sequence[str], names: Sequence[str] = (), scale: int = 1):
        layout = _layout([len(own) for own in blocks])
        self.size = (layout.width * scale, layout.height * scale)
        self.narrow = layout.cell < NARROW
        dpi = 100 * scale
        with style.style():
            figure = Figure(
                (self.size[0] / dpi, self.size[1] / dpi), dpi=dpi, facecolor=_grey(PAGE)
            )
            self.canvas = FigureCanvasAgg(figure)
            self._figure, self._scale = figure, scale
            height = HEIGHT * len(KINDS)
            axes = [
                _frame(
                    figure, self._box(x, y, layout.cell * len(own), height), len(own), x == LEFT
                )
                for own, (x, y) in zip(blocks, layout.corners)
            ]
            for y in sorted({y for _, y in layout.corners}):
                box = self._box(layout.width - RIGHT + 16, y, 14, height)
                probability_legend(figure, box, "gray")
            if len(blocks) > 1:
                for name, span, (x, y) in zip(names, layout.spans, layout.corners):
                    shown = _shortened(style.literal(name), span // 9)
                    self._text(x, y - 62, shown, "left", fontsize=10, weight="bold")
            self.canvas.draw()
            self._still = self.canvas.copy_from_bbox(figure.bbox)
            places = layout.places()
            self.panels = [self._panel(*each, layout.cell) for each in zip(blocks, axes, places)]

    def _box(
        self, left: float, top: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """A box of pixels from the upper left corner as matplotlib's fractions of the figure, from
        the lower left one."""
        across, down = self.size[0] / self._scale, self.size[1] / self._scale
        return left / across, 1 - (top + height) / down, width / across, height / down

    def _text(self, x: float, y: float, text: str, ha: str, **settings: Any) -> Text:
        left, base, _, _ = self._box(x, y, 0, 0)
        return self._figure.text(
            left, base, text, ha=ha, va="center", color=_grey(INK), **{"fontsize": 11} | settings
        )

    def _panel(
        self,
        blocks: str,
        axes: Axes,
        places: tuple[Place, Place],
        cell: int,
    ) -> Panel:
        cells = axes.pcolormesh(
            np.zeros((len(KINDS), len(blocks))),
            cmap="gray",
            vmin=0,
            vmax=255,
            edgecolor=_grey(PAGE),
            linewidth=1.4,
        )
        size = min(11.5, cell / (3.8 if self.narrow else 4.8))
        numbers = [
            axes.text(b + 0.5, 0, "", ha="center", va="center", fontsize=size, weight="bold")
            for b in range(len(blocks))
        ]
        iteration, tau = (self._text(x, y, "", ha) for x, y, ha in places)
        return Panel(blocks, axes, cells, numbers, iteration, tau)

    def draw(self, states: Sequence[State]) -> Image.Image:
        """The picture of a state of each search as a palette image of `self.size` pixels."""
        self.canvas.restore_region(self._still)
        with style.style():
            for panel, state in zip(self.panels, states, strict=True):
                self._show(panel, state)
                for artist in (panel.cells, *panel.numbers, panel.iteration, panel.tau):
                    artist.draw(self.canvas.renderer)
        image = Image.fromarray(np.maximum(np.asarray(self.canvas.buffer_rgba())[:, :, 0], INK))
        image.putpalette(ramp().tobytes())
        return image

    def _show(self, panel: Panel, state: State) -> None:
        index = cell_index(state.pi.T)
        panel.cells.set_array(index)
        for block, (text, letter, likeliest) in enumerate(
            zip(panel.numbers, panel.blocks, derive.argmax(state.pi))
        ):
            kind = KINDS.index(likeliest)
            text.set(
                y=kind + 0.5, color=_grey(PAGE if index[kind, block] < LIGHT_TEXT_BELOW else INK)
            )
            fixed = "" if self.narrow else "fixed"
            text.set_text(_number(state.pi[block, kind], self.narrow) if letter == "s" else fixed)
        panel.iteration.set_text(f"iteration {state.step:,}")
        panel.tau.set_text(f"tau {state.tau:.3f}")


def _frame(
    figure: Figure, box: tuple[float, float, float, float], count: int, named: bool
) -> Axes:
    axes = figure.add_axes(box, xlim=(0, count), ylim=(len(KINDS), 0), xlabel="block")
    axes.set_xticks(np.arange(count) + 0.5, [str(b) for b in range(1, count + 1)])
    axes.set_yticks(np.arange(len(KINDS)) + 0.5, [NAMES[kind] if named else "" for kind in KINDS])
    axes.tick_params(length=0, pad=4, labelsize=10 if count <= 16 else 8)
    axes.tick_params(axis="y", labelsize=10)
    axes.spines[:].set_visible(False)
    return axes


def probability_legend(
    figure: Figure, box: tuple[float, float, float, float], colours: str | Colormap
) -> None:
    """Draws the colour scale. box: in fractions of the figure."""
    axes = figure.add_axes(box)
    axes.imshow(
        cell_index(np.linspace(1, 0, 128))[:, None],
        cmap=colours,
        vmin=0,
        vmax=255,
        aspect="auto",
        extent=(0, 1, 0, 1),
    )
    axes.set(xticks=[], yticks=[0, 1], ylabel="probability")
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)


def cell_index(p: np.ndarray) -> np.ndarray:
    """Palette indices of cells, in LEVELS steps: a cell that hardly changed keeps its index and
    needs no bytes in the next frame."""
    return np.round(LIGHTEST + (DARKEST - LIGHTEST) * np.round(p * LEVELS) / LEVELS)


def colours(darkness: float) -> tuple[str, str]:
    """Background and text colour, #rrggbb, of a darkness from 0 to 1 on the scale of the maps;
    values outside are clipped."""
    index = int(cell_index(np.clip(darkness, 0.0, 1.0)))
    return _palette()[index], "#ffffff" if index < LIGHT_TEXT_BELOW else "#000000"


@functools.cache
def _palette() -> list[str]:
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in ramp().tolist()]


def ramp() -> np.ndarray:
    """The palette: uint8 [256, 3], sRGB, from black to white through one blue hue; OKLab lightness
    rises linearly with the index."""
    light = np.linspace(0.0, 1.0, 256)
    chroma, hue = 0.13 * 4 * light * (1 - light), math.radians(255)
    L, a, b = 0.16 + 0.84 * light, chroma * math.cos(hue), chroma * math.sin(hue)
    # OKLab to linear sRGB: Ottosson 2020, https://bottosson.github.io/posts/oklab/
    long = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (L - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    linear = np.clip(np.stack([red, green, blue], 1), 0, 1)
    return np.round(
        255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    ).astype(np.uint8)


def _grey(index: int) -> str:
    return str(index / 255)


def _number(p: float, narrow: bool) -> str:
    if not narrow:
        return f"{p:.2f}"
    return "1.0" if p >= 0.995 else f"{p:.2f}"[1:]


def _shortened(name: str, most: int) -> str:
    """The name, cut in the middle if it has more than `most` characters: names of runs differ at
    their ends."""
    keep = (most - 3) // 2
    return name if len(name) <= most else f"{name[:keep]}...{name[-keep:]}"
