"""The heat map: its colours, and that what is written in it can be read."""

from __future__ import annotations

import numpy as np
import pytest

from par.report import heat_map


def test_the_number_is_the_probability():
    assert [heat_map._number(p, narrow=False) for p in (0.334, 0.996, 1.0)] == [
        "0.33",
        "1.00",
        "1.00",
    ]
    assert [heat_map._number(p, narrow=True) for p in (0.334, 0.994, 0.996)] == [
        ".33",
        ".99",
        "1.0",
    ]


def test_numbers_can_be_read_on_every_cell():
    colours = heat_map.ramp() / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722] + 0.05  # WCAG 2: contrast is the ratio of these
    for p in np.linspace(1 / 3, 1, 200):
        cell = int(heat_map.cell_index(p))
        text = heat_map.PAGE if cell < heat_map.LIGHT_TEXT_BELOW else heat_map.INK
        contrast = max(luminance[[cell, text]]) / min(luminance[[cell, text]])
        assert contrast > 4.3, f"p {p:.2f}: {contrast:.2f}"


def test_the_ramp_has_one_hue_and_even_lightness():
    colours = heat_map.ramp().astype(float) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])  # CIE lightness without its offset
    steps = np.diff(lightness[heat_map.DARKEST : heat_map.LIGHTEST + 1 : 10])
    assert (np.diff(lightness) > 0).all() and steps.max() < 1.5 * steps.min()
    middle = colours[50:230]
    assert (middle[:, 2] > middle[:, 1]).all() and (middle[:, 1] > middle[:, 0]).all(), (
        "blue above green above red"
    )
    assert len(set(map(tuple, heat_map.ramp().tolist()))) == 256


@pytest.mark.parametrize("count", [1, 6, 22, 51])
def test_the_picture_has_the_pixels_that_it_says(count):
    for scale in (1, 2):
        drawn = heat_map.HeatMap(["s" * count], scale=scale)
        assert drawn.draw([heat_map.State(np.full((count, 3), 1 / 3), 1, 1.0)]).size == drawn.size


@pytest.mark.parametrize(("blocks", "right"), [("ssssss", 62), ("s", 12)])
def test_tau_ends_above_the_last_block_and_above_the_legend_where_one_block_leaves_no_room(
    blocks, right
):
    drawn = heat_map.HeatMap([blocks])
    drawn.draw([heat_map.State(np.full((len(blocks), 3), 1 / 3), 1_234_567, 0.123)])
    (panel,) = drawn.panels
    left, end = (text.get_window_extent() for text in (panel.iteration, panel.tau))
    assert end.x1 == pytest.approx(drawn.size[0] - right, abs=2) and left.x1 < end.x0


# linear sRGB as protanopes, deuteranopes and tritanopes see it: Machado, Oliveira and Fernandes
# 2009, severity 1
SEEN = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("reader", SEEN)
def test_darker_is_more_probable_and_numbers_can_be_read_for_colour_blind_readers_too(reader):
    colours = heat_map.ramp() / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = (
        np.clip(linear @ np.transpose(SEEN[reader]), 0, 1) @ [0.2126, 0.7152, 0.0722] + 0.05
    )
    p = np.linspace(0, 1, heat_map.LEVELS + 1)
    index = heat_map.cell_index(p).astype(int)
    assert (np.diff(luminance[index]) < 0).all()
    text = np.where(index < heat_map.LIGHT_TEXT_BELOW, heat_map.PAGE, heat_map.INK)
    contrast = np.maximum(luminance[index], luminance[text]) / np.minimum(
        luminance[index], luminance[text]
    )
    assert contrast[p > 1 / 3].min() > 4


def test_maps_stand_side_by_side_at_a_readmes_width_else_below_each_other_block_under_block():
    two = heat_map.HeatMap(["ssssss", "ssssss"], ["one", "two"])
    left, right = (panel.axes.get_window_extent() for panel in two.panels)
    assert (
        two.size[0] <= 900
        and (left.y0, left.y1) == (right.y0, right.y1)
        and left.x1 < right.x0
        and left.width == pytest.approx(right.width)
    )
    deep = heat_map.HeatMap(["ssssss", "s" * 32], ["one", "two"])
    upper, lower = (panel.axes.get_window_extent() for panel in deep.panels)
    assert (
        upper.y0 > lower.y1
        and upper.x0 == pytest.approx(lower.x0)
        and upper.width / 6 == pytest.approx(lower.width / 32)
    )


@pytest.mark.parametrize(
    "blocks",
    [
        ["s", "s"],
        ["ssssss"] * 3,
        ["ssssss"] * 4,
        ["s", "s" * 40, "sss"],
        ["s" * 15, "sssss"],
        ["s" * 18, "s", "s"],
    ],
)
def test_no_text_of_a_comparison_leaves_the_picture_or_hides_another(blocks):
    drawn = heat_map.HeatMap(
        blocks, ["a-run-with-a-name-of-some-length-seed0-9aaebb8c"] * len(blocks)
    )
    drawn.draw([heat_map.State(np.full((len(own), 3), 1 / 3), 1_234_567, 0.123) for own in blocks])
    figure = drawn.canvas.figure
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [text.get_window_extent() for panel in drawn.panels for text in panel.numbers]
    # wider only where the blocks of one map need it at their narrowest
    assert drawn.size[0] <= max(900, 82 + 62 + 30 * max(map(len, blocks)))
    assert len(figure.texts) == 3 * len(blocks) and all(
        figure.bbox.padded(0.5).containsx(x) for box in boxes for x in (box.x0, box.x1)
    )
    assert all(figure.bbox.containsy(y) for box in boxes for y in (box.y0, box.y1))
    assert not [
        (a, b)
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        if a.padded(-1).overlaps(b.padded(-1))
    ]


def test_a_long_name_keeps_both_its_ends():
    assert (
        heat_map._shortened("python-docs-6s-quick-seed0-9aaebb8c", 21) == "python-do...-9aaebb8c"
        and heat_map._shortened("short", 5) == "short"
    )
