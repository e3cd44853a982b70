"""Learning rate and temperature: the closed form at every step, exact ends, the same inside a
graph. The fused update equals that of Keras: in eager code and in a graph, and after a restart."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from naive import schedules as naive
from par.core.config import SearchConfig
from par.train import optimization

# total steps, warm-up steps
RUNS = [(1, 0), (1, 1), (1, 5), (2, 1), (7, 0), (97, 13), (97, 96), (97, 97), (13, 4000), (101, 1)]
each_run = pytest.mark.parametrize(("total", "warmup"), RUNS)
each_schedule = pytest.mark.parametrize("schedule", SearchConfig.choices("tau_schedule"))
each_ends = pytest.mark.parametrize(
    ("start", "end"), [(1.0, 0.1), (0.1, 1.0), (0.7, 0.7), (1e3, 1e-3), (5.0, 0.3)]
)


@each_run
def test_learning_rate_equals_the_closed_form_at_every_step(total, warmup):
    rates = [
        optimization.warmup_cosine(step, total, 3e-4, warmup).numpy() for step in range(total)
    ]
    expected = [naive.learning_rate(step, total, 3e-4, warmup) for step in range(total)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=3e-4 * 1e-6)


@each_run
def test_learning_rate_stays_between_zero_and_its_peak(total, warmup):
    rates = optimization.warmup_cosine(np.arange(total + 3), total, 0.5, warmup).numpy()
    assert rates.dtype == np.float32 and rates.min() >= 0 and rates.max() <= 0.5 and rates[0] > 0


def test_learning_rate_reaches_its_peak_after_the_warm_up_and_zero_at_the_end():
    rates = optimization.warmup_cosine(np.array([0, 3, 4, 10, 11, 1000]), 10, 0.5, 4).numpy()
    assert rates.tolist() == [0.125, 0.5, 0.5, 0, 0, 0]


@pytest.mark.parametrize("warmup", [13, 14, 4000])
def test_a_warm_up_as_long_as_the_run_or_longer_only_rises(warmup):
    rates = optimization.warmup_cosine(np.arange(13), 13, 1.0, warmup).numpy()
    np.testing.assert_allclose(rates, (np.arange(13) + 1) / warmup, rtol=1e-6)


@each_schedule
@each_ends
@pytest.mark.parametrize("total", [2, 3, 97])
def test_tau_equals_the_closed_form_at_every_step(total, start, end, schedule):
    values = [optimization.tau(step, total, start, end, schedule).numpy() for step in range(total)]
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
    values = optimization.tau(steps, total, start, end, schedule).numpy()
    assert values[0] == pytest.approx(start, rel=1e-6) and values[-1] == np.float32(end)
    assert optimization.tau(total + 5, total, start, end, schedule).numpy() == np.float32(end)
    low, high = sorted((start, end))
    assert values.min() >= low * (1 - 1e-5) and values.max() <= high * (1 + 1e-5)
    assert (np.diff(values) * np.sign(end - start) >= 0).all()


@each_schedule
def test_the_only_step_of_a_run_has_the_first_temperature(schedule):
    assert optimization.tau(0, 1, 0.5, 0.25, schedule).numpy() == 0.5


@pytest.mark.slow
def test_a_graph_gives_the_same_figures():
    @tf.function
    def both(step):
        return optimization.warmup_cosine(step, 97, 3e-4, 13), *(
            optimization.tau(step, 97, 1.0, 0.1, s) for s in SearchConfig.choices("tau_schedule")
        )

    for step in (0, 12, 13, 50, 96):
        outside = both.python_function(tf.constant(step, tf.int64))
        np.testing.assert_allclose(both(tf.constant(step, tf.int64)), outside, rtol=1e-6)


SHAPES = {"kernel": (5, 7), "gain": (11,), "position_bias": (2, 3)}
PAIRS = {
    "adam": (optimization.Adam, keras.optimizers.Adam, {}),
    "adamw": (optimization.AdamW, keras.optimizers.AdamW, {"weight_decay": 0.3}),
}
RATES = {
    "constant": 0.05,
    "schedule": keras.optimizers.schedules.CosineDecay(
        0.02, 4, warmup_target=0.05, warmup_steps=3
    ),
}
each_pair = pytest.mark.parametrize(("fused", "plain", "settings"), PAIRS.values(), ids=PAIRS)
each_rate = pytest.mark.parametrize("rate", RATES.values(), ids=RATES)


def variables() -> list[keras.Variable]:
    draw = np.random.default_rng(1)
    return [
        keras.Variable(draw.normal(size=shape).astype(np.float32), name=name)
        for name, shape in SHAPES.items()
    ]


def gradients(step: int) -> list[tf.Tensor]:
    """Of all sizes: around Adam's epsilon, zero, and large."""
    draw = np.random.default_rng([7, step])
    return [
        tf.constant(
            draw.normal(size=shape) * draw.choice([0, 1e-8, 1e-3, 1, 1e4], shape), tf.float32
        )
        for shape in SHAPES.values()
    ]


