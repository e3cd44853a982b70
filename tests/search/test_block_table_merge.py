"""Two tables as one have all runs of both; what was there is kept, what was trained longer takes
its place, and tables of different things are not mixed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from par.core.errors import UsageError
from par.search.block_table import BY_EPOCH
from par.search.block_table_merge import merged
from tables import make_table, without

TABLE = make_table(2, (0, 2, 5))


def of_seeds(table, seeds):
    """The part of a table with some of its seeds."""
    columns = [table.seeds.tolist().index(seed) for seed in seeds]
    arrays = {name: getattr(table, name)[:, columns] for name in (*BY_EPOCH, "test_nll")}
    return dataclasses.replace(table, seeds=table.seeds[columns], **arrays)


def same(one, other):
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name), equal_nan=True)
        if isinstance(getattr(one, field.name), np.ndarray)
        else getattr(one, field.name) == getattr(other, field.name)
        for field in dataclasses.fields(one)
    )


def test_the_parts_of_a_table_together_are_the_table_in_any_order():
    assert same(merged(of_seeds(TABLE, [2]), of_seeds(TABLE, [0, 5])), TABLE)
    assert same(merged(of_seeds(TABLE, [0, 5]), of_seeds(TABLE, [2, 5])), TABLE)
    half = dataclasses.replace(TABLE, **without(TABLE, "ad", 5, epochs=2))
    other = dataclasses.replace(TABLE, **without(TABLE, "i", 0))
    assert same(merged(half, other), TABLE) and same(merged(other, half), TABLE)
    assert same(merged(TABLE, TABLE), TABLE)


def test_what_was_there_is_kept_unless_the_other_is_longer():
    again = dataclasses.replace(
        TABLE, **{name: getattr(TABLE, name) + 1 for name in (*BY_EPOCH, "test_nll")}
    )
    assert same(merged(TABLE, again), TABLE)
    half = dataclasses.replace(TABLE, **without(TABLE, "ad", 5, epochs=2))
    found = merged(half, again)
    place = found.index("ad")
    assert np.array_equal(found.valid_nll[place, 2], again.valid_nll[place, 2])
    assert found.test_nll[place, 2] == again.test_nll[place, 2]
    assert np.array_equal(found.valid_nll[place, :2], TABLE.valid_nll[place, :2])
    # trained to the end, but not scored: the score makes the difference
    unscored = dataclasses.replace(TABLE, **without(TABLE, "ad", 5, epochs=4))
    assert merged(unscored, again).is_whole.all()
    assert same(merged(again, unscored), again)


def test_later_latencies_count_where_they_are_known():
    later = np.full(7, np.nan)
    later[3] = 0.5
    found = merged(TABLE, dataclasses.replace(TABLE, latency_ms=later))
    assert found.latency_ms[3] == 0.5
    assert np.array_equal(np.delete(found.latency_ms, 3), np.delete(TABLE.latency_ms, 3))
    blank = dataclasses.replace(TABLE, parameters=np.full(7, np.nan))
    assert same(merged(blank, TABLE), TABLE) and same(merged(TABLE, blank), TABLE)


def test_the_machines_of_both_are_told_each_once():
    machines = [{"machine": "abacus"}, {"machine": "loom"}]
    other = dataclasses.replace(TABLE, about=TABLE.about | {"made_with": machines})
    assert merged(TABLE, other).about["made_with"] == machines
    assert merged(other, TABLE).about["made_with"] == machines


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (make_table(3, (0, 2, 5)), "num_blocks: 2 -> 3"),
        (
            make_table(2, (0, 2, 5), epochs=5),
            r"num_epochs: 4 -> 5; settings.training.epochs: 4 ->",
        ),
        (dataclasses.replace(TABLE, tokens=(300, 241)), r"tokens: \(300, 240\) -> \(300, 241\)"),
        (
            dataclasses.replace(TABLE, about=TABLE.about | {"data": {"name": "peps"}}),
            "data.name: words -> peps; data.vocab_size: 40 -> None",
        ),
        (
            dataclasses.replace(TABLE, about=TABLE.about | {"settings": {}}),
            "settings.model.d_model: 16 -> None",
        ),
        (dataclasses.replace(TABLE, parameters=TABLE.parameters + 1), "number of parameters"),
    ],
)
def test_tables_of_different_things_are_not_mixed(other, said):
    with pytest.raises(UsageError, match=f"not of the same networks and settings .*{said}"):
        merged(TABLE, other)
