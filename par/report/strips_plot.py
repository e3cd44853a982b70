"""What the number and the place of attention blocks do: networks as strips of their blocks, the
best first, and their scores by number and by mean place. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from par.report import style
from par.report.pareto_plot import NETWORKS, OFF_SCALE

ROW, MARGIN = 0.24, 1.1  # inches: of a strip, and of all else above and below
LONGEST = 24  # characters of a name beside its strip


class Strip(NamedTuple):
    """A network: its name, its blocks of a and d, its perplexity per word, and its kind, one of
    par.report.pareto_plot.NETWORKS."""

    name: str
    blocks: str
    score: float
    kind: str


def mean_place(blocks: str) -> float | None:
    """The mean place of the attention blocks from 0, all at the input, to 1, all at the output;
    None without attention, or of a single block."""
    places = [place for place, kind in enumerate(blocks) if kind == "a"]
    return fmean(places) / (len(blocks) - 1) if places and len(blocks) > 1 else None


def strips(path: style.Target, networks: Sequence[Strip]) -> None:
    """Writes `strips_figure`."""
    with style.style():
        style.save(strips_figure(networks), path)


def strips_figure(networks: Sequence[Strip]) -> Figure:
    """The strips of the networks, the best on top, each with its name and perplexity, beside the
    perplexities over the number of attention blocks and over their mean place.

    A perplexity above OFF_SCALE times the best is an arrow on the upper edge.
    """
    with style.style():
        figure = style.new_figure(max(ROW * len(networks) + MARGIN, 4.0), width=9.0)
        grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
        _draw_strips(figure.add_subplot(grid[:, 0]), networks)
        by_number = figure.add_subplot(grid[0, 1], xlabel="attention blocks")
        _scatter(by_number, [(each.blocks.count("a"), each) for each in networks])
        by_number.margins(x=0.12)  # for the figures beside the arrows
        by_number.xaxis.set_major_locator(MaxNLocator(integer=True))
        by_place = figure.add_subplot(
            grid[1, 1], xlabel="their mean place: 0 at the input, 1 at the output"
        )
        placed = [(mean_place(each.blocks), each) for each in networks]
        _scatter(by_place, [(place, each) for place, each in placed if place is not None])
        by_place.set_xlim(-0.05, 1.05)
        for axes in (by_number, by_place):
            axes.set_ylabel("perplexity per word")
        by_number.legend(loc="best", fontsize=style.SMALL)
    return figure


def _draw_strips(axes: Axes, networks: Sequence[Strip]) -> None:
    ordered = sorted(networks, key=lambda network: network.score)
    most = max((len(each.blocks) for each in ordered), default=1)
    for row, network in enumerate(ordered):
        for place, kind in enumerate(network.blocks):
            _tile(axes, place, row, kind)
        axes.text(most + 0.3, row, f"{network.score:,.1f}", va="center", fontsize=style.SMALL)
    axes.set_xlim(0, most + 3)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    names = [style.literal(each.name) for each in ordered]
    axes.set_yticks(range(len(ordered)), [_short(name) for name in names], fontsize=style.SMALL)
    for label, network in zip(axes.get_yticklabels(), ordered):
        label.set_color(NETWORKS[network.kind].colour)
    axes.set_xticks([0.5, most - 0.5], ["1", str(most)])
    axes.set_xlabel("block, from the input to the output: a attention, d dense")
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _tile(axes: Axes, place: int, row: int, kind: str) -> None:
    colour = style.COLOURS[kind]
    axes.add_patch(
        Rectangle(
            (place, row - 0.42), 1, 0.84, facecolor=colour, edgecolor="white", lw=0.8, gid=kind
        )
    )
    look = {"ha": "center", "va": "center", "fontsize": 6, "color": style.ON_COLOUR[kind]}
    axes.text(place + 0.5, row, kind, **look)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def _scatter(axes: Axes, points: Sequence[tuple[float, Strip]]) -> None:
    """Draws the score of each network over a value of it."""
    best = min((network.score for _, network in points), default=1.0)
    limit = OFF_SCALE * best
    edge = max((each.score for _, each in points if each.score <= limit), default=best)
    edge += 0.08 * (edge - best)
    for kind, mark in NETWORKS.items():
        own = [(x, each.score) for x, each in points if each.kind == kind]
        shown = [(x, score) for x, score in own if score <= limit]
        off = [(x, score) for x, score in own if score > limit]
        look = {"color": mark.colour, "mec": "white", "mew": 0.6, "ls": "", "ms": mark.size}
        if shown:
            axes.plot(*zip(*shown), mark.marker, label=kind, **look)
        for x, score in off:
            axes.plot(x, edge, "^", **look)
            axes.annotate(
                f"{score:,.0f}",
                (x, edge),
                (0, -12),
                textcoords="offset points",
                fontsize=style.SMALL,
                ha="center",
                color=mark.colour,
            )
