"""The pictures, opened again: frames are rows, seconds are seconds, and the pixels say what pi says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from par import derive, growth, history, plots
from par.tools import plot_pi as tool
from pictures import colour_share
from recorded_run import drifting_pi, make_run, train_row, valid_row, write_history

ONE_BLOCK = [[0.02, 0.08, 0.9]]


def frames(path: Path) -> list[np.ndarray]:
    """Every frame as grey levels [height, width], composed as a viewer does."""
    with Image.open(path) as image:
        out = []
        for number in range(image.n_frames):
            image.seek(number)
            out.append(np.asarray(image.convert("L"), np.int16))
        return out


def cells(picture: np.ndarray, blocks: str) -> np.ndarray:
    """The inside of every cell: [O, L, height, width], found by the layout that HeatMap states."""
    heat_map = plots.HeatMap(blocks)
    scale = picture.shape[1] // heat_map.size[0]
    (x0, y0), (x1, y1) = (np.array(heat_map.axes.get_window_extent().get_points()) * scale).round().astype(int)
    top, width, height = picture.shape[0] - y1, (x1 - x0) // len(blocks), (y1 - y0) // 3
    inside = [
        [picture[top + o * height + 4 : top + (o + 1) * height - 4, x0 + b * width + 4 : x0 + (b + 1) * width - 4] for b in range(len(blocks))]
        for o in range(3)
    ]
    return np.array(inside)


@pytest.mark.parametrize(
    ("blocks", "rows", "seconds", "expected"),
    [("s", 1, 10, 1), ("s", 2, 10, 2), ("ssssss", 30, 10, 30), ("asssd", 7, 3.3, 7), ("s" * 32, 20, 10, 20), ("s", 70, 0.5, 25)],
)
def test_a_frame_is_a_row_and_the_gif_lasts_its_seconds(blocks, rows, seconds, expected, tmp_path):
    run = history.read_run(make_run(tmp_path / "run", blocks, count=rows))
    assert plots.pi_gif(tmp_path / "pi.gif", run, seconds) == expected
    with Image.open(tmp_path / "pi.gif") as image:
        times = []
        for number in range(image.n_frames):
            image.seek(number)
            times.append(image.info["duration"])
        assert (image.format, image.info["loop"], image.n_frames) == ("GIF", 0, expected)
    assert sum(times) == 1000 * seconds + 2000 and min(times) >= 20 and times[-1] > 2000
    assert max(times[:-1], default=0) - min(times[:-1], default=0) <= 10
    assert (tmp_path / "pi.gif").stat().st_size < 12_000 * expected + 40_000


def test_rows_of_equal_pi_are_frames_of_their_own(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "s", [ONE_BLOCK] * 12))
    assert plots.pi_gif(tmp_path / "pi.gif", run) == 12
    pictures = frames(tmp_path / "pi.gif")
    assert len(pictures) == 12 and all((a != b).any() for a, b in itertools.pairwise(pictures))


@pytest.mark.parametrize("blocks", ["s", "ssssss", "asssd", "s" * 32])
def test_darker_is_more_probable_in_every_frame(blocks, tmp_path):
    pi = drifting_pi(blocks, 5)
    run = history.read_run(make_run(tmp_path / "run", blocks, pi))
    plots.pi_gif(tmp_path / "pi.gif", run)
    background = [np.median(cells(picture, blocks), axis=(2, 3)).T for picture in frames(tmp_path / "pi.gif")]
    p, light = pi.reshape(-1), np.array(background).reshape(-1)
    order = np.argsort(p)
    assert (np.diff(light[order]) <= 3).all(), "a clearly likelier cell is lighter"
    assert light[p > 0.97].max(initial=0) < 70 and light[p < 0.03].min(initial=255) > 220


def test_the_number_stands_in_the_likeliest_cell_alone(tmp_path):
    pi = drifting_pi("ssssss", 4, seed=3)
    pi[0] += np.linspace(-1e-6, 1e-6, 3)  # no tie
    run = history.read_run(make_run(tmp_path / "run", "ssssss", pi))
    plots.pi_gif(tmp_path / "pi.gif", run)
    for row, picture in zip(pi, frames(tmp_path / "pi.gif"), strict=True):
        inside = cells(picture, "ssssss")
        written = (inside.max(axis=(2, 3)) - inside.min(axis=(2, 3)) > 60).T
        assert (written.sum(axis=1) == 1).all() and (written.argmax(axis=1) == row.argmax(axis=1)).all()


def test_a_tie_is_written_where_derive_decides_it(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "sss", [[[0.4, 0.4, 0.2], [1 / 3] * 3, [0.4, 0.2, 0.4]]]))
    plots.pi_gif(tmp_path / "pi.gif", run)
    inside = cells(frames(tmp_path / "pi.gif")[0], "sss")
    assert (inside.max(axis=(2, 3)) - inside.min(axis=(2, 3)) > 60).T.tolist() == [[False, True, False], [False, False, True], [False, False, True]]
    assert derive.argmax(run.pi()[0]) == "dii"


def test_every_frame_is_opaque(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "ss", count=3))
    plots.pi_gif(tmp_path / "pi.gif", run)
    with Image.open(tmp_path / "pi.gif") as image:
        for number in range(image.n_frames):
            image.seek(number)
            assert image.convert("RGBA").getextrema()[3] == (255, 255)


def test_the_number_is_the_probability():
    assert [plots._number(p, narrow=False) for p in (0.334, 0.996, 1.0)] == ["0.33", "1.00", "1.00"]
    assert [plots._number(p, narrow=True) for p in (0.334, 0.994, 0.996)] == [".33", ".99", "1.0"]


def test_numbers_can_be_read_on_every_cell():
    colours = plots.ramp() / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722] + 0.05  # WCAG 2: contrast is the ratio of these
    for p in np.linspace(1 / 3, 1, 200):
        cell = int(plots._index(p))
        text = plots.PAGE if cell < plots.LIGHT_TEXT_BELOW else plots.INK
        contrast = max(luminance[[cell, text]]) / min(luminance[[cell, text]])
        assert contrast > 4.3, f"p {p:.2f}: {contrast:.2f}"


def test_the_ramp_has_one_hue_and_even_lightness():
    colours = plots.ramp().astype(float) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])  # CIE lightness without its offset
    steps = np.diff(lightness[plots.DARKEST : plots.LIGHTEST + 1 : 10])
    assert (np.diff(lightness) > 0).all() and steps.max() < 1.5 * steps.min()
    middle = colours[50:230]
    assert (middle[:, 2] > middle[:, 1]).all() and (middle[:, 1] > middle[:, 0]).all(), "blue above green above red"
    assert len(set(map(tuple, plots.ramp().tolist()))) == 256


@pytest.mark.parametrize(("rows", "seconds"), [(1, 10), (3, 10), (101, 10), (500, 10), (7, 0.5), (25, 0.5), (5, 0.1)])
def test_frame_times_add_up_whatever_the_number(rows, seconds):
    times = plots.frame_times(rows, seconds)
    assert len(times) == rows and sum(times) == round(100 * seconds) + 200 and min(times) >= 2


def test_too_many_rows_are_thinned_evenly_with_both_ends():
    assert plots.frame_rows(500, 10, 1000) == list(range(500))
    for rows, seconds, pixels, most in (
        (501, 10, 1000, 500),
        (700, 10, 1000, 500),
        (100, 0.1, 1000, 5),
        (500, 10, plots.MAX_PIXELS // 20, 20),
        (9, 10, 10**12, 2),
    ):
        chosen = plots.frame_rows(rows, seconds, pixels)
        gaps = np.diff(chosen)
        assert len(chosen) == most and chosen[0] == 0 and chosen[-1] == rows - 1 and gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_the_gif_of_a_hundred_rows_is_small_and_as_wide_as_a_readme(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "ssssss", count=100))
    plots.pi_gif(tmp_path / "pi.gif", run)
    with Image.open(tmp_path / "pi.gif") as image:
        assert 600 <= image.width <= 800
    assert (tmp_path / "pi.gif").stat().st_size < 500_000


@pytest.mark.parametrize("count", [1, 6, 22, 51])
def test_the_picture_has_the_pixels_that_it_says(count):
    for scale in (1, 2):
        heat_map = plots.HeatMap("s" * count, scale)
        assert heat_map.draw(np.full((count, 3), 1 / 3), 1, 1.0).size == heat_map.size


def test_the_last_state_is_the_gif_s_last_frame_twice_as_large(tmp_path):
    run = history.read_run(make_run(tmp_path / "run", "sss", count=3))
    plots.pi_gif(tmp_path / "pi.gif", run)
    plots.pi_png(tmp_path / "pi.png", run)
    large, small = frames(tmp_path / "pi.png")[0], frames(tmp_path / "pi.gif")[-1]
    assert large.shape == (2 * small.shape[0], 2 * small.shape[1])
    assert (abs(np.median(cells(large, "sss"), axis=(2, 3)) - np.median(cells(small, "sss"), axis=(2, 3))) < 1).all()


@pytest.mark.parametrize(("blocks", "rows"), [("s", 1), ("ssssss", 50), ("s" * 12, 3)])
def test_pi_over_time_draws_a_line_of_each_kind(blocks, rows, tmp_path):
    plots.pi_over_time(tmp_path / "a.png", history.read_run(make_run(tmp_path / "run", blocks, count=rows)))
    assert all(colour_share(tmp_path / "a.png", colour) > 2e-4 for colour in plots.COLOURS.values())


def test_curves_draw_both_evaluations_and_tau_only_for_a_search(tmp_path):
    plots.curves(tmp_path / "search.png", history.read_run(make_run(tmp_path / "search", "ss")))
    plots.curves(tmp_path / "fixed.png", history.read_run(make_run(tmp_path / "fixed", "ad")))
    assert min(colour_share(tmp_path / "search.png", colour) for colour in ("#0072b2", "#d55e00")) > 1e-4
    assert colour_share(tmp_path / "fixed.png", "#0072b2") > 1e-4 and colour_share(tmp_path / "fixed.png", "#d55e00") == 0
    with Image.open(tmp_path / "search.png") as search, Image.open(tmp_path / "fixed.png") as fixed:
        assert search.height > fixed.height


@pytest.mark.parametrize("row", [{"nll_per_token": 0.0}, {"nll_per_token": 1e5}, {"learning_rate": 0.0}], ids=str)
def test_odd_values_are_drawn_without_a_warning(row, tmp_path):
    rows = [train_row(**{"step": 1, "pi": [[1, 0, 0]]} | row), valid_row(1)]
    write_history(make_run(tmp_path / "run", "s") / "history.jsonl", rows)
    run = history.read_run(tmp_path / "run")
    for draw in (plots.pi_gif, plots.pi_png, plots.pi_over_time, plots.curves):
        draw(tmp_path / "picture", run)
        with Image.open(tmp_path / "picture") as picture:
            assert len(set(picture.convert("L").tobytes())) > 3  # something is on it


@pytest.mark.parametrize("draw", [plots.pi_gif, plots.pi_png, plots.pi_over_time, plots.curves], ids=lambda draw: draw.__name__)
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


def test_the_command_draws_four_pictures_and_names_them(tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "run", "ss", count=3)
    with open(run / "history.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 9')  # the run goes on
    monkeypatch.chdir(tmp_path)
    assert tool.main(["--run=run", "--seconds=1.5"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and [line.split(":")[0] for line in lines] == [
        f"run/plots/{name}" for name in ("pi.gif", "pi.png", "pi_over_time.png", "curves.png")
    ]
    size = round((run / "plots" / "pi.gif").stat().st_size / 1000)
    assert lines[0] == f"run/plots/pi.gif: {plots.HeatMap('ss').size[0]} x {plots.HeatMap('ss').size[1]}, {size} kB, 3 frames, 3.5 s"
    assert sorted(path.name for path in (run / "plots").iterdir()) == ["curves.png", "pi.gif", "pi.png", "pi_over_time.png"]


def test_a_fixed_run_has_curves_but_no_pi(tmp_path, capsys):
    run = make_run(tmp_path / "fixed", "adi")
    assert tool.main([f"--run={run}"]) == 1
    message = "error: run fixed has no stochastic block (architecture adi): there is no pi to draw; --curves_only draws its learning curves\n"
    assert capsys.readouterr() == ("", message) and not (run / "plots").exists()
    assert tool.main([f"--run={run}", "--curves_only", f"--output_dir={tmp_path / 'elsewhere'}"]) == 0
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["curves.png"]


CONSENSUS = np.array([[[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.2, 0.1, 0.7]], [[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.6, 0.1, 0.3]]])  # adi, aia


def consensus_cells(path: Path, count: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a consensus picture as RGB, [3, L, h, w, 3] of the heat map and [1 + R, L, h, w, 3] of the choices below it."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    cell, left, top, height, row = 2 * int(np.clip(600 // count, 30, 130)), 164, 80, 88, 44
    lower = top + 3 * height + 44

    def cut(y: int, step: int, lines: int) -> np.ndarray:
        return np.array(
            [
                [picture[y + r * step + 6 : y + (r + 1) * step - 6, left + b * cell + 6 : left + (b + 1) * cell - 6] for b in range(count)]
                for r in range(lines)
            ]
        )

    return cut(top, height, 3), cut(lower, row, rows)


def test_the_consensus_shows_the_mean_and_a_count_in_the_kinds_that_a_seed_chose(tmp_path):
    plots.consensus(tmp_path / "c.png", "sss", CONSENSUS, (0, 1))
    upper, _ = consensus_cells(tmp_path / "c.png", 3, 3)
    mean = CONSENSUS.mean(axis=0)
    ground = np.median(upper, axis=(2, 3)).sum(axis=-1).T  # [L, O]
    order = np.argsort(mean.reshape(-1))
    assert (np.diff(ground.reshape(-1)[order]) <= 12).all() and ground.min() < 300 < 650 < ground.max(), "darker is more probable"
    written = (upper.max(axis=(2, 3)) - upper.min(axis=(2, 3))).max(axis=-1).T > 60
    assert written.tolist() == [[True, False, False], [False, True, True], [True, False, True]]


def test_below_it_a_row_for_all_and_one_a_seed_in_the_colours_of_their_choices_and_others_stand_out(tmp_path):
    plots.consensus(tmp_path / "c.png", "sss", CONSENSUS, (0, 1))
    _, lower = consensus_cells(tmp_path / "c.png", 3, 3)
    colours = {kind: np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for kind, colour in plots.COLOURS.items()}
    ground = np.median(lower, axis=(2, 3))
    mean = derive.argmax(CONSENSUS.mean(axis=0))
    assert mean == "aii"
    for line, own in enumerate([mean, *(derive.argmax(pi) for pi in CONSENSUS)]):
        for block, kind in enumerate(own):
            full = line == 0 or kind != mean[block]
            expected = colours[kind] if full else 255 - 0.3 * (255 - colours[kind])
            assert np.abs(ground[line, block] - expected).max() < 4, (line, block)
            assert np.ptp(lower[line, block].reshape(-1, 3), axis=0).max() > 60, "the letter is written, too"


@pytest.mark.parametrize(("blocks", "seeds"), [("s", 1), ("as", 2), ("asssd", 6), ("s" * 32, 6), ("s" * 90, 3)])
def test_a_consensus_of_any_size_is_drawn_without_a_warning(blocks, seeds, tmp_path):
    pis = np.array([drifting_pi(blocks, 2, seed)[-1] for seed in range(seeds)])
    plots.consensus(tmp_path / "c.png", blocks, pis, range(seeds))
    with Image.open(tmp_path / "c.png") as image:
        assert image.width == 2 * (82 + len(blocks) * int(np.clip(600 // len(blocks), 30, 130)) + 62)


def test_a_directory_of_several_seeds_is_not_drawn_as_one_run(tmp_path, capsys):
    for seed in (0, 1):
        make_run(tmp_path / "group" / f"seed{seed}", "ss", seed=seed)
    assert tool.main([f"--run={tmp_path}/group"]) == 1
    said = f"error: --run={tmp_path}/group holds 2 seeds: give one of them, such as {tmp_path}/group/seed0; derive --rule=consensus --plot takes all"
    assert capsys.readouterr().err.startswith(said) and not (tmp_path / "group" / "plots").exists()
    assert tool.main([f"--run={tmp_path}/group/seed1", "--seconds=0.5"]) == 0


def columns_of(path: Path, colour: str) -> list[int]:
    """Where the vertical lines of a colour are: columns of which it fills a quarter, neighbours as one."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    near = np.abs(picture - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=2) < 60
    columns = np.flatnonzero(near.mean(axis=0) > 0.25)
    return [int(group.mean()) for group in np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1) if len(group)]


