"""The pictures of pi, opened again: frames are rows, seconds are seconds, and the pixels say what
pi says."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from par.report import line_plots, pi_plots
from par.report.heat_map import HeatMap
from par.report.style import COLOURS
from par.search import derive
from par.train import history
from pictures import colour_share
from recorded_run import drifting_pi, make_run, train_row, valid_row, write_history

ONE_BLOCK = [[0.02, 0.08, 0.9]]
DRAWN = (
    lambda path, run: pi_plots.pi_gif(path, [run]),
    lambda path, run: pi_plots.pi_png(path, [run]),
    pi_plots.pi_over_time,
    line_plots.curves,
)


def frames(path: Path) -> list[np.ndarray]:
    """Every frame as grey levels [height, width], composed as a viewer does."""
    with Image.open(path) as image:
        out = []
        for number in range(image.n_frames):
            image.seek(number)
            out.append(np.asarray(image.convert("L"), np.int16))
        return out


@functools.cache
def layout(*blocks: str) -> HeatMap:
    """The places of the maps of such searches."""
    return HeatMap(blocks, ["name"] * len(blocks))


def cells(picture: np.ndarray, *blocks: str, number: int = 0) -> np.ndarray:
    """The inside of every cell of one map of several: [O, L, height, width], found by the layout
    that HeatMap states."""
    drawn, count = layout(*blocks), len(blocks[number])
    scale = picture.shape[1] // drawn.size[0]
    (x0, y0), (x1, y1) = (
        (np.array(drawn.panels[number].axes.get_window_extent().get_points()) * scale)
        .round()
        .astype(int)
    )
    top, width, height, rim = picture.shape[0] - y1, (x1 - x0) // count, (y1 - y0) // 3, 4 * scale
    inside = [
        [
            picture[
                top + o * height + rim : top + (o + 1) * height - rim,
                x0 + b * width + rim : x0 + (b + 1) * width - rim,
            ]
            for b in range(count)
        ]
        for o in range(3)
    ]
    return np.array(inside)


@pytest.mark.parametrize(
    ("blocks", "rows", "seconds", "expected"),
    [
        ("s", 1, 10, 1),
        ("s", 2, 10, 2),
        ("ssssss", 9, 10, 9),
        ("asssd", 7, 3.3, 7),
        ("s" * 32, 4, 10, 4),
        ("s", 70, 0.5, 25),
    ],
)
def test_a_frame_is_a_row_and_the_gif_lasts_its_seconds(blocks, rows, seconds, expected, tmp_path):
    run = history.read_run(make_run(tmp_path / "run", blocks, count=rows))
    assert pi_plots.pi_gif(tmp_path / "pi.gif", [run], seconds) == expected
    with Image.open(tmp_path / "pi.gif") as image:
        times = []
        for number in range(image.n_frames):
            image.seek(number)
            times.append(image.info["duration"])
        assert (image.format, image.info["loop"], image.n_frames) == ("GIF", 0, expected)
    assert sum(times) == 1000 * seconds + 2000 and min(times) >= 20 and times[-1] > 2000
    assert max(times[:-1], default=0) - min(times[:-1], default=0) <= 10
    assert (tmp_path / "pi.gif").stat().st_size < 20_000 * expected + 60_000


def test_rows_of_equal_pi_are_frames_of_their_own(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "s", [ONE_BLOCK] * 12))
    assert pi_plots.pi_gif(tmp_path / "pi.gif", [run]) == 12
    pictures = frames(tmp_path / "pi.gif")
    assert len(pictures) == 12 and all((a != b).any() for a, b in itertools.pairwise(pictures))


@pytest.mark.parametrize("blocks", ["s", "ssssss", "asssd", "s" * 32])
def test_darker_is_more_probable_in_every_frame(blocks, tmp_path):
    pi = drifting_pi(blocks, 3)
    run = history.read_run(make_run(tmp_path / "run", blocks, pi))
    pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    background = [
        np.median(cells(picture, blocks), axis=(2, 3)).T for picture in frames(tmp_path / "pi.gif")
    ]
    p, light = pi.reshape(-1), np.array(background).reshape(-1)
    order = np.argsort(p)
    assert (np.diff(light[order]) <= 3).all(), "a clearly likelier cell is lighter"
    assert light[p > 0.97].max(initial=0) < 70 and light[p < 0.03].min(initial=255) > 220


def test_the_number_stands_in_the_likeliest_cell_alone(tmp_path):
    pi = drifting_pi("ssssss", 4, seed=3)
    pi[0] += np.linspace(-1e-6, 1e-6, 3)  # no tie
    run = history.read_run(make_run(tmp_path / "run", "ssssss", pi))
    pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    for row, picture in zip(pi, frames(tmp_path / "pi.gif"), strict=True):
        inside = cells(picture, "ssssss")
        written = (inside.max(axis=(2, 3)) - inside.min(axis=(2, 3)) > 60).T
        assert (written.sum(axis=1) == 1).all() and (
            written.argmax(axis=1) == row.argmax(axis=1)
        ).all()


def test_a_tie_is_written_where_derive_decides_it(tmp_path):
    run = history.read_run(
        make_run(tmp_path / "run", "sss", [[[0.4, 0.4, 0.2], [1 / 3] * 3, [0.4, 0.2, 0.4]]])
    )
    pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    inside = cells(frames(tmp_path / "pi.gif")[0], "sss")
    assert (inside.max(axis=(2, 3)) - inside.min(axis=(2, 3)) > 60).T.tolist() == [
        [False, True, False],
        [False, False, True],
        [False, False, True],
    ]
    assert derive.argmax(run.pi()[0]) == "dii"


def test_every_frame_is_opaque(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "ss", count=3))
    pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    with Image.open(tmp_path / "pi.gif") as image:
        for number in range(image.n_frames):
            image.seek(number)
            assert image.convert("RGBA").getextrema()[3] == (255, 255)


@pytest.mark.parametrize(
    ("rows", "seconds"), [(1, 10), (3, 10), (101, 10), (500, 10), (7, 0.5), (25, 0.5), (5, 0.1)]
)
def test_frame_times_add_up_whatever_the_number(rows, seconds):
    times = pi_plots.frame_times(rows, seconds)
    assert len(times) == rows and sum(times) == round(100 * seconds) + 200 and min(times) >= 2


def test_too_many_rows_are_thinned_evenly_with_both_ends():
    assert pi_plots.frame_rows(500, 10, 1000) == list(range(500))
    for rows, seconds, pixels, most in (
        (501, 10, 1000, 500),
        (700, 10, 1000, 500),
        (100, 0.1, 1000, 5),
        (500, 10, pi_plots.MAX_PIXELS // 20, 20),
        (9, 10, 10**12, 2),
    ):
        chosen = pi_plots.frame_rows(rows, seconds, pixels)
        gaps = np.diff(chosen)
        assert (
            len(chosen) == most
            and chosen[0] == 0
            and chosen[-1] == rows - 1
            and gaps.min() >= 1
            and gaps.max() - gaps.min() <= 1
        )


@pytest.mark.slow  # a hundred frames, 3 s
def test_the_gif_of_a_hundred_rows_is_small_and_twice_as_wide_as_a_readme_shows_it(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "ssssss", count=100))
    pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    with Image.open(tmp_path / "pi.gif") as image:
        assert (
            image.size == tuple(2 * pixels for pixels in HeatMap(["ssssss"]).size)
            and 600 <= image.width / 2 <= 900
        )
    assert (tmp_path / "pi.gif").stat().st_size < 1_000_000


def test_a_gif_too_large_loses_frames_evenly_but_not_its_ends(tmp_path, monkeypatch):
    run = history.read_run(make_run(tmp_path / "run", "s", count=30))
    pi_plots.pi_gif(tmp_path / "whole.gif", [run])
    assert pi_plots.MAX_BYTES == 2_000_000
    monkeypatch.setattr(pi_plots, "MAX_BYTES", (tmp_path / "whole.gif").stat().st_size // 3)
    count = pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    whole, fewer = frames(tmp_path / "whole.gif"), frames(tmp_path / "pi.gif")
    assert (
        2 < count == len(fewer) < 20 and (tmp_path / "pi.gif").stat().st_size <= pi_plots.MAX_BYTES
    )
    assert (fewer[0] == whole[0]).all() and (fewer[-1] == whole[-1]).all()
    monkeypatch.setattr(pi_plots, "MAX_BYTES", 10)
    assert pi_plots.pi_gif(tmp_path / "pi.gif", [run]) == 2


def test_the_last_state_is_the_gifs_last_frame(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "sss", count=3))
    pi_plots.pi_gif(tmp_path / "pi.gif", [run])
    pi_plots.pi_png(tmp_path / "pi.png", [run])
    assert (frames(tmp_path / "pi.png")[0] == frames(tmp_path / "pi.gif")[-1]).all()


@pytest.mark.parametrize(("blocks", "rows"), [("s", 1), ("ssssss", 50), ("s" * 12, 3)])
def test_pi_over_time_draws_a_line_of_each_kind(blocks, rows, tmp_path):
    pi_plots.pi_over_time(
        tmp_path / "a.png", history.read_run(make_run(tmp_path / "run", blocks, count=rows))
    )
    assert all(colour_share(tmp_path / "a.png", colour) > 2e-4 for colour in COLOURS.values())


@pytest.mark.parametrize(
    "row", [{"nll_per_token": 0.0}, {"nll_per_token": 1e5}, {"learning_rate": 0.0}], ids=str
)
def test_odd_values_are_drawn_without_a_warning(row, tmp_path):
    rows = [train_row(**{"step": 1, "pi": [[1, 0, 0]]} | row), valid_row(1)]
    write_history(make_run(tmp_path / "run", "s") / "history.jsonl", rows)
    run = history.read_run(tmp_path / "run")
    for draw in DRAWN:
        draw(tmp_path / "picture", run)
        with Image.open(tmp_path / "picture") as picture:
            assert len(set(picture.convert("L").tobytes())) > 3  # something is on it


@pytest.mark.parametrize("draw", DRAWN)
def test_a_picture_that_fails_leaves_the_old_one_and_no_litter(draw, tmp_path, monkeypatch):
    run = history.read_run(make_run(tmp_path / "run", "ss"))
    (tmp_path / "plots").mkdir()
    path = tmp_path / "plots" / "picture"
    path.write_text("the old one")

    def fail(*_arguments, **_settings):
        raise OSError("the disk left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="the disk left"):
        draw(path, run)
    assert [path.read_text() for path in (tmp_path / "plots").iterdir()] == ["the old one"]


# ---- several searches beside each other ----


def recorded(directory: Path, steps: list[int], total: int) -> history.Run:
    """A run of one block whose rows are at the given steps."""
    rows = [train_row(step, ONE_BLOCK) for step in steps]
    write_history(make_run(directory, "s", total=total) / "history.jsonl", rows)
    return history.read_run(directory)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], [(0,), (1,), (2,), (3,)]),
        # four times as long: equal shares of the training
        ([([100, 200, 300, 400], 400)], [(0, 0), (1, 1), (2, 2), (3, 3)]),
        # half as many rows: each stays until the next
        ([([20, 40], 40)], [(0, 0), (1, 0), (2, 0), (3, 1)]),
        ([([2, 4], 8)], [(0, 0), (1, 1), (2, 1), (3, 1)]),  # live, half-way: its newest row stays
        # before a run's first row that one is shown
        ([([1], 8), ([3, 8], 8)], [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 1)]),
    ],
)
def test_runs_of_different_lengths_are_shown_at_equal_shares_of_their_training(
    others, expected, tmp_path
):
    runs = [recorded(tmp_path / "first", [10, 20, 30, 40], 40)]
    runs += [
        recorded(tmp_path / f"other{i}", steps, total) for i, (steps, total) in enumerate(others)
    ]
    assert pi_plots.course(runs) == expected
    assert (
        pi_plots.pi_gif(tmp_path / "pi.gif", runs)
        == len(expected)
        == len(frames(tmp_path / "pi.gif"))
    )


@pytest.mark.parametrize(
    ("blocks", "counts"),
    [(("sss", "asd"), (3, 2)), (("ss", "s" * 20, "s"), (1, 1, 1))],
    ids=["side by side", "below each other"],
)
def test_each_map_of_a_comparison_shows_its_own_run(blocks, counts, tmp_path):
    runs = [
        history.read_run(make_run(tmp_path / f"run{i}", own, drifting_pi(own, count, seed=i)))
        for i, (own, count) in enumerate(zip(blocks, counts, strict=True))
    ]
    pi_plots.pi_gif(tmp_path / "pi.gif", runs)
    pictures = frames(tmp_path / "pi.gif")
    for picture, rows in zip(pictures, pi_plots.course(runs), strict=True):
        for number, (run, row) in enumerate(zip(runs, rows)):
            ground = np.median(cells(picture, *blocks, number=number), axis=(2, 3)).T
            order = np.argsort(run.pi()[row].reshape(-1))
            assert (np.diff(ground.reshape(-1)[order]) <= 3).all() and ground.shape == (
                len(blocks[number]),
                3,
            )
    last = [
        np.median(cells(pictures[-1], *blocks, number=number), axis=(2, 3)).T
        for number in range(len(blocks))
    ]
    for ground, run in zip(last, runs):
        assert derive.argmax(-ground) == derive.argmax(run.pi()[-1])
