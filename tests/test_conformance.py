"""What every layer and every objective must do, run over one list of all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.data.tokenizer import PAD
from par.nn import positions
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.attention import RelativeAttention, Window
from par.nn.blocks import Block, Dense, Mixture, Norm
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.ops import Initial
from par.nn.supernet import StochasticBlock
from par.nn.transformer import MAIN, Memories, Table, Transformer
from par.objectives import OBJECTIVES
from par.search.architecture import Architecture
from toy_objective import TOY

CONTRACTS = {**OBJECTIVES, TOY.name: TOY}
B, T, M, H, K, F, V = 3, 5, 7, 2, 11, 13, 29
D = H * K
STRINGS = ["a", "d", "asdi", "ss", ""]
NORMS = ["pre", "post"]
TRAINING = Phase(training=True, seed=3, step=5, tau=0.5)


def config(norm: str = "pre", cutoffs: tuple[int, ...] = (), tied: bool = False) -> ModelConfig:
    return ModelConfig(
        d_model=D,
        num_heads=H,
        d_ffn=F,
        mem_len=M,
        dropout_rate=0.3,
        norm=norm,
        cutoffs=cutoffs,
        tie_embeddings=tied,
    )


def normal(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(shape).normal(size=shape), tf.float32)


def window() -> Window:
    codes = positions.sinusoids(positions.distances(T, M, "causal"), D)
    return Window(
        codes, positions.attention_mask(positions.visible(T, M, "causal"), tf.constant([0, 2, 7]))
    )


def trunk(blocks: str, norm: str, sampling: str = "soft", seed: int = 1) -> Transformer:
    return Transformer(
        Architecture(blocks), config(norm), SearchConfig(sampling=sampling), V, seed
    )


def tokens(seq_len: int = T) -> tf.Tensor:
    """Of every cluster, ids above the special ones."""
    return tf.constant(
        np.random.default_rng(seq_len)
        .permutation(np.resize(np.arange(8, V), B * seq_len))
        .reshape(B, seq_len),
        tf.int32,
    )


def objective(
    name: str,
    blocks: str,
    norm: str = "pre",
    cutoffs: tuple[int, ...] = (11, 19),
    seed: int = 1,
    tied: bool = False,
) -> Any:
    contract = CONTRACTS[name]
    built = contract.network_class()(
        config(norm, cutoffs, tied), V, seed, contract.default_settings()
    )
    built.build(lambda *of, **how: any_trunk(blocks, norm, seed, *of, **how))
    return built


def any_trunk(
    own: str,
    norm: str,
    seed: int,
    /,
    part: str = MAIN,
    blocks: str | None = None,
    table: Table | None = None,
    on_base: bool = True,
    **changes: Any,
) -> Transformer:
    """As Learner makes it: the run's own blocks, or others; there is no base."""
    shape = dataclasses.replace(config(norm), **changes)
    architecture = Architecture(own if blocks is None else blocks)
    return Transformer(architecture, shape, SearchConfig(), V, seed, part=part, table=table)


def element(built: Any, rows_kept: int = B) -> Any:
    """What the data may yield: tokens of every cluster, no padding; the first of its rows."""

    def ids(spec: tf.TensorSpec) -> tf.Tensor:
        assert spec.dtype == tf.int32 and spec.shape[0] >= B
        rows = slice(rows_kept if spec.shape[0] == B else None)
        own = np.random.default_rng(spec.shape.num_elements()).permutation(
            np.resize(np.arange(8, V), spec.shape.num_elements())
        )
        return tf.constant(own.reshape(spec.shape)[rows], tf.int32)

    return tf.nest.map_structure(ids, built.element_spec(B, T))


def row_seeds(phase: Phase = TRAINING) -> tf.Tensor:
    return phase.row_seeds("objective", tf.range(B, dtype=tf.int64))


class Case(NamedTuple):
    """Something with weights: how it is made from a seed, and its floating-point outputs for fixed
    inputs in a phase."""

    make: Callable[[int], Any]
    call: Callable[[Any, Phase], list[tf.Tensor]]
    steps: int = 1  # after which every weight has had a gradient


def memories_of(any_trunk: Transformer) -> Memories:
    shape = any_trunk.empty_memories(B).hidden.shape
    return Memories(normal(*shape), tf.constant([0, 2, 7]))


def trunk_case(blocks: str, norm: str, sampling: str = "soft") -> Case:
    return Case(
        lambda seed: trunk(blocks, norm, sampling, seed),
        lambda made, phase: [
            made(tokens(), memories_of(made), visibility="causal", phase=phase)[0]
        ],
        steps=1 if sampling == "soft" else 7,  # a step teaches the branches that it has chosen
    )


