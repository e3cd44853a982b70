"""The adaptive softmax equals its definition, whatever the clusters and whichever of them a batch
needs."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from naive import adaptive_softmax as naive
from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.nn.adaptive_softmax import AdaptiveSoftmax, cross_entropy
from par.nn.ops import Initial
from project import TESTS

D, V, N = 22, 29, 53
# up to 8 clusters; a head and tails of one id
CUTOFFS = [(), (11,), (1,), (28,), (7, 19), (2, 3, 5, 8, 13, 17, 19)]
# make_torch_adaptive_softmax.py beside it tells what it holds
TORCH = TESTS / "fixtures" / "torch_adaptive_softmax.npz"
TORCH_CASES = [
    "one tail",
    "two tails",
    "a tail without a token",
    "every token in the last tail",
    "eight clusters",
    "a factor that divides nothing",
    "tails of width nought",
]
each_cutoffs = pytest.mark.parametrize(
    "cutoffs", CUTOFFS, ids=lambda cutoffs: "-".join(map(str, cutoffs)) or "none"
)


def softmax(
    cutoffs: tuple[int, ...], seed: int = 1, vocab_size: int = V, std: float = 0.5, **settings
) -> AdaptiveSoftmax:
    return AdaptiveSoftmax(
        ModelConfig(d_model=D, num_heads=2, cutoffs=cutoffs, **settings),
        vocab_size,
        Initial(seed, std),
    )


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
    np.testing.assert_allclose(
        layer.log_prob(hidden()),
        naive.log_prob(hidden(), **parts(layer, cutoffs)),
        rtol=1e-4,
        atol=1e-5,
    )


def tied(cutoffs: tuple[int, ...]) -> tuple[AdaptiveSoftmax, keras.Variable]:
    embedding = keras.Variable(np.random.default_rng(8).normal(0, 0.5, [V, D]).astype(np.float32))
    config = ModelConfig(d_model=D, num_heads=2, cutoffs=cutoffs, tie_embeddings=True)
    return AdaptiveSoftmax(config, V, Initial(3, 0.5), embedding), embedding


@each_cutoffs
def test_tied_to_an_embedding_it_is_the_layer_that_has_the_embedding_s_vectors(cutoffs):
    """Values; and the gradient of the embedding by the chain rule from those of the other layer's
    own weights."""
    layer, embedding = tied(cutoffs)
    assert all(weight is not embedding for weight in layer.weights), (
        "the embedding belongs to the trunk"
    )
    twin, vectors = softmax(cutoffs), np.split(embedding.numpy(), cutoffs)
    twin.head.assign(
        np.concatenate(
            [vectors[0].T, *([] if layer.head is None else [layer.head.numpy()])], axis=-1
        )
    )
    for (down, out), (own_down, up), ids in zip(twin.tails, layer.tails, vectors[1:]):
        down.assign(own_down)
        out.assign(up.numpy().T @ ids.T)
    with tf.GradientTape(persistent=True) as tape:
        mine, theirs = layer.nll(hidden(), targets()), twin.nll(hidden(), targets())
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        layer.log_prob(hidden()), twin.log_prob(hidden()), rtol=1e-5, atol=1e-5
    )
    expected = [tape.gradient(theirs, twin.head.value).numpy()[:, : len(vectors[0])].T]
    for (_, out), (_, up) in zip(twin.tails, layer.tails):
        expected.append((up.numpy() @ tape.gradient(theirs, out.value).numpy()).T)
    np.testing.assert_allclose(
        tape.gradient(mine, embedding.value), np.concatenate(expected), rtol=1e-4, atol=1e-4
    )


def test_tied_tails_begin_as_large_as_the_embedding():
    embedding = keras.Variable(
        np.random.default_rng(8).normal(0, 0.02, [4_000, 64]).astype(np.float32)
    )
    config = ModelConfig(d_model=64, cutoffs=(500,), tie_embeddings=True)
    ((_, ids),) = AdaptiveSoftmax(config, 4_000, Initial(3, 0.02), embedding).tables()[1]
    assert ids.shape == (16, 3_500) and float(tf.math.reduce_std(ids)) == pytest.approx(
        0.02, rel=0.1
    )


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


def test_nll_computes_each_tail_for_its_own_tokens_alone():
    layer, ids = softmax((2, 11)), targets()
    expected = [np.sum((ids >= 2) & (ids < 11)), np.sum(ids >= 11)]
    assert tail_rows(lambda x: layer.nll(x, ids), layer, hidden()) == expected
    assert tail_rows(lambda x: layer.nll(x, tf.zeros_like(ids)), layer, hidden()) == [0, 0]


def tail_rows(function, layer: AdaptiveSoftmax, rows: tf.Tensor) -> list[int]:
    """How many rows of `rows` each tail works on: the products of its graph that give as many
    columns as the tail has ids."""
    graph = tf.compat.v1.wrap_function(function, [tf.TensorSpec([None, D])])
    products = [op.outputs[0] for op in graph.graph.get_operations() if op.type == "MatMul"]
    of_tails = [[p for p in products if p.shape[-1] == out.shape[-1]] for _, out in layer.tails]
    assert all(len(found) == 1 for found in of_tails)
    return [
        len(value)
        for value in graph.prune(graph.inputs[0], [found[0] for found in of_tails])(rows)
    ]


@pytest.mark.parametrize("cutoffs", CUTOFFS)
@pytest.mark.parametrize("scale", (0.0, 0.1, 1.0, 30.0))
def test_the_most_probable_id_is_the_first_of_the_largest_log_probability(cutoffs, scale):
    """At 0 all ids of a cluster are equally probable."""
    layer, rows = softmax(cutoffs), hidden(400, scale=scale)
    found = layer.most_probable(rows)
    assert found.dtype == tf.int32
    np.testing.assert_array_equal(found, np.argmax(layer.log_prob(rows), axis=-1))


def test_without_cutoffs_nll_is_plain_cross_entropy():
    layer = softmax(())
    assert [tuple(weight.shape) for weight in layer.weights] == [(D, V)]
    logits = np.asarray(hidden(), np.float64) @ layer.head.numpy()
    expected = np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(N), targets().numpy()]
    np.testing.assert_allclose(layer.nll(hidden(), targets()), expected, rtol=1e-5, atol=1e-5)


CLUSTERS = {
    "head": (0, 7),
    "first tail": (7, 19),
    "second tail": (19, V),
    "all but the first tail": None,
}


@pytest.mark.parametrize("present", CLUSTERS)
def test_clusters_without_a_token_leave_value_and_gradients_finite_and_get_none_themselves(
    present,
):
    layer = softmax((7, 19))
    ids = (
        tf.concat([targets(0, 7, 20), targets(19, V, 33)], 0)
        if CLUSTERS[present] is None
        else targets(*CLUSTERS[present])
    )
    x = hidden()
    with tf.GradientTape() as tape:
        tape.watch(x)
        nll = layer.nll(x, ids)
    np.testing.assert_allclose(
        nll, naive.nll(x, ids, **parts(layer, (7, 19))), rtol=1e-4, atol=1e-5
    )
    *of_weights, of_hidden = tape.gradient(nll, [*[weight.value for weight in layer.weights], x])
    assert all(np.isfinite(gradient).all() for gradient in (*of_weights, of_hidden))
    reached = {
        weight.name for weight, gradient in zip(layer.weights, of_weights) if np.any(gradient)
    }
    tails = [
        i
        for i, (low, high) in enumerate([(7, 19), (19, V)])
        if np.any((ids >= low) & (ids < high))
    ]
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
        *(
            shape
            for width, size in zip(widths, (6, 8, 10))
            for shape in ((D, width), (width, size))
        ),
    ]
    expected = naive.nll(hidden(), targets(), **parts(layer, (5, 11, 19)))
    np.testing.assert_allclose(layer.nll(hidden(), targets()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cutoffs", [(29,), (7, 30), (7, 4000)], ids=str)
def test_cutoffs_outside_the_vocabulary_are_refused(cutoffs):
    with pytest.raises(
        UsageError,
        match=(
            r"cutoffs must lie below the vocabulary size 29, but are"
            rf" \[{', '.join(map(str, cutoffs))}\]"
        ),
    ):
        softmax(cutoffs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cutoffs": (0, 7)}, "cutoffs must be at least 1, but is 0"),
        ({"cutoffs": (7, 7)}, r"cutoffs must increase strictly, but are \[7, 7\]"),
        ({"cutoffs": (19, 7)}, r"cutoffs must increase strictly, but are \[19, 7\]"),
        (
            {"cutoffs": (7, 19), "proj_dims": (3,)},
            "proj_dims must give one width per tail cluster: 2 cutoffs, 1 widths",
        ),
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


@pytest.mark.parametrize("name", TORCH_CASES)
def test_values_and_gradients_equal_those_of_pytorch_with_the_same_weights(name):
    stored, settings = torch_case(name)
    layer = torch_layer(stored, settings)
    x, ids = tf.constant(stored["hidden"]), tf.constant(stored["targets"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        nll = layer.nll(x, ids)
        loss = tf.reduce_sum(nll * stored["upstream"])
    np.testing.assert_allclose(nll, -stored["output"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tf.reduce_mean(nll), stored["loss"], rtol=1e-5)
    np.testing.assert_allclose(layer.log_prob(x), stored["log_prob"], rtol=1e-5, atol=1e-5)
    of_hidden, *of_weights = tape.gradient(loss, [x, *[weight.value for weight in layer.weights]])
    np.testing.assert_allclose(of_hidden, stored["gradient/hidden"], rtol=1e-4, atol=1e-5)
    for weight, gradient in zip(layer.weights, of_weights):
        expected = stored[f"gradient/{weight.name}"]
        if expected.size:
            np.testing.assert_allclose(
                gradient, expected, rtol=1e-4, atol=1e-5, err_msg=weight.name
            )
        else:
            assert np.isfinite(gradient).all()  # PyTorch's tail has no weight


def test_every_stored_case_of_pytorch_is_compared_and_together_they_reach_every_kind_of_cluster():
    with np.load(TORCH, allow_pickle=False) as file:
        assert {key.split("/")[0] for key in file} == set(TORCH_CASES)
    settings = [torch_case(name)[1] for name in TORCH_CASES]
    assert {len(case["cutoffs"]) + 1 for case in settings} >= {2, 3, 4, 8}
    assert any(case["div_value"] != int(case["div_value"]) for case in settings)
    for name in TORCH_CASES:
        stored, case = torch_case(name)
        assert min(stored["predict"]) < case["cutoffs"][0] <= max(stored["predict"]), (
            "the head decides here, a tail there"
        )


def torch_case(name: str) -> tuple[dict[str, np.ndarray], dict]:
    """What PyTorch computed, and the settings of its layer."""
    with np.load(TORCH, allow_pickle=False) as file:
        stored = {
            key.removeprefix(f"{name}/"): file[key] for key in file if key.startswith(f"{name}/")
        }
    return stored, json.loads(str(stored["settings"]))


def torch_layer(stored: dict[str, np.ndarray], settings: dict) -> AdaptiveSoftmax:
    """This project's layer with the same settings and weights. Zeros where PyTorch's tail has no
    width at all, and this one's is one wide."""
    cutoffs, width = tuple(settings["cutoffs"]), settings["in_features"]
    config = ModelConfig(
        d_model=width, num_heads=1, cutoffs=cutoffs, proj_factor=settings["div_value"]
    )
    layer = AdaptiveSoftmax(config, settings["n_classes"], Initial(1, 0.5))
    for weight in layer.weights:
        array = stored[weight.name]
        assert array.size == 0 or array.shape == tuple(weight.shape), (
            "the widths follow the same rule"
        )
        weight.assign(array if array.size else tf.zeros(weight.shape))
    return layer


