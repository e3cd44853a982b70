"""A panel for each depth, a point for each network, at its ranks."""

from __future__ import annotations

import pytest

from par.report.transfer_plot import panels, panels_figure

SIX = [720.0, 700.0, 1100.0]
OTHERS = {"a": [650.0, 640.0, 1000.0], "b": [1.0, 2.0, 3.0], "c": SIX, "d": SIX}


@pytest.mark.parametrize("count", [1, 3, 4])
def test_each_target_is_a_panel_with_a_point_for_each_network(count):
    others = dict(list(OTHERS.items())[:count])
    figure = panels_figure(("6 blocks", SIX), others, [3, 2, 0])
    shown = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == list(others)
    for axes, values in zip(shown, others.values(), strict=True):
        [points] = axes.collections
        x, y = points.get_offsets().T
        assert list(x) == [2, 1, 3] and list(y) == [sorted(values).index(v) + 1 for v in values]
        assert list(points.get_array()) == [3, 2, 0]
    assert len(figure.axes) == count + 1  # the colours' bar


def test_a_picture_is_written(tmp_path):
    panels(tmp_path / "panels.png", ("6 blocks", SIX), OTHERS, [3, 2, 0])
    assert (tmp_path / "panels.png").read_bytes()[:4] == b"\x89PNG"
