"""What the experiments about depth compute from what their commands print."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest

from par.tools.experiments import depth, transfer
from par.tools.experiments.experiment import Experiment, Row
from step_outputs import made_up


def rows_of(experiment: Experiment) -> list[Row]:
    steps = [step for step in experiment.steps if step.prints_json]
    return experiment.rows({step.name: made_up(experiment, step) for step in steps})


def cells_of(experiment: Experiment, name: str, rows: list[Row]) -> list[list[str]]:
    return next(part for part in experiment.parts if part.name == name).cells(rows)


# ---- depth ----

[DEPTH] = depth.EXPERIMENTS


def test_each_network_stands_by_its_perplexity_with_its_places_and_its_shares_of_latency():
    _, *lines = cells_of(DEPTH, "networks", rows_of(DEPTH))
    assert [line[0] for line in lines] == [
        "interleaved = sandwich",
        "derived",
        "random 1",
        "all dense",
    ]
    assert lines[1] == [
        "derived",
        "`addd`",
        "1: 1",
        "6.5 (65%)",
        "6.0 (57%)",
        f"{math.exp(6.03):,.1f}",
        "+3.0%",
    ]
    assert (lines[0][2], lines[3][2], lines[3][-1]) == ("2: 1, 3", "0", "+171.8%")


def test_finalists_are_compared_pair_by_pair_over_five_seeds():
    rows = rows_of(DEPTH)
    assert len([row for row in rows if row["what"] == "finalist"]) == 3 * 5
    _, *lines = cells_of(DEPTH, "finalists", rows)
    # the seeds differ by a hundredth each, alike for all: the pairs do not differ
    assert lines[1][-1] == "+3.0 % (+3.0 % to +3.0 %)" and lines[0][-1] == ""
    half = 2.7764451052 * math.sqrt(0.01**2 * 2.5 / 5)  # Student's factor of four degrees
    mean, low, high = (math.exp(6.04 + way * half) for way in (0, -1, 1))
    assert lines[0][4] == f"{mean:.1f} ({low:.1f} to {high:.1f})"
    assert cells_of(DEPTH, "goal", rows)[1:] == [
        [
            "less latency, measured",
            "at least 35 %",
            "38.0 % (quartiles 37.0 % to 40.0 %)",
            "met by 3.0 points",
        ],
        [
            "mean perplexity above",
            "at most 1 %",
            "+3.0 % (+3.0 % to +3.0 %)",
            "missed by 2.0 points",
        ],
    ]


def test_a_seed_of_the_finalists_is_neither_the_search_s_nor_the_screening_s():
    assert len(set(DEPTH.seeds)) == 2 + len(depth.SEEDS)
    finals = [step for step in DEPTH.steps if step.name.startswith("finals-")]
    assert all({"screen", "network", "table"} <= set(step.needs) for step in finals)


# ---- transfer ----

[TRANSFER] = transfer.EXPERIMENTS


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Intervals of a hundred draws: what is claimed here is where they are, not their bounds."""
    few = functools.partial(transfer.bootstrap_interval, num_samples=100)
    monkeypatch.setattr(transfer, "bootstrap_interval", few)


def test_an_order_is_made_deeper_in_two_ways():
    assert transfer.repeated("adaddd", 12) == "adadddadaddd"
    assert transfer.stretched("adaddd", 12) == "aaddaadddddd"
    assert transfer.repeated("adaddd", 16) == "adadddadadddadad"
    assert transfer.stretched("abcdef", 16) == "aaabbbccdddeeeff"
    for way in (transfer.repeated, transfer.stretched):
        assert way("adaddd", 6) == "adaddd" and len(way("adaddd", 17)) == 17


def test_twenty_orders_or_more_are_distinct_and_have_all_numbers_of_attention_blocks():
    found = transfer.networks()
    assert len(found) == len(set(found)) >= 20 and {len(each) for each in found} == {6}
    assert {each.count("a") for each in found} == set(range(7))
    trained = [step for step in TRANSFER.steps if step.tool == "train"]
    # all attention and all dense are the same network both ways
    assert len(trained) == len(found) * (1 + len(transfer.TARGETS)) - 5


def scored(nats: dict[str, float]) -> list[Row]:
    """The rows of trainings with these nats by blocks, all others 6."""
    trained = [step for step in TRANSFER.steps if step.tool == "train"]
    outputs = {
        step.name: {
            "valid": {
                "fixed": {"perplexity_per_word": math.exp(nats.get(step.name.split("-")[0], 6))}
            }
        }
        for step in trained
    }
    return TRANSFER.rows(outputs)


def correlations(way: Callable[[str, int], str], slope: float, own: float) -> dict[str, list[str]]:
    """The lines of the table by target, where nats at 12 blocks depend on the number of attention
    blocks with this slope, and on the network itself by so much."""
    nats = {}
    for number, blocks in enumerate(transfer.networks()):
        nats[blocks] = 6 + blocks.count("a") / 10 + number / 1000
        nats[way(blocks, 12)] = 6 + slope * blocks.count("a") / 10 + own * number / 1000
    return {line[0]: line for line in cells_of(TRANSFER, "correlations", scored(nats))[1:]}


def test_what_depends_on_the_number_alone_leaves_no_correlation_with_it_held_fixed():
    lines = correlations(transfer.repeated, slope=1, own=0)
    assert float(lines["12, repeated"][1].split()[0]) > 0.95
    assert lines["12, repeated"][2] == "nan"
    assert lines["6, another seed"][1:3] == ["1.00 (1.00 to 1.00)"] * 2


def test_a_target_that_turns_the_order_around_has_a_rho_of_minus_1():
    lines = correlations(transfer.stretched, slope=-1, own=-1)
    assert lines["12, stretched"][1:3] == ["-1.00 (-1.00 to -1.00)"] * 2
    # of two networks with equally many attention blocks the better one is worse
    lines = correlations(transfer.stretched, slope=1, own=-1)
    assert float(lines["12, stretched"][1].split()[0]) > 0.8
    assert lines["12, stretched"][2] == "-1.00 (-1.00 to -1.00)"


def test_the_best_order_of_six_has_its_place_at_each_depth():
    nats = {"dadada": 5.0, "dadadadadada": 7.0}
    head, *lines = cells_of(TRANSFER, "correlations", scored(nats))
    assert head[-1] == "`dadada`, the best of six: its place"
    by_name = {line[0]: line[-1] for line in lines}
    assert by_name["6, another seed"] == "1 of 20, +0.0%"
    assert by_name["12, repeated"] == f"20 of 20, {math.e - 1:+.1%}"
    assert by_name["12, stretched"] == "10.5 of 20, +0.0%"


def test_the_networks_stand_by_their_perplexity_at_six_blocks():
    head, *lines = cells_of(TRANSFER, "networks", scored({"daaddd": 5.0, "dddaaa": 7.0}))
    assert (lines[0][0], lines[-1][0]) == ("`daaddd`", "`dddaaa`")
    assert len(head) == 2 + len(transfer.TARGETS)


@pytest.mark.parametrize("experiment", [DEPTH, TRANSFER], ids=lambda each: each.name)
def test_a_picture_is_drawn_of_the_rows(experiment, tmp_path):
    [picture] = [part for part in experiment.parts if part.name in ("order", "scatter")]
    picture.draw(rows_of(experiment), tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes()[:4] == b"\x89PNG"