def test_where_the_rule_gives_no_width_a_tail_is_one_wide_and_learns_what_pytorchs_can_not():
    stored, settings = torch_case("tails of width nought")
    assert [stored[f"tail_{i}"].shape[0] for i in range(3)] == [2, 0, 0]
    layer = torch_layer(stored, settings)
    assert [down.shape[-1] for down, _ in layer.tails] == [2, 1, 1]
    equally = layer.log_prob(stored["hidden"])[:, 11:17].numpy()
    np.testing.assert_allclose(equally, np.broadcast_to(equally[:, :1], equally.shape), atol=1e-6)
    layer.tails[1][0].assign(tf.ones(layer.tails[1][0].shape))
    with tf.GradientTape() as tape:
        nll = layer.nll(stored["hidden"], tf.constant(stored["targets"]))
    assert np.any(tape.gradient(nll, layer.tails[1][1].value))


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 1e4])
def test_cross_entropy_and_its_gradient_equal_their_definition(scale):
    logits = tf.constant(scale * np.random.default_rng(3).normal(size=[7, 13]), tf.float32)
    ids, upstream = tf.constant([0, 12, 5, 5, 1, 0, 11]), tf.linspace(-2.0, 1.0, 7)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        nll = cross_entropy(logits, ids)
    exact = logits.numpy().astype(np.float64)
    log_prob = exact - np.array([[np.logaddexp.reduce(row)] for row in exact])
    np.testing.assert_allclose(nll, -log_prob[np.arange(7), ids], rtol=1e-5, atol=1e-5)
    expected = (np.exp(log_prob) - np.eye(13)[ids]) * upstream.numpy()[:, None]
    np.testing.assert_allclose(
        tape.gradient(nll, logits, upstream), expected, rtol=1e-4, atol=1e-6
    )


