"""A SuperNet that has decided is the fixed network; one that has not is a mixture whose logits
learn."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.nn import supernet
from par.nn.blocks import Mixture
from par.nn.forward_mode import EVALUATION, EVALUATION_ARGMAX, Phase
from par.nn.transformer import Memories, Transformer
from par.search import gumbel
from par.search.architecture import KINDS, Architecture

B, T, M, H, K, F, V = 3, 5, 7, 2, 11, 13, 29
D = H * K
GAP = 200.0  # between logits: exp(-GAP) is 0 in float32, whatever the noise
SAMPLINGS = SearchConfig.choices("sampling")
each_norm = pytest.mark.parametrize("norm", ["pre", "post"])
each_sampling = pytest.mark.parametrize("sampling", SAMPLINGS)
each_pair = pytest.mark.parametrize(
    "kinds", ["".join(pair) for pair in itertools.product(KINDS, repeat=2)]
)


def randomised(
    blocks: str, norm: str = "pre", sampling: str = "soft", prune_below: float = 0.0
) -> Transformer:
    """A network whose every weight is drawn anew, so that no gain is 1 and no bias 0."""
    config = ModelConfig(d_model=D, num_heads=H, d_ffn=F, mem_len=M, dropout_rate=0.3, norm=norm)
    trunk = Transformer(
        Architecture(blocks),
        config,
        SearchConfig(sampling=sampling, paths=1, prune_below=prune_below),
        V,
        seed=1,
    )
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
            layers += [
                (mine.branches[0], theirs.branches[o]),
                (mine.norms[0], theirs.norms[0 if mine.pre else o]),
            ]
    weights = [
        (fixed.embedding, search.embedding),
        *(pair for mine, theirs in layers for pair in zip(mine.weights, theirs.weights)),
    ]
    assert len(weights) == len(fixed.weights)
    return weights


@functools.cache
def fixed_network(search: Transformer, kinds: str) -> Transformer:
    """The fixed network of these kinds with the SuperNet's weights and dropout."""
    fixed = randomised(kinds, search.config.norm)
    for mine, theirs in pairs(fixed, search):
        mine.assign(theirs)
    # a fixed network's own dropout does not count identities, a search's does
    for block, other in zip(fixed.blocks, search.blocks):
        block.place = other.place
    return fixed


def decide(search: Transformer, kinds: str, gap: float = GAP) -> None:
    search.alpha.assign([[gap * (kind == k) for k in KINDS] for kind in kinds])


def inputs(trunk: Transformer) -> tuple[tf.Tensor, Memories]:
    draw = np.random.default_rng(6)
    hidden = draw.normal(size=[1, B, M, D]) * np.ones(
        [trunk.empty_memories(B).hidden.shape[0], 1, 1, 1]
    )
    return tf.constant(draw.integers(V, size=[B, T]), tf.int32), Memories(
        tf.constant(hidden, tf.float32), tf.constant([0, 2, 7])
    )


def training(step: int = 5, tau: float = 1.0) -> Phase:
    return Phase(training=True, seed=3, step=tf.constant(step, tf.int64), tau=tau)


def weights(alpha: tf.Tensor, sampling: str, phase: Phase) -> tf.Tensor:
    return supernet.mixture(alpha, SearchConfig(sampling=sampling, paths=1), phase).weights


CASES = {
    "mixture": ("soft", GAP, EVALUATION),
    "argmax": ("soft", 0.01, EVALUATION_ARGMAX),
    "soft training": ("soft", GAP, training(tau=0.1)),
    "straight-through training": ("straight_through", GAP, training()),
    "single-path training": ("single_path", GAP, training()),
}


