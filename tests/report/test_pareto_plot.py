"""The picture of a comparison: every network at its figures, named, and none hidden."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from par.core.metrics import PERPLEXITY_PER_WORD
from par.evaluate.compare.tables import Point
from par.report import pareto_plot
from pictures import colour_share


def network_points(count: int, seed: int = 0, width: float = 0.3) -> list[Point]:
    """A derived network, named ones, and random ones of nearly equal cost: what is hard to name in
    a picture."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        kind = "derived" if number == 0 else "named" if number < 6 else "random"
        x, y = (
            (12 + width * rng.normal() if kind == "random" else 8 + number),
            700 + 15 * rng.normal(),
        )
        made.append(Point(f"{kind} {number}", kind, (x, x - 0.1, x + 0.1), (y, y - 9, y + 9)))
    return made


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(4))
def test_the_names_of_networks_hide_neither_each_other_nor_the_points(seed):
    points = network_points(14, seed)
    figure = pareto_plot.scatter_figure(points, "ms", PERPLEXITY_PER_WORD)
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    marks = axes.transData.transform([(point.x[0], point.y[0]) for point in points])
    assert sorted(text.get_text() for text in axes.texts) == sorted(point.name for point in points)
    assert all(axes.bbox.padded(1).contains(*corner) for box in boxes for corner in box.corners())
    assert not [
        (a, b) for a, b in itertools.combinations(boxes, 2) if pareto_plot._overlap(a, b) > 4
    ]
    assert not [(box, mark) for box in boxes for mark in marks if box.contains(*mark)]
    for box, text in zip(boxes, axes.texts):  # the own point is the nearest or a line leads to it
        own = marks[[point.name for point in points].index(text.get_text())]
        assert np.hypot(*(own - np.clip(own, box.min, box.max))) < 60 * figure.dpi / 72


def test_names_as_long_as_those_of_runs_stay_inside_the_axes_at_every_edge():
    corners = itertools.product((8.0, 14.0), (700.0, 760.0))
    points = [
        Point("a-run-with-a-name-of-some-length", "named", (x, None, None), (y, None, None))
        for x, y in corners
    ]
    axes = pareto_plot.scatter_figure(points, "ms", PERPLEXITY_PER_WORD).axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4 and all(
        axes.bbox.padded(1).contains(*corner) for box in boxes for corner in box.corners()
    )


def test_networks_are_drawn_at_their_figures_with_their_intervals_in_colours_told_apart(tmp_path):
    points = network_points(9)
    axes = pareto_plot.scatter_figure(points, "milliseconds", PERPLEXITY_PER_WORD).axes[0]
    drawn = {
        tuple(np.ravel(line.get_xydata())) for line in axes.lines if len(line.get_xydata()) == 1
    }
    assert {
        (point.x[0], point.y[0]) for point in points
    } <= drawn and axes.get_xlabel() == "milliseconds"
    ends = {
        tuple(np.round(segment.ravel(), 6))
        for bars in axes.collections
        for segment in bars.get_segments()
    }
    for (x, left, right), (y, low, high) in ((point.x, point.y) for point in points):
        assert (
            tuple(np.round((left, y, right, y), 6)) in ends
            and tuple(np.round((x, low, x, high), 6)) in ends
        )
    pareto_plot.scatter(tmp_path / "a.png", points, "ms", PERPLEXITY_PER_WORD)
    assert all(
        colour_share(tmp_path / "a.png", colour) > 1e-4
        for colour, _, _ in pareto_plot.NETWORKS.values()
    )


def test_a_network_far_worse_is_an_arrow_at_the_edge_with_its_figure_and_squeezes_nothing():
    points = [
        *network_points(6),
        Point("all dense", "named", (3.0, 2.9, 3.1), (1187.0, 1180.0, 1194.0)),
    ]
    axes = pareto_plot.scatter_figure(points, "ms", PERPLEXITY_PER_WORD).axes[0]
    assert (
        "all dense (1,187)" in [text.get_text() for text in axes.texts]
        and axes.get_ylim()[1] < 800
    )
    arrows = [line for line in axes.lines if line.get_marker() == "^"]
    assert [tuple(line.get_xdata()) for line in arrows] == [(3.0,)]


def test_the_front_has_the_networks_that_none_beats_in_both():
    places = {
        "a": (1, 900),
        "b": (2, 800),
        "c": (3, 850),
        "d": (4, 700),
        "e": (4, 710),
        "f": (0.5, 5000),
        "g": (0.6, 6000),
    }
    points = [
        Point(name, "named", (x, None, None), (y, None, None)) for name, (x, y) in places.items()
    ]
    (drawn,) = [
        line
        for line in pareto_plot.scatter_figure(points, "ms", PERPLEXITY_PER_WORD).axes[0].lines
        if line.get_label().startswith("front")
    ]
    assert list(drawn.get_xdata()) == [0.5, 1, 2, 4] and list(drawn.get_ydata())[1:] == [
        900,
        800,
        700,
    ]


def test_one_network_of_one_seed_and_endless_intervals_are_drawn_without_a_warning(tmp_path):
    pareto_plot.scatter(
        tmp_path / "one.png",
        [Point("derived", "derived", (5, None, None), (700.0, None, None))],
        "parameters",
        PERPLEXITY_PER_WORD,
    )
    pareto_plot.scatter(
        tmp_path / "wide.png",
        [
            Point("x", "derived", (5, 4, 6), (700.0, 0.0, None)),
            Point("y", "random", (5, 5, 5), (1.0, 1e-9, 1e300)),
        ],
        "",
        PERPLEXITY_PER_WORD,
    )
    assert (tmp_path / "one.png").stat().st_size > 1000 and (
        tmp_path / "wide.png"
    ).stat().st_size > 1000