@each_cutoffs
def test_bfloat16_stays_within_two_to_the_minus_fifth_of_the_largest_logit(cutoffs):
    layer, x = softmax(cutoffs, proj_dims=(8,) * len(cutoffs)), hidden(997, scale=3.0)
    ids = targets(count=997)
    largest = max(
        float(tf.reduce_max(abs(logits)))
        for logits in (x @ layer.head, *[(x @ down) @ out for down, out in layer.tails])
    )
    half = tf.cast(x, tf.bfloat16)
    nll, log_prob = layer.nll(half, ids), layer.log_prob(half)
    assert (nll.dtype, log_prob.dtype, layer(half, ids).dtype) == (
        tf.float32,
        tf.float32,
        tf.float32,
    )
    np.testing.assert_array_equal(layer(half, ids), nll)
    for one, other in ((nll, layer.nll(x, ids)), (log_prob, layer.log_prob(x))):
        furthest = float(tf.reduce_max(abs(one - other)))
        assert 2**-14 * largest < furthest < 2**-5 * largest, (
            "products in bfloat16, and no worse than that"
        )
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(log_prob), axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(
        nll, -tf.gather(log_prob, ids, batch_dims=1), rtol=1e-5, atol=2**-5 * largest
    )


@each_cutoffs
def test_gradients_of_bfloat16_hidden_states_arrive_as_float32_at_the_variables(cutoffs):
    layer, of = softmax(cutoffs), {}
    for kind in (tf.float32, tf.bfloat16):
        x = tf.cast(hidden(), kind)
        with tf.GradientTape() as tape:
            tape.watch(x)
            nll = layer.nll(x, targets()) * tf.linspace(0.5, 1.0, N)
        of[kind] = tape.gradient(nll, [x, *[weight.value for weight in layer.weights]])
        assert [gradient.dtype for gradient in of[kind]] == [kind] + [tf.float32] * len(
            layer.weights
        )
    for exact, rounded in zip(of[tf.float32], of[tf.bfloat16]):
        size = float(tf.norm(tf.cast(exact, tf.float32)))
        # 0.4 % a rounding; their number depends on the processor
        assert float(tf.norm(tf.cast(rounded, tf.float32) - exact)) <= 0.05 * size


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16], ids=lambda kind: kind.name)
def test_every_product_is_in_the_type_of_the_hidden_states_and_every_exponential_in_float32(kind):
    layer, ids = softmax((7, 19)), targets()

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            nll = layer.nll(x, ids)
        return (
            tape.gradient(nll, [x, *[weight.value for weight in layer.weights]]),
            layer.log_prob(x),
        )

    operations = step.get_concrete_function(tf.cast(hidden(), kind)).graph.get_operations()
    types = {
        name: [op.outputs[0].dtype for op in operations if op.type == name]
        for name in ("MatMul", "Exp", "LogSoftmax", "Sum")
    }
    # of nll, two of its gradient each, log_prob
    assert len(types["MatMul"]) == 4 * 5 and set(types["MatMul"]) == {kind}
    assert all(set(types[name]) == {tf.float32} for name in ("Exp", "LogSoftmax", "Sum"))


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16], ids=lambda kind: kind.name)
@each_cutoffs
def test_no_row_at_all_gives_empty_results_and_gradients_of_nought(cutoffs, kind):
    layer, x = softmax(cutoffs), tf.cast(hidden()[:0], kind)
    with tf.GradientTape() as tape:
        nll = layer.nll(x, targets()[:0])
    assert nll.shape == (0,) and layer.log_prob(x).shape == (0, V)
    for weight, gradient in zip(
        layer.weights, tape.gradient(nll, [weight.value for weight in layer.weights])
    ):
        np.testing.assert_array_equal(gradient, np.zeros(weight.shape))


