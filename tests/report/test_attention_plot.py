"""The picture of attention: every probability in its place, tokens beside it as they are, the
memory apart from the window."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from par.core.errors import UsageError
from par.report import attention_plot, heat_map

H, T, M = 3, 4, 5
KEYS = [f"▁k{i}" for i in range(M + T)]


def probabilities(heads: int = H, seq_len: int = T, mem_len: int = M) -> np.ndarray:
    odds = np.random.default_rng(1).random([heads, seq_len, mem_len + seq_len])
    odds = np.tril(odds, mem_len)
    return odds / odds.sum(axis=-1, keepdims=True)


def drawn(*arguments, **settings):
    figure = attention_plot.attention_figure(*arguments, **settings)
    FigureCanvasAgg(figure).draw()
    return figure, {axes.get_label(): axes for axes in figure.axes}


def shows(axes, probability: np.ndarray) -> None:
    """Fails unless the map's cells are these probabilities [T, S], blank where they are 0."""
    (cells,) = axes.collections
    found = np.ma.asarray(cells.get_array()).reshape(T, M + T)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), probability == 0)
    np.testing.assert_array_equal(
        found.compressed(), heat_map.cell_index(np.sqrt(probability[probability > 0]))
    )


def test_every_head_has_a_map_whose_cells_are_its_probabilities_and_what_is_not_visible_is_blank():
    p = probabilities()
    _, axes = drawn(p, KEYS)
    assert list(axes) == ["head-1", "head-2", "head-3", "legend"]
    for head in range(H):
        shows(axes[f"head-{head + 1}"], p[head])


def test_tokens_stand_beside_their_rows_and_columns_and_the_memory_is_divided_from_the_window():
    _, axes = drawn(probabilities(1), KEYS)
    one = axes["head-1"]
    assert [label.get_text() for label in one.get_xticklabels()] == KEYS and [
        label.get_text() for label in one.get_yticklabels()
    ] == KEYS[M:]
    (line,) = one.lines
    assert set(line.get_xdata()) == {M} and one.yaxis_inverted()
    _, axes = drawn(probabilities(1, mem_len=0), KEYS[M:])
    assert not axes["head-1"].lines


def test_one_head_alone_can_be_drawn_and_another_is_refused():
    p = probabilities()
    _, axes = drawn(p, KEYS, head=2)
    assert list(axes) == ["head-2", "legend"]
    shows(axes["head-2"], p[1])
    for wrong in (0, 4, 1.0, "1", True):
        with pytest.raises(UsageError, match="head must be from 1 to 3, or None for all, but is"):
            attention_plot.attention_figure(p, KEYS, head=wrong)


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("heads", "seq_len", "mem_len"), [(1, 1, 0), (4, 12, 20), (4, 32, 32), (2, 1, 60)]
)
def test_nothing_is_cut_off_and_no_map_covers_another(heads, seq_len, mem_len):
    keys = ["▁extraordinarily"] * (mem_len + seq_len)
    figure, axes = drawn(probabilities(heads, seq_len, mem_len), keys, title="addaad, block 1")
    boxes = [own.get_tightbbox() for own in axes.values()]
    for box in boxes:
        assert (
            box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        ), (box, figure.bbox)
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert (
                min(one.x1, other.x1) <= max(one.x0, other.x0) + 1
                or min(one.y1, other.y1) <= max(one.y0, other.y0) + 1
            )


def test_tokens_that_look_like_mathematics_or_have_no_sign_are_shown_as_text():
    keys = ["$x^2$", "\\frac", "$", "日本", "🦜", "\x1b", "\n", "▁" + "a" * 30, "$\\bad$"]
    _, axes = drawn(probabilities(1), keys, title="$\\bad$")
    shown = [label.get_text() for label in axes["head-1"].get_xticklabels()]
    assert shown == ["$x^2$", "\\frac", "$", "□□", "□", "□", "□", "▁" + "a" * 10 + "…", "$\\bad$"]


def test_more_positions_than_can_be_read_are_refused():
    with pytest.raises(UsageError, match="at most 512 positions can be drawn, but there are 600"):
        attention_plot.attention_figure(np.ones([1, 2, 600]), ["a"] * 600)


def test_the_picture_is_written_as_a_png(tmp_path):
    attention_plot.attention(tmp_path / "plots" / "a.png", probabilities(), KEYS, "title")
    with Image.open(tmp_path / "plots" / "a.png") as image:
        assert image.format == "PNG" and image.width > 300
