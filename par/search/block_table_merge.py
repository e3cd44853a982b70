"""Two tables of networks as one: a later session trains what the table does not have yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from par.core.errors import UsageError
from par.search.block_table import BY_EPOCH, BY_NETWORK, BY_SEED, BlockTable

MADE_WITH = "made_with"  # the part of `about` that may differ
EQUAL = ("num_blocks", "num_epochs", "steps_per_epoch", "tokens", "words")


def merged(kept: BlockTable, added: BlockTable) -> BlockTable:
    """All that two tables know.

    Of a network and seed that both have trained, `kept` counts unless `added` trained it longer:
    what was read from a table stays as it is. Latencies are those of `added` where it has them, as
    a later table of latencies takes the place of an earlier one. `about` lists under `made_with`
    what either was made with.
    Raises: UsageError, with the differences, unless both are of the same data, settings and
    number of blocks.
    """
    if odd := list(_differences(kept, added)):
        raise UsageError(
            f"the two tables are not of the same networks and settings ({'; '.join(odd)}): give"
            " another file for the new one"
        )
    seeds = np.union1d(kept.seeds, added.seeds)
    first, second = (_spread(table, seeds) for table in (kept, added))
    # [N, S]: epochs, and one more for the score on test
    lengths = [
        np.isfinite(each["valid_nll"]).sum(axis=2) + np.isfinite(each["test_nll"])
        for each in (first, second)
    ]
    is_longer = lengths[1] > lengths[0]
    arrays = {
        name: np.where(
            is_longer[:, :, None] if name in BY_EPOCH else is_longer, second[name], first[name]
        )
        for name in (*BY_EPOCH, *BY_SEED)
    }
    arrays |= {
        name: np.where(np.isnan(getattr(added, name)), getattr(kept, name), getattr(added, name))
        for name in BY_NETWORK
    }
    before, after = kept.about[MADE_WITH], added.about[MADE_WITH]
    about = kept.about | {MADE_WITH: before + [each for each in after if each not in before]}
    return dataclasses.replace(kept, seeds=seeds, about=about, **arrays)


def _spread(table: BlockTable, seeds: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays that have an axis S, over these seeds, NaN where the table has not that seed."""
    found = {}
    for name in (*BY_EPOCH, *BY_SEED):
        values = getattr(table, name)
        found[name] = np.full((len(values), len(seeds), *values.shape[2:]), np.nan, values.dtype)
        found[name][:, np.searchsorted(seeds, table.seeds)] = values
    return found


def _differences(kept: BlockTable, added: BlockTable) -> Iterator[str]:
    """What must be equal and differs, each as `name: kept -> added`."""
    pairs = {name: (getattr(kept, name), getattr(added, name)) for name in EQUAL}
    before, after = (_flat(table.about) for table in (kept, added))
    pairs |= {name: (before.get(name), after.get(name)) for name in sorted(before | after)}
    yield from (f"{name}: {old} -> {new}" for name, (old, new) in pairs.items() if old != new)
    if len(kept) != len(added):
        return
    both = np.isfinite(kept.parameters) & np.isfinite(added.parameters)
    if (kept.parameters != added.parameters)[both].any():
        yield "the number of parameters of a network"


def _flat(about: dict[str, Any]) -> dict[str, Any]:
    """What must be equal of `about`, as `data.name` and the like."""
    return {
        f"{group}.{name}": value
        for group in sorted(about.keys() - {MADE_WITH})
        for name, value in about[group].items()
    }