@each_cutoffs
def test_one_graph_serves_any_number_of_rows(cutoffs):
    layer, traces = softmax(cutoffs), []

    @tf.function(input_signature=[tf.TensorSpec([None, D]), tf.TensorSpec([None], tf.int32)])
    def everything(x, ids):
        traces.append(1)
        with tf.GradientTape() as tape:
            nll = layer.nll(x, ids)
        return (
            nll,
            tape.gradient(nll, [weight.value for weight in layer.weights]),
            layer.log_prob(x),
        )

    for count in (N, 0, 1, 7):
        x, ids = hidden()[:count], targets()[:count]
        nll, gradients, log_prob = everything(x, ids)
        np.testing.assert_allclose(nll, layer.nll(x, ids), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(log_prob, layer.log_prob(x), rtol=1e-5, atol=1e-5)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert traces == [1]


def test_neither_nll_nor_its_gradient_holds_a_row_as_long_as_the_vocabulary():
    """[N, V] is 1.1 GB for 1,024 rows of 267,735 ids. A tail's own rows are at most as long as the
    tail."""
    layer = softmax((7, 19))

    @tf.function
    def step(x, ids):
        with tf.GradientTape() as tape:
            nll = layer.nll(x, ids)
        return nll, tape.gradient(nll, [weight.value for weight in layer.weights])

    graph = step.get_concrete_function(hidden(), targets()).graph
    shapes = [output.shape for op in graph.get_operations() for output in op.outputs]
    sizes = {size for shape in shapes if shape.rank for size in shape}
    assert {
        9,
        12,
        10,
    } <= sizes and V not in sizes, (
        "the head's, the first tail's and the second tail's logits, and no table of all ids"
    )


@pytest.mark.parametrize("wrong", [-1, V, V + 100])
@pytest.mark.parametrize("cutoffs", [(), (7, 19)], ids=str)
def test_a_target_outside_the_vocabulary_is_refused(wrong, cutoffs):
    with pytest.raises(tf.errors.InvalidArgumentError):
        softmax(cutoffs).nll(hidden(3), tf.constant([0, wrong, 28]))


def test_a_checkpoint_names_each_weight_by_its_attribute(tmp_path):
    layer = softmax((7, 19))
    path = tf.train.Checkpoint(head=layer).write(str(tmp_path / "weights"))
    names = {name for name, _ in tf.train.list_variables(path) if name.startswith("head/")}
    attributes = ["head", "tail_0_projection", "tail_0", "tail_1_projection", "tail_1"]
    assert names == {f"head/{attribute}/.ATTRIBUTES/VARIABLE_VALUE" for attribute in attributes}
