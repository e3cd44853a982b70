"""Diagnostics of a search: entropy in closed form, when a search has settled, and what it warns of
on constructed histories."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from par.search import diagnostics
from par.search.diagnostics import Stability

UNIFORM = [1 / 3] * 3
DENSE, IDENTITY, ATTENTION = [0.1, 0.8, 0.1], [0.2, 0.1, 0.7], [0.6, 0.2, 0.2]
TIED = [0.33, 0.31, 0.36]  # identity first, but by less than MOVED


def watched(*choices: str) -> Stability:
    watch = Stability()
    for choice in choices:
        watch = watch.after_epoch(choice)
    return watch


@pytest.mark.parametrize(
    ("row", "nats"),
    [
        (UNIFORM, math.log(3)),
        ([1, 0, 0], 0),
        ([0.5, 0.5, 0], math.log(2)),
        ([0.25, 0.5, 0.25], 1.5 * math.log(2)),
        ([0.996, 0.002, 0.002], 0.0288504),
    ],
    ids=str,
)
def test_entropy_in_closed_form(row, nats):
    assert diagnostics.entropy(np.array(row)) == pytest.approx(nats, rel=1e-4, abs=1e-12)


def test_the_figures_are_those_of_the_stochastic_blocks():
    figures = diagnostics.figures(np.array([UNIFORM, [0, 1, 0], [1, 0, 0], DENSE]), "sdss")
    mean = (math.log(3) + 0 + diagnostics.entropy(np.array(DENSE))) / 3
    assert figures == {
        "entropy/mean": pytest.approx(mean),
        "entropy/normalised": pytest.approx(mean / math.log(3)),
    } | {
        "argmax/Attention": 1,
        "argmax/Dense": 1,
        "argmax/Identity": 1,
    }
    assert diagnostics.figures(np.array([[0, 1, 0]]), "d") == {}
    assert diagnostics.text(figures) == f"1a 1d 1i entropy {mean:.3f} ({mean / math.log(3):.0%})"


def test_a_block_counts_the_epochs_for_which_it_has_not_changed():
    choices = ["adi", "aai", "aai", "aad", "aad", "dad"]
    expected = [(0, 0, 0), (1, 0, 1), (2, 1, 2), (3, 2, 0), (4, 3, 1), (0, 4, 2)]
    assert [watched(*choices[: n + 1]).unchanged for n in range(6)] == expected
    assert [watched(*choices[: n + 1]).stable_share() for n in range(6)] == pytest.approx(
        [0, 2 / 3, 1, 2 / 3, 1, 2 / 3]
    )
    assert (
        watched(*choices).stable_share(3) == pytest.approx(1 / 3)
        and Stability().stable_share() == 0
    )


def test_a_search_has_settled_when_enough_blocks_have_rested_long_enough():
    watch = watched("adi", "adi", "add", "add")  # unchanged 3, 3, 1
    assert [watch.has_settled(epochs, 1.0) for epochs in (0, 1, 2, 3, 4)] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert [watch.has_settled(3, share) for share in (0.6, 0.6666666667, 0.7)] == [
        True,
        True,
        False,
    ]
    assert not watched("adi").has_settled(1, 0.01) and not Stability().has_settled(1, 0.01)


@pytest.mark.parametrize(
    ("blocks", "pi", "said"),
    [
        (
            "ss",
            [IDENTITY, IDENTITY],
            {"identity": "identity wins everywhere, with a probability of 0.70 or more"},
        ),
        (
            "sa",
            [IDENTITY, [1, 0, 0]],
            {"identity": "identity wins everywhere, with a probability of 0.70 or more"},
        ),
        (
            "ss",
            [IDENTITY, DENSE],
            {
                "attention": (
                    "attention wins nowhere: its probability is 0.20 or less in every block"
                )
            },
        ),
        (
            "ss",
            [DENSE, DENSE],
            {
                "attention": (
                    "attention wins nowhere: its probability is 0.10 or less in every block"
                )
            },
        ),
        ("ssa", [DENSE, DENSE, [1, 0, 0]], {}),
        ("ss", [IDENTITY, ATTENTION], {}),
        ("ss", [ATTENTION, ATTENTION], {}),
        (
            "ss",
            [UNIFORM, TIED],
            {"still": "nothing moves: no probability is further than 0.027 from 1/3"},
        ),
        ("ss", [UNIFORM, DENSE], {}),
        ("ss", [IDENTITY, TIED], {}),
    ],
)
def test_what_is_wrong_with_a_search_is_named_with_what_to_do(blocks, pi, said):
    said = {
        name: f"{line}: {'raise --arch_lr' if name == 'still' else diagnostics.LATER}"
        for name, line in said.items()
    }
    assert diagnostics.warnings(np.array(pi, np.float64), blocks, 1.0) == said
    assert diagnostics.warnings(np.array(pi, np.float64), blocks, 0.334) == said
    assert diagnostics.warnings(np.array(pi, np.float64), blocks, 0.333) == {}


def test_a_watch_comes_back_from_its_json():
    watch = Stability("adi", (0, 3, 1), ("still",), (8.5, 7.25))
    assert (
        Stability.from_json(json.loads(json.dumps(watch.to_json()))) == watch
        and Stability.from_json(Stability().to_json()) == Stability()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"choice": "axi"},
        {"choice": 3},
        {"choice": "ad"},
        {"unchanged": [1, 2, -1]},
        {"unchanged": [1, 2, 0.5]},
        {"unchanged": "111"},
        {"unchanged": [1, 2, True]},
        {"warned": [3]},
        {"warned": "still"},
        {"losses": [1.0] * 11},
        {"losses": [-1.0]},
        {"losses": [1]},
        {"losses": 3.0},
        {"colour": 1},
    ],
    ids=str,
)
def test_a_saved_stability_that_is_not_valid_is_refused(changes):
    good = {"choice": "adi", "unchanged": [0, 3, 1], "warned": [], "losses": [3.5]}
    assert Stability.from_json(good)
    for value in (good | changes, [], None):
        with pytest.raises(ValueError, match="stability of a search"):
            Stability.from_json(value)


FALLS, RESTS = (8.0, 7.0, 6.0, 5.0), (5.01, 5.0, 5.0, 4.99)


@pytest.mark.parametrize(
    ("blocks", "pi", "share", "tau", "losses", "said"),
    [
        ("sss", [DENSE, [0.91, 0.05, 0.04], UNIFORM], 0.11, 0.78, FALLS, "block 2 is decided"),
        ("sds", [[0, 0.95, 0.05], [0, 1, 0], [0, 0, 1]], 0.11, 0.78, FALLS, "2 blocks are"),
        ("ada", [[1, 0, 0], [0, 1, 0], [1, 0, 0]], 0.11, 0.78, FALLS, ""),  # all fixed
        ("ss", [DENSE, UNIFORM], 0.11, 0.78, FALLS, ""),  # 0.8 does not decide
        ("s", [[0.95, 0.05, 0]], 0.34, 0.78, FALLS, ""),  # late enough
        ("s", [[0.95, 0.05, 0]], 0.11, 0.3, FALLS, ""),  # tau has fallen
        ("s", [[0.95, 0.05, 0]], 0.11, 0.78, RESTS, ""),
        ("s", [[0.95, 0.05, 0]], 0.11, 0.78, (8.0,), ""),  # too short to tell
    ],
)
def test_a_decision_before_its_time_is_named(blocks, pi, share, tau, losses, said):
    found = diagnostics.early_decision(np.array(pi), blocks, share, tau, 0.316, losses)
    assert found.startswith(said) and bool(found) == bool(said)
    assert not said or ("11% of the steps" in found and "--arch_warmup=0.4" in found)


def test_the_last_losses_are_kept():
    watch = Stability()
    for nll in range(15):
        watch = watch.after_row(float(nll))
    assert watch.losses == tuple(map(float, range(5, 15)))
