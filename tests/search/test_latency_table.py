"""The latency of blocks is a sum over a table, and a table is whole and fits, or is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest

from faults import change_json
from par.core.config import ModelConfig
from par.core.errors import DataError, UsageError
from par.search import architecture, latency_table
from par.search.architecture import KINDS, pi_table
from par.search.latency_table import Costs, LatencyTable, Shape, Spread

SHAPE = Shape(
    ModelConfig(d_model=16, num_heads=2, cutoffs=(10,)),
    vocab_size=40,
    batch_size=4,
    seq_len=8,
    visibility="causal",
    objective="causal_lm",
)
# sums of these are exact in binary
INFERENCE = Costs(attention=2.0, dense=0.75, identity=0.125, constant=5.0)


def table() -> LatencyTable:
    inference = {
        "constant": Spread(5.0, 4.5, 6.0),
        "a": Spread(2.0, 1.0, 3.0),
        "d": Spread(0.75, 0.5, 1.0),
        "i": Spread(0.125, 0.0, 0.25),
    }
    training = {part: Spread(*(3 * ms for ms in spread)) for part, spread in inference.items()}
    decoding = {part: Spread(*(ms / 4 for ms in spread)) for part, spread in inference.items()}
    return LatencyTable(
        {"machine": "abacus", "cpus": 2},
        *SHAPE,
        repeats=7,
        training_step=training,
        inference=inference,
        decoding=decoding,
    )


@pytest.fixture
def path(tmp_path):
    table().save(tmp_path / "latency.json")
    return tmp_path / "latency.json"


def test_the_latency_of_a_network_is_the_constant_and_its_blocks():
    # identity adds nothing, so that what was measured for it is noise
    assert table().costs("inference") == INFERENCE._replace(identity=0.0)
    assert table().milliseconds("", "inference") == 5.0
    assert table().milliseconds("aadi", "inference") == 5.0 + 2 * 2.0 + 0.75
    assert table().milliseconds("iaiad", "inference") == INFERENCE.milliseconds("aad")
    assert table().milliseconds("aadi", "training_step") == 3 * table().milliseconds(
        "aadi", "inference"
    )


def test_the_expected_latency_is_the_mean_over_all_networks_that_pi_may_draw():
    pi = np.random.default_rng(1).dirichlet([1, 1, 1], size=4)
    mean = 0.0
    for columns in itertools.product(range(3), repeat=4):
        mean += np.prod(pi[range(4), columns]) * table().milliseconds(
            "".join(KINDS[o] for o in columns), "inference"
        )
    assert table().costs("inference").expected_ms(pi) == pytest.approx(mean, rel=1e-12)


def test_the_expected_latency_of_a_decided_pi_is_that_of_its_blocks_fixed_ones_included():
    for blocks in ("adi", "d", "", "iia"):
        assert table().costs("training_step").expected_ms(
            pi_table(blocks, [])
        ) == table().milliseconds(blocks, "training_step")
    half = pi_table("asd", [[0.5, 0.5, 0.0]])
    assert (
        table().costs("inference").expected_ms(half)
        == (table().milliseconds("aad", "inference") + table().milliseconds("add", "inference"))
        / 2
    )


@pytest.mark.parametrize(("depth", "blocks"), [(0, ""), (1, "a"), (5, "adada"), (6, "adadad")])
def test_shares_are_of_the_interleaved_network_of_the_same_depth(depth, blocks):
    assert architecture.interleaved(depth) == blocks and INFERENCE.interleaved_ms(
        depth
    ) == INFERENCE.milliseconds(blocks)
    assert INFERENCE.share_of_interleaved(blocks) == 1.0
    assert INFERENCE.share_of_interleaved("i" * depth) == 5 / INFERENCE.milliseconds(blocks)


def test_figures_and_line_say_the_same():
    assert INFERENCE.figures("di") == {
        "milliseconds": 5.75,
        "interleaved_milliseconds": 7.75,
        "share": 5.75 / 7.75,
    }
    assert (
        INFERENCE.line("di", "training_step")
        == "latency of d: 5.75 ms training step, 74.2% of the 7.75 ms of ad"
    )


def test_a_stochastic_block_has_no_latency_of_its_own():
    with pytest.raises(
        UsageError, match="blocks must be letters of adi to have a latency, but are 'asd'"
    ):
        table().milliseconds("asd", "inference")
    with pytest.raises(
        UsageError,
        match="a latency is one of inference, training_step, decoding, but is 'evaluation'",
    ):
        table().milliseconds("ad", "evaluation")


def test_a_run_without_a_table_has_no_costs():
    assert (
        latency_table.costs_from_settings(()) is None
        and latency_table.costs_from_settings((2.0, 0.75, 0.125, 5.0)) == INFERENCE
    )


def test_a_saved_table_comes_back_equal(path):
    assert (
        latency_table.load(path) == table() == LatencyTable.from_json(json.loads(path.read_text()))
    )
    value = json.loads(path.read_text())
    assert (
        value["inference"]["a"] == {"milliseconds": 2.0, "low": 1.0, "high": 3.0}
        and value["model"] == SHAPE[0].to_json()
    )
    sizes = set(Shape._fields)
    assert set(value) == sizes | {
        "schema",
        "device",
        "repeats",
        "training_step",
        "inference",
        "decoding",
        "calibration",
    }


def test_a_table_of_an_earlier_version_is_named_as_such_and_another_file_of_schema_1_is_not(path):
    old = {
        key: value
        for key, value in json.loads(path.read_text()).items()
        if key not in ("decoding", "calibration", "base", *latency_table.BEFORE)
    } | {"schema": 1}
    for value, said in (
        (old, "it has schema 1, of an earlier version that did not time decoding: measure again"),
        ({"schema": 1}, "it must have schema 3"),
    ):
        with pytest.raises(UsageError, match=said):
            LatencyTable.from_json(value)


CHANGES = [
    ("schema", 4, "schema 3 and the keys base, batch_size, calibration, decoding, device,"),
    ("schema", 1, "schema 3 and the keys"),
    ("colour", 1, "schema 3 and the keys"),
    ("device", "abacus", "device must be a JSON object"),
    ("model", {"d_model": 16}, "ModelConfig must have exactly the keys"),
    ("model.d_model", 10**9, "d_model must be at most 65536"),
    ("model.cutoffs", [40], "cutoffs must lie below the vocabulary size 40"),
    (
        "vocab_size",
        10**12,
        "vocab_size must be an integer from 1 to 4000000, but is '1000000000000'",
    ),
    ("vocab_size", True, "vocab_size must be an integer"),
    ("batch_size", 0, "batch_size must be an integer from 1 to 1048576"),
    ("seq_len", 1 << 21, "seq_len must be an integer from 1 to 1048576"),
    ("repeats", 3.0, "repeats must be an integer from 1 to"),
    ("inference", [1], "inference must have the keys constant, a, d, i"),
    (
        "training_step.s",
        {"milliseconds": 1, "low": 1, "high": 1},
        "training_step must have the keys constant, a, d, i",
    ),
    ("inference.a", 2.0, "inference of a must be milliseconds"),
    ("inference.a.colour", 2.0, "inference of a must be milliseconds"),
    (
        "inference.a.milliseconds",
        "2",
        "inference of a must be milliseconds, 0 <= low <= milliseconds <= high",
    ),
    ("inference.a.milliseconds", True, "inference of a"),
    ("inference.a.milliseconds", 3.5, "inference of a"),
    ("inference.a.milliseconds", 0.5, "inference of a"),
    ("inference.a.low", -1.0, "inference of a"),
    ("training_step.d.high", 1e10, "training_step of d"),
    ("training_step.d.high", 10**300, "training_step of d"),
    ("decoding.i", None, "decoding of i must be milliseconds"),
    ("calibration", 1.0, "calibration must have the keys inference, training_step, decoding"),
    ("calibration.colour", 1.0, "calibration must have the keys"),
    (
        "calibration.decoding",
        0.0,
        "calibration must be factors from 1e-06 to 1e.06, but is .*'decoding': 0.0",
    ),
    ("calibration.decoding", "1", "calibration must be factors"),
    ("calibration.inference", True, "calibration must be factors"),
    ("calibration.inference", 10**300, "calibration must be factors"),
    (
        "inference.constant",
        {"milliseconds": 0, "low": 0, "high": 1},
        "inference of constant must be above 0 milliseconds",
    ),
]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    CHANGES,
    ids=[f"{place} {str(value)[:20]}" for place, value, _ in CHANGES],
)
def test_a_table_that_no_measurement_made_is_refused_by_its_path_and_the_rule(
    path, place, value, said
):
    change_json(path, place, value)
    with pytest.raises(
        DataError, match=rf"latency table .*latency.json is not valid: .*{said}"
    ) as error:
        latency_table.load(path)
    assert (
        error.value.exit_code == 3 and "\n" not in str(error.value) and len(str(error.value)) < 600
    )


def test_a_table_that_is_older_than_bases_is_of_networks_without_one(path):
    value = json.loads(path.read_text())
    assert value.pop("base") == latency_table.NO_BASE
    assert LatencyTable.from_json(value) == table()


@pytest.mark.parametrize("missing", sorted({*table().to_json()} - {"base"}))
def test_a_table_without_one_of_its_keys_is_refused(path, missing):
    content = json.loads(path.read_text())
    del content[missing]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="it must have schema 3 and the keys"):
        latency_table.load(path)


def test_what_is_no_json_of_a_table_s_size_is_refused(path):
    sound = path.read_text()
    for content, said in (
        (sound[:-9], "is not valid JSON"),
        (sound.replace("2.0", "NaN"), "NaN is not a JSON number"),
        ("[1]", "must hold a JSON obj"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=said):
            latency_table.load(path)
    # JSON's grammar allows it; Python reads it as infinite
    path.write_text(sound.replace("2.0", "1e999"))
    with pytest.raises(DataError, match="a number is beyond"):
        latency_table.load(path)
    path.write_text(sound + " " * (1 << 16))
    with pytest.raises(DataError, match="more than the 65536 bytes"):
        latency_table.load(path)
    with pytest.raises(DataError, match=r"latency table .*none.json does not exist"):
        latency_table.load(path.with_name("none.json"))


def test_a_table_fits_the_shape_that_it_was_measured_at_and_no_other():
    for what in latency_table.CASES:
        table().check_fits(what, SHAPE, "latency.json")
    model, *sizes = SHAPE[:4]
    for position, name in enumerate(("vocab_size", "batch_size", "seq_len")):
        other = list(sizes)
        other[position] += 1
        said = (
            rf"latency table latency.json is for another shape \({name} {sizes[position]} there,"
            rf" {other[position]} here\): measure this one"
        )
        with pytest.raises(DataError, match=said):
            table().check_fits("inference", Shape(model, *other, *SHAPE[4:]), "latency.json")
    narrow = dataclasses.replace(model, cutoffs=(), d_ffn=24)
    with pytest.raises(
        DataError, match=r"d_ffn 512 there, 24 here; cutoffs \[10\] there, \[\] here"
    ):
        table().check_fits("inference", SHAPE._replace(model=narrow), "latency.json")


def test_only_settings_on_which_a_latency_does_not_depend_may_differ():
    undropped = dataclasses.replace(SHAPE.model, dropout_rate=0.4, init_std=0.5)
    wider = dataclasses.replace(SHAPE.model, mem_len=7)
    for what in ("inference", "decoding"):
        table().check_fits(what, SHAPE._replace(model=undropped), "latency.json")
    # one token of one text, whatever the windows
    table().check_fits("decoding", SHAPE._replace(batch_size=64, seq_len=64), "latency.json")
    # an update draws random numbers for it
    with pytest.raises(DataError, match=r"\(dropout_rate 0.1 there, 0.4 here\)"):
        table().check_fits("training_step", SHAPE._replace(model=undropped), "latency.json")
    for what in latency_table.CASES:
        with pytest.raises(DataError, match="mem_len 32 there, 7 here"):
            table().check_fits(what, SHAPE._replace(model=wider), "latency.json")
    assert set(latency_table.INDIFFERENT) == set(latency_table.CASES)


def test_a_calibrated_table_predicts_so_many_times_as_much_and_keeps_what_was_measured(path):
    once = table().calibrated({"inference": 1.25})
    twice = once.calibrated({"inference": 0.8, "decoding": 2.0})
    assert once.milliseconds("aadi", "inference") == pytest.approx(
        1.25 * table().milliseconds("aadi", "inference"), rel=1e-12
    )
    assert (
        once.milliseconds("aadi", "decoding") == table().milliseconds("aadi", "decoding")
        and once.inference == table().inference
    )
    assert (
        twice.calibration == {"inference": 1.0, "training_step": 1.0, "decoding": 2.0}
        and table().calibration["decoding"] == 1.0
    )
    assert twice.costs("decoding").block_ms.tolist() == [1.0, 0.375, 0.0]
    twice.save(path)
    assert (
        latency_table.load(path) == twice
        and twice.calibration_line == "inference x 1.000, training step x 1.000, decoding x 2.000"
    )
    with pytest.raises(UsageError, match="calibration must be factors from"):
        table().calibrated({"inference": 1e9})


def test_a_block_may_take_nothing_at_all():
    value = table().to_json()
    value["inference"]["i"] = {"milliseconds": 0, "low": 0, "high": 0}
    assert math.isclose(LatencyTable.from_json(value).milliseconds("iii", "inference"), 5.0)
