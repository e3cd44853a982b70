"""Trunks side by side: their states, memories, gradients, and as a Keras layer."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.nn.composition import Composition
from par.nn.forward_mode import EVALUATION, EVALUATION_ARGMAX, Phase
from par.nn.memory_layout import Layout, Slot
from par.nn.parts import Part, Stack
from par.nn.transformer import Below, Transformer

V = 23


def part(
    name: str, blocks: str, d_model: int, visibility: str = "bidirectional", downsample: int = 1
) -> Part:
    model = ModelConfig(
        d_model=d_model,
        num_heads=2,
        d_ffn=10,
        mem_len=5,
        dropout_rate=0.2,
        downsample=downsample,
    )
    return Part(name, blocks, model, visibility, "run", "last", 1, "0" * 64)


X = part("x", "da", 8)
A = part("a", "ad", 6, "causal")
B = part("b", "sa", 10)
C = part("c", "ad", 4, downsample=3)
C3 = part("c3", "da", 4, downsample=3)


def composition(*levels: tuple[Part, ...], **settings) -> Composition:
    made = Composition(Stack(levels), V, 0, **settings)
    for number, variable in enumerate(made.weights):
        variable.assign(np.random.default_rng(number).normal(0, 0.4, variable.shape))
    return made


@pytest.fixture(scope="module")
def towers() -> Composition:
    """Two trunks on one: not to be changed."""
    return composition((X,), (A, B))


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return np.random.default_rng(5).integers(8, V, [3, 14]).astype(np.int32)


@pytest.mark.parametrize(
    "parts", [(A, B), (A, C), (C, C3)], ids=["two widths", "with characters", "characters alone"]
)
def test_each_part_has_the_states_that_it_has_alone(tokens, parts):
    both = composition(parts)
    whole, memories = both.empty_memories(3), []
    for trunk in both.named.values():
        memories.append(trunk.empty_memories(3))
    for start in (0, 7):
        window = tf.constant(tokens[:, start : start + 7])
        states, whole = both.read(window, whole)
        found = []
        for place, (of, trunk) in enumerate(zip(parts, both.named.values())):
            alone, memories[place] = trunk(window, memories[place], visibility=of.visibility)
            found.append(alone.numpy())
        assert states.shape == (3, 7, both.width)
        np.testing.assert_array_equal(states, np.concatenate(found, axis=-1))
    assert whole.valid.numpy().tolist() == [2 if parts == (C, C3) else 5] * 3


def test_a_tower_reads_the_states_of_the_level_below(towers, tokens):
    x, a, b = towers.named.values()
    empty = x.empty_memories(3, 0)
    states, _ = x(tf.constant(tokens), empty, visibility="bidirectional")
    zeros = tf.zeros([3], tf.int32)
    expected = []
    for of, trunk in ((A, a), (B, b)):
        layout = Layout(tuple(trunk.own_slots), 0)
        pasts = iter(layout.unpacked(tf.zeros(layout.shape(3, 0))))
        own, *_ = trunk.states(
            tf.constant(tokens), pasts, layout, zeros, 0, of.visibility, EVALUATION, None, states
        )
        expected.append(own.numpy())
    np.testing.assert_array_equal(towers(tokens), np.concatenate(expected, axis=-1))


def test_a_part_sees_of_a_window_what_it_saw_in_training(tokens):
    both = composition(
        (
            dataclasses.replace(A, name="causal"),
            dataclasses.replace(A, name="two", visibility="bidirectional"),
        )
    )
    changed = tokens.copy()
    changed[:, -1] = 8 + (changed[:, -1] - 7) % (V - 8)
    apart = np.abs(both(tokens).numpy() - both(changed).numpy())[:, :-1].max(axis=(0, 1))
    assert (apart[:6] == 0).all() and (apart[6:] > 0).all()


def test_padding_is_not_seen(towers, tokens):
    padded = tokens.copy()
    padded[:, 9:] = 0
    np.testing.assert_allclose(towers(padded)[:, :9], towers(tokens[:, :9]), atol=1e-5)


def of_window(made: Composition, tokens: np.ndarray, phase: Phase) -> tf.Tensor:
    """The states of a window with an empty memory of 5, in any phase."""
    empty, layout = made.empty_memories(3), made.memory_layout
    pasts = iter(layout.unpacked(empty.hidden))
    window = tf.constant(tokens)
    return made.states(window, pasts, layout, empty.valid, 5, phase=phase, real=None)[0]


def gradients(made: Composition, tokens: np.ndarray, phase: Phase) -> dict[str, list[float]]:
    """The largest gradient of the sum of squares, to each weight of each part that is trained."""
    with tf.GradientTape() as tape:
        states = of_window(made, tokens, phase)
        loss = tf.reduce_sum(states**2)
    named = {name: [v.value for v in t.trainable_variables] for name, t in made.named.items()}
    found = tape.gradient(loss, named, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {name: [float(tf.reduce_max(tf.abs(g))) for g in of] for name, of in found.items()}


def test_frozen_parts_have_no_gradient_and_the_others_have_one_everywhere(tokens):
    made = composition((X,), (A, B), trained=("x", "b"))
    found = gradients(made, tokens, Phase(training=True, seed=1, step=0))
    assert found["a"] == []
    for name in ("x", "b"):
        assert found[name] and all(value > 0 for value in found[name])
    assert not any(v.name == "alpha" for v in made.trainable_variables)


def test_the_argmax_of_a_search_leaves_the_mixtures_of_its_base_as_they_are(towers, tokens):
    mixture, argmax = (of_window(towers, tokens, each) for each in (EVALUATION, EVALUATION_ARGMAX))
    np.testing.assert_array_equal(argmax, mixture)


def test_only_trained_parts_have_dropout(tokens):
    def states(phase: Phase, *trained: str) -> np.ndarray:
        made = composition((A, B), trained=trained)
        return of_window(made, tokens, phase).numpy()

    training = Phase(training=True, seed=1, step=3)
    still = states(EVALUATION)
    np.testing.assert_array_equal(states(training), still)
    moved = states(training, "b")
    np.testing.assert_array_equal(moved[..., :6], still[..., :6])
    assert (moved[..., 6:] != still[..., 6:]).mean() > 0.9


def test_a_trunk_on_a_base_equals_the_same_weights_in_two_steps(towers, tokens):
    model = ModelConfig(d_model=12, num_heads=2, d_ffn=10, mem_len=5)
    on_base = Transformer(A.architecture, model, None, V, 0, below=Below(16, lambda: towers))
    assert on_base.embedding is None and on_base.projection.shape == (16, 12)
    assert [slot.width for slot in on_base.memory_layout.slots] == [8, 6, 10, 10, 12]
    assert not set(map(id, on_base.weights)) & set(map(id, towers.weights))
    memories, base = on_base.empty_memories(3), towers.empty_memories(3)
    own, layout = [tf.zeros([3, 5, 12])], Layout((Slot(12),), 12)
    for start in (0, 7):
        window = tf.constant(tokens[:, start : start + 7])
        valid = base.valid
        states, base = towers.read(window, base)
        expected, own, *_ = on_base.states(
            window, iter(own), layout, valid, 5, "bidirectional", EVALUATION, None, states
        )
        found, memories = on_base(window, memories, visibility="bidirectional")
        np.testing.assert_array_equal(found, expected)


# Keras' own, when it writes a variable
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_it_is_a_layer_of_keras_that_is_saved_and_loaded(towers, tokens, tmp_path):
    inputs = keras.Input((14,), dtype="int32")
    pooled = keras.layers.GlobalAveragePooling1D()(towers(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    expected = model.predict(tokens, verbose=0)
    assert len(model.trainable_variables) == 2
    model.save(tmp_path / "own.keras")
    again = keras.models.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(again.predict(tokens, verbose=0), expected)


def test_windows_of_no_fixed_length_are_refused(towers):
    with pytest.raises(UsageError, match=r"fixed length T"):
        towers.call(keras.KerasTensor((None, None), "int32"))


def test_unknown_names_are_not_unfrozen(towers):
    with pytest.raises(UsageError, match="which has x, a, b"):
        towers.unfreeze(["c"])
