"""Computing blocks again in the backward pass changes what is held, and no figure."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.data import manifest, records
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import Memories, Transformer
from par.search.architecture import Architecture
from par.train.learner import Learner
from small import small_config, small_data

B, T, M, H, K, F, V = 3, 5, 7, 2, 11, 13, 29
D = H * K
SAMPLINGS = SearchConfig.choices("sampling")


def network(
    blocks: str, recomputing: bool, norm: str = "pre", sampling: str = "soft", mem_len: int = M
) -> Transformer:
    """A network with dropout whose every weight, the logits included, is drawn anew."""
    config = ModelConfig(
        d_model=D, num_heads=H, d_ffn=F, mem_len=mem_len, dropout_rate=0.3, norm=norm
    )
    trunk = Transformer(
        Architecture(blocks), config, SearchConfig(sampling=sampling, paths=1), V, 1, recomputing
    )
    for number, weight in enumerate(trunk.weights):
        weight.assign(np.random.default_rng(number).normal(0, 0.4, weight.shape))
    return trunk


def arguments(trunk: Transformer, step: int) -> tuple[tf.Tensor, ...]:
    draw, shape = np.random.default_rng(6), trunk.empty_memories(B).hidden.shape
    hidden = tf.constant(draw.normal(size=shape), tf.float32)
    return (
        tf.constant(draw.integers(V, size=[B, T]), tf.int32),
        hidden,
        tf.minimum([0, 2, 7], shape[2]),
        tf.constant(step, tf.int64),
    )


def everything(trunk: Transformer, tokens, hidden, valid, step) -> list[tf.Tensor]:
    """Hidden states, memories after, and the gradients of all weights."""
    of = np.random.default_rng(4).normal(size=[*tokens.shape, D]).astype(np.float32)
    with tf.GradientTape() as tape:
        x, after = trunk(
            tokens,
            Memories(hidden, valid),
            phase=Phase(training=True, seed=3, step=step, tau=0.7),
            visibility="causal",
        )
        loss = tf.reduce_sum(x * of)
    return [
        x,
        *after,
        *map(
            tf.convert_to_tensor,
            tape.gradient(
                loss, [weight.value for weight in trunk.weights], unconnected_gradients="zero"
            ),
        ),
    ]


@pytest.mark.quick(4)
@pytest.mark.parametrize("mem_len", [M, 0])
@pytest.mark.parametrize(("norm", "sampling"), [*itertools.product(["pre", "post"], SAMPLINGS)])
def test_values_memories_and_gradients_are_the_same_numbers(norm, sampling, mem_len):
    kept, again = (
        network("sadis", recomputing, norm, sampling, mem_len) for recomputing in (False, True)
    )
    results = [everything(trunk, *arguments(trunk, step=5)) for trunk in (kept, again)]
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(results[0]) == 3 + len(kept.weights)
    # of the others only the sampled branches learn
    assert sampling != "soft" or all(np.any(tensor) for tensor in results[1][3:])


@pytest.mark.slow
@pytest.mark.quick(1)
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_in_a_graph_they_are_the_same_but_for_the_rounding_of_fused_operations(norm):
    results = []
    for recomputing in (False, True):
        trunk = network("sad", recomputing, norm)
        results.append(tf.function(everything, autograph=False)(trunk, *arguments(trunk, step=5)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=4e-6 * max(1.0, np.abs(one).max()))


@pytest.mark.slow
def test_training_takes_the_same_steps(tmp_path):
    data_dir, learners = small_data(tmp_path / "copies"), []
    for flag in (False, True):
        learner = Learner(small_config(data_dir, "sads", gradient_checkpointing=flag))
        windows = iter(records.dataset(data_dir, manifest.load(data_dir), "train"))
        learners.append((learner, learner.train(windows, tf.constant(12)).numpy()))
    (plain, rows), (again, same) = learners
    assert (
        again.objective.trunk.gradient_checkpointing
        and not plain.objective.trunk.gradient_checkpointing
    )
    np.testing.assert_allclose(rows, same, rtol=1e-4)
    np.testing.assert_allclose(plain.pi, again.pi, rtol=1e-4)


def held(trunk: Transformer, batch_size: int, seq_len: int) -> int:
    """Entries of the forward pass' tensors with an axis of B that the operations after it read, in
    the graph of a step."""
    forward: list[tf.Operation] = []

    @tf.function(autograph=False)
    def step(tokens, hidden, valid, step):
        with tf.GradientTape() as tape:
            x, after = trunk(
                tokens,
                Memories(hidden, valid),
                phase=Phase(training=True, seed=3, step=step, tau=0.7),
                visibility="causal",
            )
            loss = tf.reduce_sum(x * x)
        forward.extend(tf.compat.v1.get_default_graph().get_operations())
        return after, [
            tf.convert_to_tensor(g)
            for g in tape.gradient(loss, [weight.value for weight in trunk.weights])
        ]

    memories = trunk.empty_memories(batch_size)
    graph = step.get_concrete_function(
        tf.zeros([batch_size, seq_len], tf.int32), *memories, tf.constant(5, tf.int64)
    )
    names = {op.name for op in forward}
    read = {
        tensor.ref(): tensor
        for op in graph.graph.get_operations()
        if op.name not in names
        for tensor in op.inputs
        if tensor.op.name in names
    }
    # Ops that pass a tensor on share its memory.
    passing = (
        "Identity",
        "IdentityN",
        "StopGradient",
        "Reshape",
        "ReadVariableOp",
        "Placeholder",
        "Const",
    )
    origins = set()
    for tensor in read.values():
        while (
            tensor.op.type in passing and tensor.op.inputs and tensor.op.type != "ReadVariableOp"
        ):
            tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
        if tensor.op.type not in passing and batch_size in tensor.shape:
            origins.add(tensor.ref())
    return sum(ref.deref().shape.num_elements() for ref in origins)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["pre", pytest.param("post", marks=pytest.mark.slow)])
def test_of_every_further_block_only_its_input_and_its_memories_are_held(norm):
    rows, length = 31, 17  # no other axis has these sizes
    per_block = []
    for recomputing in (False, True):
        two, five = (
            held(network("s" * count, recomputing, norm), rows, length) for count in (2, 5)
        )
        per_block.append((five - two) / 3)
    # the memory before the window, and the one after it
    assert per_block[1] == rows * D * (length + M + M)
    assert per_block[0] > 5 * per_block[1]


def test_an_evaluation_computes_every_block_once():
    plain, again = (network("sad", recomputing) for recomputing in (False, True))
    counts = []
    for trunk in (plain, again):
        tokens, hidden, valid, _ = arguments(trunk, 0)
        graph = tf.function(
            lambda tokens, hidden, valid, trunk=trunk: trunk(
                tokens, Memories(hidden, valid), phase=EVALUATION, visibility="causal"
            )[0]
        )
        counts.append(
            sorted(
                op.type
                for op in graph.get_concrete_function(tokens, hidden, valid).graph.get_operations()
            )
        )
    assert counts[0] == counts[1]
