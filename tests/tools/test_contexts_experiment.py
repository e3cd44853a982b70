"""The tables of the experiments on contexts, from figures as context_gain prints them."""

from __future__ import annotations

import pytest

from par.tools.experiments import contexts
from step_outputs import made_up


@pytest.mark.parametrize("experiment", contexts.EXPERIMENTS, ids=lambda each: each.name)
def test_a_kind_of_contexts_is_a_line_and_a_way_to_count_a_column(experiment):
    outputs = {step.name: made_up(experiment, step) for step in experiment.steps}
    outputs["gain-pieces"]["gains"].pop()
    (table,) = experiment.parts
    heads, group, ancestors = table.cells(experiment.rows(outputs))
    assert heads[0].startswith(experiment.corpus.name) and len(heads) == 4
    assert group == ["same group", "90%", *["-0.300 (-0.400 to -0.200)"] * 2]
    assert ancestors[::3] == ["ancestors", "in too few groups"]
