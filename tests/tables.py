"""Tables of all networks, and of latencies, with figures that nobody measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from par.core.config import ModelConfig
from par.search import latency_table, networks
from par.search.block_table import BlockTable
from par.search.latency_table import LatencyTable, Spread


def make_latencies(
    model: ModelConfig, milliseconds: Mapping[str, float] | float = 1.0, /, **fields: Any
) -> LatencyTable:
    """A table of latencies of such a model at the shape of small.small_data. milliseconds: those
    of every part, or by part; `fields` replace fields."""
    if not isinstance(milliseconds, Mapping):
        milliseconds = dict.fromkeys(latency_table.PARTS, milliseconds)
    spreads = {part: Spread(ms, ms / 2, 2 * ms) for part, ms in milliseconds.items()}
    made = {
        "model": model,
        "device": {"machine": "abacus"},
        "vocab_size": 40,
        "batch_size": 4,
        "seq_len": 8,
        "visibility": "causal",
        "objective": "causal_lm",
        "base": latency_table.NO_BASE,
        "repeats": 3,
        **dict.fromkeys(("training_step", "inference", "decoding"), spreads),
    }
    return LatencyTable(**made | fields)


def make_table(
    num_blocks: int = 3, seeds: tuple[int, ...] = (0, 2, 5), epochs: int = 4, **fields: Any
) -> BlockTable:
    """A whole table; every figure of the same field is another. `fields` replace fields."""
    draw = np.random.default_rng([num_blocks, epochs, *seeds])
    size = networks.count(num_blocks)
    by_epoch = (size, len(seeds), epochs)
    values = {
        "train_nll": draw.uniform(4, 6, by_epoch),
        "valid_nll": draw.uniform(4, 6, by_epoch),
        "seconds": draw.uniform(1, 2, by_epoch).cumsum(axis=2),
        "test_nll": draw.uniform(4, 6, by_epoch[:2]),
        "parameters": 1000.0 + draw.permutation(size),
        "latency_ms": draw.uniform(1, 9, size),
        "measured_latency_ms": draw.uniform(1, 9, size),
        "steps_per_epoch": 7,
        "tokens": (300, 240),
        "words": (100.0, 79.5),
        "about": {
            "data": {"name": "words", "vocab_size": 40},
            "settings": {"training.epochs": epochs, "model.d_model": 16},
            "made_with": [{"machine": "abacus"}],
        },
    }
    return BlockTable(num_blocks=num_blocks, seeds=np.array(seeds), **values | fields)


def without(table: BlockTable, network: str, seed: int, epochs: int = 0) -> dict[str, Any]:
    """The arrays of a table in which a network was trained with a seed for fewer epochs, and not
    scored."""
    place, column = table.index(network), table.seeds.tolist().index(seed)
    arrays = {name: getattr(table, name).copy() for name in ("train_nll", "valid_nll", "seconds")}
    for values in arrays.values():
        values[place, column, epochs:] = np.nan
    arrays["test_nll"] = table.test_nll.copy()
    arrays["test_nll"][place, column] = np.nan
    return arrays
