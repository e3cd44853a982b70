"""The networks of a comparison as a picture: their scores over their costs, and the Pareto front.
Needs no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from par.core import metrics
from par.evaluate.compare.tables import Point
from par.report import style


class Mark(NamedTuple):
    """How a kind of network is drawn."""

    colour: str
    marker: str
    size: int


NETWORKS = {
    "derived": Mark(style.ORANGE, "*", 13),
    "named": Mark(style.BLUE, "s", 6),
    "random": Mark(style.GREY, "o", 5),
    "chosen": Mark(style.ORANGE, "*", 13),
    "undecided": Mark(style.BLUE, "s", 6),
    "worse": Mark(style.GREY, "o", 5),
}
# where a name may stand around its point: distances in points, and degrees, the best first
RADII, ANGLES = (9, 16, 26, 38, 52), (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)
NEAR = 16  # points: a name further off has a line to its point
OFF_SCALE = 1.3
Place = tuple[float, float]


def scatter(
    path: style.Target, points: Sequence[Point], x_label: str, compared: metrics.Figure
) -> None:
    """Writes `scatter_figure`."""
    with style.style():
        style.save(scatter_figure(points, x_label, compared), path)


def scatter_figure(points: Sequence[Point], x_label: str, compared: metrics.Figure) -> Figure:
    """The networks of a comparison: the figure by which they are compared over cost, each with its
    intervals and its name, and their Pareto front.

    Where less is better, a network above OFF_SCALE times the best is drawn as an arrow on the
    upper edge, the figure beside its name. Intervals are cut there, and as far below the best.
    """
    best = min(point.y[0] for point in points)
    limit = OFF_SCALE * best if compared.better == "lower" else math.inf
    highest = max(value or 0 for point in points if point.y[0] <= limit for value in point.y)
    edge = min(limit, 1.03 * highest)
    places = [(point.x[0], point.y[0] if point.y[0] <= limit else edge) for point in points]
    with style.style():
        figure = style.new_figure(5.0)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot(
            xlabel=x_label, ylabel=f"{compared.label}: mean and 95 % interval"
        )
        labels = {kind: kind for kind in NETWORKS}  # each once
        for point, place in zip(points, places):
            is_off = point.y[0] > limit
            label = None if is_off else labels.pop(point.kind, None)
            _draw_point(axes, point, place, is_off, label)
        axes.plot(
            *zip(*_front(points, places, compared)),
            drawstyle="steps-post",
            ls="--",
            lw=1.0,
            color=style.GUIDE,
            zorder=1,
            label="front: none is both cheaper and better",
        )
        axes.margins(0.12, 0.08)
        low, high = axes.get_ylim()
        if limit < math.inf:
            axes.set_ylim(max(low, best / OFF_SCALE), min(high, limit * 1.03))
        figure.legend(loc="outside upper center", ncols=4)
        canvas.draw()  # fixes all positions
        names = [
            style.literal(
                point.name if point.y[0] <= limit else f"{point.name} ({point.y[0]:,.0f})"
            )
            for point in points
        ]
        lines = [line for place, point in zip(places, points) for line in _bars(place, point)]
        colours = [NETWORKS[point.kind].colour for point in points]
        _name_points(axes, canvas, places, names, colours, lines)
    return figure


def _draw_point(axes: Axes, point: Point, place: Place, is_off: bool, label: str | None) -> None:
    """Draws a network and its intervals. is_off: its figure exceeds the picture."""
    mark = NETWORKS[point.kind]
    shared = {"color": mark.colour, "zorder": 4 if point.kind == "derived" else 3}
    axes.errorbar(
        *place,
        xerr=_errors(point.x),
        yerr=None if is_off else _errors(point.y),
        fmt="none",
        lw=0.8,
        alpha=0.5,
        capsize=2,
        **shared,
    )
    axes.plot(
        *place,
        "^" if is_off else mark.marker,
        ms=mark.size,
        mec="white",
        mew=0.6,
        ls="",
        label=label,
        **shared,
    )


def _front(
    points: Sequence[Point], places: Sequence[Place], compared: metrics.Figure
) -> list[Place]:
    """The places of the networks that no other one beats in both."""
    values = [(point.x[0], compared.loss(point.y[0])) for point in points]
    return sorted(
        place
        for place, own in zip(places, values)
        if not any(x <= own[0] and y <= own[1] and (x, y) != own for x, y in values)
    )


def _errors(value: tuple[float, float | None, float | None]) -> list[list[float]] | None:
    """[[below], [above]] of a value and its interval, None where there is none."""
    middle, low, high = value
    return None if low is None or high is None else [[middle - low], [high - middle]]


def _bars(place: Place, point: Point) -> list[tuple[Place, Place]]:
    """The lines of the intervals that a point has."""
    (x, y), lines = place, []
    if _errors(point.x):
        lines.append(((point.x[1], y), (point.x[2], y)))
    if _errors(point.y) and y == point.y[0]:
        lines.append(((x, point.y[1]), (x, point.y[2])))
    return lines


def _name_points(
    axes: Axes,
    canvas: FigureCanvasAgg,
    places: list[Place],
    names: list[str],
    colours: list[str],
    lines: list[tuple[Place, Place]],
) -> None:
    """Draws each name near its point, where it hides least of the points, the lines and the names
    before it; a thin line connects a distant name."""
    pixels, back = axes.transData.transform(places), axes.transData.inverted()
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in pixels]
    taken += [Bbox(axes.transData.transform(ends)).padded(1) for ends in lines]
    for place, (x, y), name, colour in zip(places, pixels, names, colours):
        text = axes.text(
            *place,
            name,
            fontsize=style.SMALL,
            color=colour,
            va="center_baseline",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        size = text.get_window_extent(canvas.get_renderer())
        radius, box = _freest(axes, canvas, (x, y), size, taken)
        taken.append(box)
        text.set_position(back.transform((box.x0, (box.y0 + box.y1) / 2)))
        text.set_in_layout(False)
        if radius > NEAR:
            end = back.transform((np.clip(x, box.x0, box.x1), np.clip(y, box.y0, box.y1)))
            axes.plot(
                *zip(place, end),
                color=colour,
                lw=0.5,
                alpha=0.6,
                zorder=2,
                scalex=False,
                scaley=False,
            )


def _freest(
    axes: Axes, canvas: FigureCanvasAgg, point: Place, size: Bbox, taken: Sequence[Bbox]
) -> tuple[int, Bbox]:
    """The box around a point, in pixels, where a text of this size hides least, and its distance
    in points: the nearest of equally good ones."""
    (x, y), scale, tried = point, canvas.figure.dpi / 72, []
    for radius in RADII:
        for angle in map(math.radians, ANGLES):
            left = x + radius * scale * math.cos(angle) - size.width * (1 - math.cos(angle)) / 2
            bottom = y + radius * scale * math.sin(angle) - size.height / 2
            box = Bbox.from_bounds(left, bottom, size.width, size.height)
            outside = size.width * size.height - _overlap(box, axes.bbox)
            hidden = sum(_overlap(box, other) for other in taken) + outside
            tried.append((round(hidden), radius, box))
    _, radius, box = min(tried, key=lambda attempt: attempt[:2])
    return radius, box


def _overlap(one: Bbox, other: Bbox) -> float:
    """Area that two boxes share, in pixels."""
    width, height = (
        min(one.x1, other.x1) - max(one.x0, other.x0),
        min(one.y1, other.y1) - max(one.y0, other.y0),
    )
    return max(0.0, width) * max(0.0, height)
