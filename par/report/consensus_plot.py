"""What several searches of one setting say together, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from par.report import heat_map, style
from par.search import derive
from par.search.architecture import KINDS, NAMES

MAX_PIXELS = 150_000_000  # beyond them the picture is made half as wide and high


def consensus(path: style.Target, blocks: str, pis: np.ndarray, seeds: Sequence[int]) -> None:
    """Writes what several searches of the same `blocks` say together, pis [R, L, O]: the mean pi
    as a heat map, in each cell how many seeds chose
    that kind (in the chosen kind's, bold), and below it a row a seed with its own choices; a seed
    that chose otherwise than all together stands out.
    """
    mean, _ = derive.consensus(pis)
    chosen, choices, count = derive.argmax(mean), [derive.argmax(pi) for pi in pis], len(blocks)
    cell, height, row = int(np.clip(600 // count, 30, 130)), 44, 22  # pixels at 100 dpi
    left, right, top, gap, bottom = 82, 62, 40, 22, 46
    width, rows = left + cell * count + right, len(seeds) + 1
    whole = top + height * len(KINDS) + gap + row * rows + bottom
    with style.style():
        figure = Figure(
            (width / 100, whole / 100),
            dpi=200 if 4 * width * whole < MAX_PIXELS else 100,
            facecolor="white",
        )
        upper = figure.add_axes(
            (
                left / width,
                1 - (top + height * len(KINDS)) / whole,
                cell * count / width,
                height * len(KINDS) / whole,
            )
        )
        lower = figure.add_axes(
            (left / width, bottom / whole, cell * count / width, row * rows / whole)
        )
        index, colours = heat_map.cell_index(mean.T), ListedColormap(heat_map.ramp() / 255)
        upper.pcolormesh(index, cmap=colours, vmin=0, vmax=255, edgecolor="white", linewidth=1.4)
        for block, (letter, best) in enumerate(zip(blocks, chosen)):
            for option, kind in enumerate(KINDS):
                text = (
                    sum(own[block] == kind for own in choices)
                    if letter == "s"
                    else "fixed"
                    if kind == best and cell >= 42
                    else 0
                )
                colour, weight = (
                    ("white" if index[option, block] < heat_map.LIGHT_TEXT_BELOW else "black"),
                    ("bold" if kind == best else "normal"),
                )
                if text:
                    upper.text(
                        block + 0.5,
                        option + 0.5,
                        text,
                        color=colour,
                        ha="center",
                        va="center",
                        weight=weight,
                        fontsize=min(10, cell / 3.8),
                    )
        for line, (own, shown) in enumerate(
            [(chosen, "bold"), *((own, "normal") for own in choices)]
        ):
            for block, kind in enumerate(own):
                odd = kind != chosen[block]
                lower.add_patch(
                    Rectangle(
                        (block, line),
                        1,
                        1,
                        facecolor=style.COLOURS[kind],
                        alpha=1 if odd or not line else 0.3,
                        edgecolor="white",
                        lw=1.4,
                    )
                )
                # on the orange, white would be too faint
                colour = "white" if (odd or not line) and kind != "a" else "black"
                lower.text(
                    block + 0.5,
                    line + 0.5,
                    kind,
                    color=colour,
                    ha="center",
                    va="center",
                    weight="bold" if odd else shown,
                    fontsize=style.SMALL,
                )
        upper.set(xlim=(0, count), ylim=(len(KINDS), 0), xticks=[])
        upper.set_yticks(np.arange(len(KINDS)) + 0.5, [NAMES[kind] for kind in KINDS])
        figure.text(
            12 / width,
            1 - top / 2 / whole,
            f"mean pi; how many of {len(seeds)} seeds chose it",
            va="center",
            fontsize=9,
        )
        lower.set(xlim=(0, count), ylim=(rows, 0), xlabel="block")
        lower.set_xticks(np.arange(count) + 0.5, [str(block) for block in range(1, count + 1)])
        lower.set_yticks(np.arange(rows) + 0.5, ["consensus", *(f"seed {seed}" for seed in seeds)])
        for axes in (upper, lower):
            axes.tick_params(length=0, pad=4)
            axes.spines[:].set_visible(False)
        heat_map.probability_legend(
            figure,
            (
                1 - (right - 16) / width,
                upper.get_position().y0,
                14 / width,
                upper.get_position().height,
            ),
            colours,
        )
        style.save(figure, path)
