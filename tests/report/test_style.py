"""Texts of others in pictures: shown as they are, whatever they hold, and without a warning (a
warning is an error here)."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from par.core.metrics import PERPLEXITY_PER_WORD
from par.evaluate.compare.tables import Point
from par.report import attention_plot, heat_map, line_plots, pareto_plot, style
from par.tools import plot_pi
from recorded_run import make_run

# a name, and what a picture shows of it
NAMES = [
    ("My Novel $1 and $2", "My Novel $1 and $2"),
    (r"$\frac{", r"$\frac{"),
    ("_hidden_", "_hidden_"),
    ("小说", r"\u5c0f\u8bf4"),
    ("run 🚀", r"run \U0001f680"),
    ("thin \U0001d5a0", r"thin \U0001d5a0"),  # DejaVu Sans has it, but not in bold
    ("two\nlines", r"two\nlines"),
    ("caf\udce9 \u202eé Ж", r"caf\udce9 \u202eé Ж"),
]


def texts_of(figure: Figure) -> list[str]:
    """The texts of a figure, each of which is taken literally."""
    texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_parse_math"))]
    assert not any(text.get_parse_math() for text in texts if text.get_text())
    return [text.get_text() for text in texts]


@pytest.mark.quick(4)
@pytest.mark.parametrize(("name", "shown"), NAMES, ids=ascii)
def test_a_name_is_shown_literally_or_by_the_codes_of_what_the_font_lacks(
    name, shown, tmp_path, monkeypatch
):
    saved: list[Figure] = []
    save = style.save
    monkeypatch.setattr(line_plots, "save", lambda *call: (saved.append(call[0]), save(*call)))
    panels = {"test": {name: [2.0, 1.0], "other": [3.0, 1.0]}}
    line_plots.memory_lengths(tmp_path / "lengths.png", [0, 8], panels, "perplexity per word")
    points = [Point(name, "derived", (1.0, None, None), (2.0, None, None))]
    attention = attention_plot.attention_figure(np.full((1, 2, 2), 0.5), ["a", "b"], name)
    # drawn, as a font is asked for its signs only then
    style.save(attention, tmp_path / "attention.png")
    with style.style():
        maps = heat_map.HeatMap(["s" * 6, "s" * 6], [name, "other"])
    pareto = pareto_plot.scatter_figure(points, "ms", PERPLEXITY_PER_WORD)
    for figure in (saved[0], attention, maps._figure, pareto):
        assert shown in texts_of(figure)


def test_runs_whose_names_the_font_lacks_are_told_apart_and_nothing_is_said_of_fonts(
    tmp_path, capfd
):
    pictures = []
    for name in ("小说", "小話"):
        one = make_run(tmp_path / "logs" / name, "sssss", count=2)
        other = make_run(tmp_path / name / "$a$ 🚀", "sss", count=2)
        assert plot_pi.main(["--compare", str(one), str(other)]) == 0
        pictures.append(one / "plots" / "compare.png")
        with Image.open(one / "plots" / "compare.gif") as gif:
            assert gif.n_frames == 2
    assert capfd.readouterr().err == ""
    one, other = (Image.open(path).convert("RGB") for path in pictures)
    assert one.size == other.size and ImageChops.difference(one, other).getbbox()
