"""The adaptive softmax equals its definition, whatever the clusters and whichever of them a batch needs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from naive import adaptive_softmax as naive
from par.adaptive_softmax import AdaptiveSoftmax, cross_entropy
from par.config import ModelConfig
from par.errors import UsageError
from par.initial import Initial

D, V, N = 22, 29, 53
CUTOFFS = [(), (11,), (1,), (28,), (7, 19), (2, 3, 5, 8, 13, 17, 19)]  # up to 8 clusters; a head and tails of one id
TORCH = Path(__file__).parent / "fixtures" / "torch_adaptive_softmax.npz"  # make_torch_adaptive_softmax.py beside it tells what it holds
TORCH_CASES = [
    "one tail",
    "two tails",
    "a tail without a token",
    "every token in the last tail",
    "eight clusters",
    "a factor that divides nothing",
    "tails of width nought",
]
each_cutoffs = pytest.mark.parametrize("cutoffs", CUTOFFS, ids=lambda cutoffs: "-".join(map(str, cutoffs)) or "none")


def softmax(cutoffs: tuple[int, ...], seed: int = 1, vocab_size: int = V, std: float = 0.5, **settings) -> AdaptiveSoftmax:
    return AdaptiveSoftmax(ModelConfig(d_model=D, num_heads=2, cutoffs=cutoffs, **settings), vocab_size, Initial(seed, std))


def parts(layer: AdaptiveSoftmax, cutoffs: tuple[int, ...]) -> dict:
    """The arguments of the naive twin."""
    return {
        "head": layer.head.numpy(),
        "tails": [(down.numpy(), out.numpy()) for down, out in layer.tails],
        "cutoffs": list(cutoffs),
        "vocab_size": V,
    }


def hidden(count: int = N, scale: float = 1.0) -> tf.Tensor:
    return tf.constant(scale * np.random.default_rng(count).normal(size=[count, D]), tf.float32)


def targets(low: int = 0, high: int = V, count: int = N) -> tf.Tensor:
    """Every id from low to high at least once."""
    ids = np.resize(np.arange(low, high), count)
    return tf.constant(np.random.default_rng(2).permutation(ids), tf.int32)


@each_cutoffs
def test_nll_and_log_prob_equal_the_naive_twin(cutoffs):
    layer = softmax(cutoffs)
    expected = naive.nll(hidden(), targets(), **parts(layer, cutoffs))
    np.testing.assert_allclose(layer.nll(hidden(), targets()), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.log_prob(hidden()), naive.log_prob(hidden(), **parts(layer, cutoffs)), rtol=1e-4, atol=1e-5)


@each_cutoffs
def test_nll_equals_its_own_log_prob_at_the_target(cutoffs):
    layer = softmax(cutoffs)
    expected = -tf.gather(layer.log_prob(hidden()), targets(), batch_dims=1)
    np.testing.assert_allclose(layer.nll(hidden(), targets()), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(layer(hidden(), targets()), layer.nll(hidden(), targets()))


@each_cutoffs
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_probabilities_sum_to_one(cutoffs, scale):
    log_prob = softmax(cutoffs).log_prob(hidden(scale=scale)).numpy()
    assert log_prob.shape == (N, V) and log_prob.max() <= 1e-6
    np.testing.assert_allclose(np.exp(log_prob.astype(np.float64)).sum(axis=-1), 1, atol=1e-5)


@each_cutoffs
def test_predict_is_the_argmax_of_log_prob(cutoffs):
    layer, rows = softmax(cutoffs), hidden(997)
    expected = layer.log_prob(rows).numpy().argmax(axis=-1)
    assert layer.predict(rows).dtype == tf.int32
    np.testing.assert_array_equal(layer.predict(rows), expected)
    assert {sum(int(i) >= c for c in cutoffs) for i in expected} == set(range(len(cutoffs) + 1)), "every cluster is predicted somewhere"


def test_predict_does_not_take_a_tail_for_likelier_than_its_best_id():
    """The slot of a tail of 18 equal ids has 0.6, each of the ids 0.033, and id 3 has 0.4."""
    layer = softmax((11,))
    for weight in layer.weights:
        weight.assign(tf.zeros_like(weight))
    layer.head[0, :].assign([-99.0] * 3 + [np.log(0.4)] + [-99.0] * 7 + [np.log(0.6)])
    assert layer.predict(tf.one_hot([0], D)).numpy().tolist() == [3]


@pytest.mark.parametrize("count", [0, 1])
def test_predict_works_where_no_row_prefers_a_tail(count):
    layer = softmax((7, 19))
    layer.head[0, :].assign([50.0] + [0.0] * 8)
    assert layer.predict(tf.one_hot([0] * count, D)).numpy().tolist() == [0] * count


def deciding(layer: AdaptiveSoftmax, *probabilities: float) -> tf.Tensor:
    """Gives the layer a head with these probabilities of its ids and slots for the hidden state that is returned, [1, D]."""
    layer.head.assign(tf.zeros_like(layer.head))
    layer.head[0, :].assign(np.log(probabilities))
    return tf.one_hot([0], D)


@pytest.mark.parametrize(
    ("probabilities", "computed"),
    [
        ((0.4, 0.2, 0.1, 0.3), set()),  # the head decides: 0.4 is more than either slot
        ((0.3, 0.2, 0.3, 0.2), set()),  # as likely as a slot is as likely as its likeliest id could be: the lower id wins
        ((0.3, 0.0, 0.5, 0.2), {0}),
        ((0.3, 0.1, 0.2, 0.4), {1}),
        ((0.2, 0.1, 0.3, 0.4), {0, 1}),
    ],
    ids=str,
)
def test_predict_computes_a_tail_only_where_it_can_win(probabilities, computed):
    with np.errstate(divide="ignore"):
        layer = softmax((2, 11))
        row = deciding(layer, *probabilities)
        expected = layer.predict(row).numpy().tolist()
        for poisoned in itertools.chain.from_iterable(itertools.combinations(range(2), n) for n in (1, 2)):
            layer = softmax((2, 11))
            deciding(layer, *probabilities)
            for i in poisoned:
                layer.tails[i][1].assign(tf.fill(layer.tails[i][1].shape, np.nan))
            reached = poisons(layer, row)
            assert reached == bool(computed & set(poisoned))
            if not reached:
                assert layer.predict(row).numpy().tolist() == expected


def poisons(layer: AdaptiveSoftmax, row: tf.Tensor) -> bool:
    """Whether predict meets a NaN of a tail's weights."""
    tf.debugging.enable_check_numerics()
    try:
        layer.predict(row)
    except tf.errors.InvalidArgumentError:
        return True
    finally:
        tf.debugging.disable_check_numerics()
    return False


