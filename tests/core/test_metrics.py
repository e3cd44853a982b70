"""Sums first, one division at the end: the figures have closed forms, whatever was scored."""

from __future__ import annotations

import math

import pytest

from par.core import metrics

BITS = math.log(2)


def test_one_bit_a_token_is_a_perplexity_of_two():
    figures = metrics.figures(
        nll_sum=30 * BITS, scored=30, tokens=30, words=10, characters=50, bytes_=60
    )
    assert figures == {
        "nll_per_token": pytest.approx(BITS),
        "perplexity_per_token": pytest.approx(2),
        "perplexity_per_word": pytest.approx(2**3),
        "bits_per_character": pytest.approx(0.6),
        "bits_per_byte": pytest.approx(0.5),
        "tokens": 30,
        "words": pytest.approx(10),
    }


def test_words_and_bytes_are_scaled_by_the_share_of_tokens_that_was_scored():
    whole = metrics.figures(
        nll_sum=30 * BITS, scored=30, tokens=30, words=10, characters=50, bytes_=60
    )
    third = metrics.figures(
        nll_sum=10 * BITS, scored=10.0, tokens=30, words=10, characters=50, bytes_=60
    )
    assert third == {
        **{key: pytest.approx(value) for key, value in whole.items()},
        "tokens": 10,
        "words": pytest.approx(10 / 3),
    }
    assert type(third["tokens"]) is int


def test_certainty_is_a_perplexity_of_one():
    figures = metrics.figures(nll_sum=0.0, scored=7, tokens=8, words=3, characters=10, bytes_=11)
    assert (
        figures["perplexity_per_token"],
        figures["perplexity_per_word"],
        figures["bits_per_byte"],
    ) == (1, 1, 0)


def test_a_perplexity_that_overflows_is_infinite_and_the_rest_stays():
    figures = metrics.figures(nll_sum=7000.0, scored=7, tokens=7, words=7, characters=7, bytes_=7)
    assert figures["perplexity_per_token"] == figures["perplexity_per_word"] == math.inf
    assert figures["nll_per_token"] == 1000 and figures["bits_per_byte"] == pytest.approx(
        1000 / BITS
    )


@pytest.mark.parametrize(
    ("nll", "expected"),
    [
        (0.0, 1.0),
        (math.log(300), 300.0),
        (709.0, 8.218407461554972e307),
        (710.0, math.inf),
        (math.inf, math.inf),
    ],
)
def test_perplexity_is_the_exponential_as_far_as_it_goes(nll, expected):
    assert metrics.perplexity(nll) == pytest.approx(expected)


def test_a_loss_that_is_no_number_does_not_become_one():
    assert math.isnan(metrics.perplexity(math.nan))


def test_the_gap_is_the_difference_of_nll_and_the_ratio_of_perplexities_per_word():
    soft, argmax = (
        metrics.figures(nll, 99, tokens=100, words=70, characters=400, bytes_=410)
        for nll in (300.0, 320.0)
    )
    gap = metrics.gap(soft, argmax)
    assert gap["nll_per_token"] == pytest.approx(20 / 99)
    assert (
        gap["perplexity_per_word_ratio"]
        == pytest.approx(argmax["perplexity_per_word"] / soft["perplexity_per_word"])
        and gap["nll_per_token"] > 0
    )
    assert (
        metrics.gap(
            soft, metrics.figures(1e6, 99, tokens=100, words=70, characters=400, bytes_=410)
        )["perplexity_per_word_ratio"]
        == math.inf
    )