def built(
    make: type, rate, settings: dict
) -> tuple[keras.optimizers.Optimizer, list[keras.Variable]]:
    of = variables()
    optimizer = make(rate, **settings)
    if settings:
        optimizer.exclude_from_weight_decay(var_list=of[1:])
    optimizer.build(of)
    return optimizer, of


def values(of: list[keras.Variable]) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for v in of])


@each_rate
@each_pair
def test_the_fused_update_equals_keras_at_every_step(fused, plain, settings, rate):
    (mine, my_variables), (theirs, their_variables) = (
        built(fused, rate, settings),
        built(plain, rate, settings),
    )
    for step in range(5):
        before = values(my_variables)
        mine.apply_gradients(zip(gradients(step), my_variables))
        theirs.apply_gradients(zip(gradients(step), their_variables))
        np.testing.assert_allclose(
            values(my_variables), values(their_variables), rtol=1e-5, atol=1e-6
        )
        assert np.abs(values(my_variables) - before).max() > 1e-3
    assert int(mine.iterations) == 5
    for a, b in zip(mine.variables, theirs.variables):
        # 1 - beta_2 is rounded to float32 in the one, not in the other
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-12)


@each_rate
@each_pair
def test_a_graph_updates_as_eager_code_does(fused, plain, settings, rate):
    (eager, eager_variables), (graph, graph_variables) = (
        built(fused, rate, settings),
        built(fused, rate, settings),
    )

    @tf.function
    def update(*of):
        graph.apply_gradients(zip(of, graph_variables))

    for step in range(5):
        eager.apply_gradients(zip(gradients(step), eager_variables))
        update(*gradients(step))
        np.testing.assert_allclose(
            values(graph_variables), values(eager_variables), rtol=1e-6, atol=1e-7
        )


@each_pair
def test_a_restored_optimizer_goes_on_as_if_it_had_never_stopped(fused, plain, settings, tmp_path):
    whole, of_whole = built(fused, RATES["schedule"], settings)
    for step in range(5):
        whole.apply_gradients(zip(gradients(step), of_whole))
        if step == 2:
            path = tf.train.Checkpoint(optimizer=whole).write(str(tmp_path / "state"))
            kept = [v.numpy() for v in of_whole]
    again, of_again = built(fused, RATES["schedule"], settings)
    tf.train.Checkpoint(optimizer=again).read(path).assert_consumed()
    for variable, value in zip(of_again, kept):
        variable.assign(value)
    for step in (3, 4):
        again.apply_gradients(zip(gradients(step), of_again))
    np.testing.assert_array_equal(values(of_again), values(of_whole))


def test_weight_decay_shrinks_what_is_not_exempt_and_nothing_else():
    optimizer, of = built(optimization.AdamW, 0.05, {"weight_decay": 0.3})
    before = [v.numpy() for v in of]
    optimizer.apply_gradients([(tf.zeros(shape), v) for shape, v in zip(SHAPES.values(), of)])
    np.testing.assert_allclose(of[0].numpy(), before[0] * (1 - 0.05 * 0.3), rtol=1e-6)
    for variable, value in zip(of[1:], before[1:]):
        np.testing.assert_array_equal(variable.numpy(), value)


@each_pair
def test_a_learning_rate_of_zero_changes_nothing(fused, plain, settings):
    optimizer, of = built(fused, 0.0, settings)
    before = values(of)
    optimizer.apply_gradients(zip(gradients(0), of))
    np.testing.assert_array_equal(values(of), before)


@each_schedule
def test_tau_is_held_and_then_falls_as_in_a_shorter_run(schedule):
    held, short = (
        optimization.tau(np.arange(steps), steps, 2.0, 0.5, schedule, hold).numpy()
        for steps, hold in ((97, 30), (67, 0))
    )
    assert held[:30].tolist() == [2.0] * 30
    np.testing.assert_allclose(held[30:], short, rtol=1e-6)


def test_a_rising_rate_begins_at_zero_when_the_logits_begin_and_ends_at_its_peak():
    shares = optimization.rising(np.arange(11), 11, 5).numpy()
    np.testing.assert_allclose(shares, [0, 0, 0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-6)