def test_without_cutoffs_nll_is_plain_cross_entropy():
    layer = softmax(())
    assert [tuple(weight.shape) for weight in layer.weights] == [(D, V)]
    logits = np.asarray(hidden(), np.float64) @ layer.head.numpy()
    expected = np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(N), targets().numpy()]
    np.testing.assert_allclose(layer.nll(hidden(), targets()), expected, rtol=1e-5, atol=1e-5)


CLUSTERS = {"head": (0, 7), "first tail": (7, 19), "second tail": (19, V), "all but the first tail": None}


@pytest.mark.parametrize("present", CLUSTERS)
def test_clusters_without_a_token_leave_value_and_gradients_finite_and_get_none_themselves(present):
    layer = softmax((7, 19))
    ids = tf.concat([targets(0, 7, 20), targets(19, V, 33)], 0) if CLUSTERS[present] is None else targets(*CLUSTERS[present])
    x = hidden()
    with tf.GradientTape() as tape:
        tape.watch(x)
        nll = layer.nll(x, ids)
    np.testing.assert_allclose(nll, naive.nll(x, ids, **parts(layer, (7, 19))), rtol=1e-4, atol=1e-5)
    *of_weights, of_hidden = tape.gradient(nll, [*[weight.value for weight in layer.weights], x])
    assert all(np.isfinite(gradient).all() for gradient in (*of_weights, of_hidden))
    reached = {weight.name for weight, gradient in zip(layer.weights, of_weights) if np.any(gradient)}
    tails = [i for i, (low, high) in enumerate([(7, 19), (19, V)]) if np.any((ids >= low) & (ids < high))]
    assert reached == {"head", *(f"tail_{i}{part}" for i in tails for part in ("", "_projection"))}
    assert np.abs(of_hidden).max(axis=-1).min() > 0


@each_cutoffs
def test_the_gradient_of_every_row_equals_that_of_its_own_log_prob(cutoffs):
    layer, gradients = softmax(cutoffs), []
    for loss in (layer.nll, lambda x, ids: -tf.gather(layer.log_prob(x), ids, batch_dims=1)):
        x = hidden()
        with tf.GradientTape() as tape:
            tape.watch(x)
            nll = loss(x, targets()) * tf.linspace(-1.0, 1.0, N)
        gradients.append(tape.gradient(nll, [x, *[weight.value for weight in layer.weights]]))
    for one, other in zip(*gradients):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "widths"),
    [
        ({}, [5, 1, 1]),
        ({"proj_factor": 1.0}, [22, 22, 22]),
        ({"proj_factor": 2.0}, [11, 5, 2]),
        ({"proj_factor": 1024.0}, [1, 1, 1]),
        ({"proj_dims": (13, 3, 31)}, [13, 3, 31]),
    ],
    ids=str,
)
def test_tails_work_at_the_widths_that_were_asked_for(settings, widths):
    layer = softmax((5, 11, 19), **settings)
    assert [tuple(weight.shape) for weight in layer.weights] == [
        (D, 5 + 3),
        *(shape for width, size in zip(widths, (6, 8, 10)) for shape in ((D, width), (width, size))),
    ]
    expected = naive.nll(hidden(), targets(), **parts(layer, (5, 11, 19)))
    np.testing.assert_allclose(layer.nll(hidden(), targets()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cutoffs", [(29,), (7, 30), (7, 4000)], ids=str)
def test_cutoffs_outside_the_vocabulary_are_refused(cutoffs):
    with pytest.raises(UsageError, match=rf"cutoffs must lie below the vocabulary size 29, but are \[{', '.join(map(str, cutoffs))}\]"):
        softmax(cutoffs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cutoffs": (0, 7)}, "cutoffs must be at least 1, but is 0"),
        ({"cutoffs": (7, 7)}, r"cutoffs must increase strictly, but are \[7, 7\]"),
        ({"cutoffs": (19, 7)}, r"cutoffs must increase strictly, but are \[19, 7\]"),
        ({"cutoffs": (7, 19), "proj_dims": (3,)}, "proj_dims must give one width per tail cluster: 2 cutoffs, 1 widths"),
    ],
    ids=str,
)
def test_cutoffs_and_widths_that_make_no_clusters_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        softmax(**settings)


def test_large_logits_and_no_token_at_all_stay_finite():
    layer = softmax((7, 19))
    assert np.isfinite(layer.nll(hidden(scale=1e4), targets())).all()
    assert layer.nll(hidden()[:0], targets()[:0]).shape == (0,)
