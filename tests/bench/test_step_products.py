"""The products of a step, alone: as many FLOPs as the step's, in the graph that is timed."""

from __future__ import annotations

import math

import pytest

from par.bench import synthetic
from par.bench.step_products import TimedProducts, of_step
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.search import flops
from par.search.architecture import parse
from par.train.run_config import RunConfig


def run_config(blocks: str, sampling: str = "soft", precision: str = "f32") -> RunConfig:
    return RunConfig(
        parse(blocks),
        ModelConfig(
            d_model=8, num_heads=2, d_ffn=12, mem_len=3, cutoffs=(9,), precision=precision
        ),
        SearchConfig(sampling=sampling),
        TrainingConfig(),
        synthetic.data(30, 2, 4),
    )


def counted(timed: TimedProducts) -> float:
    """FLOPs of the products in the graph, by the shapes of operands and results."""
    return sum(
        2.0 * math.prod(op.outputs[0].shape) * op.inputs[0].shape[-1]
        for op in timed._graph.graph.get_operations()
        if "MatMul" in op.type
    )


@pytest.mark.parametrize("sampling", ["soft", "single_path"])
def test_the_graph_has_the_flops_of_a_training_step(sampling):
    config = run_config("sads", sampling)
    counts = [1.0] * config.data.vocab_size
    shape = (config.model, config.data.batch_size, config.data.seq_len, counts)
    expected = flops.training_flops(config.architecture.blocks, *shape, "causal", config.search)
    timed = TimedProducts(config, 2)
    whole = [flops.Product(*map(math.ceil, product)) for product in timed.products]
    assert counted(timed) == flops.total(whole) and timed.run() > 0
    if sampling == "soft":
        assert flops.total(of_step(config, counts)) == pytest.approx(expected, rel=1e-12)


def test_a_single_path_has_every_kind_as_often():
    config = run_config("ssasdsss", "single_path")
    counts = [1.0] * config.data.vocab_size
    shape = (config.model, config.data.batch_size, config.data.seq_len, counts)
    expected = flops.training_flops(config.architecture.blocks, *shape, "causal", config.search)
    assert flops.total(of_step(config, counts)) == pytest.approx(expected, rel=1e-12)


def test_products_are_in_the_precision_of_the_network():
    operations = TimedProducts(run_config("ad", precision="bf16"), 1)._graph.graph.get_operations()
    types = {op.outputs[0].dtype.name for op in operations if "MatMul" in op.type}
    assert types == {"bfloat16"}
