"""The closed form of the FLOPs equals a count over the graph that TensorFlow really runs."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.ops import Initial
from par.nn.transformer import Memories, Transformer
from par.search import flops
from par.search.architecture import Architecture

B, T, M, H, K, F, V = 3, 5, 7, 2, 11, 13, 29
D = H * K


def model(**settings) -> ModelConfig:
    return ModelConfig(d_model=D, num_heads=H, d_ffn=F, **{"mem_len": M} | settings)


def products(function: tf.types.experimental.ConcreteFunction, unknown_rows: int = 0) -> int:
    """FLOPs of the matrix products in a graph, two for each multiplication, from nothing but the
    shapes of their operands."""
    flops = 0
    for op in function.graph.get_operations():
        shapes = [
            [unknown_rows if size is None else size for size in tensor.shape]
            for tensor in op.inputs
        ]
        if op.type == "Einsum":
            terms = op.get_attr("equation").decode().split("->")[0].split(",")
            flops += 2 * math.prod(
                {
                    letter: size
                    for term, shape in zip(terms, shapes)
                    for letter, size in zip(term, shape)
                }.values()
            )
        elif op.type in ("MatMul", "BatchMatMulV2"):
            transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            flops += (
                2
                * math.prod(unknown_rows if size is None else size for size in op.outputs[0].shape)
                * shapes[0][-2 if transposed else -1]
            )
        else:
            assert "MatMul" not in op.type and op.type not in (
                "StatefulPartitionedCall",
                "PartitionedCall",
                "While",
            ), op.type
    return flops


def trunk_flops(blocks: str, config: ModelConfig, batch_size: int = B, seq_len: int = T) -> int:
    trunk = Transformer(Architecture(blocks), config, SearchConfig(), V, seed=1)
    hidden, valid = trunk.empty_memories(batch_size)
    graph = tf.function(
        lambda tokens, hidden, valid: trunk(tokens, Memories(hidden, valid), visibility="causal")[
            0
        ]
    )
    return products(
        graph.get_concrete_function(tf.zeros([batch_size, seq_len], tf.int32), hidden, valid)
    )


def softmax_flops(config: ModelConfig, targets: np.ndarray, rows_of_a_tail: int) -> int:
    embedding = keras.Variable(np.zeros([V, D], np.float32)) if config.tie_embeddings else None
    layer = AdaptiveSoftmax(config, V, Initial(1, 0.3), embedding)
    graph = tf.function(layer.nll).get_concrete_function(
        tf.TensorSpec([len(targets), D]), tf.TensorSpec([len(targets)], tf.int32)
    )
    return products(graph, rows_of_a_tail)


@pytest.mark.parametrize("settings", [{}, {"mem_len": 0}, {"norm": "post"}], ids=str)
@pytest.mark.parametrize("blocks", ["a", "d", "i", "s", "aadisd"])
def test_flops_of_a_network_equal_a_count_over_its_graph(blocks, settings):
    config = model(**settings)
    without = flops.total(flops.softmax_products(config, B, T, [1] * V))
    assert flops.forward_flops(
        blocks, config, B, T, [1] * V, visibility="causal"
    ) - without == trunk_flops(blocks, config)


def test_flops_of_a_block_equal_a_count_over_its_graph_at_another_shape():
    assert flops.total(
        flops.attention_products(model(), 1, 11, visibility="causal")
    ) == trunk_flops("a", model(), 1, 11)
    assert flops.total(flops.dense_products(model(), 1, 11)) == trunk_flops("d", model(), 1, 11)


def test_flops_of_a_plain_softmax_equal_a_count_over_its_graph():
    assert flops.total(flops.softmax_products(model(), B, T, [1] * V)) == softmax_flops(
        model(), np.zeros(B * T), 0
    )


@pytest.mark.parametrize("tied", [False, True], ids=["own vectors", "tied"])
def test_flops_of_an_adaptive_softmax_equal_a_count_over_its_graph_for_tokens_as_counted(
    tied,
):
    """Each tail has 2 of the 15 tokens of a window."""
    config = model(cutoffs=(7, 19), proj_dims=(5, 3), tie_embeddings=tied)
    counts = np.zeros([V])
    counts[[3, 7, 18, 28]] = 110, 5, 15, 20
    assert flops.total(flops.softmax_products(config, B, T, counts)) == pytest.approx(
        softmax_flops(config, np.zeros(B * T), 2), rel=1e-12
    )


def test_of_a_network_that_predicts_some_tokens_the_softmax_alone_costs_less():
    config, counts = model(cutoffs=(7, 19), proj_dims=(5, 3)), [2] * V
    every, some = (
        flops.forward_flops("ad", config, B, T, counts, "bidirectional", predicted=each)
        for each in (None, 2)
    )
    head = [flops.total(flops.softmax_products(config, B, each, counts)) for each in (T, 2)]
    assert every - some == pytest.approx(head[0] - head[1], rel=1e-12) and head[1] > 0
    trained = flops.training_flops(
        "ad", config, B, T, counts, "bidirectional", SearchConfig(), predicted=2
    )
    assert trained == 3 * some


def test_a_stochastic_block_costs_what_all_its_branches_cost():
    a, d, i, s, none = (
        flops.forward_flops(blocks, model(), B, T, [1] * V, visibility="causal")
        for blocks in ("a", "d", "i", "s", "")
    )
    assert s - none == (a - none) + (d - none) and i == none


def test_training_costs_three_forward_passes():
    """Checked on a product whose backward pass is in the graph: one for the weight, one for the
    input."""
    counts = [1] * V
    forward = flops.forward_flops("asd", model(), B, T, counts, visibility="causal")
    assert flops.training_flops("asd", model(), B, T, counts, "causal") == 3 * forward
    assert (
        flops.total(flops.training_products("asd", model(), B, T, counts, visibility="causal"))
        == 3 * forward
    )
    trunk = Transformer(Architecture("d"), model(), SearchConfig(), V, seed=1)

    @tf.function
    def step(tokens, hidden, valid):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(trunk(tokens, Memories(hidden, valid), visibility="causal")[0])
        return tape.gradient(loss, [weight.value for weight in trunk.weights])

    counted = products(
        step.get_concrete_function(tf.zeros([B, T], tf.int32), *trunk.empty_memories(B))
    )
    # their gradients are sums over rows, made as products with ones: no model FLOPs
    of_biases = 2 * B * T * (F + D)
    assert counted == 3 * flops.total(flops.dense_products(model(), B, T)) + of_biases


def test_a_hand_count_of_one_attention_block():
    """D=2, H=1, M=1, T=1, B=1: two keys; q 4, k and v 8 each, r 8, output 4; 4 multiplications
    each for content, distance and values."""
    tiny = ModelConfig(d_model=2, num_heads=1, mem_len=1, d_ffn=3)
    assert flops.total(flops.attention_products(tiny, 1, 1, visibility="causal")) == 2 * (
        4 + 8 + 8 + 8 + 4 + 4 + 4 + 4
    )
    assert flops.total(flops.dense_products(tiny, 1, 1)) == 2 * (2 * 3 + 3 * 2)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("blocks", ["a", "d", "i", "s", "aadisd"])
def test_the_blocks_of_a_network_have_as_many_weights_as_counted(blocks, norm):
    trunk = Transformer(Architecture(blocks), model(norm=norm), SearchConfig(), V, seed=1)
    weights = sum(
        int(np.prod(v.shape))
        for v in trunk.trainable_variables
        if v is not trunk.embedding and all(v is not a for a in trunk.logits)
    )
    assert flops.block_parameters(blocks, model(norm=norm)) == weights - (
        2 * D if norm == "pre" else 0
    )


def test_a_single_path_costs_a_third_of_the_kinds_and_a_forward_pass_for_every_further_path():
    counts, soft = [1] * V, SearchConfig()
    whole, without = (
        flops.forward_flops(blocks, model(), B, T, counts, visibility="causal")
        for blocks in ("asd", "ad")
    )
    for paths in (1, 2, 4):
        search = SearchConfig(sampling="single_path", paths=paths)
        expected = (2 + paths) * (without + (whole - without) / 3)
        assert flops.training_flops(
            "asd", model(), B, T, counts, "causal", search
        ) == pytest.approx(expected, rel=1e-12)
        assert flops.training_flops(
            "ad", model(), B, T, counts, "causal", search
        ) == flops.training_flops("ad", model(), B, T, counts, "causal", soft)
