"""A SuperNet that has decided is the fixed network; one that has not is a mixture whose logits learn."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from par import gumbel, supernet
from par.architecture import KINDS, Architecture
from par.config import ModelConfig, SearchConfig
from par.phase import EVALUATION, EVALUATION_ARGMAX, Phase
from par.transformer import Memories, Transformer

B, T, M, H, K, F, V = 3, 5, 7, 2, 11, 13, 29
D = H * K
GAP = 200.0  # between logits: exp(-GAP) is 0 in float32, whatever the noise
SAMPLINGS = SearchConfig.choices("sampling")
each_norm = pytest.mark.parametrize("norm", ["pre", "post"])
each_sampling = pytest.mark.parametrize("sampling", SAMPLINGS)
each_pair = pytest.mark.parametrize("kinds", ["".join(pair) for pair in itertools.product(KINDS, repeat=2)])


def randomised(blocks: str, norm: str = "pre", sampling: str = "soft") -> Transformer:
    """A network whose every weight is drawn anew, so that no gain is 1 and no bias 0."""
    config = ModelConfig(d_model=D, num_heads=H, d_ffn=F, mem_len=M, dropout_rate=0.3, norm=norm)
    trunk = Transformer(Architecture(blocks), config, SearchConfig(sampling=sampling), V, seed=1)
    for number, weight in enumerate(trunk.weights):
        weight.assign(np.random.default_rng(number).normal(0, 0.4, weight.shape))
    return trunk


network = functools.cache(randomised)  # tests change its logits, and nothing else


def pairs(fixed: Transformer, search: Transformer) -> list[tuple]:
    """The weights of a fixed network, each beside its own in the SuperNet."""
    layers = [(fixed.final_norm, search.final_norm)] if fixed.final_norm else []
    for mine, theirs in zip(fixed.blocks, search.blocks):
        for kind in mine.kinds:
            o = theirs.kinds.index(kind)
            layers += [(mine.branches[0], theirs.branches[o]), (mine.norms[0], theirs.norms[0 if mine.pre else o])]
    weights = [(fixed.embedding, search.embedding), *(pair for mine, theirs in layers for pair in zip(mine.weights, theirs.weights))]
    assert len(weights) == len(fixed.weights)
    return weights


@functools.cache
def fixed_network(search: Transformer, kinds: str) -> Transformer:
    """The fixed network of these kinds with the SuperNet's weights."""
    fixed = randomised(kinds, search.config.norm)
    for mine, theirs in pairs(fixed, search):
        mine.assign(theirs)
    return fixed


def decide(search: Transformer, kinds: str, gap: float = GAP) -> None:
    search.alpha.assign([[gap * (kind == k) for k in KINDS] for kind in kinds])


def inputs(trunk: Transformer) -> tuple[tf.Tensor, Memories]:
    draw = np.random.default_rng(6)
    hidden = draw.normal(size=[1, B, M, D]) * np.ones([trunk.empty_memories(B).hidden.shape[0], 1, 1, 1])
    return tf.constant(draw.integers(V, size=[B, T]), tf.int32), Memories(tf.constant(hidden, tf.float32), tf.constant([0, 2, 7]))


def training(step: int = 5, tau: float = 1.0) -> Phase:
    return Phase(training=True, seed=3, step=tf.constant(step, tf.int64), tau=tau)


CASES = {
    "mixture": ("soft", GAP, EVALUATION),
    "argmax": ("soft", 0.01, EVALUATION_ARGMAX),
    "soft training": ("soft", GAP, training(tau=0.1)),
    "straight-through training": ("straight_through", GAP, training()),
}


@pytest.mark.parametrize(("sampling", "gap", "phase"), CASES.values(), ids=CASES)
@each_norm
@each_pair
def test_supernet_at_one_hot_pi_equals_the_fixed_network(kinds, norm, sampling, gap, phase):
    search = network("ss", norm, sampling)
    decide(search, kinds, gap)
    fixed = fixed_network(search, kinds)
    hidden, after = search(*inputs(search), phase=phase)
    expected, expected_after = fixed(*inputs(fixed), phase=phase)
    np.testing.assert_allclose(hidden, expected, rtol=1e-4, atol=1e-5)
    attending = [index for index, kind in enumerate(kinds) if kind == "a"]
    np.testing.assert_allclose(after.hidden.numpy()[attending], expected_after.hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.valid, expected_after.valid)


@each_norm
def test_in_training_the_chosen_branches_learn_as_in_the_fixed_network_and_the_others_not_at_all(norm):
    search = network("sss", norm, "straight_through")
    decide(search, "dai")
    fixed, of = fixed_network(search, "dai"), np.random.default_rng(4).normal(size=[B, T, D]).astype(np.float32)
    gradients = []
    for trunk in (fixed, search):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(trunk(*inputs(trunk), phase=training())[0] * of)
        of_weights = tape.gradient(loss, [weight.value for weight in trunk.weights])
        gradients.append({id(weight): np.asarray(tf.convert_to_tensor(g)) for weight, g in zip(trunk.weights, of_weights)})
    shared = pairs(fixed, search)
    for mine, theirs in shared:
        np.testing.assert_allclose(gradients[1].pop(id(theirs)), gradients[0][id(mine)], rtol=1e-3, atol=1e-4)
    gradients[1].pop(id(search.alpha))
    assert len(gradients[1]) > 10 and not any(gradient.any() for gradient in gradients[1].values())


