"""The tables of the experiments on characters, from figures as the tools print them."""

from __future__ import annotations

from par.tools.experiments import characters
from step_outputs import made_up

DOWNSAMPLE, TYPOS, BITS = characters.EXPERIMENTS
NONE = {"mean": None, "low": None, "high": None}


def outputs_of(experiment):
    return {step.name: made_up(experiment, step) for step in experiment.steps}


def test_each_factor_is_a_line_with_its_cost_and_its_loss():
    outputs = outputs_of(DOWNSAMPLE)
    for factor in characters.FACTORS:
        outputs[f"speed-{factor}"] = {
            "steps_per_second": 2.0 * factor,
            "gflop_per_step": 8.0 / factor,
            "parameters": 1000,
        }
    heads, *lines = characters._factor_cells(DOWNSAMPLE.rows(outputs))
    assert len(heads) == 5
    assert lines[2] == ["4", "8.00", "2.00", "4.000", "0.300"]
    assert [line[0] for line in lines] == ["1", "2", "4"]


def test_what_errors_cost_is_told_of_each_network_and_share():
    outputs = outputs_of(TYPOS)
    for share in characters.SHARES:
        for number, run in enumerate(outputs[f"typos-{share}"]["runs"]):
            run["clean"] = {"mean": 0.6, "low": 0.5, "high": 0.7}
            run["less_clean"] = {"mean": -0.1, "low": -0.2, "high": -0.05}
            more = {"mean": 0.05, "low": 0.01, "high": 0.09}
            run["less_clean_less_first"] = more if number else None
    heads, *lines = characters._typo_cells(TYPOS.rows(outputs))
    assert len(heads) == 6 and len(lines) == 9
    assert lines[0] == [
        "5%",
        "pieces",
        "0.600 (0.500 to 0.700)",
        "0.500 (0.400 to 0.600)",
        "-0.100 (-0.200 to -0.050)",
        "-",
    ]
    assert lines[4][:2] == ["10%", "characters, `--downsample=4`"]
    assert lines[4][5] == "+0.050 (+0.010 to +0.090)"


def test_bits_are_sorted_and_counting_and_compression_stand_among_networks():
    outputs = outputs_of(BITS)
    for name, bits in (("characters", 2.0), ("pieces", 1.75)):
        (scores,) = outputs[f"causal-{name}-scores"]["results"]
        scores["bits_per_character"] = bits
    outputs["causal-characters-scores"]["baselines"] = [
        {"model": "kneser_ney", "split": split, "bits_per_character": bits}
        for split, bits in (("test", 9.0), ("valid", 2.1))
    ]
    outputs["xz"] = {"xz": [{"split": "valid", "bits_per_character": 1.78}]}
    _, *lines = characters._bit_cells(BITS.rows(outputs))
    assert [line[1] for line in lines] == ["1.750", "1.780", "2.000", "2.100"]
    assert lines[0] == ["network of pieces", "1.750", "1.5"] and lines[3][2] == "-"
