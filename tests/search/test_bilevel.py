"""Whose turn a step is: who learns from it, who does not, and that nothing but the step
decides."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import SearchConfig, in_steps
from par.core.errors import DivergedError, UsageError
from par.data import manifest, records
from par.search import bilevel
from par.search.bilevel import BOTH, LOGITS, NEITHER, WARMUP, WEIGHTS
from par.train.learner import Learner
from small import bigrams, small_config, small_data, trainer

# steps per epoch, arch_fraction
EPOCHS = [
    (2, 0.5),
    (5, 0.2),
    (93, 0.2),
    (93, 0.01),
    (93, 1e-6),
    (7, 0.999999),
    (506, 0.2),
    (1000, 0.37),
]
each_epoch = pytest.mark.parametrize(("steps", "fraction"), EPOCHS)


@pytest.fixture(scope="module", autouse=True)
def deterministic_ops():
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


def held(steps: int, fraction: float, epochs: int = 1) -> list[int]:
    return [step for step in range(epochs * steps) if bilevel.held_out(step, steps, fraction)]


def windows(data_dir):
    return iter(records.dataset(data_dir, manifest.load(data_dir), "train"))


def values(of) -> list[np.ndarray]:
    return [variable.numpy().copy() for variable in of]


def equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@each_epoch
def test_an_epoch_holds_out_the_share_that_was_asked_for_at_least_one_step_and_not_all(
    steps, fraction
):
    assert len(held(steps, fraction)) == min(max(round(steps * fraction), 1), steps - 1)


@each_epoch
def test_every_epoch_holds_out_the_same_steps(steps, fraction):
    once = held(steps, fraction)
    assert held(steps, fraction, epochs=3) == [
        epoch * steps + step for epoch in range(3) for step in once
    ]


@each_epoch
def test_what_is_held_out_is_spread_evenly(steps, fraction):
    gaps = np.diff([*held(steps, fraction), steps + held(steps, fraction)[0]])
    assert gaps.max() - gaps.min() <= 1


def test_a_share_of_a_fifth_is_every_fifth_step():
    assert held(20, 0.2) == [4, 9, 14, 19]


def test_a_tensor_gives_what_an_integer_gives():
    steps = tf.range(300, dtype=tf.int64)
    assert np.flatnonzero(bilevel.held_out(steps, 93, 0.2)).tolist() == [
        step for step in range(300) if bilevel.held_out(step, 93, 0.2)
    ]


@pytest.mark.parametrize("is_bilevel", [False, True])
@pytest.mark.parametrize(("warmup", "alone"), [(0, 0), (1, 0), (12, 0), (0, 8), (12, 0.25)])
def test_the_turn_of_every_step_is_the_one_that_the_settings_say(is_bilevel, warmup, alone):
    search = SearchConfig(bilevel=is_bilevel, arch_warmup=warmup, arch_alone=alone)
    turns = bilevel.Turns.of(search, steps_per_epoch=5, total_steps=40)
    for step in range(40):
        late, out = step >= warmup, step % 5 == 4
        last = step >= 40 - in_steps(alone, 40)
        expected = {
            (0, 0): WARMUP,
            (0, 1): LOGITS if last else BOTH,
            (1, 0): LOGITS if late else NEITHER,
            (1, 1): LOGITS if last else WEIGHTS if late else WARMUP,
        }
        turn = turns.kinds[int(turns.index(tf.constant(step, tf.int64)))]
        assert turn == (expected[1, int(not out)] if is_bilevel else expected[0, int(late)])


@pytest.mark.slow
@pytest.mark.parametrize("warmup", [pytest.param(0, marks=pytest.mark.slow), 7])
def test_in_a_step_only_those_whose_turn_it_is_change(data_dir, warmup):
    config = small_config(data_dir, "ssd", bilevel=True, arch_warmup=warmup)
    learner, source = Learner(config), windows(data_dir)
    for step in range(25):
        parts = (
            learner.weights,
            learner.weight_optimizer.variables,
            learner.logits,
            learner.logits_optimizer.variables,
        )
        before = [values(part) for part in parts]
        nll, tokens, norm = learner.train(source, tf.constant(1)).numpy()[0]
        changed = [not equal(old, values(part)) for old, part in zip(before, parts)]
        out = step % config.data.steps_per_epoch in held(config.data.steps_per_epoch, 0.2)
        assert changed == [not out, not out, out and step >= warmup, out and step >= warmup], step
        assert nll > 0 and tokens == 4 * 8 and (norm > 0) == any(changed)
    assert int(learner.weight_optimizer.iterations) < 25 and int(learner.step) == 25


@pytest.mark.slow
def test_without_bilevel_the_weights_learn_on_every_step_and_the_logits_after_their_warm_up(
    data_dir,
):
    learner, source = (
        Learner(small_config(data_dir, "sd", arch_warmup=5, arch_weight_decay=0.1)),
        windows(data_dir),
    )
    learner.train(source, tf.constant(5))
    assert learner.rates(4)[1] == 0 < learner.rates(5)[1] == pytest.approx(0.03)
    assert (
        equal(values(learner.logits), [np.zeros((1, 3))])
        and int(learner.logits_optimizer.iterations) == 0
    )
    learner.train(source, tf.constant(4))
    assert (
        not equal(values(learner.logits), [np.zeros((1, 3))])
        and int(learner.logits_optimizer.iterations) == 4
    )
    assert int(learner.weight_optimizer.iterations) == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "part"), [pytest.param(3, "weight", marks=pytest.mark.slow), (4, "logits")]
)
def test_the_gradient_of_a_turn_is_that_of_the_step_in_which_both_learn(data_dir, step, part):
    config = {"clip_norm": 0.0, "dropout_rate": 0.1}
    learners = [
        Learner(small_config(data_dir, "ssd", bilevel=is_bilevel, **config))
        for is_bilevel in (False, True)
    ]
    rows = []
    for learner in learners:
        learner.step.assign(step)
        rows.append(learner.train(windows(data_dir), tf.constant(1)).numpy()[0])
    both, turn = (values(getattr(learner, f"{part}_optimizer").variables) for learner in learners)
    # Adam's moments are the gradient and its square
    assert equal(both, turn) and sum(np.abs(value).sum() for value in turn) > 1e-3
    assert rows[0][:2].tolist() == rows[1][:2].tolist()
    optimizer = getattr(learners[1], f"{part}_optimizer")
    norm = np.sqrt(sum(float(tf.reduce_sum(tf.square(m.value))) for m in optimizer._momentums)) / (
        1 - optimizer.beta_1
    )
    assert rows[1][2] == pytest.approx(norm, rel=1e-4)


@pytest.mark.slow
def test_the_weights_never_learn_from_what_is_held_out(data_dir):
    def ends(stream_of_held_out):
        # no logits and no memory carry it on
        learner = Learner(small_config(data_dir, "ssd", bilevel=True, arch_lr=0.0, mem_len=0))
        tokens = np.stack(
            [
                window.numpy()
                for window in records.dataset(data_dir, manifest.load(data_dir), "train")
            ]
        )
        for step in held(len(tokens), 0.2):
            tokens[step] = stream_of_held_out(tokens[step])
        learner.train(iter(tf.data.Dataset.from_tensor_slices(tokens)), tf.constant(len(tokens)))
        return values(learner.weights)

    assert equal(ends(lambda tokens: tokens), ends(lambda tokens: tokens[:, ::-1]))


@pytest.mark.slow
def test_the_memories_flow_through_every_step(data_dir):
    learner, plain = (
        Learner(small_config(data_dir, "ssd", bilevel=is_bilevel, arch_warmup=60))
        for is_bilevel in (True, False)
    )
    for each in (learner, plain):
        each.step.assign(4)  # held out with bilevel: nothing learns
        each.train(windows(data_dir), tf.constant(1))
    assert (
        equal(values(learner._memories), values(plain._memories))
        and int(learner._memories.valid[0]) == 5
    )


@pytest.mark.slow
def test_the_rates_reach_the_end_of_their_schedules_though_steps_are_left_out(data_dir):
    run = Learner(small_config(data_dir, "sd", bilevel=True, arch_schedule="cosine", epochs=1))
    run.train(windows(data_dir), tf.constant(92))
    assert int(run.weight_optimizer.iterations) == 74
    rate, arch_rate = run.rates(92)
    assert float(run.weight_optimizer.learning_rate) == pytest.approx(rate) and float(
        run.logits_optimizer.learning_rate
    ) == pytest.approx(arch_rate)
    assert 0 < rate < 1e-3 * 5e-3 and arch_rate == pytest.approx(6 * rate)


def test_a_fixed_network_learns_on_every_step_whatever_the_search_settings_say(data_dir):
    learner = Learner(small_config(data_dir, "ad", bilevel=True, arch_warmup=10_000))
    learner.train(windows(data_dir), tf.constant(10))
    assert int(learner.weight_optimizer.iterations) == 10


@pytest.mark.slow
def test_the_logits_learn_from_held_out_steps_what_decides(tmp_path):
    data_dir = small_data(tmp_path / "data", bigrams, train=6_000)
    run = trainer(
        tmp_path / "run",
        small_config(data_dir, "s", epochs=1, bilevel=True, arch_lr=0.1),
        data_dir,
    )
    run.run()
    assert run.learner.pi[0].argmax() == 1 and run.learner.pi[0, 1] > 0.5


def test_a_loss_that_is_not_finite_is_found_on_a_held_out_step(tmp_path, data_dir):
    run = trainer(
        tmp_path / "run", small_config(data_dir, "sd", bilevel=True), data_dir, log_every=1
    )
    run.learner.train(windows(data_dir), tf.constant(4))
    run.step = 4
    run.learner.objective.trunk.embedding.assign(
        np.full_like(run.learner.objective.trunk.embedding.numpy(), np.nan)
    )
    with pytest.raises(DivergedError, match="diverged at step 5: loss nan, gradient norm nan"):
        run.run()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arch_fraction": 0.0}, "arch_fraction must lie between 0 and 1, but is 0.0"),
        ({"arch_fraction": 1.0}, "arch_fraction must lie between 0 and 1, but is 1.0"),
        ({"stable_share": 0.0}, "stable_share must be at least 0.01, but is 0.0"),
        (
            {"arch_warmup": 186},
            "arch_warmup must be below the run's 186 steps, or no logit learns, but is 186",
        ),
        (
            {"arch_warmup": 0.999},
            "arch_warmup must be below the run's 186 steps, or no logit learns, but is 0.999",
        ),
        (
            {"arch_alone": 186},
            "arch_alone must be below the run's 186 steps, or no weight learns, but is 186",
        ),
        (
            {"arch_warmup": 0.5, "arch_alone": 94},
            "arch_warmup and arch_alone must be at most the run's 186 steps together, but are 0.5",
        ),
        (
            {"arch_warmup": 1.5},
            "arch_warmup must be a whole number of steps, or a share of the run's steps below 1",
        ),
    ],
)
def test_what_can_not_be_is_refused(data_dir, settings, said):
    with pytest.raises(UsageError, match=said):
        small_config(data_dir, "sd", **settings)


def test_bilevel_needs_a_step_for_each(tmp_path):
    data_dir = small_data(tmp_path / "data", train=40, valid=40)
    assert small_config(data_dir, "sd").data.steps_per_epoch == 1
    with pytest.raises(
        UsageError,
        match=(
            "bilevel needs 2 steps an epoch, one for the weights and one for the logits, but there"
            " is 1"
        ),
    ):
        small_config(data_dir, "sd", bilevel=True)


@pytest.mark.parametrize(("given", "steps"), [(0, 0), (0.25, 46), (0.5, 93), (1, 1), (100.0, 100)])
def test_a_duration_below_one_is_a_share_of_the_run_s_steps(data_dir, given, steps):
    config = small_config(data_dir, "sd", arch_warmup=given, warmup_steps=given)
    assert config.total_steps == 186
    assert (config.frozen_steps, config.warmup_steps) == (steps, steps)
    again = SearchConfig.from_json(config.search.to_json())
    assert again == config.search and repr(again.arch_warmup) == repr(config.search.arch_warmup)


@pytest.mark.slow
def test_the_weights_rest_at_the_end_and_single_paths_at_the_start_train_every_kind(data_dir):
    settings = {"arch_warmup": 0.2, "arch_alone": 0.1, "warmup_sampling": "single_path"}
    learner = Learner(small_config(data_dir, "sd", epochs=1, **settings))
    source, frozen, total = windows(data_dir), 19, 93
    branches = learner.objective.trunk.blocks[0].branches
    seen = set()
    for _ in range(frozen):
        before = [values(branch.trainable_variables) for branch in branches]
        learner.train(source, tf.constant(1))
        seen.add(
            tuple(
                not equal(old, values(branch.trainable_variables))
                for old, branch in zip(before, branches)
            )
        )
    assert equal(values(learner.logits), [np.zeros([1, 3])])
    assert len(seen) > 1  # a path computes some branches, and not the same in every step
    learner.train(source, tf.constant(total - 9 - frozen))
    before = values(learner.weights), values(learner.logits)
    learner.train(source, tf.constant(9))
    assert equal(before[0], values(learner.weights)) and not equal(
        before[1], values(learner.logits)
    )
    assert learner.rates(total - 1)[0] == 0.0 < learner.rates(total - 10)[0] < 1e-4


@pytest.mark.slow
def test_a_search_that_decides_early_says_so_once(tmp_path, data_dir):
    run = trainer(
        tmp_path / "run",
        small_config(data_dir, "s", arch_lr=0.5, max_lr=1e-2),
        data_dir,
        record_every=2,
    )
    run.run()
    found = [line for line in run.announced if "while the loss still falls" in line]
    assert len(found) == 1 and found[0].startswith("warning: step ")
