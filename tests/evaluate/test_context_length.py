"""Effective context: closed forms, a literal example, and networks whose use of context is known
because it was put there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from par.evaluate import context_length

LENGTHS = (0, 16, 64, 256)


def losses(
    useful: int, rng: np.random.Generator, gain: float = 0.2, tokens: int = 1_000
) -> list[np.ndarray]:
    """nll of a network to which every step of the context up to `useful` tokens brings `gain` nats
    a token, and none beyond."""
    base = rng.uniform(2.0, 8.0, tokens)
    return [
        base - gain * sum(0 < other <= min(length, useful) for other in LENGTHS)
        for length in LENGTHS
    ]


def test_the_relative_gain_by_hand():
    # the best of the group with short context: 2 and 4
    short, long = np.log([[2.0, 8.0], [4.0, 4.0]]), np.log([[1.0, 8.0], [4.0, 2.0]])
    np.testing.assert_allclose(
        context_length.relative_gain(short, long),
        [1 - math.sqrt(1 * 4) / math.sqrt(8), 1 - math.sqrt(2 * 2) / math.sqrt(8)],
    )
    # the second token alone is hard
    np.testing.assert_allclose(
        context_length.relative_gain(short, long, fraction=0.5), [0, 1 - 2 / 4]
    )


def test_one_networks_gain_is_the_reduction_of_its_perplexity_and_can_be_a_loss():
    short, long = np.log([[4.0, 4.0], [4.0, 4.0]]), np.log([[2.0, 4.0], [2.0, 16.0]])
    np.testing.assert_allclose(
        context_length.own_gain(short, long), [1 - math.sqrt(8) / 4, 1 - math.sqrt(32) / 4]
    )


def test_relative_gain_equals_the_papers_formulas_token_by_token():
    rng = np.random.default_rng(0)
    short, long = rng.uniform(1, 9, [3, 57]), rng.uniform(1, 9, [3, 57])
    for share, counted in ((1.0, 57), (0.5, 28), (0.1, 6)):
        b = [min(short[i][t] for i in range(3)) for t in range(57)]
        hardest = sorted(range(57), key=lambda t: -b[t])[:counted]

        def f(losses, b=b, hardest=hardest):
            return sum(min(b[t], losses[t]) for t in hardest) / len(hardest)

        expected = [
            (math.exp(f(short[i])) - math.exp(f(long[i]))) / math.exp(f(short[i]))
            for i in range(3)
        ]
        np.testing.assert_allclose(
            context_length.relative_gain(short, long, share), expected, rtol=1e-9
        )


@pytest.mark.parametrize("useful", LENGTHS)
def test_the_context_that_was_put_in_is_found(useful):
    rng = np.random.default_rng(1)
    mine = losses(useful, rng)
    (alone,) = context_length.context_use(LENGTHS, [mine])
    assert alone.effective == (useful, useful == LENGTHS[-1]) and alone.relative == {}
    np.testing.assert_allclose(
        alone.gains,
        [1 - math.exp(-0.2) if length <= useful else 0 for length in LENGTHS[1:]],
        atol=1e-12,
    )
    equal = losses(0, np.random.default_rng(1))  # the same network, but that it uses no context
    both = context_length.context_use(LENGTHS, [mine, equal])
    assert [found.effective.tokens for found in both] == [useful, 0]
    assert {length.tokens for length in both[0].relative.values()} == {useful}
    assert {length.tokens for length in both[1].relative.values()} == {0}
    assert set(both[0].relative) == {1.0, 0.5, 0.1}


def test_a_gain_that_the_best_of_the_group_has_without_context_is_none():
    rng = np.random.default_rng(2)
    late = losses(64, rng)
    # knows more at once, and learns nothing from context
    better = [nll * 0 + late[0] - 1.0 for nll in late]
    alone, (relative, _) = (
        context_length.context_use(LENGTHS, [late])[0],
        context_length.context_use(LENGTHS, [late, better]),
    )
    assert alone.effective == relative.effective == (64, False)
    assert {length.tokens for length in relative.relative.values()} == {0}


def test_context_that_only_hard_tokens_need_shows_where_only_those_count():
    easy, hard = np.full(950, 1.0), np.full(50, 9.0)
    short, long = np.concatenate([easy, hard]), np.concatenate([easy, hard - 0.15])
    other = np.concatenate([easy, hard])
    found, _ = context_length.context_use((0, 16), [[short, long], [other, other]])
    assert found.effective == (0, False) and found.relative == {
        1.0: (0, False),
        0.5: (16, True),
        0.1: (16, True),
    }


def test_the_walk_stops_at_the_first_step_below_a_hundredth():
    assert context_length.effective(LENGTHS, [0.5, 0.0099, 0.5]) == (16, False)
    assert context_length.effective(LENGTHS, [0.5, 0.01, 0.009]) == (64, False)
    assert context_length.effective(LENGTHS, [0.5, 0.01, 0.01]) == (256, True)
    assert (str(context_length.Length(16, False)), str(context_length.Length(1024, True))) == (
        "16",
        "1,024 or more",
    )


def test_losses_that_only_change_at_random_pass_for_a_relative_gain_and_for_no_other():
    rng = np.random.default_rng(3)
    networks = [[rng.normal(5.0, 0.5, 20_000) for _ in LENGTHS] for _ in range(2)]
    for found in context_length.context_use(LENGTHS, networks):
        assert found.effective == (0, False) and found.relative[1.0] == (256, True)
