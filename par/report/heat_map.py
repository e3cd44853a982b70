"""The heat map of pi: one column a block, one row a kind, darker is more probable, for one search
or several beside each other.

It is drawn in grey and coloured by its palette: every pixel is an index into one single-hue ramp,
black to white through blue, whose OKLab
lightness is linear in the index. So all frames of a GIF share one palette of 256 colours,
anti-aliased text included, and nothing is quantised;
equal steps of probability are equal steps of lightness for every reader, and in print without
colours.
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
# cells with a smaller index carry white text: there its contrast exceeds that of black
LIGHT_TEXT_BELOW = 126
# pixels: names of the kinds, probability's legend, numbers of the blocks, a row, between maps
LEFT, RIGHT, BOTTOM, HEIGHT, GAP = 82, 62, 46, 58, 22
# pixels: what the cells of a line share, and the widest picture whose maps stand side by side: a
# README's width
ACROSS, PAGE_WIDTH = 600, 900
CELLS = (30, 130)  # pixels: the narrowest and the widest cell
NAMED = 200  # pixels: the least width of a map that has a name above it


class State(NamedTuple):
    """What one map shows: pi [L, O] at a step, and tau there."""

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


class HeatMap:
    """Draws states of one or several searches. The likeliest kind's probability is written in its
    cell; fixed blocks say so instead of a number.

    The still parts are drawn once. blocks: of each search one letter a block; names: what stands
    above each map, if there are several; scale: device
    pixels a pixel. Maps stand side by side as long as the picture fits a README's width, else
    below each other, block under block.
    """

    def __init__(self, blocks: Sequence[str], names: Sequence[str] = (), scale: int = 1):
        several = len(blocks) > 1
        counts = [len(own) for own in blocks]
        cell = ACROSS // sum(counts)
        spans = [max(NAMED * several, max(CELLS[0], cell) * count) for count in counts]
        beside = not several or (
            cell >= CELLS[0] and LEFT + sum(spans) + GAP * (len(spans) - 1) + RIGHT <= PAGE_WIDTH
        )
        cell = int(np.clip(cell if beside else ACROSS // max(counts), *CELLS))
        spans = [max(NAMED * several, cell * count) for count in counts]
        head = 74 if several else 40
        line = head + HEIGHT * len(KINDS) + BOTTOM
        width = LEFT + (sum(spans) + GAP * (len(spans) - 1) if beside else max(spans)) + RIGHT
        self.size = (width * scale, (line if beside else line * len(counts)) * scale)
        self.narrow = cell < 42
        dpi = 100 * scale
        with style.style():
            figure = Figure(
                (self.size[0] / dpi, self.size[1] / dpi), dpi=dpi, facecolor=_grey(PAGE)
            )
            self.canvas = FigureCanvasAgg(figure)
            self._figure, self._scale = figure, scale
            corners = [
                (LEFT + sum(spans[:i]) + GAP * i, head) if beside else (LEFT, head + line * i)
                for i in range(len(counts))
            ]
            boxes = [
                self._box(*corner, cell * count, HEIGHT * len(KINDS))
                for corner, count in zip(corners, counts)
            ]
            axes = [
                _frame(figure, box, count, named=x == LEFT)
                for box, count, (x, _) in zip(boxes, counts, corners)
            ]
            for y in sorted({y for _, y in corners}):
                probability_legend(
                    figure, self._box(width - RIGHT + 16, y, 14, HEIGHT * len(KINDS)), "gray"
                )
            if several:
                for name, span, (x, y) in zip(names, spans, corners):
                    self._text(
                        x,
                        y - 62,
                        _shortened(style.literal(name), span // 9),
                        "left",
                        fontsize=10,
                        weight="bold",
                    )
            self.canvas.draw()
            self._still = self.canvas.copy_from_bbox(figure.bbox)
            if several:
                places = [((x, y - 40, "left"), (x, y - 18, "left")) for x, y in corners]
            else:
                places = [
                    (
                        (12, head / 2, "left"),
                        (width - (RIGHT if counts[0] > 1 else 12), head / 2, "right"),
                    )
                ]
            self.panels = [self._panel(*parts, cell) for parts in zip(blocks, axes, places)]

    def _box(
        self, left: float, top: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """A box of pixels, from the upper left corner, in matplotlib's shares of the figure, from
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
        places: tuple[tuple[float, float, str], tuple[float, float, str]],
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
            text.set_text(
                _number(state.pi[block, kind], self.narrow)
                if letter == "s"
                else ""
                if self.narrow
                else "fixed"
            )
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
    """Draws what the colours of the cells mean, in a box of shares of the figure."""
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
    """Palette indices of cells, in LEVELS steps: a cell that hardly moved keeps its index, and
    costs nothing in the next frame."""
    return np.round(LIGHTEST + (DARKEST - LIGHTEST) * np.round(p * LEVELS) / LEVELS)


def colours(share: float) -> tuple[str, str]:
    """Background and text colour, #rrggbb, of a share from 0 (light) to 1 (dark), on the scale of
    the maps; beyond it, of its end."""
    index = int(cell_index(np.clip(share, 0.0, 1.0)))
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
    return f"{p:.2f}" if not narrow else "1.0" if p >= 0.995 else f"{p:.2f}"[1:]


def _shortened(name: str, most: int) -> str:
    """A name of at most `most` characters; of a longer one both ends, as names of runs differ in
    those."""
    keep = (most - 3) // 2
    return name if len(name) <= most else f"{name[:keep]}...{name[-keep:]}"
