"""FLOPs of the matrix products of a network, and its number of weights, as pure functions of the
shape.

Multiplications and additions count as one FLOP each. A training step counts as three forward
passes: the backward pass has two products for each of the forward pass. A stochastic block
computes all its branches, unless single paths are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from par.core.config import ModelConfig, SearchConfig
from par.search.architecture import KINDS

_SOFT = SearchConfig()


def attention_flops(model: ModelConfig, batch_size: int, seq_len: int) -> float:
    """Forward FLOPs of an attention block for one window: projections, logits by content and by
    distance, weighted values, output."""
    b, t, s, d = batch_size, seq_len, model.mem_len + seq_len, model.d_model
    projections = b * t * d * d + 2 * b * s * d * d + s * d * d + b * t * d * d
    return 2.0 * (projections + 3 * b * t * s * d)


def dense_flops(model: ModelConfig, batch_size: int, seq_len: int) -> float:
    """Forward FLOPs of a dense block for one window."""
    return 4.0 * batch_size * seq_len * model.d_model * model.d_ffn


def softmax_flops(
    model: ModelConfig, batch_size: int, seq_len: int, counts: Sequence[float]
) -> float:
    """Forward FLOPs of the (adaptive) softmax for one window of tokens with frequencies `counts`
    [V]: a tail is computed for its own tokens.

    The vectors of a tail that is tied to the embedding are computed once per window.
    """
    ends = [*model.cutoffs, len(counts)]
    flops, tied = float(model.d_model * (ends[0] + len(ends) - 1)), 0.0
    total = float(sum(counts))
    for i, width in enumerate(model.tail_widths):
        share = float(sum(counts[ends[i] : ends[i + 1]])) / total
        flops += share * width * (model.d_model + ends[i + 1] - ends[i])
        tied += width * model.d_model * (ends[i + 1] - ends[i]) if model.tie_embeddings else 0
    return 2.0 * (batch_size * seq_len * flops + tied)


def forward_flops(
    blocks: str,
    model: ModelConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    computed: float = 1.0,
) -> float:
    """Forward FLOPs of a network of any block string for one window. computed: the share of the
    kinds of a stochastic block that is computed."""
    attention = attention_flops(model, batch_size, seq_len)
    dense = dense_flops(model, batch_size, seq_len)
    of_kind = {"a": attention, "d": dense, "i": 0.0, "s": computed * (attention + dense)}
    return sum(of_kind[kind] for kind in blocks) + softmax_flops(
        model, batch_size, seq_len, counts
    )


def training_flops(
    blocks: str,
    model: ModelConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    search: SearchConfig = _SOFT,
) -> float:
    """FLOPs of one training step; for single paths the expected value at uniform pi, and one
    forward pass more for every further path."""
    if search.sampling != "single_path" or "s" not in blocks:
        return 3.0 * forward_flops(blocks, model, batch_size, seq_len, counts)
    return (2.0 + search.paths) * forward_flops(
        blocks, model, batch_size, seq_len, counts, computed=1 / len(KINDS)
    )


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


def zipf_counts(vocab_size: int) -> np.ndarray:
    """[V] unnormalised frequencies of words by rank, 1 / (rank + 2.7) (Mandelbrot 1953), for
    measurements with synthetic text."""
    return 1.0 / (np.arange(vocab_size) + 2.7)
