"""Learning rate and temperature: the closed form at every step, exact ends, the same inside a
graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from naive import schedules as naive
from par.core.config import SearchConfig
from par.train import schedules

# total steps, warm-up steps
RUNS = [(1, 0), (1, 1), (1, 5), (2, 1), (7, 0), (97, 13), (97, 96), (97, 97), (13, 4000), (101, 1)]
each_run = pytest.mark.parametrize(("total", "warmup"), RUNS)
each_schedule = pytest.mark.parametrize("schedule", SearchConfig.choices("tau_schedule"))
each_ends = pytest.mark.parametrize(
    ("start", "end"), [(1.0, 0.1), (0.1, 1.0), (0.7, 0.7), (1e3, 1e-3), (5.0, 0.3)]
)


@each_run
def test_learning_rate_equals_the_closed_form_at_every_step(total, warmup):
    rates = [schedules.warmup_cosine(step, total, 3e-4, warmup).numpy() for step in range(total)]
    expected = [naive.learning_rate(step, total, 3e-4, warmup) for step in range(total)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=3e-4 * 1e-6)


@each_run
def test_learning_rate_stays_between_zero_and_its_peak(total, warmup):
    rates = schedules.warmup_cosine(np.arange(total + 3), total, 0.5, warmup).numpy()
    assert rates.dtype == np.float32 and rates.min() >= 0 and rates.max() <= 0.5 and rates[0] > 0


def test_learning_rate_reaches_its_peak_after_the_warm_up_and_zero_at_the_end():
    rates = schedules.warmup_cosine(np.array([0, 3, 4, 10, 11, 1000]), 10, 0.5, 4).numpy()
    assert rates.tolist() == [0.125, 0.5, 0.5, 0, 0, 0]


@pytest.mark.parametrize("warmup", [13, 14, 4000])
def test_a_warm_up_as_long_as_the_run_or_longer_only_rises(warmup):
    rates = schedules.warmup_cosine(np.arange(13), 13, 1.0, warmup).numpy()
    np.testing.assert_allclose(rates, (np.arange(13) + 1) / warmup, rtol=1e-6)


@each_schedule
@each_ends
@pytest.mark.parametrize("total", [2, 3, 97])
def test_tau_equals_the_closed_form_at_every_step(total, start, end, schedule):
    values = [schedules.tau(step, total, start, end, schedule).numpy() for step in range(total)]
    np.testing.assert_allclose(
        values,
        [naive.tau(step, total, start, end, schedule) for step in range(total)],
        rtol=2e-5,
        atol=start * 1e-6,
    )


@each_schedule
@each_ends
@pytest.mark.parametrize("total", [2, 97, 1_000_003])
def test_tau_starts_at_its_start_ends_exactly_at_its_end_and_stays_between(
    total, start, end, schedule
):
    steps = np.unique(np.linspace(0, total - 1, 50).round().astype(np.int64))
    values = schedules.tau(steps, total, start, end, schedule).numpy()
    assert values[0] == pytest.approx(start, rel=1e-6) and values[-1] == np.float32(end)
    assert schedules.tau(total + 5, total, start, end, schedule).numpy() == np.float32(end)
    low, high = sorted((start, end))
    assert values.min() >= low * (1 - 1e-5) and values.max() <= high * (1 + 1e-5)
    assert (np.diff(values) * np.sign(end - start) >= 0).all()


@each_schedule
def test_the_only_step_of_a_run_has_the_first_temperature(schedule):
    assert schedules.tau(0, 1, 0.5, 0.25, schedule).numpy() == 0.5


def test_a_graph_gives_the_same_figures():
    @tf.function
    def both(step):
        return schedules.warmup_cosine(step, 97, 3e-4, 13), *(
            schedules.tau(step, 97, 1.0, 0.1, s) for s in SearchConfig.choices("tau_schedule")
        )

    for step in (0, 12, 13, 50, 96):
        outside = both.python_function(tf.constant(step, tf.int64))
        np.testing.assert_allclose(both(tf.constant(step, tf.int64)), outside, rtol=1e-6)
