"""The trunk: a text gives the same hidden states however it is cut into windows, and memories are
read, not learnt through."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from naive import attention as naive
from par.core.config import ModelConfig, SearchConfig
from par.nn.forward_mode import Phase
from par.nn.transformer import Memories, Transformer
from par.search.architecture import Architecture

B, M, H, K, F, V = 3, 7, 2, 11, 13, 29
D = H * K
STRINGS = ["adadad", "sss", "asdis", "ddd", "i", "aaid", ""]
BAND = Phase(same_length=True)
each_norm = pytest.mark.parametrize("norm", ["pre", "post"])
each_string = pytest.mark.parametrize("blocks", STRINGS, ids=lambda blocks: blocks or "empty")


def fresh(blocks: str, norm: str = "pre", seed: int = 1, **settings) -> Transformer:
    config = ModelConfig(d_model=D, num_heads=H, d_ffn=F, mem_len=M, norm=norm, **settings)
    return Transformer(Architecture(blocks), config, SearchConfig(), V, seed)


def randomised(trunk: Transformer, seed: int = 1) -> Transformer:
    """Every weight drawn anew, so that no gain is 1, no bias 0 and no mixture even."""
    for number, weight in enumerate(trunk.weights):
        weight.assign(np.random.default_rng([seed, number]).normal(0, 0.4, weight.shape))
    return trunk


@functools.cache
def network(blocks: str, norm: str = "pre", **settings) -> Transformer:
    """A randomised network that several tests read and none changes."""
    return randomised(fresh(blocks, norm, **settings))


def text(seq_len: int, seed: int = 6) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).integers(V, size=[B, seq_len]), tf.int32)


def by_windows(
    trunk: Transformer, tokens: tf.Tensor, lengths: tuple[int, ...], mem_len: int, **how
) -> tuple[np.ndarray, Memories]:
    """Hidden states of a text that is cut into windows of these lengths, and the memories after
    the last."""
    memories, states = trunk.empty_memories(B, mem_len), []
    for window in tf.split(tokens, lengths, axis=1):
        hidden, memories = trunk(window, memories, **{"visibility": "causal"} | how)
        states.append(hidden.numpy())
    return np.concatenate(states, axis=1), memories


def same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.quick(14)
@each_norm
@each_string
@pytest.mark.parametrize(
    ("lengths", "mem_len"),
    [((5, 3), 5), ((5, 3), 7), ((3, 5, 2), 8), ((3, 5, 2), 11)],
    ids=str,
)
def test_two_windows_with_memory_equal_one_long_window(blocks, norm, lengths, mem_len):
    trunk, tokens = network(blocks, norm), text(sum(lengths))
    hidden, after = by_windows(trunk, tokens, lengths, mem_len)
    expected, expected_after = by_windows(trunk, tokens, (sum(lengths),), mem_len)
    same(hidden, expected)
    same(after.hidden, expected_after.hidden)
    np.testing.assert_array_equal(after.valid, expected_after.valid)
    same(by_windows(trunk, tokens, (sum(lengths),), 0)[0], expected)


def test_a_memory_shorter_than_the_first_window_forgets():
    trunk, tokens = network("aa"), text(8)
    short, long = (by_windows(trunk, tokens, (5, 3), mem_len)[0] for mem_len in (4, 5))
    same(short[:, :5], long[:, :5])
    assert np.abs(short - long)[:, 5].max() > 1e-3


@pytest.mark.quick(2)
@each_norm
@pytest.mark.parametrize("mem_len", [0, 1, 3, 7, 13])
def test_stepping_one_token_at_a_time_equals_one_window_of_the_same_length_band(norm, mem_len):
    trunk, tokens = network("asda", norm), text(11)
    expected, expected_after = by_windows(trunk, tokens, (11,), mem_len, phase=BAND)
    for lengths in ((1,) * 11, (5, 1, 2, 3)):
        hidden, after = by_windows(trunk, tokens, lengths, mem_len, phase=BAND)
        same(hidden, expected)
        same(after.hidden, expected_after.hidden)
    same(by_windows(trunk, tokens, (1,) * 11, mem_len)[0], expected)


def test_without_memory_the_band_shows_a_token_itself_only():
    trunk, tokens = network("aada"), text(5)
    hidden, _ = by_windows(trunk, tokens, (5,), 0, phase=BAND)
    for t in range(5):
        same(hidden[:, t : t + 1], by_windows(trunk, tokens[:, t : t + 1], (1,), 0)[0])
    assert np.abs(by_windows(trunk, tokens, (5,), 0)[0] - hidden)[:, 1:].max() > 1e-2


@each_norm
def test_an_empty_memory_of_any_length_changes_nothing(norm):
    trunk, tokens = network("asd", norm), text(5)
    expected, _ = by_windows(trunk, tokens, (5,), 0)
    for mem_len in (1, 5, 13):
        same(by_windows(trunk, tokens, (5,), mem_len)[0], expected)
    rubbish = Memories(tf.fill([2, B, M, D], 1e3), tf.zeros([B], tf.int32))
    same(trunk(tokens, rubbish, visibility="causal")[0], expected)


def test_every_row_has_a_memory_of_its_own_length():
    trunk, tokens = network("asd"), text(5)
    hidden = tf.random.stateless_normal([2, B, M, D], [1, 2])
    mixed, after = trunk(tokens, Memories(hidden, tf.constant([0, 3, 7])), visibility="causal")
    for row, valid in enumerate((0, 3, 7)):
        cut = Memories(hidden[:, row : row + 1, M - valid :], tf.constant([valid]))
        same(mixed[row : row + 1], trunk(tokens[row : row + 1], cut, visibility="causal")[0])
    assert after.valid.numpy().tolist() == [5, 7, 7]


@each_string
def test_only_blocks_that_can_attend_have_a_memory(blocks):
    trunk = network(blocks)
    empty = trunk.empty_memories(B)
    assert empty.hidden.shape == (blocks.count("a") + blocks.count("s"), B, M, D) and not np.any(
        empty.hidden
    )
    assert trunk.empty_memories(2, mem_len=0).hidden.shape[1:] == (2, 0, D)
    memories = empty
    for valid in (5, 7):
        _, memories = trunk(text(5), memories, visibility="causal")
        assert (
            memories.hidden.shape == empty.hidden.shape
            and memories.valid.numpy().tolist() == [valid] * B
        )


@each_norm
def test_a_memory_holds_the_newest_raw_inputs_of_its_block_in_order(norm):
    trunk, tokens = network("da", norm), text(13)
    _, after = by_windows(trunk, tokens, (5, 5, 3), M)
    dense_alone = fresh("d", norm)
    for mine, theirs in zip(dense_alone.blocks[0].weights, trunk.blocks[0].weights):
        mine.assign(theirs)
    embedded = tf.gather(trunk.embedding, tokens) * D**0.5
    expected = dense_alone.blocks[0](embedded, None, window=None, mixture=None, phase=Phase())
    same(after.hidden[0], expected[:, -M:])


@each_norm
@pytest.mark.parametrize("blocks", ["a", "sds", "aad"])
def test_no_gradient_goes_through_the_memories(blocks, norm):
    trunk = network(blocks, norm)
    past, now = text(5) % 13, text(3) % 13 + 13  # no id in common
    with tf.GradientTape() as tape:
        _, memories = trunk(past, trunk.empty_memories(B), visibility="causal")
        hidden, _ = trunk(now, memories, visibility="causal")
        loss = tf.reduce_sum(
            hidden * np.random.default_rng(1).normal(size=hidden.shape).astype(np.float32)
        )
    gradient = np.abs(tf.convert_to_tensor(tape.gradient(loss, trunk.embedding.value))).max(
        axis=-1
    )
    assert set(np.flatnonzero(gradient)) == set(now.numpy().ravel())
    assert (
        np.abs(
            trunk(
                now,
                trunk(past[:, ::-1], trunk.empty_memories(B), visibility="causal")[1],
                visibility="causal",
            )[0]
            - hidden
        ).max()
        > 1e-3
    ), "the memories are read"


def test_a_later_token_changes_earlier_hidden_states_only_if_visibility_is_bidirectional():
    trunk, tokens = network("asda"), text(5).numpy()
    _, memories = trunk(text(M, seed=1), trunk.empty_memories(B), visibility="causal")
    changed = tokens.copy()
    changed[:, 3] = (tokens[:, 3] + 1) % V
    for visibility, first in (("causal", 3), ("bidirectional", 0)):
        one, other = (
            trunk(tf.constant(t), memories, visibility=visibility)[0].numpy()
            for t in (tokens, changed)
        )
        np.testing.assert_array_equal(one[:, :first], other[:, :first])
        assert np.abs(one - other)[:, first:].max(axis=-1).min() > 1e-4


def test_the_order_of_the_past_matters():
    trunk, tokens = network("a"), text(5)
    swapped = tf.gather(tokens, [1, 0, 2, 3, 4], axis=1)
    assert (
        np.abs(
            trunk(tokens, trunk.empty_memories(B), visibility="causal")[0]
            - trunk(swapped, trunk.empty_memories(B), visibility="causal")[0]
        )[:, 4].max()
        > 1e-3
    )


@pytest.mark.parametrize("visibility", ["causal", "bidirectional"])
def test_a_padded_row_equals_a_short_row_and_a_row_of_padding_alone_is_finite(visibility):
    trunk, tokens = network("asd", "pre"), text(7).numpy()
    memories = trunk.empty_memories(B)
    _, memories = trunk(text(M, seed=1), memories, visibility=visibility)
    short, _ = trunk(tf.constant(tokens[:, :4]), memories, visibility=visibility)
    tokens[:, 4:] = 0
    real = tf.repeat(tf.range(7)[None] < 4, B, axis=0)
    how = {"visibility": visibility, "real": real}
    same(trunk(tf.constant(tokens), memories, **how)[0][:, :4], short)
    seen = trunk(tf.constant(tokens), memories, visibility=visibility)[0][:, :4]
    assert (np.abs(seen - short).max() > 1e-3) == (visibility == "bidirectional")
    none, empty = tf.zeros([B, 7], tf.bool), trunk.empty_memories(B)
    hidden, _ = trunk(tf.constant(tokens), empty, visibility=visibility, real=none)
    assert np.isfinite(hidden).all()


def test_another_visibility_is_refused():
    trunk = network("a")
    with pytest.raises(
        ValueError, match="visibility must be causal or bidirectional, but is 'sideways'"
    ):
        trunk(text(5), trunk.empty_memories(B), visibility="sideways")


def test_without_blocks_the_trunk_is_its_scaled_embedding():
    post, pre = network("", "post"), randomised(fresh("", "pre"))
    embedded = tf.gather(post.embedding, text(5)) * D**0.5
    assert post.embedding.shape == (V, D)
    same(post(text(5), post.empty_memories(B), visibility="causal")[0], embedded)
    pre.embedding.assign(post.embedding)
    same(pre(text(5), pre.empty_memories(B), visibility="causal")[0], pre.final_norm(embedded))


@each_norm
def test_a_seed_decides_every_weight_and_no_global_seed_does(norm):
    keras.utils.set_random_seed(1)
    one = fresh("asdi", norm).get_weights()
    keras.utils.set_random_seed(2)
    again, other = fresh("asdi", norm).get_weights(), fresh("asdi", norm, seed=2).get_weights()
    drawn = [weight.std() > 0 for weight in one]
    for a, b, c, random in zip(one, again, other, drawn):
        np.testing.assert_array_equal(a, b)
        assert np.any(a != c) == random
    assert sum(drawn) == 1 + 2 * 6 + 2 * 2
    assert len({w.ravel()[0] for w, random in zip(one, drawn) if random}) == sum(drawn), (
        "two weights have the same initial values"
    )


def test_initial_weights_have_the_configured_spread():
    for weight in fresh("asd", init_std=0.05).weights:
        expected = {
            "gain": (1, 0),
            "inner_bias": (0, 0),
            "outer_bias": (0, 0),
            "bias": (0, 0),
            "alpha": (0, 0),
        }.get(weight.name, (0, 0.05))
        assert (weight.numpy().mean(), weight.numpy().std()) == pytest.approx(
            expected, rel=0.35, abs=0.03 if expected[1] else 1e-7
        )


def test_two_trunks_live_side_by_side_and_share_nothing():
    one, other = randomised(fresh("asd")), randomised(fresh("asd"), seed=2)
    tokens, empty = text(5), one.empty_memories(B)
    before = one(tokens, empty, visibility="causal")[0].numpy()
    assert np.abs(other(tokens, empty, visibility="causal")[0] - before).max() > 0.1
    for weight in other.weights:
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_array_equal(one(tokens, empty, visibility="causal")[0], before)
    assert not {id(weight) for weight in one.weights} & {id(weight) for weight in other.weights}


@each_norm
def test_evaluation_repeats_to_the_last_bit_and_training_hangs_on_the_step_alone(norm):
    trunk, tokens = network("asd", norm), text(5)

    def run(phase: Phase) -> np.ndarray:
        empty = trunk.empty_memories(B)
        return trunk(tokens, empty, visibility="causal", phase=phase)[0].numpy()

    steps = [Phase(training=True, seed=3, step=tf.constant(step, tf.int64)) for step in (5, 5, 6)]
    np.testing.assert_array_equal(run(Phase()), run(Phase(seed=9, step=4, tau=0.1)))
    np.testing.assert_array_equal(run(steps[0]), run(steps[1]))
    assert (
        np.abs(run(steps[0]) - run(steps[2])).max() > 0.1
        and np.abs(run(steps[0]) - run(Phase())).max() > 0.1
    )


def test_the_embedding_is_dropped_out_anew_at_every_step():
    trunk, tokens = network("", "post", dropout_rate=0.5), text(11)
    embedded, memories = (
        (tf.gather(trunk.embedding, tokens) * D**0.5).numpy(),
        trunk.empty_memories(B),
    )
    out = [
        trunk(
            tokens, memories, phase=Phase(training=True, seed=3, step=step), visibility="causal"
        )[0].numpy()
        for step in (5, 6)
    ]
    for dropped in out:
        kept = dropped != 0
        assert abs(kept.mean() - 0.5) < 0.1
        same(dropped[kept], 2 * embedded[kept])
    assert abs(((out[0] != 0) == (out[1] != 0)).mean() - 0.5) < 0.1


def test_every_place_of_dropout_has_a_mask_of_its_own():
    trunk = network("dd", "pre", dropout_rate=0.5)
    seen = []
    original = trunk.blocks[0].__class__.call

    def spy(self, x, *args, **kwargs):
        out = original(self, x, *args, **kwargs)
        seen.append((out - x).numpy() != 0)
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trunk.blocks[0].__class__, "call", spy)
        trunk(
            text(11),
            trunk.empty_memories(B),
            phase=Phase(training=True, seed=3, step=5),
            visibility="causal",
        )
    assert abs((seen[0] == seen[1]).mean() - 0.5) < 0.1


def test_a_clamped_distance_counts_as_the_largest_that_is_told_apart():
    trunk, tokens = network("ada"), text(6)
    memories = Memories(tf.random.stateless_normal([2, B, M, D], [4, 5]), tf.fill([B], M))
    hidden = {
        clamp_len: trunk(tokens, memories, phase=Phase(clamp_len=clamp_len), visibility="causal")[
            0
        ]
        for clamp_len in (None, 6 + M - 1, 6 + M, 4, 0)
    }
    same(hidden[None], hidden[6 + M - 1])
    same(hidden[None], hidden[6 + M])
    assert (
        np.abs(hidden[None] - hidden[4]).max() > 1e-2
        and np.abs(hidden[0] - hidden[4]).max() > 1e-2
    )


@each_norm
@pytest.mark.parametrize("blocks", ["daad", "asis", "s"])
def test_the_attention_of_a_block_is_that_of_its_inputs_by_the_naive_twin(blocks, norm):
    trunk, tokens = network(blocks, norm), text(2 * M)
    _, before = trunk(tokens[:, :M], trunk.empty_memories(B), visibility="causal")
    _, after = trunk(
        tokens[:, M:], before, visibility="causal"
    )  # T = M: the memories hold the inputs of both windows
    for order, block in enumerate(index for index, kind in enumerate(blocks) if kind in "as"):
        found, memories = trunk.attention(tokens[:, M:], before, block, visibility="causal")
        attention, of_block = trunk.blocks[block].parts("a")
        read = of_block if norm == "pre" else lambda x: x
        weights = {weight.name: weight.numpy() for weight in attention.weights}
        expected = naive.attention_probabilities(
            read(after.hidden[order]).numpy(), read(before.hidden[order]).numpy(), weights
        )
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        for one, other in zip(memories, after):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_every_spelling_of_a_network_draws_the_same_weights_and_dropout(norm):
    """Bit for bit, in training: identity adds nothing, and takes no random numbers."""
    phase = Phase(training=True, seed=3, step=tf.constant(5, tf.int64))
    made = {}
    for blocks in ("ddad", "diidad", "iddaid"):
        trunk = fresh(blocks, norm, dropout_rate=0.3)
        with tf.GradientTape() as tape:
            hidden, memories = trunk(
                text(5), trunk.empty_memories(B), phase=phase, visibility="causal"
            )
            loss = tf.reduce_sum(tf.square(hidden))
        weights = [weight.value for weight in trunk.weights]
        gradients = tape.gradient(loss, weights)
        values = [hidden, memories.hidden, *weights, *map(tf.convert_to_tensor, gradients)]
        made[blocks] = [np.asarray(value) for value in values]
    canonical = made.pop("ddad")
    for spelled in made.values():
        assert all(map(np.array_equal, spelled, canonical)) and len(spelled) == len(canonical)
    plain = fresh("ddad", norm, dropout_rate=0.3)
    assert not np.array_equal(
        plain(text(5), plain.empty_memories(B), visibility="causal")[0], canonical[0]
    )
