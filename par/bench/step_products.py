"""The matrix products of a training step and nothing else: the limit of what a step can reach."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence

import tensorflow as tf

from par.nn.ops import TYPES
from par.search import flops
from par.search.architecture import KINDS
from par.search.flops import Product
from par.train.run_config import RunConfig


def of_step(config: RunConfig, counts: Sequence[float]) -> list[Product]:
    """The products of one training step on tokens with frequencies `counts` [V]. Where single
    paths are drawn, those of a path in which every kind is as frequent, and of its further forward
    passes."""
    blocks, search = config.architecture.blocks, config.search
    single = search.sampling == "single_path" and "s" in blocks
    if single:
        kinds = itertools.cycle(KINDS)
        blocks = "".join(next(kinds) if kind == "s" else kind for kind in blocks)
    shape = (blocks, *config.read_shape, counts)
    shape, predicted = (*shape, config.contract.visibility), config.predicted
    once = flops.forward_products(*shape, predicted=predicted)
    further = (search.paths - 1) * once if single else []
    found = flops.training_products(*shape, predicted=predicted) + further
    _, rows, seq_len = config.read_shape
    for blocks, model, predicted, is_trained, texts, _ in config.helpers:
        own = (blocks, model, rows * (texts or 1), seq_len, counts, config.contract.visibility)
        products = flops.training_products if is_trained else flops.forward_products
        found += products(*own, predicted=predicted)
    return found


class TimedProducts:
    """The products of a step, each of operands of its own, in one graph that runs them side by
    side where cores are idle; traced and warm. Sizes that are fractions are rounded up."""

    def __init__(self, config: RunConfig, steps: int):
        """config: of a training on synthetic tokens, as frequent as Zipf's law says."""
        counts = flops.zipf_counts(config.data.vocab_size).tolist()
        self.steps, self.products = steps, of_step(config, counts)
        dtype = TYPES[config.model.precision]
        self._operands = [_operands(product, dtype) for product in self.products]
        self._graph = tf.function(self._run_all, autograph=False).get_concrete_function()
        self.run()  # warms up

    def run(self) -> float:
        """Steps per second: how often all products are computed, the mean of `steps` times."""
        start = time.perf_counter()
        for _ in range(self.steps):
            self._graph().numpy()
        return self.steps / (time.perf_counter() - start)

    def _run_all(self) -> tf.Tensor:
        """The sum of one element of each result, so that the graph keeps all of them."""
        results = (tf.matmul(a, b) for a, b in self._operands)
        return tf.add_n([tf.reshape(result, [-1])[0] for result in results])


def _operands(product: Product, dtype: tf.DType) -> tuple[tf.Variable, tf.Variable]:
    """Variables, as a graph would compute the products of constants only once."""
    count, rows, inner, columns = map(math.ceil, product)
    batch = [count] if count > 1 else []
    return tuple(
        tf.Variable(tf.cast(tf.random.stateless_normal([*batch, *shape], [0, 0]), dtype))
        for shape in ((rows, inner), (inner, columns))
    )
