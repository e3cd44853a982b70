"""What the tables of contexts show, from what the commands print."""

from __future__ import annotations

import pytest

from par.tools.experiments import texts_in_context as own
from par.tools.experiments.registry import EXPERIMENTS
from step_outputs import made_up

NAMES = ("context_kinds_python_docs", "context_ways_python_docs")


@pytest.mark.parametrize("name", NAMES)
def test_every_run_is_beside_the_one_with_random_contexts(name):
    experiment = EXPERIMENTS[name]
    steps = {step.name: step for step in experiment.steps}
    tests = [step for step in steps.values() if step.tool == "evaluate"]
    assert len(tests) == len(own.SEEDS) * (len(own.WAYS) if "ways" in name else 1)
    for test in tests:
        first, *others = test.needs
        assert "--context=random" in steps[first].arguments and others
        assert not any("--context=random" in steps[other].arguments for other in others)
    rows = experiment.rows({step.name: made_up(experiment, step) for step in steps.values()})
    heads, *lines = experiment.parts[0].cells(rows)
    assert all(len(line) == len(heads) for line in lines)
    bounds = ", ".join(["-0.020 to +0.000"] * len(own.SEEDS))
    if "ways" in name:
        assert [line[:2] for line in lines] == [[*way] for way in own.WAYS]
        assert lines[0][3] == f"-0.010 ({bounds})"
    else:
        assert [line[0] for line in lines] == list(own.KINDS)[1:]
        assert lines[0][1:] == ["90", f"-0.010 ({bounds})", "-0.010", "-0.010"]
