"""The plots of lines and points, opened again: what they show is at its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from par.bench import cost_fit
from par.report import line_plots
from par.report.style import COLOURS, SERIES, from_zero
from par.search.latency_table import Costs
from par.train import history
from pictures import colour_share
from recorded_run import make_run


def test_curves_draw_both_evaluations_and_tau_only_for_a_search(tmp_path):
    line_plots.curves(
        tmp_path / "search.png", history.read_run(make_run(tmp_path / "search", "ss"))
    )
    line_plots.curves(tmp_path / "fixed.png", history.read_run(make_run(tmp_path / "fixed", "ad")))
    assert (
        min(colour_share(tmp_path / "search.png", colour) for colour in ("#0072b2", "#d55e00"))
        > 1e-4
    )
    assert (
        colour_share(tmp_path / "fixed.png", "#0072b2") > 1e-4
        and colour_share(tmp_path / "fixed.png", "#d55e00") == 0
    )
    with (
        Image.open(tmp_path / "search.png") as search,
        Image.open(tmp_path / "fixed.png") as fixed,
    ):
        assert search.height > fixed.height


@pytest.mark.parametrize(
    ("values", "top"),
    [([0.98, 0.97, 0.96], 1.029), ([4.0, 1.0], 4.2), ([3.0], 3.15), ([0.0, 0.0], 1.0)],
)
def test_an_axis_from_zero_has_room_above_values_that_hardly_differ_too(values, top):
    axes = Figure().subplots()
    axes.plot(range(len(values)), values, marker=".")
    from_zero(axes)
    assert axes.get_ylim() == pytest.approx((0, top))


def test_how_undecided_a_search_was_falls_to_the_axis_where_it_decided_and_latencies_need_costs(
    tmp_path,
):
    pi = [[[1 / 3] * 3] * 2, [[0.5, 0.4, 0.1]] * 2, [[1.0, 0.0, 0.0]] * 2]
    run = history.read_run(make_run(tmp_path / "run", "ss", pi))
    line_plots.decision(tmp_path / "alone.png", run, None)
    line_plots.decision(tmp_path / "both.png", run, Costs(2.0, 1.0, 0.0, 4.0))
    assert (
        min(colour_share(tmp_path / "both.png", colour) for colour in ("#0072b2", "#d55e00"))
        > 1e-3
    )
    assert (
        max(colour_share(tmp_path / "alone.png", colour) for colour in ("#0072b2", "#d55e00")) == 0
    )
    picture = np.asarray(Image.open(tmp_path / "alone.png").convert("L"))[:, 120:-20] < 60
    heights = [
        np.flatnonzero(picture[:, column]).min()
        for column in (picture.shape[1] // 2, picture.shape[1] - 60)
    ]
    assert heights[0] < heights[1]  # the line falls


def columns_of(path: Path, colour: str) -> list[int]:
    """Where the vertical lines of a colour are: columns of which it fills a quarter, neighbours as
    one."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    near = np.abs(picture - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=2) < 60
    columns = np.flatnonzero(near.mean(axis=0) > 0.25)
    return [
        int(group.mean())
        for group in np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1)
        if len(group)
    ]


def test_the_cutoffs_are_lines_at_their_places_on_the_logarithmic_axis(tmp_path):
    counts = np.concatenate([[0, 0, 0], 1e6 / np.arange(1, 9998)])
    line_plots.cutoffs(tmp_path / "a.png", counts, (9, 99, 999))
    lines = columns_of(tmp_path / "a.png", COLOURS["a"])
    assert len(lines) == 3 and lines[1] - lines[0] == pytest.approx(lines[2] - lines[1], rel=0.05)
    line_plots.cutoffs(tmp_path / "b.png", counts, (99,))
    assert columns_of(tmp_path / "b.png", COLOURS["a"]) == pytest.approx([lines[1]], abs=8)
    line_plots.cutoffs(tmp_path / "c.png", counts, ())
    assert (
        columns_of(tmp_path / "c.png", COLOURS["a"]) == []
        and colour_share(tmp_path / "c.png", COLOURS["d"]) > 0.001
    )


@pytest.mark.parametrize(
    "counts",
    [[1, 0], [0.0, 1e-300], [5e300] * 4, np.arange(300_000)],
    ids=lambda counts: str(counts)[:12],
)
def test_odd_counts_are_drawn_without_a_warning(counts, tmp_path):
    line_plots.cutoffs(tmp_path / "x.png", np.array(counts), (1,))
    assert columns_of(tmp_path / "x.png", COLOURS["a"])


def test_a_growth_plot_has_a_panel_for_each_measure_and_a_mark_for_each_shape(tmp_path):
    sweep = cost_fit.star(
        {
            name: [size, 2 * size, 4 * size]
            for size, name in enumerate(cost_fit.LETTERS.values(), 3)
        }
    )
    fits = {
        "milliseconds": cost_fit.fit(
            [cost_fit.time_terms(shape) for shape in sweep], [10.0 + i for i in range(len(sweep))]
        )
    }
    fits["megabytes"] = cost_fit.fit(
        [cost_fit.memory_terms(shape, 2, 50) for shape in sweep],
        [900.0 + i * i for i in range(len(sweep))],
    )
    pixels = {}
    for names in (("milliseconds",), ("milliseconds", "megabytes")):
        measured = {name: [30.0 * 1.2**i for i in range(len(sweep))] for name in names}
        path = tmp_path / f"{len(names)}.png"
        line_plots.growth(
            path, list(sweep.values()), measured, {name: fits[name] for name in names}
        )
        with Image.open(path) as image:
            pixels[len(names)] = np.asarray(image.convert("RGB")).reshape(-1, 3)
            assert image.height == 468 and image.width == 468 * len(names)
    for colour in SERIES[1:]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        marks = [np.sum(np.all(picture == rgb, axis=1)) for picture in pixels.values()]
        assert marks[0] > 20 and marks[1] > marks[0], colour


def test_a_plot_of_memory_lengths_has_a_panel_for_each_split_and_a_line_for_each_network(tmp_path):
    networks = {f"network {i}": [300.0 - i, 250.0 - 9 * i, 200.0 - 20 * i] for i in range(9)}
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    line_plots.memory_lengths(one, (0, 16, 256), {"valid": networks}, "perplexity per word")
    line_plots.memory_lengths(
        two, (0, 16, 256), {"valid": networks, "test": networks}, "perplexity per word"
    )
    for path in (one, two):
        assert all(colour_share(path, colour) > 5e-4 for colour in SERIES)
    with Image.open(one) as narrow, Image.open(two) as wide:
        assert wide.width > 1.8 * narrow.width and wide.height == narrow.height
