"""Short forms of tests/soak.py: runs killed at random moments end as one that met nothing, and the memory of a process does not grow."""

from __future__ import annotations

import pytest

import soak
from small import small_data


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "kills", "seed"), [("sd", 5, 11), ("ad", 3, 12)], ids=["search", "fixed"])
def test_runs_killed_at_random_moments_and_started_again_end_as_one_that_met_nothing(tmp_path, architecture, kills, seed):
    data = small_data(tmp_path / "data", valid=3_000)
    told: list[str] = []
    assert soak.kill_again_and_again(tmp_path, data, architecture, epochs=2, kills=kills, seed=seed, tell=told.append) == []
    assert f" {kills} kills (" in told[-2] and told[-1].endswith(" runs of 2 epochs, 0 differences"), told


@pytest.mark.slow
def test_the_memory_of_a_process_does_not_grow_with_its_steps(tmp_path):
    data = small_data(tmp_path / "data", train=16_100)
    found, _ = soak.memory(tmp_path, data, "sd", steps=3_000)
    steps = sorted(found)
    assert len(steps) == 10
    assert found[3_000] - found[1_200] < 4.0, found
