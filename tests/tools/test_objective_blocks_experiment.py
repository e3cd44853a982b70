"""The tables of the experiment on objectives, from figures as the tools print them."""

from __future__ import annotations

import pytest

from par.tools.experiments import objective_blocks
from step_outputs import made_up

(EXPERIMENT,) = objective_blocks.EXPERIMENTS


def rows_of(derived: dict[str, str], scores: dict[str, float]):
    """The rows if searches derive these networks, by step, and others `aid`; and by the next token
    the fixed networks have these perplexities, and others 100."""
    outputs = {step.name: made_up(EXPERIMENT, step) for step in EXPERIMENT.steps}
    for name, blocks in derived.items():
        outputs[name] |= {"architecture": blocks}
    for name, value in scores.items():
        figures = outputs[f"{name}-by-causal"]["valid"]["fixed"]
        outputs[f"{name}-by-causal"]["valid"] = {"fixed": figures | {"perplexity_per_word": value}}
    return EXPERIMENT.rows(outputs)


def test_attention_is_counted_in_the_networks_and_tested_by_permutation():
    causal = {f"of-causal-{seed}": "aaaiia" for seed in range(5)}
    masked = {f"of-masked-{seed}": "ddddda" for seed in range(5)}
    heads, number, place = objective_blocks._differences(rows_of(causal | masked, {}))
    assert heads == [
        "attention blocks of the five networks",
        "causal_lm",
        "masked_lm",
        "p",
    ]
    assert number[1:] == ["4.00 (4, 4, 4, 4, 4)", "1.00 (1, 1, 1, 1, 1)", f"{2 / 252:.3f}"]
    # identities have no place: aaaa has 0 to 1, whose mean is the middle
    assert place[1:] == ["0.50 (0.5, 0.5, 0.5, 0.5, 0.5)", "1.00 (1, 1, 1, 1, 1)", "0.008"]


def test_networks_without_attention_have_no_place():
    none = {f"of-masked-{seed}": "dddddd" for seed in range(5)}
    place = objective_blocks._differences(rows_of(none, {}))[2]
    assert place[2:] == ["none", ""]


def test_each_network_stands_once_and_the_best_first():
    rows = rows_of({"of-masked-3": "adadad"}, {"interleaved": 90.0, "of-masked-3": 90.0})
    heads, first, *others = objective_blocks._networks(rows)
    assert heads[2:] == [
        "perplexity per word",
        "nll per masked token",
        "accuracy of masked tokens",
    ]
    assert first == ["`adadad`", "interleaved, search masked 3", "90.00", "4.0000", "0.3000"]
    assert len(others) == 4 and others[-1][1].count("search") == 9
    agreement = objective_blocks._agreement(rows)
    assert agreement[1][0] == "5"


def test_the_orders_that_were_drawn_are_three_others_of_the_same_blocks():
    assert len(set(objective_blocks.RANDOM)) == 3
    for blocks in objective_blocks.RANDOM:
        assert sorted(blocks) == sorted("adadad") and blocks != "adadad"


@pytest.mark.parametrize("objective", objective_blocks.NAMES)
def test_all_searches_differ_in_nothing_but_objective_and_seed(objective):
    commands = {
        step.command.replace(objective, "").replace(objective.removesuffix("_lm"), "")
        for step in EXPERIMENT.steps
        if step.name.startswith(f"search-{objective.removesuffix('_lm')}")
    }
    without = {"".join(char for char in command if not char.isdigit()) for command in commands}
    assert len(commands) == 5 and len(without) == 1
