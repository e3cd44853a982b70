"""The stack of blocks: every block in its order with its kind, memories where attention is, all of
it to be read; and the command that draws it."""

from __future__ import annotations

import functools
import itertools
import xml.etree.ElementTree as xml
from pathlib import Path

import matplotlib.text
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from par.report import network_plot, style
from par.search.architecture import NAMES, Architecture, parse
from par.tools import plot_network as tool
from recorded_run import make_run

STRINGS = ["a", "s", "aaddad", "asdi", "17d", "32s", "2(asdiddii)"]


@functools.cache
def drawn(blocks: str) -> Figure:
    """A picture, laid out; the tests only look at it."""
    figure = network_plot.network_figure(parse(blocks))
    FigureCanvasAgg(figure).draw()
    return figure


def parts(figure: Figure, name: str) -> dict[int, matplotlib.artist.Artist]:
    """The artists `name-1`, `name-2`, ... by number."""
    found = figure.findobj(lambda artist: (artist.get_gid() or "").startswith(f"{name}-"))
    return {int(artist.get_gid().split("-")[1]): artist for artist in found}


def letters_in(figure: Figure, box: Bbox) -> str:
    """The letters of the tiles inside a box, from left to right."""
    tiles = [
        text
        for text in figure.findobj(matplotlib.text.Text)
        if len(text.get_text()) == 1 and text.get_weight() == "bold"
    ]
    inside = [
        text for text in tiles if box.contains(*text.get_window_extent().get_points().mean(axis=0))
    ]
    return "".join(
        text.get_text() for text in sorted(inside, key=lambda text: text.get_window_extent().x0)
    )


def overlap(one: Bbox, other: Bbox) -> bool:
    """Whether two boxes share more than a hair."""
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    )


@pytest.mark.parametrize("blocks", STRINGS)
def test_every_block_has_its_kind_in_words_and_letters_and_the_order_is_upward_column_by_column(
    blocks,
):
    figure, expected = drawn(blocks), parse(blocks).blocks
    boxes = {number: box.get_window_extent() for number, box in parts(figure, "block").items()}
    kinds = parts(figure, "kind")
    assert sorted(boxes) == sorted(kinds) == list(range(1, len(expected) + 1))
    upward = sorted(boxes, key=lambda number: (round(boxes[number].x0), boxes[number].y0))
    assert [kinds[number].get_text() for number in upward] == [NAMES[kind] for kind in expected]
    for number, kind in list(enumerate(expected, 1))[:40]:
        assert letters_in(figure, boxes[number]) == ("adi" if kind == "s" else kind)
        name = kinds[number].get_window_extent()
        assert (
            boxes[number].x0 < name.x0
            and name.x1 < boxes[number].x1
            and boxes[number].containsy((name.y0 + name.y1) / 2)
        )


@pytest.mark.parametrize("blocks", STRINGS)
def test_memory_comes_into_the_blocks_that_can_attend_and_into_no_other(blocks):
    figure = drawn(blocks)
    memories, boxes = parts(figure, "memory"), parts(figure, "block")
    assert set(memories) == {
        number for number, kind in enumerate(parse(blocks).blocks, 1) if kind in "as"
    }
    for number, arrow in memories.items():
        box = boxes[number].get_bbox()
        assert (
            arrow.xy == (pytest.approx(box.x1), pytest.approx((box.y0 + box.y1) / 2))
            and arrow.xyann[0] > box.x1
        )


@pytest.mark.parametrize("blocks", STRINGS)
def test_an_arrow_leads_from_each_box_to_the_next_from_the_embedding_to_the_softmax(blocks):
    figure = drawn(blocks)
    axes, count = figure.axes[0], len(parse(blocks))
    ends = {
        artist.get_gid(): artist
        for artist in figure.findobj(lambda artist: artist.get_gid() in ("embedding", "softmax"))
    }
    boxes = [
        ends["embedding"],
        *(parts(figure, "block")[number] for number in range(1, count + 1)),
        ends["softmax"],
    ]
    places = [box.get_window_extent().transformed(axes.transData.inverted()) for box in boxes]
    arrows = {
        (round(a.xyann[0], 3), round(a.xyann[1], 3), round(a.xy[0], 3), round(a.xy[1], 3))
        for a in axes.texts
        if hasattr(a, "xyann")
    }
    lanes = {
        tuple(np.round((*line.get_xydata()[0], *line.get_xydata()[-1]), 3)) for line in axes.lines
    }
    for here, there in itertools.pairwise(places):
        start, end = ((here.x0 + here.x1) / 2, here.y1), ((there.x0 + there.x1) / 2, there.y0)
        into = [arrow for arrow in arrows if np.allclose(arrow[2:], end, atol=0.02)]
        assert (
            len(into) == 1
            and into[0][0] == pytest.approx(into[0][2], abs=0.02)
            and into[0][1] < into[0][3]
        ), "upward"
        straight = np.allclose(into[0][:2], start, atol=0.02)
        assert straight or any(
            np.allclose(lane, (*start, *into[0][:2]), atol=0.02) for lane in lanes
        )
    assert places[0].y1 < places[1].y0 and places[-1].y0 > places[-2].y1
    assert len(arrows) == count + 3 + len(parts(figure, "memory")), (
        "one between two boxes each, tokens in, the next token out, memories"
    )


