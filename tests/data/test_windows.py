"""Context batching: what is a target, and how often; the drawing of the docstring; a naive twin;
the way back."""

from __future__ import annotations

import numpy as np
import pytest

from naive import batching as naive
from par.data import windows

CASES = [
    (n, b, t)
    for n in (0, 1, 2, 3, 7, 20, 21, 22, 23, 43, 101)
    for b, t in ((1, 1), (1, 5), (3, 7), (5, 2), (7, 1), (2, 31))
]


def stream(n: int) -> np.ndarray:
    """Tokens that are all different and never 0."""
    return np.arange(8, 8 + n)


def test_the_drawing_is_what_comes_out():
    assert windows.windows(np.arange(13), 2, 3).tolist() == [
        [[0, 1, 2, 3], [6, 7, 8, 9]],
        [[3, 4, 5, 6], [9, 10, 11, 12]],
    ]


@pytest.mark.parametrize("pad_id", [None, 0])
def test_windows_equal_the_naive_twin(pad_id):
    for n, b, t in CASES:
        got = windows.windows(stream(n), b, t, pad_id)
        assert got.dtype == np.int32 and got.flags.c_contiguous
        np.testing.assert_array_equal(
            got, naive.windows(stream(n), b, t, pad_id), err_msg=f"N {n}, B {b}, T {t}"
        )


def test_every_token_but_the_first_is_a_target_exactly_once_when_the_end_is_padded():
    for n, b, t in CASES:
        targets = windows.windows(stream(n), b, t, pad_id=0)[:, :, 1:]
        assert sorted(targets[targets != 0].tolist()) == stream(n)[1:].tolist()


def test_training_drops_less_than_a_step_and_only_at_the_end():
    for n, b, t in CASES:
        targets = np.sort(windows.windows(stream(n), b, t)[:, :, 1:].reshape(-1))
        assert targets.tolist() == stream(n)[1 : 1 + len(targets)].tolist()
        assert 0 <= n - 1 - len(targets) < b * t or n == 0


def test_a_row_that_begins_beyond_the_end_is_all_padding():
    steps = windows.windows(stream(2), 5, 3, pad_id=0)
    assert steps.shape == (1, 5, 4)
    assert steps[0, 0].tolist() == [8, 9, 0, 0] and not steps[0, 1:].any()


def test_the_next_window_of_a_row_begins_with_the_last_target():
    steps = windows.windows(stream(101), 3, 7)
    assert len(steps) == 4
    np.testing.assert_array_equal(steps[1:, :, 0], steps[:-1, :, -1])


@pytest.mark.parametrize("pad_id", [None, 0])
def test_rejoin_is_the_inverse(pad_id):
    for n, b, t in CASES:
        steps = windows.windows(stream(n), b, t, pad_id)
        kept = min(n, len(steps) * b * t + 1) if len(steps) else 0
        np.testing.assert_array_equal(windows.rejoin(steps, len(steps), kept), stream(n)[:kept])


def test_rejoin_refuses_more_tokens_than_there_are():
    steps = windows.windows(stream(22), 3, 7)
    assert len(windows.rejoin(steps, 1, 22)) == 22
    with pytest.raises(ValueError, match="23 tokens asked for, but 1 windows hold 22"):
        windows.rejoin(steps, 1, 23)


def test_the_number_of_steps_is_that_of_the_windows():
    for n, b, t in CASES:
        for pad_id in (None, 0):
            assert windows.num_steps(n, b, t, padded=pad_id is not None) == len(
                windows.windows(stream(n), b, t, pad_id)
            )


def test_the_drawing_of_the_sliding_windows_is_what_comes_out():
    (cut,) = windows.sliding_windows(np.arange(9), 3, 4, 2, pad_id=0)
    assert cut.tolist() == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [4, 5, 6, 7, 8]]
    assert cut[:, 1:][windows.sliding_scored(3, 4, 2, step=0)].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


SLIDING = [
    (n, b, t, s)
    for n in (2, 3, 7, 20, 21, 22, 43)
    for b in (1, 3)
    for t, s in ((1, 1), (5, 1), (5, 2), (5, 5), (31, 4))
]


def test_sliding_windows_score_each_token_once_in_order_and_where_it_has_the_most_context():
    for n, b, t, s in SLIDING:
        tokens, scored = stream(n), []
        steps = list(windows.sliding_windows(tokens, b, t, s, pad_id=0))
        assert len(steps) == windows.num_sliding_steps(n, b, t, s)
        for step, cut in enumerate(steps):
            assert cut.shape == (b, t + 1) and cut.dtype == np.int32
            rows, places = np.nonzero(windows.sliding_scored(b, t, s, step))
            scored += [cut[row, : place + 2].tolist() for row, place in zip(rows, places)]
        assert scored[: n - 1] == naive.sliding(tokens, t, s), (n, b, t, s)
        assert all(window[-1] == 0 for window in scored[n - 1 :]), "the rest is padding"
        assert all(
            len(window) - 1 >= min(i + 1, t - s + 1) for i, window in enumerate(scored[: n - 1])
        )


def test_values_of_targets_come_back_in_the_order_of_the_stream():
    for n, b, t in CASES:
        steps = windows.windows(stream(n), b, t, pad_id=0)
        assert (
            windows.in_order(steps[:, :, 1:])[: max(n - 1, 0)].tolist() == stream(n)[1:].tolist()
        )


def test_texts_side_by_side_are_padded_where_they_have_ended_and_join_to_themselves():
    rows = [stream(n) for n in (5, 0, 7, 1)]
    found = list(windows.padded_windows(rows, 3, pad_id=0))
    assert len(found) == 3 and all(t.shape == r.shape == (4, 3) for t, r in found)
    assert found[1][0].tolist() == [[11, 12, 0], [0, 0, 0], [11, 12, 13], [0, 0, 0]]
    for number, row in enumerate(rows):
        joined = np.concatenate([tokens[number][real[number]] for tokens, real in found])
        np.testing.assert_array_equal(joined, row)
        assert all((tokens[number][~real[number]] == 0).all() for tokens, real in found)
    assert list(windows.padded_windows([], 3, 0)) == []
    assert list(windows.padded_windows([stream(0)], 3, 0)) == []
