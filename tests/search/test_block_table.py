"""The table answers for a network however it is spelled, with the figures that it was given; what
was not trained is not answered; what no training leaves behind is not taken."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from par.core.errors import DataError, UsageError
from par.search import architecture
from par.search.architecture import Architecture
from par.search.block_table import METRICS, BlockTable
from tables import make_table, without

TABLE = make_table()


def test_every_spelling_of_a_network_has_its_figures_and_no_other_network_has():
    by_network = {}
    for kinds in itertools.product("adi", repeat=TABLE.num_blocks):
        blocks = "".join(kinds)
        found = TABLE.query(blocks, "valid_nll")
        assert found.shape == (3,)
        by_network.setdefault(architecture.network_of(blocks), set()).add(tuple(found))
    assert len(by_network) == len(TABLE) == 15 and list(by_network) != TABLE.networks
    assert all(len(figures) == 1 for figures in by_network.values())
    assert len(set.union(*by_network.values())) == 15
    six = make_table(6, (0,), 1)
    for blocks in ("3(ad)", "adadad", " ada1d2(i)ad", Architecture("adadad")):
        assert six.query(blocks, "test_nll", seed=0) == six.test_nll[six.index("adadad"), 0]
    assert six.networks.index("ddad") == six.index("diidad") == six.index("dd2iad")
    assert six.networks[six.index("iii")] == "i"


def test_a_figure_is_that_of_its_network_seed_and_epoch():
    place = TABLE.networks.index("da")
    for metric in ("train_nll", "valid_nll", "seconds"):
        values = getattr(TABLE, metric)
        assert TABLE.query("dia", metric, epoch=2, seed=5) == values[place, 2, 1]
        assert TABLE.query("dia", metric, seed=0) == values[place, 0, 3]
        assert TABLE.query("dia", metric, epoch=1).tolist() == values[place, :, 0].tolist()
        assert TABLE.query(["a", "da"], metric, 3).tolist() == (
            values[[TABLE.networks.index("a"), place], :, 2].tolist()
        )
        assert TABLE.query(["da"], metric, 3, 2).tolist() == [values[place, 1, 2]]
    assert TABLE.query("da", "test_nll", seed=2) == TABLE.test_nll[place, 1]
    assert TABLE.query("da", "parameters") == TABLE.parameters[place]
    assert TABLE.query(TABLE.networks, "latency_ms").tolist() == TABLE.latency_ms.tolist()
    assert TABLE.query([], "seconds").shape == (0, 3)
    assert (
        type(TABLE.query("da", "parameters")) is type(TABLE.query("da", "seconds", 1, 0)) is float
    )


def test_a_table_of_another_objective_knows_no_perplexity_per_word():
    assert TABLE.objective == "causal_lm"
    masked = make_table(about=TABLE.about | {"settings": {"objective": "masked_lm"}})
    assert masked.query("a", "valid_nll").tolist() == TABLE.query("a", "valid_nll").tolist()
    with pytest.raises(UsageError, match="but these are of masked_lm: ask for valid_nll or test"):
        masked.query("a", "test_perplexity_per_word")


def test_perplexities_and_the_sum_of_losses_are_those_of_their_formulas():
    """Perplexity per word is exp(nll per token x tokens / words), by split."""
    nll = TABLE.query("add", "valid_nll", epoch=2, seed=2)
    assert TABLE.query("add", "valid_perplexity_per_word", 2, 2) == pytest.approx(
        math.exp(nll * 300 / 100)
    )
    nll = TABLE.query("add", "test_nll", seed=2)
    assert TABLE.query("add", "test_perplexity_per_word", seed=2) == pytest.approx(
        math.exp(nll * 240 / 79.5)
    )
    losses = [TABLE.query("add", "train_nll", epoch, 0) for epoch in (1, 2, 3, 4)]
    for epoch in (1, 2, 3, 4):
        assert TABLE.query("add", "sum_of_training_losses", epoch, 0) == pytest.approx(
            math.fsum(losses[:epoch])
        )
    huge = dataclasses.replace(TABLE, test_nll=np.full_like(TABLE.test_nll, 1e4))
    assert huge.query("a", "test_perplexity_per_word", seed=0) == math.inf


def test_what_was_not_trained_is_not_answered_and_is_said_to_be_missing():
    partial = dataclasses.replace(TABLE, **without(TABLE, "ad", 2, epochs=2))
    assert partial.query("ad", "valid_nll", epoch=2, seed=2) > 0
    assert np.isnan(partial.query("ad", "valid_nll")).tolist() == [False, True, False]
    assert partial.seeds_of("iad") == [0, 5] and partial.seeds_of("da") == [0, 2, 5]
    assert partial.missing([0, 2]) == [("ad", 2)] and TABLE.missing([0, 2, 5]) == []
    assert partial.missing([7, 2], ["da", "aid"]) == [("da", 7), ("ad", 7), ("ad", 2)]
    assert len(partial.missing([0, 2, 3])) == 16
    with pytest.raises(
        UsageError,
        match=r"^valid_nll of ad is not known with seed 2 to epoch 3: the network was trained with"
        r" seed 0 to epoch 4, seed 2 to epoch 2, seed 5 to epoch 4, of 4 epochs$",
    ):
        partial.query(["a", "ad"], "valid_nll", epoch=3, seed=2)
    never = dataclasses.replace(make_table(2, (1,)), **without(make_table(2, (1,)), "i", 1))
    with pytest.raises(UsageError, match=r"test_nll of i is not known to epoch 4: .* no seed yet"):
        never.query("ii", "test_nll")
    unmeasured = dataclasses.replace(TABLE, measured_latency_ms=np.full(15, np.nan))
    with pytest.raises(UsageError, match=r"^measured_latency_ms of a is not known$"):
        unmeasured.query("a", "measured_latency_ms")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("a", "nll"), "unknown metric 'nll'; valid metrics: train_nll, .*measured_latency_ms$"),
        (("aaaa", "seconds"), "of up to 3 blocks, but 4a has 4$"),
        (("asd", "seconds"), "asd leaves blocks to a search"),
        (("xyz", "seconds"), "must be letters of adis"),
        (("", "seconds"), "must be letters of adis"),
        (("a", "seconds", 0), "epoch must be from 1 to 4, but is 0$"),
        (("a", "seconds", 5), "epoch must be from 1 to 4, but is 5$"),
        (("a", "seconds", 1.0), "epoch must be from 1 to 4, but is 1.0$"),
        (("a", "seconds", True), "epoch must be from 1 to 4, but is True$"),
        (("a", "seconds", 1, 1), "seed must be one of 0, 2, 5, but is 1$"),
        (("a", "seconds", None, "0"), "seed must be one of 0, 2, 5, but is '0'$"),
        (("a", "test_nll", 4), "test_nll is known after the last epoch only: leave the epoch, 4,"),
        (("a", "parameters", 4), "parameters is known once for a network: leave the epoch, 4,"),
        (("a", "latency_ms", None, 0), "does not depend on the seed: leave it, 0, out$"),
    ],
)
def test_a_bad_question_is_refused_in_one_line(asked, said):
    with pytest.raises(UsageError, match=said):
        TABLE.query(*asked)


def test_an_architecture_json_is_looked_up_too(tmp_path):
    Architecture("iad").save(tmp_path / "architecture.json")
    assert TABLE.query(str(tmp_path / "architecture.json"), "parameters") == TABLE.query(
        "ad", "parameters"
    )
    with pytest.raises(DataError, match="does not exist"):
        TABLE.query(str(tmp_path / "other.json"), "parameters")


def test_its_arrays_can_t_be_written_to_and_are_copies():
    given = np.full((15, 3), 5.0)
    table = dataclasses.replace(TABLE, test_nll=given)
    given[:] = 1
    assert (table.test_nll == 5).all() and table.test_nll.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        table.valid_nll[0] = 0
    assert repr(TABLE) == (
        "BlockTable(15 networks of up to 3 blocks, 4 epochs; 45 finished runs of 3 seeds)"
    )


def changed(name, place, value):
    values = getattr(TABLE, name).copy()
    values[place] = value
    return {name: values}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_blocks": 0}, "num_blocks is 0"),
        ({"num_blocks": 11}, "num_blocks is 11"),
        ({"num_blocks": 4}, "train_nll has shape"),
        ({"seeds": np.array([0, 5, 2])}, "not increasing"),
        ({"seeds": np.array([-1, 5, 6])}, "not increasing from 0 on"),
        ({"seeds": np.array([], int)}, "there are"),
        ({"parameters": np.full(14, 1.0)}, "parameters has shape"),
        ({"steps_per_epoch": 0}, "steps_per_epoch is 0"),
        ({"tokens": (300, 0)}, "tokens of test is 0"),
        ({"tokens": (300,)}, "numbers of tokens and words"),
        ({"words": (100.0, math.nan)}, "words are"),
        ({"about": {"data": {}}}, "about has not just"),
        (changed("valid_nll", (3, 1, 2), math.inf), "valid_nll holds a figure"),
        (changed("test_nll", (3, 1), -1), "test_nll holds a figure"),
        (changed("parameters", 3, 0), "parameters holds a figure"),
        (changed("parameters", 3, 2.5), "parameters are not integers"),
        (changed("latency_ms", 3, 1e13), "latency_ms holds a figure"),
        (changed("train_nll", (3, 1, 3), math.nan), "train_nll and valid_nll are known of diff"),
        (
            {
                name: values[name]
                for name in ("train_nll", "valid_nll", "seconds")
                for values in [changed(name, (3, 1, 1), math.nan)]
            },
            "an epoch is known and the one before is not",
        ),
        (
            {
                name: values[name]
                for name in ("train_nll", "valid_nll", "seconds")
                for values in [changed(name, (3, 1, 3), math.nan)]
            },
            "a test_nll is known and the last epoch is not",
        ),
        (changed("seconds", (3, 1, 3), 0), "seconds decrease"),
    ],
)
def test_what_no_training_leaves_behind_is_refused(fields, said):
    with pytest.raises(UsageError, match=f"must be consistent, but .*{said}"):
        dataclasses.replace(TABLE, **fields)


def test_a_table_of_more_figures_than_any_training_has_is_refused_before_it_is_looked_at():
    huge = np.broadcast_to(np.float32(1), (3, 1, 1 << 20))
    with pytest.raises(UsageError, match="networks, seeds and epochs"):
        BlockTable(
            1,
            np.array([0]),
            huge,
            huge,
            huge,
            *[np.ones(3)] * 4,
            1,
            (1, 1),
            (1, 1),
            {"data": {}, "settings": {}, "made_with": []},
        )


def test_every_metric_is_described_where_it_is_asked_for():
    assert all(f"`{name}`" in BlockTable.query.__doc__ for name in METRICS)
