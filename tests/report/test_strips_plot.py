"""Strips stand best first, with a tile for each block; scores stand over number and place."""

from __future__ import annotations

import pytest
from matplotlib.patches import Rectangle

from par.report.strips_plot import Strip, mean_place, strips, strips_figure

NETWORKS = [
    Strip("named $x$", "adad", 110.0, "named"),
    Strip("derived", "addd", 100.0, "derived"),
    Strip("random 1", "dd", 121.0, "random"),
    Strip("worst", "dddd", 500.0, "named"),
]


def test_the_mean_place_runs_from_0_at_the_input_to_1_at_the_output():
    assert mean_place("addd") == 0 and mean_place("aadd") == pytest.approx(1 / 6)
    assert mean_place("ddda") == 1 and mean_place("aaaa") == pytest.approx(0.5)
    assert mean_place("adda") == 0.5 and mean_place("adad") == pytest.approx(1 / 3)
    assert mean_place("dddd") is None and mean_place("a") is None and mean_place("") is None


def test_each_block_is_a_tile_in_the_row_of_its_network_the_best_on_top():
    axes = strips_figure(NETWORKS).axes[0]
    rows = {}
    for tile in axes.patches:
        if isinstance(tile, Rectangle):
            rows.setdefault(round(tile.get_y() + 0.42), []).append((tile.get_x(), tile.get_gid()))
    blocks = ["".join(kind for _, kind in sorted(rows[row])) for row in sorted(rows)]
    assert blocks == ["addd", "adad", "dd", "dddd"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "derived",
        "named $x$",
        "random 1",
        "worst",
    ]
    low, high = axes.get_ylim()
    assert low > high  # row 0 is on top
    shown = {text.get_text() for text in axes.texts}
    assert {"100.0", "110.0", "121.0", "500.0"} <= shown


def test_scores_stand_over_number_and_place_and_far_ones_are_arrows_with_their_figure():
    _, by_number, by_place = strips_figure(NETWORKS).axes
    points = {
        (x, y)
        for line in by_number.lines
        if line.get_marker() != "^"
        for x, y in zip(line.get_xdata(), line.get_ydata())
    }
    assert points == {(2, 110.0), (1, 100.0), (0, 121.0)}
    [arrow] = [line for line in by_number.lines if line.get_marker() == "^"]
    assert arrow.get_xdata()[0] == 0 and 121 < arrow.get_ydata()[0] < 130
    assert [text.get_text() for text in by_number.texts] == ["500"]
    placed = {x for line in by_place.lines for x in line.get_xdata()}
    assert sorted(placed) == pytest.approx([0, 1 / 3])  # without attention there is no place


def test_a_picture_is_written_and_has_all_networks_of_a_comparison(tmp_path):
    many = [Strip(f"random {i}", "ad" * 8, 100.0 + i, "random") for i in range(14)]
    strips(tmp_path / "strips.png", many)
    assert (tmp_path / "strips.png").read_bytes()[:4] == b"\x89PNG"
    assert len(strips_figure(many).axes[0].patches) == 14 * 16
