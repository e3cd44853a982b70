"""The tables of the experiment on all networks, from figures as the tools print them."""

from __future__ import annotations

import pytest
from PIL import Image

from par.search import networks
from par.tools.experiments import block_order
from step_outputs import made_up

(EXPERIMENT,) = block_order.EXPERIMENTS


@pytest.fixture(scope="module")
def rows():
    return EXPERIMENT.rows({step.name: made_up(EXPERIMENT, step) for step in EXPERIMENT.steps})


def test_the_best_and_the_ranks_are_those_of_the_means(rows):
    best = block_order._best(rows)
    assert len(best) == 11 and best[1][1:4] == ["`i`", "3", "500.0 (499.0 to 501.0)"]
    ranks = {(line[0], line[1]): line[2:] for line in block_order._ranks(rows)}
    place = networks.number_of("ad")
    assert ranks["straight-through", "2"] == [
        "`ad`",  # spelled aid
        f"{place} of 127",
        f"{(500 + place - 1) / 500 - 1:+.1%}",
    ]
    assert ranks["all dense", ""][:2] == ["`dddddd`", "127 of 127"]
    assert {"interleaved", "sandwich", "paper's rule", "aadddd"} < {name for name, _ in ranks}


def test_the_ways_and_their_claims_are_told(rows):
    heads, masked, *searches, drawn = block_order._ways("replay")(rows)
    assert masked[:2] == ["masked_lm on words", "+0.10 (+0.00 to +0.20)"]
    search = searches[2]
    assert searches[3][0] == "soft, seed 1, inherited"
    assert heads == ["way", "tau-b", "after 1", "after 8", "within 0.5 %"]
    assert search == ["soft, seed 1", "+0.50 (+0.40 to +0.60)", "", "2.0%", "50%"]
    assert drawn == ["random", "", "", "2.0%", "50%"]
    claims = block_order._claims(rows)
    assert claims[1] == ["all", "127", "0.80%", "97%", "20%", "", "1.5%"] and len(claims) == 3


def test_the_picture_has_the_best_and_the_known_networks(rows, tmp_path):
    block_order._draw(rows, tmp_path / "order.png")
    with Image.open(tmp_path / "order.png") as picture:
        assert picture.width > 800 and picture.height > 600
