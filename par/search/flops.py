"""FLOPs of the matrix products of a network, and its number of weights, as pure functions of the
shape.

Multiplications and additions count as one FLOP each. A training step counts as three forward
passes: the backward pass has two products for each of the forward pass. A stochastic block
computes all its branches, unless single paths are drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from par.core.config import ModelConfig, SearchConfig
from par.search.architecture import KINDS

_SOFT = SearchConfig()
NEAR = 3  # characters beside each other that a state sees as such (par.nn.resampling)


class Product(NamedTuple):
    """`count` matrix products [rows, inner] @ [inner, columns] of one operation. Counts and sizes
    are means, and may be fractions."""

    count: float
    rows: float
    inner: float
    columns: float

    @property
    def flops(self) -> float:
        """FLOPs of all `count` of them."""
        return 2.0 * self.count * self.rows * self.inner * self.columns


def attention_products(
    model: ModelConfig, batch_size: int, seq_len: int, visibility: str
) -> list[Product]:
    """The products of an attention block for one window: projections, logits by content and by
    distance, weighted values, output. visibility: causal or bidirectional, where there are T - 1
    distances more."""
    b, t, s, d = batch_size, seq_len, model.mem_len + seq_len, model.d_model
    h, k = model.num_heads, d // model.num_heads
    p = num_distances(seq_len, model.mem_len, visibility)
    return [
        Product(1, b * t, d, d),
        Product(1, b * s, d, 2 * d),
        Product(1, p, d, d),
        Product(b * h, t, k, s),
        Product(b * h, t, k, p),
        Product(b * h, t, s, k),
        Product(1, b * t, d, d),
    ]


def num_distances(seq_len: int, mem_len: int, visibility: str) -> int:
    """P: how many distances of a query and a key occur (par.nn.positions.distances)."""
    backwards = mem_len + seq_len
    return backwards if visibility == "causal" else backwards + seq_len - 1


def dense_products(model: ModelConfig, batch_size: int, seq_len: int) -> list[Product]:
    """The products of a dense block for one window."""
    rows, d, f = batch_size * seq_len, model.d_model, model.d_ffn
    return [Product(1, rows, d, f), Product(1, rows, f, d)]


def softmax_products(
    model: ModelConfig, batch_size: int, seq_len: int, counts: Sequence[float]
) -> list[Product]:
    """The products of the (adaptive) softmax for one window of tokens with frequencies `counts`
    [V]: a tail is computed for its own tokens.

    The vectors of a tail that is tied to the embedding are computed once per window.
    """
    ends, rows, d = [*model.cutoffs, len(counts)], batch_size * seq_len, model.d_model
    found = [Product(1, rows, d, ends[0] + len(ends) - 1)]
    total = float(sum(counts))
    for i, width in enumerate(model.tail_widths):
        size = ends[i + 1] - ends[i]
        own = rows * float(sum(counts[ends[i] : ends[i + 1]])) / total
        found += [Product(1, own, d, width), Product(1, own, width, size)]
        if model.tie_embeddings:
            found.append(Product(1, width, d, size))
    return found


def resampling_products(model: ModelConfig, batch_size: int, seq_len: int) -> list[Product]:
    """The products that join characters into positions and give each a state again
    (par.nn.resampling); none where each is a position by itself."""
    if model.downsample == 1:
        return []
    d, joined = model.d_model, model.downsample * model.d_model
    groups, characters = batch_size * model.positions(seq_len), batch_size * seq_len
    return [
        Product(1, groups, joined, d),
        Product(1, groups, d, joined),
        Product(1, characters, NEAR * d, d),
        Product(1, characters, d, d),
    ]


def total(products: Iterable[Product]) -> float:
    """FLOPs of several products."""
    return sum(product.flops for product in products)


def forward_products(
    blocks: str,
    model: ModelConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    visibility: str,
    computed: float = 1.0,
    predicted: int | None = None,
) -> list[Product]:
    """The products of a network of any block string for one window. computed: the share of the
    kinds of a stochastic block that is computed. predicted: for how many tokens of a row the
    softmax is computed; None: for all T."""
    read = dataclasses.replace(model, mem_len=model.positions(model.mem_len), downsample=1)
    attention = attention_products(read, batch_size, model.positions(seq_len), visibility)
    dense = dense_products(read, batch_size, model.positions(seq_len))
    stochastic = [each._replace(count=computed * each.count) for each in attention + dense]
    of_kind = {"a": attention, "d": dense, "i": [], "s": stochastic}
    blocks_own = [product for kind in blocks for product in of_kind[kind]]
    targets = seq_len if predicted is None else predicted
    resampling = resampling_products(model, batch_size, seq_len)
    return blocks_own + resampling + softmax_products(model, batch_size, targets, counts)


def forward_flops(
    blocks: str,
    model: ModelConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    visibility: str,
    computed: float = 1.0,
    predicted: int | None = None,
) -> float:
    """Forward FLOPs of a network of any block string for one window; arguments as those of
    `forward_products`."""
    shape = (model, batch_size, seq_len, counts, visibility)
    return total(forward_products(blocks, *shape, computed, predicted))


def training_products(
    blocks: str,
    model: ModelConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    visibility: str,
    predicted: int | None = None,
) -> list[Product]:
    """The products of one training step which computes all branches: for C = A B also those of the
    gradients, dA = dC B' and dB = A' dC."""
    found = []
    shape = (model, batch_size, seq_len, counts, visibility)
    for product in forward_products(blocks, *shape, predicted=predicted):
        count, rows, inner, columns = product
        found += [
            product,
            Product(count, rows, columns, inner),
            Product(count, inner, rows, columns),
        ]
    return found


def training_flops(
    blocks: str,
    model: ModelConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    visibility: str,
    search: SearchConfig = _SOFT,
    predicted: int | None = None,
) -> float:
    """FLOPs of one training step; for single paths the expected value at uniform pi, and one
    forward pass more for every further path."""
    is_single = search.sampling == "single_path" and "s" in blocks
    passes, computed = (2.0 + search.paths, 1 / len(KINDS)) if is_single else (3.0, 1.0)
    shape = (model, batch_size, seq_len, counts, visibility)
    return passes * forward_flops(blocks, *shape, computed, predicted)


def block_parameters(blocks: str, model: ModelConfig) -> int:
    """The number of weights of the blocks of any string, with their norms, without embedding,
    softmax and final norm, which are the same for all strings."""
    d, f, norm = model.d_model, model.d_ffn, 2 * model.d_model
    attention, dense = 5 * d * d + 2 * d + norm, 2 * d * f + f + d + norm
    of_kind = {
        "a": attention,
        "d": dense,
        "i": 0,
        "s": attention + dense - (norm if model.norm == "pre" else 0),
    }
    return sum(of_kind[kind] for kind in blocks)


def resampling_parameters(model: ModelConfig) -> int:
    """The number of weights that join characters into positions and give each a state again, with
    the norms that are there for that."""
    if model.downsample == 1:
        return 0
    d = model.d_model
    norms = 2 * d if model.norm == "pre" else 4 * d  # post-norm has no final one otherwise
    return (2 * model.downsample + NEAR + 1) * d * d + 3 * d + norms


def zipf_counts(vocab_size: int) -> np.ndarray:
    """[V] unnormalised frequencies of words by rank, 1 / (rank + 2.7) (Mandelbrot 1953), for
    measurements with synthetic text."""
    return 1.0 / (np.arange(vocab_size) + 2.7)
