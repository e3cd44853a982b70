"""Networks at one depth against the same at others, by rank: a panel for each, a point for each
network, coloured by its number of attention blocks. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from par.core.rank_correlation import ranks
from par.report import style

COLUMNS = 3
PANEL = 2.9  # inches of a panel's height
COLOUR_MAP = "viridis"  # grows evenly lighter, for colour-blind readers and in grey too


def panels(
    path: style.Target,
    base: tuple[str, Sequence[float]],
    others: Mapping[str, Sequence[float]],
    attention: Sequence[int],
) -> None:
    """Writes `panels_figure`."""
    with style.style():
        style.save(panels_figure(base, others, attention), path)


def panels_figure(
    base: tuple[str, Sequence[float]],
    others: Mapping[str, Sequence[float]],
    attention: Sequence[int],
) -> Figure:
    """The ranks of the networks, 1 the best, by the perplexities of `base`, a name and a value for
    each network, on x, and by those of each of `others`, by name, on y. attention: the networks'
    numbers of attention blocks."""
    name, values = base
    rows = -(-len(others) // COLUMNS)
    with style.style():
        figure = style.new_figure(PANEL * rows, width=9.0)
        every = figure.subplots(rows, min(COLUMNS, len(others)), squeeze=False)
        shown = every.flat[: len(others)]
        for axes, (title, there) in zip(shown, others.items()):
            axes.axline((1, 1), slope=1, color=style.GUIDE, lw=0.8, zorder=1)
            dots = axes.scatter(
                ranks(values),
                ranks(there),
                c=attention,
                cmap=COLOUR_MAP,
                s=26,
                edgecolors="black",
                lw=0.4,
                zorder=2,
            )
            axes.set(title=title, xlabel=f"rank at {name}", ylabel="rank", aspect="equal")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(5, integer=True))
        for axes in every.flat[len(others) :]:
            axes.remove()
        bar = figure.colorbar(dots, ax=list(shown), label="attention blocks of six", pad=0.01)
        bar.set_ticks(sorted(set(attention)))
    return figure
