"""The parts of a step are those that its steps are made of, never negative, and add up to it."""

from __future__ import annotations

import numpy as np
import pytest

from par.bench import in_turn, step_parts, synthetic
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.search.architecture import parse
from par.train.run_config import RunConfig

PARTS = {"attention": 20.0, "dense": 15.0, "softmax": 8.0, "update": 6.0, "rest": 11.0}


def rounds(parts, speeds, noise=0.0, seed=0):
    """Milliseconds of each step of step_parts.LACKING, in a round for each speed of the
    machine."""
    rng = np.random.default_rng(seed)
    return {
        lacking: [
            speed
            * sum(ms for part, ms in parts.items() if part not in lacking)
            * (1 + noise * rng.normal())
            for speed in speeds
        ]
        for lacking in step_parts.LACKING
    }


def test_parts_that_add_up_are_found_again_whatever_the_speed_of_each_round():
    found = step_parts.split_step(rounds(PARTS, [1.0, 3.0, 0.5, 1.0, 1.0]))
    assert found == pytest.approx({**PARTS, "step": 60.0}, rel=1e-6)


def test_one_slow_timing_changes_no_part_though_the_rounds_differ_in_speed():
    times = rounds(PARTS, [1.0, 2.0, 3.0])
    for lacking in step_parts.LACKING[1:]:
        times[lacking][0] *= 10
    found = step_parts.split_step(times)
    assert found == pytest.approx({**{part: 2 * ms for part, ms in PARTS.items()}, "step": 120.0})


@pytest.mark.parametrize("missing", PARTS)
def test_no_part_is_negative_and_all_add_up_to_the_step(missing):
    for seed in range(20):
        milliseconds = rounds(PARTS | {missing: 0.0}, np.ones(5), noise=0.1, seed=seed)
        found = step_parts.split_step(milliseconds)
        step = found.pop("step")
        assert step == pytest.approx(np.median(milliseconds[step_parts.WHOLE]))
        assert min(found.values()) >= 0 and sum(found.values()) == pytest.approx(step)


def test_what_runs_side_by_side_is_shared_so_that_the_parts_still_add_up():
    """Attention and dense branches run at the same time: leaving one out saves less than both
    take, and leaving both out saves more than either's saving."""
    times = rounds(PARTS, [1.0])
    for lacking in times:
        if "attention" not in lacking and "dense" not in lacking:
            times[lacking] = [times[lacking][0] - 10.0]
    found = step_parts.split_step(times)
    assert sum(found.values()) == pytest.approx(2 * 50.0)
    for part in ("update", "softmax"):  # alone in what they save
        assert found[part] == pytest.approx(PARTS[part], rel=1e-3)
    assert 10.0 < found["attention"] < 20.0 and 5.0 < found["dense"] < 15.0
    assert found["rest"] >= PARTS["rest"]


@pytest.mark.slow
def test_a_measured_step_lacks_what_it_says():
    """The weights stay where there is no update, every weight that is left has a gradient, and
    the memories move on as in training."""
    config = RunConfig(
        parse("sa"),
        ModelConfig(d_model=8, num_heads=2, d_ffn=12, mem_len=3, cutoffs=(9,)),
        SearchConfig(arch_lr=0.0),
        TrainingConfig(warmup_steps=1),
        synthetic.data(30, 2, 4),
    )
    blocks = {(): "sa", ("update", "attention"): "di", ("update", "dense"): "aa"}
    blocks[("update", "attention", "dense")] = "ii"
    counts = {}
    for lacking in step_parts.LACKING:
        timed = step_parts.timed_step(config, lacking, steps=2)
        learner = timed.learner
        assert timed.config.architecture.blocks == blocks.get(lacking, "sa")
        before = [weight.numpy() for weight in learner.weights]
        assert timed.run() > 0
        moved = [np.any(weight.numpy() != old) for weight, old in zip(learner.weights, before)]
        assert all(moved) if lacking == step_parts.WHOLE else not any(moved), lacking
        learner.keep_memories()
        assert "attention" in lacking or np.any(learner.state["memory"].numpy())
        counts[lacking] = len(learner.weights)
    assert counts[step_parts.GRADIENTS] == counts[step_parts.WHOLE]
    # a softmax with one tail: a matrix for the head, two for the tail, no bias
    head = 3
    assert counts[("update", "softmax")] == counts[step_parts.WHOLE] - head


def test_every_part_is_missing_in_some_measured_step_and_all_are_told_apart():
    kept = [[part not in lacking for part in step_parts.PARTS] for lacking in step_parts.LACKING]
    assert np.linalg.matrix_rank(np.array(kept, float)) == len(step_parts.PARTS)
    values = in_turn.measure({each: lambda: 1.0 for each in step_parts.LACKING}, 2)
    assert step_parts.split_step(values)["step"] == 1.0