def test_the_cutoffs_are_lines_at_their_places_on_the_logarithmic_axis(tmp_path):
    counts = np.concatenate([[0, 0, 0], 1e6 / np.arange(1, 9998)])
    plots.cutoffs(tmp_path / "a.png", counts, (9, 99, 999))
    lines = columns_of(tmp_path / "a.png", plots.COLOURS["a"])
    assert len(lines) == 3 and lines[1] - lines[0] == pytest.approx(lines[2] - lines[1], rel=0.05)
    plots.cutoffs(tmp_path / "b.png", counts, (99,))
    assert columns_of(tmp_path / "b.png", plots.COLOURS["a"]) == pytest.approx([lines[1]], abs=8)
    plots.cutoffs(tmp_path / "c.png", counts, ())
    assert columns_of(tmp_path / "c.png", plots.COLOURS["a"]) == [] and colour_share(tmp_path / "c.png", plots.COLOURS["d"]) > 0.001


@pytest.mark.parametrize("counts", [[1, 0], [0.0, 1e-300], [5e300] * 4, np.arange(300_000)], ids=lambda counts: str(counts)[:12])
def test_odd_counts_are_drawn_without_a_warning(counts, tmp_path):
    plots.cutoffs(tmp_path / "x.png", np.array(counts), (1,))
    assert columns_of(tmp_path / "x.png", plots.COLOURS["a"])


