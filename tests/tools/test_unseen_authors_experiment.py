"""The tables of the experiments on unseen authors, from figures as discriminate prints them."""

from __future__ import annotations

import pytest

from par.tools.experiments import unseen_authors
from step_outputs import made_up

PLANTED, CHANGELOGS, BLOCKS = unseen_authors.EXPERIMENTS


def rows_of(experiment):
    return experiment.rows({step.name: made_up(experiment, step) for step in experiment.steps})


@pytest.mark.parametrize("experiment", (PLANTED, CHANGELOGS), ids=lambda each: each.name)
def test_a_network_is_a_line_beneath_tfidf(experiment):
    (table,) = experiment.parts
    heads, tfidf, *networks = table.cells(rows_of(experiment))
    assert heads[1:3] == ["seconds of training", "accuracy"]
    assert tfidf == ["TF-IDF of 3- to 5-grams", "", "0.700 (0.600 to 0.800)", "", ""]
    trained = [step for step in experiment.steps if step.tool == "train"]
    assert len(networks) == len(trained) == (1 if experiment is PLANTED else 4)
    shown = "0.700 (0.600 to 0.800)"
    assert networks[0] == ["`ad`, authors", "90", shown, shown, "+0.700 (+0.600 to +0.800)"]


def test_a_search_is_a_line_with_the_network_that_it_took():
    (table,) = BLOCKS.parts
    _, *searches, tfidf = table.cells(rows_of(BLOCKS))
    assert len(searches) == len(BLOCKS.seeds) == 3 and tfidf[0].startswith("TF-IDF")
    assert searches[2] == ["seed 2", "`ad`", "0.70", "90", "0.700 (0.600 to 0.800)"]
