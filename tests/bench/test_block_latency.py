"""The latency table: parts that add up to whole networks, and whole networks that it predicts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from par.bench import block_latency
from par.search import latency_table
from par.search.latency_table import LatencyTable
from small import FIRST, SYMBOLS, small_config, small_data

BLOCKS = block_latency.timed_blocks(6)


def whole(parts, blocks):
    return np.array(
        [parts[0] + sum(parts[1 + "adi".index(kind)] for kind in each) for each in blocks]
    )


def test_the_networks_that_are_timed_lie_on_both_sides_of_the_depth_and_have_each_kind_alone():
    assert BLOCKS == ("", "aaa", "aaaaaaa", "ddd", "ddddddd", "iiiiiii")
    assert block_latency.timed_blocks(1) == ("", "a", "aa", "d", "dd", "ii")
    assert max(map(len, block_latency.timed_blocks(1024))) == 1024


def test_parts_of_networks_that_add_up_are_found_again():
    for parts in ([7.0, 2.0, 0.5, 0.25], [7.0, 2.0, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]):
        np.testing.assert_allclose(
            block_latency.parts(BLOCKS, whole(parts, BLOCKS)), parts, atol=1e-9
        )


def test_no_part_is_negative_and_no_other_such_parts_fit_better():
    rng = np.random.default_rng(0)
    for trial in range(50):
        times = whole(rng.uniform(0, 1, 4) * [1, 1, 1, 0], BLOCKS) + rng.normal(
            0, 0.5, len(BLOCKS)
        )
        found = block_latency.parts(BLOCKS, times)
        error = np.sum((whole(found, BLOCKS) - times) ** 2)
        assert found.min() >= 0
        for _ in range(200):
            other = np.maximum(0, found + rng.normal(0, 10.0 ** -rng.integers(1, 4), 4))
            assert np.sum((whole(other, BLOCKS) - times) ** 2) >= error * (1 - 1e-9), trial


def test_one_slow_timing_moves_the_spread_and_not_the_parts():
    parts = [7.0, 2.0, 0.5, 0.0]
    times = np.tile(whole(parts, BLOCKS), (5, 1))
    times[1, 2] *= 3  # of aaaaaaa, in one round
    spreads = block_latency.spreads(BLOCKS, times)
    assert list(spreads) == ["constant", "a", "d", "i"]
    for spread, part in zip(spreads.values(), parts):
        assert (
            spread.milliseconds == pytest.approx(part, abs=1e-9)
            and spread.low <= spread.milliseconds <= spread.high
        )
    assert spreads["a"].high > 4 > 2.1 > spreads["a"].low


def test_the_error_is_that_of_the_prediction():
    assert block_latency.Check("ad", "inference", 11.0, 10.0).error == pytest.approx(0.1)


@pytest.mark.slow  # traces two graphs for each of eight networks
def test_a_measured_table_fits_its_run_and_predicts_both_checked_networks(tmp_path):
    data_dir = small_data(tmp_path / "copies")
    config = small_config(data_dir, "ss", cutoffs=(12, 20))
    counts = np.bincount(np.arange(FIRST, FIRST + SYMBOLS))
    table, checks = block_latency.measure(config, counts, repeats=2, steps=2)
    for what in latency_table.CASES:
        table.check_fits(what, config.latency_shape, "table")
    assert (
        LatencyTable.from_json(json.loads(json.dumps(table.to_json()))) == table
        and table.repeats == 2
    )
    assert [(check.what, check.blocks) for check in checks] == [
        (what, blocks) for what in latency_table.CASES for blocks in ("ad", "aa")
    ]
    for check in checks:
        assert (
            check.predicted_ms == table.milliseconds(check.blocks, check.what)
            and check.measured_ms > 0
        )
    assert table.milliseconds("aa", "training_step") > table.milliseconds("aa", "inference") > 0
