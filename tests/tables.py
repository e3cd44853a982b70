"""Tables of all networks with figures that no training made."""

from __future__ import annotations

from typing import Any

import numpy as np

from par.search import networks
from par.search.block_table import BlockTable


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