@pytest.mark.parametrize("seconds", ["0", "0.09", "-3", "601", "nan", "inf"])
def test_a_length_that_no_gif_can_have_is_refused(seconds, tmp_path, capsys):
    run = make_run(tmp_path / "run", "s")
    assert tool.main([f"--run={run}", f"--seconds={seconds}"]) == 1
    assert capsys.readouterr().err.startswith("error: seconds must be from 0.1 to 600, but is ")


def test_a_growth_plot_has_a_panel_for_each_measure_and_a_mark_for_each_shape(tmp_path):
    sweep = growth.star({name: [size, 2 * size, 4 * size] for size, name in enumerate(growth.LETTERS.values(), 3)})
    fits = {"milliseconds": growth.fit([growth.time_terms(shape) for shape in sweep], [10.0 + i for i in range(len(sweep))])}
    fits["megabytes"] = growth.fit([growth.memory_terms(shape, 2, 50) for shape in sweep], [900.0 + i * i for i in range(len(sweep))])
    pixels = {}
    for names in (("milliseconds",), ("milliseconds", "megabytes")):
        measured = {name: [30.0 * 1.2**i for i in range(len(sweep))] for name in names}
        path = tmp_path / f"{len(names)}.png"
        plots.growth(path, list(sweep.values()), measured, {name: fits[name] for name in names})
        with Image.open(path) as image:
            pixels[len(names)] = np.asarray(image.convert("RGB")).reshape(-1, 3)
            assert image.height == 468 and image.width == 468 * len(names)
    for colour in plots.SERIES[1:]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        marks = [np.sum(np.all(picture == rgb, axis=1)) for picture in pixels.values()]
        assert marks[0] > 20 and marks[1] > marks[0], colour


def test_a_plot_of_memory_lengths_has_a_panel_for_each_split_and_a_line_for_each_network(tmp_path):
    networks = {f"network {i}": [300.0 - i, 250.0 - 9 * i, 200.0 - 20 * i] for i in range(9)}
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    plots.memory_lengths(one, (0, 16, 256), {"valid": networks})
    plots.memory_lengths(two, (0, 16, 256), {"valid": networks, "test": networks})
    for path in (one, two):
        assert all(colour_share(path, colour) > 5e-4 for colour in plots.SERIES)
    with Image.open(one) as narrow, Image.open(two) as wide:
        assert wide.width > 1.8 * narrow.width and wide.height == narrow.height