@each_sampling
def test_evaluation_weights_are_the_softmax_of_the_logits_without_tau(sampling):
    alpha = tf.constant([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    expected = np.exp(alpha) / np.exp(alpha).sum(axis=-1, keepdims=True)
    for phase in (EVALUATION, Phase(tau=0.1, seed=5, step=7)):
        np.testing.assert_allclose(supernet.mixture(alpha, sampling, phase), expected, rtol=1e-6)
    np.testing.assert_array_equal(supernet.mixture(alpha, sampling, EVALUATION_ARGMAX), [[0, 0, 1], [0, 0, 1]])


def test_training_weights_are_gumbel_softmax_samples_of_the_step():
    alpha = tf.constant([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    noise = gumbel.gumbel_noise(training().seed_of(supernet.NOISE_PLACE), [2, 3])
    soft, hard = (supernet.mixture(alpha, sampling, training(tau=0.3)) for sampling in SAMPLINGS)
    np.testing.assert_array_equal(soft, gumbel.relaxed_one_hot(alpha, noise, 0.3))
    np.testing.assert_array_equal(hard, gumbel.one_hot(soft))


def test_every_step_and_every_block_draws_its_own_sample_and_a_step_repeated_the_same():
    alpha = tf.zeros([5, 3])
    draws = np.array([supernet.mixture(alpha, "soft", training(step)).numpy() for step in (1, 2, 1)])
    np.testing.assert_array_equal(draws[0], draws[2])
    assert len(np.unique(draws[:2, :, 0])) == 10


@each_sampling
@each_norm
@pytest.mark.parametrize("blocks", ["s", "sss", "asd"])
def test_logits_are_weights_that_get_a_gradient(blocks, norm, sampling):
    trunk = network(blocks, norm, sampling)
    trunk.alpha.assign(tf.zeros_like(trunk.alpha))
    assert trunk.logits == [trunk.alpha] and any(v is trunk.alpha for v in trunk.trainable_variables)
    of = np.random.default_rng(4).normal(size=[B, T, D]).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(trunk(*inputs(trunk), phase=training(tau=0.5))[0] * of)
    gradient = tape.gradient(loss, trunk.alpha.value).numpy()
    assert gradient.shape == (blocks.count("s"), 3) and np.isfinite(gradient).all() and np.abs(gradient).max(axis=-1).min() > 1e-3
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-2 * np.abs(gradient).max())


@each_norm
@pytest.mark.parametrize("blocks", ["", "a", "adi"])
def test_a_fixed_network_has_no_logits(blocks, norm):
    trunk = network(blocks, norm)
    assert trunk.alpha is None and trunk.logits == [] and "alpha" not in {weight.name for weight in trunk.weights}


@each_norm
def test_a_partial_search_mixes_its_stochastic_blocks_and_no_other(norm):
    search = network("sasd", norm)
    decide(search, "di")
    fixed = fixed_network(search, "daid")
    np.testing.assert_allclose(search(*inputs(search))[0], fixed(*inputs(fixed))[0], rtol=1e-4, atol=1e-5)


def test_undecided_logits_mix_all_kinds():
    search = network("s")
    search.alpha.assign(tf.zeros([1, 3]))
    hidden = search(*inputs(search))[0].numpy()
    for kind in KINDS:
        decide(search, kind)
        assert np.abs(search(*inputs(search))[0] - hidden).max() > 0.05


def test_pi_is_the_softmax_of_the_logits_and_one_hot_where_a_block_is_fixed():
    search = network("asds")
    search.alpha.assign([[0.5, -1.0, 2.0], [3.0, 0.0, 0.0]])
    odds = np.exp([[0.5, -1.0, 2.0], [3.0, 0.0, 0.0]])
    first, second = odds / odds.sum(axis=-1, keepdims=True)
    assert search.pi.dtype == np.float64
    np.testing.assert_allclose(search.pi, [[1, 0, 0], first, [0, 1, 0], second], rtol=1e-6)
    np.testing.assert_array_equal(network("dai").pi, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert network("").pi.shape == (0, 3)


@pytest.mark.parametrize("shift", [-1000.0, 0.0, 1000.0])
def test_pi_does_not_depend_on_a_constant_in_the_logits(shift):
    search = network("s")
    search.alpha.assign([[shift, shift + 1, shift + 2]])
    np.testing.assert_allclose(search.pi, [[0.09003057, 0.24472847, 0.66524096]], rtol=1e-5)
