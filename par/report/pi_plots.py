"""Pictures of pi from the history of one or several searches: a GIF over the steps, the last
state, and lines over the steps.

Searches of different lengths are shown at equal fractions of their training, as tau and the
learning rate depend on that fraction; each map shows its own step.
"""

from __future__ import annotations

import bisect
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from par.report.heat_map import CLEAR, PAGE_WIDTH, HeatMap, State, ramp
from par.report.style import (
    COLOURS,
    DASHES,
    Target,
    dots,
    from_zero,
    new_figure,
    save,
    step_axis,
    style,
    written,
)
from par.search.architecture import KINDS, NAMES
from par.train.history import Run

HOLD = 200  # centiseconds for which the last frame stays
MAX_PIXELS = 150_000_000  # of all frames of a GIF together, one byte each
MAX_BYTES = 2_000_000  # of a GIF, which a page loads at once


def course(runs: Sequence[Run]) -> list[tuple[int, ...]]:
    """The rows that each picture shows, one of each run, in order; of a single run, each row.

    There is a picture for each fraction of training at which any run recorded a row. In it every
    run shows its last row up to there: its first row before that, and its newest row if the run
    has not come so far yet.
    """
    recorded = [[row["step"] / run.last_step for row in run.rows["train"]] for run in runs]
    return sorted(
        {
            tuple(max(0, bisect.bisect_right(own, share) - 1) for own in recorded)
            for share in itertools.chain(*recorded)
        }
    )


def frame_rows(rows: int, seconds: float, pixels: int) -> list[int]:
    """The rows that become frames: all, or evenly spaced ones with the first and the last if 2
    centiseconds a frame or MAX_PIXELS allow no more."""
    return thinned(rows, max(2, min(int(seconds * 50), MAX_PIXELS // pixels)))


def thinned(rows: int, most: int) -> list[int]:
    """At most `most` (>= 2) of the numbers below `rows`, evenly spaced, with both ends."""
    return (
        list(range(rows))
        if rows <= most
        else [round(i * (rows - 1) / (most - 1)) for i in range(most)]
    )


def frame_times(frames: int, seconds: float) -> list[int]:
    """Centiseconds of each frame: `seconds` in total, and HOLD more for the last."""
    ends = [round(100 * seconds * (i + 1) / frames) for i in range(frames)]
    times = [end - start for start, end in zip([0, *ends], ends)]
    return [*times[:-1], times[-1] + HOLD]


def pi_gif(path: Path, runs: Sequence[Run], seconds: float = 10.0) -> int:
    """Writes pi over the steps of the runs as a GIF that loops forever, `seconds` long, then HOLD;
    returns the number of frames, one for each item of `course`.

    It has twice the resolution at which a README shows it. If all frames together exceed
    MAX_BYTES, fewer are drawn, evenly spaced, but at least two.
    """
    heat_map, rows = _heat_map(runs, scale=2), course(runs)
    # 26 blocks and more: sharp enough, and in twice the size half of the frames would be lost
    if heat_map.size[0] > 2 * PAGE_WIDTH:
        heat_map = _heat_map(runs, scale=1)
    chosen = frame_rows(len(rows), seconds, heat_map.size[0] * heat_map.size[1])
    content = _encoded(heat_map, runs, [rows[i] for i in chosen], seconds)
    while len(content) > MAX_BYTES and len(chosen) > 2:
        chosen = thinned(len(rows), max(2, int(0.95 * len(chosen) * MAX_BYTES / len(content))))
        content = _encoded(heat_map, runs, [rows[i] for i in chosen], seconds)
    with written(path) as file:
        file.write(content)
    return len(chosen)


def _encoded(
    heat_map: HeatMap, runs: Sequence[Run], rows: Sequence[tuple[int, ...]], seconds: float
) -> bytes:
    # Pillow merges equal frames that follow each other; the iteration above a map makes all frames
    # different.
    images = _changes(heat_map.draw(_states(runs, row)) for row in rows)
    milliseconds = [10 * time for time in frame_times(len(rows), seconds)]
    settings = {
        "loop": 0,
        "disposal": 1,
        "transparency": CLEAR,
        "optimize": False,
        "palette": ramp().tobytes(),
    }
    file = io.BytesIO()
    next(images).save(
        file, format="GIF", save_all=True, append_images=images, duration=milliseconds, **settings
    )
    return file.getvalue()


def _changes(images: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """The first image, then of each image the pixels that changed; all others are CLEAR: long runs
    of one index, which GIF compresses well."""
    before = None
    for image in images:
        pixels = np.asarray(image)
        changed = (
            image
            if before is None
            else Image.fromarray(np.where(pixels == before, np.uint8(CLEAR), pixels))
        )
        changed.putpalette(image.getpalette())
        before = pixels
        yield changed


def pi_png(path: Path, runs: Sequence[Run]) -> None:
    """Writes the last recorded pi of each run, at twice a README's resolution."""
    with written(path) as file:
        _heat_map(runs, scale=2).draw(_states(runs, course(runs)[-1])).save(
            file, format="PNG", optimize=True
        )


def _states(runs: Sequence[Run], rows: tuple[int, ...]) -> list[State]:
    shown = [run.rows["train"][row] for run, row in zip(runs, rows, strict=True)]
    return [State(np.array(row["pi"], np.float64), row["step"], row["tau"]) for row in shown]


def _heat_map(runs: Sequence[Run], scale: int) -> HeatMap:
    return HeatMap([run.blocks for run in runs], [run.name for run in runs], scale)


def pi_over_time(path: Target, run: Run) -> None:
    """Writes pi over the steps in a small panel for each block, and tau below."""
    pi, train, count = run.pi(), run.rows["train"], len(run.blocks)
    steps = [row["step"] for row in train]
    columns = min(count, max(3, math.ceil(math.sqrt(1.5 * count))))
    lines = math.ceil(count / columns)
    with style():
        figure = new_figure(1.45 * lines + 1.9, width=max(4.2, 2.1 * columns + 0.6))
        panels = figure.add_gridspec(lines + 1, columns)
        for block in range(count):
            axes = figure.add_subplot(
                panels[block // columns, block % columns], ylim=(-0.03, 1.03), yticks=[0, 0.5, 1]
            )
            axes.set_title(f"block {block + 1}", loc="left")
            for option, kind in enumerate(KINDS):
                axes.plot(
                    steps,
                    pi[:, block, option],
                    DASHES[kind],
                    color=COLOURS[kind],
                    label=NAMES[kind],
                    marker=dots(steps),
                )
            axes.tick_params(labelbottom=block + columns >= count, labelleft=block % columns == 0)
            step_axis(axes, steps)
        axes = figure.add_subplot(panels[lines, :], ylabel="tau", xlabel="iteration")
        axes.plot(steps, [row["tau"] for row in train], color="black", marker=dots(steps))
        from_zero(axes)
        step_axis(axes, steps)
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=len(KINDS),
        )
        save(figure, path)
