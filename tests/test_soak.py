"""Short forms of tests/soak.py: runs killed at random moments end as one that met nothing, and the
memory of a process does not grow."""

from __future__ import annotations

import itertools

import pytest

import soak
from small import small_config, small_data, trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "kills", "seed"), [("sd", 5, 11), ("ad", 3, 12)], ids=["search", "fixed"]
)
def test_runs_killed_at_random_moments_and_started_again_end_as_one_that_met_nothing(
    tmp_path, architecture, kills, seed
):
    data = small_data(tmp_path / "data", valid=3_000)
    told: list[str] = []
    assert (
        soak.kill_again_and_again(
            tmp_path, data, architecture, epochs=2, kills=kills, seed=seed, tell=told.append
        )
        == []
    )
    assert f" {kills} kills (" in told[-2] and told[-1].endswith(
        " runs of 2 epochs, 0 differences"
    ), told


@pytest.mark.slow
def test_what_is_computed_and_logged_at_every_step_leaves_nothing_behind(tmp_path):
    run = trainer(
        tmp_path / "run", small_config(small_data(tmp_path / "data"), "sd"), tmp_path / "data"
    )

    def steps(first: int, last: int) -> float:
        for step in range(first, last):
            run.learner.tau_at(step)
            run.learner.rates(step)
            run.logs._scalars("train", step, {"loss/nll_per_token": 1.0 / (step + 1)})
        return soak.resident_megabytes()

    sizes = [steps(0, 500), *(steps(500 + 1_000 * k, 1_500 + 1_000 * k) for k in range(3))]
    # MB; a number kept at every step is 0.75, and there are four. The process' own ups and downs
    # are not in every stretch.
    assert min(after - before for before, after in itertools.pairwise(sizes)) < 0.5


@pytest.mark.slow
def test_the_memory_of_a_process_does_not_grow_with_its_steps(tmp_path):
    data = small_data(tmp_path / "data", train=16_100)
    found, _ = soak.memory(tmp_path, data, "sd", steps=3_000)
    steps = sorted(found)
    assert len(steps) == 10
    # What TensorFlow takes and gives back moves by 15 MB: what is kept of every step is found here
    # from 11 kB on, by the test above from 0.5.
    assert found[3_000] - found[1_200] < 20.0, found
