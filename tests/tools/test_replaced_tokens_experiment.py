"""The tables of the experiment on replaced tokens, from figures as the tools print them."""

from __future__ import annotations

import pytest

from par.tools.experiments import replaced_tokens
from step_outputs import made_up

DOCS, PEPS = replaced_tokens.EXPERIMENTS


def rows_of(**changed):
    outputs = {step.name: made_up(DOCS, step) for step in DOCS.steps}
    for name, change in changed.items():
        change(outputs[name.replace("_", "-")])
    return DOCS.rows(outputs)


def test_each_stage_has_its_seeds_and_its_own_probe():
    def second(probe):
        probe["runs"][2]["accuracy"] = {"mean": 0.8, "low": None, "high": None}

    heads, *lines = replaced_tokens._probes(rows_of(group_1=second))
    assert heads == [
        "second stage",
        "accuracy of the group",
        "accuracy of the author",
        "minutes",
    ]
    assert [line[0] for line in lines] == ["none", *replaced_tokens.STAGES]
    assert lines[2] == ["ATO", "0.600 (0.500, 0.800, 0.500)", "0.500 (0.500, 0.500, 0.500)", "1.5"]
    assert lines[1][1] == "0.500 (0.500, 0.500, 0.500)"


def test_what_a_stage_does_not_have_is_a_dash_and_masked_ones_detect_nothing():
    def without(scores):
        scores["results"][0]["boundary_accuracy"] = None

    changed = {f"ATO_SBPO_{seed}_scores".lower(): without for seed in replaced_tokens.SEEDS}
    heads, *lines = replaced_tokens._detection(rows_of(**changed))
    assert heads[1:3] == ["AUC", "bigram detector"]
    assert [line[0] for line in lines] == [n for n in replaced_tokens.STAGES if "masked" not in n]
    assert lines[1][-1] == "-" and lines[2][-1] == "0.400 (0.400, 0.400, 0.400)"


def test_searches_are_shown_by_objective():
    lines = replaced_tokens._searches(rows_of())[1:]
    assert [line[0] for line in lines] == ["causal_lm", "masked_lm", "span_electra"]
    assert lines[0][1:3] == ["`aid`", "0.70"]


@pytest.mark.parametrize("experiment", [DOCS, PEPS], ids=lambda each: each.name)
def test_second_stages_begin_with_the_first_of_their_seed_but_one(experiment):
    for seed in replaced_tokens.SEEDS:
        for stage in replaced_tokens.STAGES:
            step = experiment.step(replaced_tokens._key(stage, seed))
            first = f"--init_from={{masked-{seed}}}"
            assert (first in step.arguments) == (stage != "from scratch")
            assert f"--seed={seed}" in step.arguments
