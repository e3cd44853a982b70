"""Predicted beside measured: what the pairs say, when the check counts as broken, and a section
of architecture.json that is whole or refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from faults import change_json
from par.core.errors import DataError, UsageError
from par.core.stats import Quartiles
from par.search import architecture, latency_table
from par.search.architecture import Architecture
from par.search.latency_check import Case, LatencyCheck
from par.search.latency_table import Costs

COSTS = {"inference": Costs(2.0, 1.0, 0.0, 4.0), "decoding": Costs(0.5, 0.25, 0.0, 1.0)}
# the last pair: something else ran
INFERENCE = np.array([[6.0, 8.0], [6.3, 7.0], [6.6, 8.8], [5.7, 9.5], [9.0, 10.0]])


def predicted(**budget) -> LatencyCheck:
    return latency_table.predicted("addi", "inference", COSTS, **budget)


def measured(inference=INFERENCE, **budget) -> LatencyCheck:
    return predicted(**budget).with_measured(
        {"inference": np.asarray(inference), "decoding": np.full((len(inference), 2), [2.0, 2.5])}
    )


def test_the_prediction_is_that_of_the_costs_in_every_case_that_has_any():
    assert predicted(budget_ms=8.5) == LatencyCheck(
        "inference", (Case("inference", 8.0, 10.0), Case("decoding", 2.0, 2.5)), 8.5
    )
    only = latency_table.predicted("addi", "training_step", {"training_step": COSTS["inference"]})
    assert [case.what for case in only.cases] == ["training_step"] and only.cases[0].share == 0.8


def test_pairs_give_medians_and_quartiles_and_the_share_is_that_of_each_pair():
    found = measured().cases[0].measured
    assert found.network == Quartiles(6.3, 6.0, 6.6) and found.interleaved == Quartiles(
        8.8, 8.0, 9.5
    )
    shares = sorted([6 / 8, 6.3 / 7, 6.6 / 8.8, 5.7 / 9.5, 9 / 10])
    assert found.share == pytest.approx((shares[2], shares[1], shares[3]), rel=1e-12)
    assert found.share.median != pytest.approx(found.network.median / found.interleaved.median)
    assert measured().pairs == 5 and predicted().pairs == 0
    assert Quartiles(2.0, 1.9, 2.2).width == pytest.approx(0.15)


def test_the_error_is_that_of_the_prediction_and_the_correction_takes_it_away():
    check = measured()
    assert check.cases[0].error == pytest.approx(
        8 / 6.3 - 1
    ) and check.corrections == pytest.approx({"inference": 6.3 / 8, "decoding": 1.0})
    corrected = {
        what: Costs(*(check.corrections[what] * ms for ms in costs))
        for what, costs in COSTS.items()
    }
    again = latency_table.predicted("addi", "inference", corrected).with_measured(
        {"inference": INFERENCE, "decoding": np.full((5, 2), [2.0, 2.5])}
    )
    assert again.cases[0].error == pytest.approx(
        0, abs=1e-12
    ) and again.corrections == pytest.approx({"inference": 1.0, "decoding": 1.0})


def test_a_prediction_that_misses_by_more_than_a_tenth_is_warned_of_with_a_wide_spread():
    near = np.full((4, 2), [7.9, 10.0])
    assert (
        measured(near).warnings("addi") == [] and predicted(budget_ms=0.1).warnings("addi") == []
    )
    assert measured(np.full((5, 2), 7.0)).warnings("addi") == [
        "the prediction misses the inference of addi by +14.3%: measure again, or use --calibrate"
    ]
    assert "of addi by -11.1%" in measured(np.full((5, 2), 9.0)).warnings("addi")[0]
    wide = np.array([[5.0, 10.0], [7.0, 10.0], [9.0, 10.0]])
    assert (
        "by +14.3%, whose quartiles lie 28.6% apart: measure again"
        in measured(wide).warnings("addi")[0]
    )


def test_a_budget_that_the_measured_latency_exceeds_is_warned_of():
    times = np.full((3, 2), [8.2, 10.0])
    assert measured(times, budget_ms=8.3).warnings("addi") == []
    assert measured(times, budget_ms=8.1).warnings("addi") == [
        "the inference of addi takes 8.200 ms, above the budget of 8.100 ms"
    ]
    # the machine is slower for both
    assert measured(times, budget_ms=8.1, budget_ratio=0.83).warnings("addi") == []
    # the decoding takes 80 %, but the budget is one of inference
    fast = np.full((3, 2), [7.5, 10.0])
    assert measured(fast, budget_ms=7.6, budget_ratio=0.76).warnings("addi") == []
    said = "the inference of addi takes 82.0% of the interleaved network's, above 81.0%"
    assert measured(times, budget_ms=8.3, budget_ratio=0.81).warnings("addi") == [said]


def test_the_lines_set_predicted_beside_measured_for_both_networks_in_both_cases():
    assert measured(np.full((3, 2), [8.0, 12.5])).lines("addi", "adad") == [
        "network                predicted ms  measured ms           quartiles   error",
        "addi     inference            8.000        8.000      8.000 to 8.000   +0.0%",
        "adad     inference           10.000       12.500    12.500 to 12.500  -20.0%",
        "addi     decoding             2.000        2.000      2.000 to 2.000   +0.0%",
        "adad     decoding             2.500        2.500      2.500 to 2.500   +0.0%",
        (
            "share of adad, predicted: inference 80.0% (measured 64.0%, 64.0% to 64.0%); decoding"
            " 80.0% (measured 80.0%, 80.0% to 80.0%)"
        ),
    ]
    assert predicted().lines("addi", "adad")[1:] == [
        "addi     inference            8.000",
        "adad     inference           10.000",
        "addi     decoding             2.000",
        "adad     decoding             2.500",
        "share of adad, predicted: inference 80.0%; decoding 80.0%",
    ]


@pytest.fixture
def path(tmp_path):
    pi, check = tuple([(0.4, 0.3, 0.3)] * 4), measured(budget_ms=8.5, budget_ratio=0.85)
    Architecture(
        "addi", rule="budget", search_run="search", pi=pi, seeds=(0,), latency=check
    ).save(tmp_path / "architecture.json")
    return tmp_path / "architecture.json"


def test_the_section_comes_back_equal_measured_or_not(path):
    assert architecture.load(path).latency == measured(budget_ms=8.5, budget_ratio=0.85)
    for check in (predicted(), measured()):
        assert LatencyCheck.from_json(json.loads(json.dumps(check.to_json()))) == check
    value = json.loads(path.read_text())["latency"]
    assert (
        value["of"] == "inference"
        and value["pairs"] == 5
        and value["cases"]["inference"]["predicted"]["share"] == 0.8
    )
    assert value["cases"]["inference"]["measured"]["network"] == {
        "median": 6.3,
        "low": 6.0,
        "high": 6.6,
    }
    assert hash(architecture.load(path)) == hash(architecture.load(path))


CHANGES = [
    ("of", "training_step"),
    ("of", ["inference"]),
    ("of", None),
    ("budget_ms", 0),
    ("budget_ms", -1.0),
    ("budget_ms", "8.5"),
    ("budget_ms", True),
    ("budget_ms", 10**400),
    ("budget_ratio", 0.0),
    ("pairs", 0),
    ("pairs", 2.5),
    ("pairs", True),
    ("pairs", 10**9),
    ("colour", 1),
    ("cases", {}),
    ("cases", []),
    ("cases.inference", None),
    (
        "cases.dancing",
        {
            "predicted": {"network": 1.0, "interleaved": 2.0, "share": 0.5},
            "measured": None,
            "error": None,
        },
    ),
    ("cases.decoding.measured", None),
    ("cases.decoding.measured", 0),
    ("cases.decoding.error", 0.5),
    ("cases.decoding.predicted.network", 0.0),
    ("cases.decoding.predicted.network", 2.5),  # the share no longer fits
    ("cases.decoding.predicted.network", 10**400),
    ("cases.decoding.predicted.colour", 1),
    ("cases.inference.measured.network.median", 6.7),
    ("cases.inference.measured.network.low", -1.0),
    ("cases.inference.measured.share.high", "1"),
    ("cases.inference.measured.share.colour", 1),
]


@pytest.mark.parametrize(
    ("place", "value"), CHANGES, ids=[f"{place} {str(value)[:20]}" for place, value in CHANGES]
)
def test_a_section_that_derive_never_wrote_is_refused_by_the_file_s_name(path, place, value):
    change_json(path, f"latency.{place}", value)
    with pytest.raises(
        DataError,
        match=r"architecture .*architecture\.json is not valid(: \S| JSON \(a number is beyond )",
    ) as error:
        architecture.load(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_share_without_its_milliseconds_is_no_budget():
    case = Case("inference", 3.0, 4.0)
    assert LatencyCheck("inference", (case,), budget_ms=3.2, budget_ratio=0.8).budget_ms == 3.2
    with pytest.raises(UsageError, match="a budget as a share needs its milliseconds too"):
        LatencyCheck("inference", (case,), budget_ratio=0.8)


def test_a_section_without_one_of_its_keys_is_refused(path):
    sound = json.loads(path.read_text())
    for place in (
        [],
        ["cases", "inference"],
        ["cases", "inference", "predicted"],
        ["cases", "inference", "measured"],
    ):
        inner = sound["latency"]
        for key in place:
            inner = inner[key]
        for missing in list(inner):
            damaged = copy.deepcopy(sound)
            part = damaged["latency"]
            for key in place:
                part = part[key]
            del part[missing]
            path.write_text(json.dumps(damaged))
            with pytest.raises(DataError, match="is not valid"):
                architecture.load(path)