@pytest.mark.parametrize(
    "blocks",
    [
        *STRINGS,
        *(pytest.param(blocks, marks=pytest.mark.slow) for blocks in ("70(asd)", "341(ads)")),
    ],
)
def test_nothing_overlaps_or_leaves_the_picture_and_letters_are_as_large_in_a_deep_network(blocks):
    figure = drawn(blocks)
    boxes = [box.get_window_extent() for box in parts(figure, "block").values()]
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    extents = [text.get_window_extent() for text in texts]
    assert all(
        figure.bbox.x0 <= box.x0
        and box.x1 <= figure.bbox.x1
        and figure.bbox.y0 <= box.y0
        and box.y1 <= figure.bbox.y1
        for box in extents
    )
    shown = list(zip(extents, texts))[:400]
    assert not [(a[1], b[1]) for a, b in itertools.combinations(shown, 2) if overlap(a[0], b[0])]
    assert not [pair for pair in itertools.combinations(boxes[:200], 2) if overlap(*pair)]
    assert {(round(box.width), round(box.height)) for box in boxes} == {(248, 48)}
    assert (
        min(
            text.get_fontsize()
            for text in texts
            if text.get_text() not in (parse(blocks).short, "")
        )
        >= 7
    )
    assert max(figure.bbox.width, figure.bbox.height) < 12_000


@pytest.mark.parametrize(
    ("count", "rows"),
    [(1, 1), (6, 6), (16, 16), (17, 9), (32, 16), (33, 11), (64, 16), (1024, 52)],
)
def test_a_long_stack_is_wrapped_into_even_columns(count, rows):
    assert network_plot.height_of(count) == rows
    if count < 100:
        lefts = {
            round(box.get_x(), 3)
            for box in parts(
                network_plot.network_figure(Architecture("d" * count)), "block"
            ).values()
        }
        assert len(lefts) == -(-count // rows)


def test_kinds_are_told_apart_without_colour():
    boxes = parts(drawn("adis"), "block")
    assert len({box.get_linestyle() for box in boxes.values()}) == 4
    figure = drawn("adi")
    tiles = [patch for patch in figure.axes[0].patches if patch.get_gid() is None]
    assert {tuple(np.round(tile.get_facecolor(), 3)) for tile in tiles} == {
        tuple(np.round(matplotlib.colors.to_rgba(c), 3)) for c in style.COLOURS.values()
    }


def test_the_title_counts_the_kinds():
    assert network_plot.summary("aaddad") == "6 blocks: 3 attention, 3 dense"
    assert network_plot.summary("i") == "1 block: 1 identity"
    texts = [text.get_text() for text in drawn("asddddddi").axes[0].texts]
    assert (
        "9 blocks: 1 attention, 6 dense, 1 identity, 1 stochastic" in texts
        and "asddddddi" in texts
    )


def test_an_svg_holds_its_words_and_is_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        network_plot.network(tmp_path / f"{name}.svg", Architecture("adi"))
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    words = [
        text.text
        for text in xml.parse(tmp_path / "one.svg").iter("{http://www.w3.org/2000/svg}text")
    ]
    assert [word for word in words if word in NAMES.values()] == [
        "Attention",
        "Dense",
        "Identity",
    ] and {"embedding", "softmax"} < set(words)


def test_the_command_draws_a_string_a_file_and_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Architecture("aad").save(tmp_path / "architecture.json")
    make_run(tmp_path / "run", "sad")
    pictured = {}
    for flags, path in (
        (["--architecture=2ad", "--output=string.png"], "string.png"),
        (["--architecture=architecture.json", "--output=file.png"], "file.png"),
        (["--run=run"], "run/plots/network.png"),
        (["--run=run", "--output=run.svg"], "run.svg"),
    ):
        assert tool.main(flags) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"{path}: ") and out.endswith(" kB\n") and err == ""
        pictured[path] = Path(path).read_bytes()
    assert pictured["string.png"] == pictured["file.png"] != pictured["run/plots/network.png"]
    with Image.open("string.png") as image:
        assert image.format == "PNG" and image.width == 544
    assert b"Stochastic" in pictured["run.svg"]


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ([], 1, "give either --architecture=BLOCKS or --run=DIR; see --help"),
        (
            ["--architecture=ad", "--run=run"],
            1,
            "give either --architecture=BLOCKS or --run=DIR; see --help",
        ),
        (["--architecture=ad"], 1, "--architecture needs --output=FILE, a .png or .svg"),
        (["--architecture=axd", "--output=x.png"], 1, "architecture must be letters of adis"),
        (
            ["--architecture=missing.json", "--output=x.png"],
            3,
            "architecture missing.json does not exist",
        ),
        (
            ["--architecture=ad", "--output=x.pdf"],
            1,
            "--output must end with .png or .svg, but is 'x.pdf'",
        ),
        (["--run=missing"], 3, "--run=missing has no config.json"),
        (["--run=group"], 1, "--run=group holds 1 seed: give one of them, such as group/seed0"),
        (["--architecture=ad", "--output=file/x.png"], 1, "file/x.png: Not a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_drawn_is_one_line_and_nothing_is_written(
    flags, code, said, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "group" / "seed0", "ss", count=1)
    (tmp_path / "file").touch()
    assert tool.main(flags) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and said in err and err.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".png", ".svg", ".pdf")]