@pytest.mark.quick(30)
@pytest.mark.parametrize(("sampling", "gap", "phase"), CASES.values(), ids=CASES)
@each_norm
@each_pair
def test_supernet_at_one_hot_pi_equals_the_fixed_network(kinds, norm, sampling, gap, phase):
    search = network("ss", norm, sampling)
    decide(search, kinds, gap)
    fixed = fixed_network(search, kinds)
    hidden, after = search(*inputs(search), visibility="causal", phase=phase)
    expected, expected_after = fixed(*inputs(fixed), visibility="causal", phase=phase)
    np.testing.assert_allclose(hidden, expected, rtol=1e-4, atol=1e-5)
    attending = [index for index, kind in enumerate(kinds) if kind == "a"]
    np.testing.assert_allclose(
        after.hidden.numpy()[attending], expected_after.hidden, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(after.valid, expected_after.valid)


@pytest.mark.parametrize(
    ("settings", "phase", "expected"),
    [
        ({}, EVALUATION, None),
        ({}, EVALUATION_ARGMAX, [[1, 0, 0], [0, 1, 0]]),
        ({}, training(), None),
        ({"sampling": "straight_through"}, training(), None),
        ({"sampling": "single_path"}, training(), [[1, 0, 0], [0, 1, 0]]),
        ({"prune_below": 0.1}, training(), [[1, 1, 0], [1, 1, 1]]),
        ({"prune_below": 0.1}, EVALUATION, [[1, 1, 0], [1, 1, 1]]),
    ],
    ids=str,
)
def test_only_what_has_weight_is_computed(settings, phase, expected):
    """A kind that is not needed has weight 0; logits of 30 and 20 leave no doubt which kind is
    drawn."""
    needed = supernet.mixture(
        tf.constant([[30.0, 0.0, supernet.PRUNED], [0.0, 20.0, 0.0]]),
        SearchConfig(**settings),
        phase,
    ).needed
    assert (None if needed is None else needed.numpy().astype(int).tolist()) == expected


@each_norm
@pytest.mark.parametrize("sampling", SAMPLINGS[1:])
def test_in_training_the_chosen_branches_learn_as_in_the_fixed_network_and_the_others_not_at_all(
    norm, sampling
):
    search = network("sss", norm, sampling)
    decide(search, "dai")
    fixed, of = (
        fixed_network(search, "dai"),
        np.random.default_rng(4).normal(size=[B, T, D]).astype(np.float32),
    )
    gradients = []
    for trunk in (fixed, search):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(
                trunk(*inputs(trunk), phase=training(), visibility="causal")[0] * of
            )
        of_weights = tape.gradient(
            loss, [weight.value for weight in trunk.weights], unconnected_gradients="zero"
        )
        gradients.append(
            {
                id(weight): np.asarray(tf.convert_to_tensor(g))
                for weight, g in zip(trunk.weights, of_weights)
            }
        )
    shared = pairs(fixed, search)
    for mine, theirs in shared:
        np.testing.assert_allclose(
            gradients[1].pop(id(theirs)), gradients[0][id(mine)], rtol=1e-3, atol=1e-4
        )
    gradients[1].pop(id(search.alpha))
    assert len(gradients[1]) > 10 and not any(gradient.any() for gradient in gradients[1].values())


@each_sampling
def test_evaluation_weights_are_the_softmax_of_the_logits_without_tau(sampling):
    alpha = tf.constant([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    expected = np.exp(alpha) / np.exp(alpha).sum(axis=-1, keepdims=True)
    for phase in (EVALUATION, Phase(tau=0.1, seed=5, step=7)):
        np.testing.assert_allclose(weights(alpha, sampling, phase), expected, rtol=1e-6)
    np.testing.assert_array_equal(
        weights(alpha, sampling, EVALUATION_ARGMAX), [[0, 0, 1], [0, 0, 1]]
    )


def test_training_weights_are_gumbel_softmax_samples_of_the_step():
    alpha = tf.constant([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    noise = gumbel.gumbel_noise(training().seed_of("gumbel/path_0"), [2, 3])
    soft, straight_through, single_path = (
        weights(alpha, sampling, training(tau=0.3)) for sampling in SAMPLINGS
    )
    np.testing.assert_array_equal(soft, gumbel.relaxed_one_hot(alpha, noise, 0.3))
    np.testing.assert_array_equal(straight_through, gumbel.one_hot(soft))
    np.testing.assert_array_equal(single_path, gumbel.one_hot(soft))


def test_every_step_and_every_block_draws_its_own_sample_and_a_step_repeated_the_same():
    alpha = tf.zeros([5, 3])
    draws = np.array([weights(alpha, "soft", training(step)).numpy() for step in (1, 2, 1)])
    np.testing.assert_array_equal(draws[0], draws[2])
    assert len(np.unique(draws[:2, :, 0])) == 10


@each_sampling
@each_norm
@pytest.mark.parametrize("blocks", ["s", "sss", "asd"])
def test_logits_are_weights_that_get_a_gradient(blocks, norm, sampling):
    trunk = network(blocks, norm, sampling)
    trunk.alpha.assign(tf.zeros_like(trunk.alpha))
    assert trunk.logits == [trunk.alpha] and any(
        v is trunk.alpha for v in trunk.trainable_variables
    )
    of = np.random.default_rng(4).normal(size=[B, T, D]).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(
            trunk(*inputs(trunk), phase=training(tau=0.5), visibility="causal")[0] * of
        )
    gradient = tape.gradient(loss, trunk.alpha.value).numpy()
    assert gradient.shape == (blocks.count("s"), 3) and np.isfinite(gradient).all()
    adds_nothing = (
        (trunk.sample(training(tau=0.5)).weights.numpy()[:, KINDS.index("i")] == 1)
        & (norm == "pre")
        & (sampling == "single_path")
    )
    np.testing.assert_array_equal(np.abs(gradient).max(axis=-1) > 1e-3, ~adds_nothing)
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-2 * np.abs(gradient).max())


@each_norm
@pytest.mark.parametrize("step", range(4))
def test_the_logits_of_a_single_path_get_the_sampled_term_of_straight_throughs_gradient(
    step, norm
):
    search, phase = network("s", norm, "straight_through"), training(step, tau=0.7)
    search.alpha.assign([[0.3, -0.2, 0.1]])
    of = np.random.default_rng(4).normal(size=[B, T, D]).astype(np.float32)
    block, memory, window = (
        search.blocks[0],
        inputs(search)[1],
        search._window(T, M, "causal", EVALUATION, inputs(search)[1].valid, None),
    )

    def by_weight(weight):  # the derivative of the loss by each kind's weight, at the sample
        with tf.GradientTape() as tape:
            tape.watch(weight)
            loss = tf.reduce_sum(
                block(
                    tf.constant(of),
                    memory.hidden[0],
                    window=window,
                    mixture=Mixture(weight, None),
                    phase=phase,
                )
                * of
            )
        return tape.gradient(loss, weight)

    def of_logits(sampling, needed):
        with tf.GradientTape() as tape:
            (weight,) = supernet.mixture(
                tf.convert_to_tensor(search.alpha), SearchConfig(sampling=sampling, paths=1), phase
            ).weights
            mixture = Mixture(weight, weight > 0 if needed else None)
            loss = tf.reduce_sum(
                block(
                    tf.constant(of), memory.hidden[0], window=window, mixture=mixture, phase=phase
                )
                * of
            )
        return tape.gradient(loss, search.alpha.value, unconnected_gradients="zero")[0]

    with tf.GradientTape(persistent=True) as tape:
        soft = tf.unstack(weights(tf.convert_to_tensor(search.alpha), "soft", phase)[0])
    sample = gumbel.one_hot(tf.stack(soft))
    terms = [
        slope * tape.gradient(weight, search.alpha.value)[0]
        for slope, weight in zip(by_weight(sample), soft)
    ]
    np.testing.assert_allclose(
        of_logits("straight_through", False), tf.add_n(terms), rtol=1e-3, atol=1e-4
    )
    sampled = terms[int(tf.argmax(sample))]
    np.testing.assert_allclose(of_logits("single_path", True), sampled, rtol=1e-3, atol=1e-4)
    # why the logits need more than one path
    identity_without_gradient = norm == "pre" and int(tf.argmax(sample)) == 2
    assert identity_without_gradient == (not np.abs(sampled).any())


def test_a_further_path_of_a_step_is_a_sample_of_its_own():
    alpha = tf.zeros([400, 3])
    first, second, again = (
        weights(alpha, "single_path", dataclasses.replace(training(), path=path)).numpy()
        for path in (0, 1, 1)
    )
    np.testing.assert_array_equal(second, again)
    assert 0.2 < (first * second).sum(axis=-1).mean() < 0.47  # 1 / 3, were they independent


def test_a_kind_leaves_the_search_after_its_probability_has_stayed_below():
    search = SearchConfig(prune_below=0.1, prune_patience=3)
    # the third kind at 0.042 and at 0.47; the second at 0.11 and 0.06
    low, high = [2.0, 0.0, -1.0], [2.0, 0.0, 2.0]
    below, counts, pruned = tf.zeros([1, 3], tf.int32), [], []
    for row in (low, low, high, low, low, low, low):
        alpha, below = supernet.prune(tf.constant([row]), below, search)
        counts.append(below.numpy()[0].tolist())
        pruned.append((alpha.numpy()[0] == supernet.PRUNED).tolist())
        np.testing.assert_array_equal(
            alpha.numpy()[0][~np.array(pruned[-1])], np.array(row)[~np.array(pruned[-1])]
        )
    assert counts == [[0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 0, 4]]
    assert pruned == [[False] * 3] * 5 + [[False, False, True]] * 2


@pytest.mark.parametrize("rest", [(0.0, 0.0), (-3.0, 5.0), (-80.0, 80.0)])
def test_a_kind_that_is_out_stays_out_and_is_never_the_last(rest):
    search, below = SearchConfig(prune_below=0.33, prune_patience=1), tf.zeros([1, 3], tf.int32)
    alpha = tf.constant([[supernet.PRUNED, *rest]])
    for _ in range(3):
        alpha, below = supernet.prune(alpha, below, search)
        pi = tf.nn.softmax(alpha).numpy()[0]
        assert pi[0] == 0 and pi.sum() == pytest.approx(1) and np.isfinite(alpha).all()


@each_norm
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_pruned_supernet_is_the_supernet_of_the_kinds_that_are_left(norm, sampling):
    whole, pruned = (
        network("ss", norm, sampling),
        randomised("ss", norm, sampling, prune_below=0.01),
    )
    for mine, theirs in zip(pruned.weights, whole.weights):
        mine.assign(theirs)
    whole.alpha.assign([[0.5, -GAP * 100, 0.2], [-GAP * 100, 0.1, 0.4]])
    pruned.alpha.assign([[0.5, supernet.PRUNED, 0.2], [supernet.PRUNED, 0.1, 0.4]])
    for variable in (*pruned.blocks[0].branch_d.weights, *pruned.blocks[1].branch_a.weights):
        variable.assign(np.full(variable.shape, np.nan))  # they are not computed
    for phase in (EVALUATION, training(), training(6, tau=0.2)):
        np.testing.assert_allclose(
            pruned(*inputs(pruned), visibility="causal", phase=phase)[0],
            whole(*inputs(whole), visibility="causal", phase=phase)[0],
            rtol=1e-4,
            atol=1e-5,
        )


@each_norm
@pytest.mark.parametrize("blocks", ["", "a", "adi"])
def test_a_fixed_network_has_no_logits(blocks, norm):
    trunk = network(blocks, norm)
    assert (
        trunk.alpha is None
        and trunk.logits == []
        and "alpha" not in {weight.name for weight in trunk.weights}
    )


@each_norm
def test_a_partial_search_mixes_its_stochastic_blocks_and_no_other(norm):
    search = network("sasd", norm)
    decide(search, "di")
    fixed = fixed_network(search, "daid")
    np.testing.assert_allclose(
        search(*inputs(search), visibility="causal")[0],
        fixed(*inputs(fixed), visibility="causal")[0],
        rtol=1e-4,
        atol=1e-5,
    )


def test_undecided_logits_mix_all_kinds():
    search = network("s")
    search.alpha.assign(tf.zeros([1, 3]))
    hidden = search(*inputs(search), visibility="causal")[0].numpy()
    for kind in KINDS:
        decide(search, kind)
        assert np.abs(search(*inputs(search), visibility="causal")[0] - hidden).max() > 0.05


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
