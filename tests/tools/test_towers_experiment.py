"""The table of the experiment on composed towers, from figures as the commands print them."""

from __future__ import annotations

from par.tools.experiments import towers
from step_outputs import made_up

(COMPOSED,) = towers.EXPERIMENTS


def test_every_network_is_a_line_beneath_tfidf():
    outputs = {step.name: made_up(COMPOSED, step) for step in COMPOSED.steps}
    (table,) = COMPOSED.parts
    heads, tfidf, *lines = table.cells(COMPOSED.rows(outputs))
    assert heads[2:] == ["share of modules found", "share of packages found"]
    assert tfidf == ["TF-IDF of 3- to 5-grams", "", *["0.500 (0.400 to 0.600)"] * 2]
    assert [line[0] for line in lines[:6]] == [
        "base alone",
        "tower masked",
        "tower replaced",
        "tower modules",
        "all towers, pretrained",
        "all towers, random",
    ]
    assert len(lines) == 6 + 4 and lines[0][1] == "1.5" and lines[4][1] == ""


def test_random_towers_stand_on_a_random_base_and_learn_nothing():
    steps = {step.name: step.arguments for step in COMPOSED.steps}
    for name in ("random-base-0", "random-masked-0", "random-modules-0"):
        assert "--max_lr=0" in steps[name]
    assert "--base={random-base-0}" in steps["random-masked-0"]
    assert "--nofreeze_base" in steps["random-top-trained-further-1"]
    assert "--base={random-all-1}" in steps["random-top-trained-further-1"]