def block_case(kinds: str, norm: str) -> Case:
    def make(seed: int) -> Block:
        return (
            StochasticBlock(config(norm), Initial(seed, 0.3), "block")
            if kinds == "s"
            else Block(kinds, config(norm), Initial(seed, 0.3), "block")
        )

    def call(made: Block, phase: Phase) -> list[tf.Tensor]:
        mixture = Mixture(tf.constant([0.5, 0.3, 0.2]), None) if kinds == "s" else None
        return [
            made(
                normal(B, T, D),
                normal(B, M, D) if made.attends else None,
                window=window(),
                mixture=mixture,
                phase=phase,
            )
        ]

    return Case(make, call)


def softmax_case(cutoffs: tuple[int, ...]) -> Case:
    rows, targets = normal(B * T, D), tf.reshape(tokens(), [-1])
    return Case(
        lambda seed: AdaptiveSoftmax(config(cutoffs=cutoffs), V, Initial(seed, 0.3)),
        lambda made, phase: [
            made.nll(rows, targets),
            made.log_prob(rows),
        ],
    )


def objective_case(
    name: str,
    blocks: str,
    norm: str = "pre",
    cutoffs: tuple[int, ...] = (11, 19),
    tied: bool = False,
) -> Case:
    def call(made: Any, phase: Phase) -> list[tf.Tensor]:
        batch = made.prepare(element(made), row_seeds(phase))
        return [made.loss(batch, memories_of(made.trunk), phase)[0]]

    steps = 1 if CONTRACTS[name].draws == 1 else 9  # what is drawn reaches all weights in the end
    return Case(lambda seed: objective(name, blocks, norm, cutoffs, seed, tied), call, steps)


