"""The consensus of several seeds, opened again: the pixels say the mean, the counts and who chose
otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from par.report import consensus_plot, style
from par.search import derive
from recorded_run import drifting_pi

# adi, aia
CONSENSUS = np.array(
    [
        [[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.2, 0.1, 0.7]],
        [[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.6, 0.1, 0.3]],
    ]
)


def consensus_cells(path: Path, count: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a consensus picture as RGB, [3, L, h, w, 3] of the heat map and [1 + R, L, h,
    w, 3] of the choices below it."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    cell, left, top, height, row = 2 * int(np.clip(600 // count, 30, 130)), 164, 80, 88, 44
    lower = top + 3 * height + 44

    def cut(y: int, step: int, lines: int) -> np.ndarray:
        return np.array(
            [
                [
                    picture[
                        y + r * step + 6 : y + (r + 1) * step - 6,
                        left + b * cell + 6 : left + (b + 1) * cell - 6,
                    ]
                    for b in range(count)
                ]
                for r in range(lines)
            ]
        )

    return cut(top, height, 3), cut(lower, row, rows)


def test_the_consensus_shows_the_mean_and_a_count_in_the_kinds_that_a_seed_chose(tmp_path):
    consensus_plot.consensus(tmp_path / "c.png", "sss", CONSENSUS, (0, 1))
    upper, _ = consensus_cells(tmp_path / "c.png", 3, 3)
    mean = CONSENSUS.mean(axis=0)
    ground = np.median(upper, axis=(2, 3)).sum(axis=-1).T  # [L, O]
    order = np.argsort(mean.reshape(-1))
    assert (
        np.diff(ground.reshape(-1)[order]) <= 12
    ).all() and ground.min() < 300 < 650 < ground.max(), "darker is more probable"
    written = (upper.max(axis=(2, 3)) - upper.min(axis=(2, 3))).max(axis=-1).T > 60
    assert written.tolist() == [[True, False, False], [False, True, True], [True, False, True]]


def test_below_it_are_a_row_for_all_and_one_a_seed_and_other_choices_stand_out(
    tmp_path,
):
    consensus_plot.consensus(tmp_path / "c.png", "sss", CONSENSUS, (0, 1))
    _, lower = consensus_cells(tmp_path / "c.png", 3, 3)
    colours = {
        kind: np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        for kind, colour in style.COLOURS.items()
    }
    ground = np.median(lower, axis=(2, 3))
    mean = derive.argmax(CONSENSUS.mean(axis=0))
    assert mean == "aii"
    for line, own in enumerate([mean, *(derive.argmax(pi) for pi in CONSENSUS)]):
        for block, kind in enumerate(own):
            full = line == 0 or kind != mean[block]
            expected = colours[kind] if full else 255 - 0.3 * (255 - colours[kind])
            assert np.abs(ground[line, block] - expected).max() < 4, (line, block)
            assert np.ptp(lower[line, block].reshape(-1, 3), axis=0).max() > 60, (
                "the letter is written, too"
            )


@pytest.mark.parametrize(
    ("blocks", "seeds"), [("s", 1), ("as", 2), ("asssd", 6), ("s" * 32, 6), ("s" * 90, 3)]
)
def test_a_consensus_of_any_size_is_drawn_without_a_warning(blocks, seeds, tmp_path):
    pis = np.array([drifting_pi(blocks, 2, seed)[-1] for seed in range(seeds)])
    consensus_plot.consensus(tmp_path / "c.png", blocks, pis, range(seeds))
    with Image.open(tmp_path / "c.png") as image:
        assert image.width == 2 * (
            82 + len(blocks) * int(np.clip(600 // len(blocks), 30, 130)) + 62
        )
