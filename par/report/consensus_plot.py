"""The consensus of several searches with the same settings, as a picture: their mean pi as a heat
map; below it, the blocks of the consensus and of each seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from par.report import heat_map, style
from par.search import derive
from par.search.architecture import KINDS, NAMES

MAX_PIXELS = 150_000_000  # a larger picture is made half as wide and high
# pixels at 100 dpi: beside the maps, above, between and below them, and the rows of each
LEFT, RIGHT, TOP, GAP, BOTTOM = 82, 62, 40, 22, 46
HEIGHT, ROW = 44, 22
CELLS = (30, 130)  # pixels: the narrowest and the widest cell
WORD = 42  # pixels: the least width of a cell with the word `fixed`


@dataclasses.dataclass(frozen=True)
class Layout:
    """Sizes in pixels at 100 dpi, and boxes as fractions of the figure."""

    blocks: int
    rows: int

    @property
    def cell(self) -> int:
        """Width of a cell."""
        return int(np.clip(600 // self.blocks, *CELLS))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return (
            LEFT + self.cell * self.blocks + RIGHT,
            TOP + HEIGHT * len(KINDS) + GAP + ROW * self.rows + BOTTOM,
        )

    def box(
        self, left: float, bottom: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """A box of pixels from the lower left corner."""
        across, down = self.size
        return left / across, bottom / down, width / across, height / down

    @property
    def upper(self) -> tuple[float, float, float, float]:
        """The box of the heat map."""
        height = HEIGHT * len(KINDS)
        return self.box(LEFT, self.size[1] - TOP - height, self.cell * self.blocks, height)

    @property
    def lower(self) -> tuple[float, float, float, float]:
        """The box of the choices."""
        return self.box(LEFT, BOTTOM, self.cell * self.blocks, ROW * self.rows)


def consensus(path: style.Target, blocks: str, pis: np.ndarray, seeds: Sequence[int]) -> None:
    """Writes the consensus of several searches of the same `blocks`, pis [R, L, O].

    Each cell of the mean pi shows how many seeds chose its kind, in bold for the kind of the
    consensus. Choices of a seed that differ from the consensus stand out.
    """
    mean, _ = derive.consensus(pis)
    chosen, choices = derive.argmax(mean), [derive.argmax(pi) for pi in pis]
    layout = Layout(len(blocks), len(seeds) + 1)
    width, height = layout.size
    colours = ListedColormap(heat_map.ramp() / 255)
    with style.style():
        figure = Figure(
            (width / 100, height / 100),
            dpi=200 if 4 * width * height < MAX_PIXELS else 100,
            facecolor="white",
        )
        upper, lower = figure.add_axes(layout.upper), figure.add_axes(layout.lower)
        _mean(upper, blocks, mean, choices, colours, layout.cell)
        _choices(lower, chosen, choices, seeds)
        left, middle, _, _ = layout.box(12, height - TOP / 2, 0, 0)
        note = f"mean pi; how many of {len(seeds)} seeds chose it"
        figure.text(left, middle, note, va="center", fontsize=9)
        for axes in (upper, lower):
            axes.tick_params(length=0, pad=4)
            axes.spines[:].set_visible(False)
        _, bottom, _, tall = layout.upper
        legend = (1 - (RIGHT - 16) / width, bottom, 14 / width, tall)
        heat_map.probability_legend(figure, legend, colours)
        style.save(figure, path)


def _mean(
    axes: Axes,
    blocks: str,
    mean: np.ndarray,
    choices: Sequence[str],
    colours: ListedColormap,
    cell: int,
) -> None:
    """Draws the mean pi [L, O] as a heat map. cell: width in pixels."""
    index, chosen = heat_map.cell_index(mean.T), derive.argmax(mean)
    axes.pcolormesh(index, cmap=colours, vmin=0, vmax=255, edgecolor="white", linewidth=1.4)
    for block, (letter, best) in enumerate(zip(blocks, chosen)):
        for option, kind in enumerate(KINDS):
            text: int | str = 0
            if letter == "s":
                text = sum(own[block] == kind for own in choices)
            elif kind == best and cell >= WORD:
                text = "fixed"
            if text:
                is_dark = index[option, block] < heat_map.LIGHT_TEXT_BELOW
                axes.text(
                    block + 0.5,
                    option + 0.5,
                    text,
                    color="white" if is_dark else "black",
                    ha="center",
                    va="center",
                    weight="bold" if kind == best else "normal",
                    fontsize=min(10, cell / 3.8),
                )
    axes.set(xlim=(0, len(blocks)), ylim=(len(KINDS), 0), xticks=[])
    axes.set_yticks(np.arange(len(KINDS)) + 0.5, [NAMES[kind] for kind in KINDS])


def _choices(axes: Axes, chosen: str, choices: Sequence[str], seeds: Sequence[int]) -> None:
    """Draws the kinds of the consensus and those of each seed."""
    rows, count = [chosen, *choices], len(chosen)
    for line, own in enumerate(rows):
        for block, kind in enumerate(own):
            stands_out = line == 0 or kind != chosen[block]
            axes.add_patch(
                Rectangle(
                    (block, line),
                    1,
                    1,
                    facecolor=style.COLOURS[kind],
                    alpha=1 if stands_out else 0.3,
                    edgecolor="white",
                    lw=1.4,
                )
            )
            axes.text(
                block + 0.5,
                line + 0.5,
                kind,
                color=style.ON_COLOUR[kind] if stands_out else "black",
                ha="center",
                va="center",
                weight="bold" if stands_out else "normal",
                fontsize=style.SMALL,
            )
    axes.set(xlim=(0, count), ylim=(len(rows), 0), xlabel="block")
    axes.set_xticks(np.arange(count) + 0.5, [str(block) for block in range(1, count + 1)])
    names = ["consensus", *(f"seed {seed}" for seed in seeds)]
    axes.set_yticks(np.arange(len(rows)) + 0.5, names)