CASES = {
    "Norm": Case(lambda seed: Norm(D, "norm"), lambda made, phase: [made(normal(B, T, D))]),
    "Dense": Case(
        lambda seed: Dense(D, F, Initial(seed, 0.3)), lambda made, phase: [made(normal(B, T, D))]
    ),
    "RelativeAttention": Case(
        lambda seed: RelativeAttention(D, H, Initial(seed, 0.3)),
        lambda made, phase: [made(normal(B, T, D), normal(B, M, D), window=window())],
    ),
    **{f"Block {kinds} {norm}": block_case(kinds, norm) for kinds in "ads" for norm in NORMS},
    **{f"AdaptiveSoftmax {cutoffs}": softmax_case(cutoffs) for cutoffs in [(), (11,), (11, 19)]},
    **{
        f"Transformer {blocks or 'empty'} {norm}": trunk_case(blocks, norm)
        for blocks in STRINGS
        for norm in NORMS
    },
    "Transformer asdi straight_through": trunk_case("asdi", "pre", "straight_through"),
    **{
        f"{name} {blocks} {norm}": objective_case(name, blocks, norm)
        for name in CONTRACTS
        for blocks in ("ad", "ss")
        for norm in NORMS
    },
    **{
        f"{name} tied {cutoffs}": objective_case(name, "ad", cutoffs=cutoffs, tied=True)
        for name in CONTRACTS
        for cutoffs in [(), (11, 19)]
    },
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_objective = pytest.mark.parametrize("name", CONTRACTS)


def layers_of(made: Any) -> dict[str, keras.layers.Layer]:
    return {"layer": made} if isinstance(made, keras.layers.Layer) else made.layers


def weights_of(made: Any) -> list[keras.Variable]:
    return [weight for layer in layers_of(made).values() for weight in layer.weights]


def randomised(made: Any) -> Any:
    """Every weight drawn anew, so that no gain is 1 and no bias 0."""
    for number, weight in enumerate(weights_of(made)):
        weight.assign(np.random.default_rng(number).normal(0, 0.4, weight.shape))
    return made


@pytest.mark.quick(12)
@each_case
@pytest.mark.parametrize(
    "phase",
    [pytest.param(EVALUATION, marks=pytest.mark.slow), TRAINING],
    ids=["evaluation", "training"],
)
def test_a_graph_gives_what_eager_code_gives(case, phase):
    made = randomised(case.make(1))
    for one, other in zip(tf.function(lambda: case.call(made, phase))(), case.call(made, phase)):
        assert one.dtype == tf.float32 and np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.quick(12)
@each_case
def test_what_was_saved_is_restored_whole_and_to_the_last_bit(case, tmp_path):
    one, other = randomised(case.make(1)), case.make(2)
    path = tf.train.Checkpoint(**layers_of(one)).write(str(tmp_path / "saved"))
    tf.train.Checkpoint(**layers_of(other)).read(path).assert_consumed()
    for mine, theirs in zip(weights_of(one), weights_of(other)):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    for mine, theirs in zip(case.call(one, TRAINING), case.call(other, TRAINING)):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.quick(12)
@each_case
def test_the_gradient_reaches_every_weight_and_nothing_else(case):
    made = randomised(case.make(1))
    with tf.GradientTape() as tape:
        phases = [dataclasses.replace(TRAINING, step=step) for step in range(case.steps)]
        loss = tf.add_n(
            [
                tf.reduce_sum(out * normal(*out.shape))
                for phase in phases
                for out in case.call(made, phase)
            ]
        )
    variables = [weight.value for weight in weights_of(made)]
    assert {id(v) for v in tape.watched_variables()} == {id(v) for v in variables}
    learning = {id(w) for layer in layers_of(made).values() for w in layer.trainable_variables}
    for weight, gradient in zip(weights_of(made), tape.gradient(loss, variables)):
        if id(weight) not in learning:  # it is frozen
            assert gradient is None, weight.path
            continue
        assert gradient is not None, weight.path
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-6, weight.path


@pytest.mark.quick(12)
@each_case
def test_a_seed_decides_the_initial_weights_and_no_global_seed_does(case):
    keras.utils.set_random_seed(1)
    one = weights_of(case.make(1))
    keras.utils.set_random_seed(2)
    again, other = weights_of(case.make(1)), weights_of(case.make(2))
    for a, b, c in zip(one, again, other):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert np.any(a.numpy() != c.numpy()) or a.numpy().std() == 0


@pytest.mark.quick(12)
@each_case
def test_two_of_them_share_no_state(case):
    one, other = case.make(1), case.make(1)
    before = [out.numpy() for out in case.call(one, TRAINING)]
    for weight in weights_of(other):
        weight.assign(tf.ones_like(weight))
    case.call(other, TRAINING)
    for out, expected in zip(case.call(one, TRAINING), before):
        np.testing.assert_array_equal(out, expected)


@each_objective
def test_prepare_gives_the_same_inside_tf_data_and_twice(name):
    built = objective(name, "a")
    window, prepare = element(built), built.prepare
    bare, again = (prepare(window, row_seeds()) for _ in range(2))
    inside = next(
        iter(tf.data.Dataset.from_tensors(window).map(lambda w: prepare(w, row_seeds())))
    )
    assert set(bare) == set(inside)
    for key in bare:
        np.testing.assert_array_equal(bare[key], again[key])
        np.testing.assert_array_equal(bare[key], inside[key])


@each_objective
@pytest.mark.parametrize("blocks", STRINGS)
def test_an_objective_states_its_visibility_its_layers_and_the_trunk_that_is_searched(
    name, blocks
):
    made_trunks, contract = [], CONTRACTS[name]

    def make_trunk(*of: Any, **how: Any) -> Transformer:
        made_trunks.append(any_trunk(blocks, "pre", 1, *of, **how))
        return made_trunks[-1]

    built = contract.network_class()(config(), V, 1, contract.default_settings())
    built.build(make_trunk)
    assert built.visibility == contract.visibility
    spec = built.element_spec(B, T)
    if contract.reads_documents:
        assert isinstance(spec, dict) and callable(built.documents)
        assert all(
            each.dtype == tf.int32 and (each.shape[0] == B or key in contract.shared)
            for key, each in spec.items()
        )
    else:
        assert spec.shape == (B, T + 1)
    assert hasattr(built, "encode") == contract.encodes
    assert hasattr(built, "log_prob") == contract.generates
    assert (
        made_trunks
        and built.trunk in made_trunks
        and all(any(t is layer for layer in built.layers.values()) for t in made_trunks)
    )
    assert all(
        isinstance(layer, keras.layers.Layer) and key.isidentifier()
        for key, layer in built.layers.items()
    )
    assert built.trunk.pi.shape == (len(blocks), 3)


@each_objective
@pytest.mark.parametrize("blocks", STRINGS)
def test_a_loss_is_two_sums_further_metrics_and_memories_of_the_same_shape(name, blocks):
    built = objective(name, blocks)
    empty = built.trunk.empty_memories(B)
    batch = built.prepare(element(built), row_seeds())
    nll, weight, parts, after = built.loss(batch, empty, EVALUATION)
    assert tuple(parts) == CONTRACTS[name].training_parts
    for each in (nll, weight, *(x for pair in parts.values() for x in pair)):
        assert each.shape == () and each.dtype == tf.float32
    scores, _ = built.token_scores(batch, empty, EVALUATION)
    assert tuple(scores) == CONTRACTS[name].scored
    for key, (value, of) in scores.items():
        own = 1 if CONTRACTS[name].unit == "text" else batch["tokens"].shape[1]
        assert value.shape == of.shape == (B, own)
        summed = {"nll": (nll, weight), **parts}
        if key in summed:
            total, whole = summed[key]
            assert float(tf.reduce_sum(value * of)) == pytest.approx(float(total), rel=1e-5)
            assert float(tf.reduce_sum(of)) == float(whole)
    assert float(nll) > 0 and 0 < float(weight) <= B * own
    assert (
        isinstance(after, Memories)
        and after.hidden.shape == empty.hidden.shape
        and after.valid.shape == empty.valid.shape
    )
    valid = after.valid.numpy().tolist()
    assert valid == [T] * B or (valid == [0] * B and not CONTRACTS[name].carries_memory)


@each_objective
def test_the_sums_of_a_batch_are_those_of_its_rows_added_up(name):
    built = randomised(objective(name, "as"))
    window, memories, seeds = element(built), memories_of(built.trunk), row_seeds()
    # in an evaluation no row's score depends on the others; in training those of some do
    training = not CONTRACTS[name].shared

    def prepared(rows: slice) -> Any:
        of_rows = (
            window[rows]
            if tf.is_tensor(window)
            else {
                key: each if key in CONTRACTS[name].shared else each[rows]
                for key, each in window.items()
            }
        )
        return built.prepare(of_rows, seeds[rows], training)

    nll, weight, parts, after = built.loss(prepared(slice(None)), memories, EVALUATION)
    rows = [
        built.loss(
            prepared(slice(b, b + 1)),
            Memories(memories.hidden[:, b : b + 1], memories.valid[b : b + 1]),
            EVALUATION,
        )
        for b in range(B)
    ]
    assert float(nll) == pytest.approx(sum(float(row[0]) for row in rows), rel=1e-5)
    assert float(weight) == sum(float(row[1]) for row in rows)
    for part, sums in parts.items():
        for place, total in enumerate(sums):
            summed = sum(float(row[2][part][place]) for row in rows)
            assert float(total) == pytest.approx(summed, rel=1e-6)
    np.testing.assert_allclose(
        after.hidden, tf.concat([row[3].hidden for row in rows], axis=1), rtol=1e-4, atol=1e-5
    )


def test_causal_lm_predicts_each_token_of_the_window_from_those_before_and_scores_no_padding():
    batch = (
        OBJECTIVES["causal_lm"]
        .network_class()
        .prepare(tf.constant([[8, 9, 10, 11], [12, 3, PAD, PAD]]))
    )
    assert {key: value.numpy().tolist() for key, value in batch.items()} == {
        "tokens": [[8, 9, 10], [12, 3, PAD]],
        "targets": [[9, 10, 11], [3, PAD, PAD]],
        "weights": [[1, 1, 1], [1, 0, 0]],
    }


@pytest.mark.parametrize("tied", [False, True], ids=["own vectors", "tied"])
@pytest.mark.parametrize("cutoffs", [(), (11, 19)], ids=str)
def test_causal_lm_sums_minus_the_log_probability_of_what_is_no_padding(cutoffs, tied):
    built = randomised(objective("causal_lm", "as", cutoffs=cutoffs, tied=tied))
    window = tokens(T + 1).numpy()
    window[1, 3:], window[2, 5:] = PAD, PAD
    memories = memories_of(built.trunk)
    hidden, _ = built.trunk(tf.constant(window[:, :-1]), memories, visibility="causal")
    log_prob = built.head.log_prob(tf.reshape(hidden, [-1, D])).numpy().reshape(B, T, V)
    scored = [(b, t) for b in range(B) for t in range(T) if window[b, t + 1] != PAD]
    nll, weight, metrics, _ = built.loss(built.prepare(tf.constant(window)), memories, EVALUATION)
    assert (float(weight), metrics) == (len(scored), {}) and len(scored) == 5 + 2 + 4
    assert float(nll) == pytest.approx(
        -sum(log_prob[b, t, window[b, t + 1]] for b, t in scored), rel=1e-5
    )
