"""Where tokens stand to each other: codes belong to distances, the shift equals plain indexing,
masks are what the drawings say."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from naive import attention as naive
from par.nn import positions

SHAPES = [(1, 0), (1, 7), (5, 0), (5, 1), (5, 7), (7, 5), (2, 11)]  # T, M
each_shape = pytest.mark.parametrize(("seq_len", "mem_len"), SHAPES)
each_visibility = pytest.mark.parametrize("visibility", ["causal", "bidirectional"])


@pytest.mark.parametrize(
    ("visibility", "expected"),
    [("causal", [4, 3, 2, 1, 0]), ("bidirectional", [4, 3, 2, 1, 0, -1, -2])],
    ids=["causal", "bidirectional"],
)
def test_distances_run_from_the_oldest_key_to_the_newest(visibility, expected):
    assert positions.distances(3, 2, visibility).tolist() == expected


@each_visibility
@each_shape
def test_every_distance_of_a_visible_pair_occurs_once(seq_len, mem_len, visibility):
    pairs = {mem_len + i - j for i in range(seq_len) for j in range(mem_len + seq_len)}
    assert positions.distances(seq_len, mem_len, visibility).tolist() == sorted(
        (d for d in pairs if d >= 0 or visibility != "causal"), reverse=True
    )


@each_visibility
@each_shape
def test_relative_shift_equals_looking_each_distance_up(seq_len, mem_len, visibility):
    distances = positions.distances(seq_len, mem_len, visibility).tolist()
    by_distance = (
        np.random.default_rng(3).normal(size=[2, 3, seq_len, len(distances)]).astype(np.float32)
    )
    shifted = positions.relative_shift(tf.constant(by_distance), mem_len + seq_len).numpy()
    assert shifted.shape == (2, 3, seq_len, mem_len + seq_len)
    for b, h in np.ndindex(2, 3):
        expected = naive.relative_shift(by_distance[b, h], distances, mem_len)
        occurs = ~np.isnan(expected)
        assert occurs.sum() >= positions.visible(seq_len, mem_len, visibility).sum()
        np.testing.assert_array_equal(shifted[b, h][occurs], expected[occurs])


def test_relative_shift_does_what_its_drawing_says():
    shifted = positions.relative_shift(tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 3).numpy()
    assert shifted[0, :2].tolist() == [2, 3] and shifted[1].tolist() == [4, 5, 6]


def test_the_code_of_a_distance_is_the_same_for_every_memory_length():
    rows: dict[int, np.ndarray] = {}
    for seq_len, mem_len in SHAPES:
        for visibility in ("causal", "bidirectional"):
            distances = positions.distances(seq_len, mem_len, visibility)
            for distance, row in zip(distances.tolist(), positions.sinusoids(distances, 22)):
                np.testing.assert_array_equal(row, rows.setdefault(distance, row))
    assert sorted(rows) == list(range(-6, 13))


def test_distances_are_clamped_in_both_directions():
    assert positions.distances(3, 2, "causal", clamp_len=2).tolist() == [2, 2, 2, 1, 0]
    assert positions.distances(3, 2, "bidirectional", clamp_len=1).tolist() == [
        1,
        1,
        1,
        1,
        0,
        -1,
        -1,
    ]
    assert (
        positions.distances(3, 2, "causal", clamp_len=4).tolist()
        == positions.distances(3, 2, "causal").tolist()
    )


def test_codes_are_sines_then_cosines_of_the_signed_distance():
    codes = positions.sinusoids(np.array([-3, 0, 1, 200]), 6)
    np.testing.assert_allclose(codes, [naive.code(d, 6) for d in (-3, 0, 1, 200)], atol=1e-6)
    assert codes.dtype == np.float32 and codes[1].tolist() == [0, 0, 0, 1, 1, 1]
    assert (
        np.abs(
            positions.sinusoids(np.arange(-50, 51), 22)[:50]
            - positions.sinusoids(np.arange(50, 0, -1), 22)
        )
        .max(axis=-1)
        .min()
        > 0.1
    )


LITERAL = {
    ("causal", False): ["111..", "1111.", "11111"],
    ("causal", True): ["111..", ".111.", "..111"],
    ("bidirectional", False): ["11111", "11111", "11111"],
    ("bidirectional", True): ["11111", ".1111", "..111"],
}


def drawn(rows: list[str]) -> np.ndarray:
    return np.array([[cell == "1" for cell in row] for row in rows])


@pytest.mark.parametrize(("visibility", "same_length"), LITERAL, ids=str)
def test_three_queries_with_two_memory_positions_see_what_is_drawn(visibility, same_length):
    np.testing.assert_array_equal(
        positions.visible(3, 2, visibility, same_length), drawn(LITERAL[visibility, same_length])
    )


def test_without_memory_a_band_is_the_token_itself_and_a_window_of_one_sees_all_its_memory():
    np.testing.assert_array_equal(
        positions.visible(3, 0, "causal", same_length=True), np.eye(3, dtype=bool)
    )
    assert (
        positions.visible(1, 5, "causal").all()
        and positions.visible(1, 5, "causal", same_length=True).all()
    )


def test_memory_positions_that_hold_no_token_are_masked_row_by_row():
    mask = positions.attention_mask(
        positions.visible(2, 3, "causal"), tf.constant([0, 1, 3])
    ).numpy()
    assert (
        mask.shape == (3, 1, 2, 5)
        and mask.dtype == np.float32
        and set(np.unique(mask)) == {0, np.float32(positions.MASKED)}
    )
    for row, expected in zip(
        mask[:, 0] == 0, (["...1.", "...11"], ["..11.", "..111"], ["1111.", "11111"])
    ):
        np.testing.assert_array_equal(row, drawn(expected))


def test_another_visibility_is_refused():
    with pytest.raises(
        ValueError, match="visibility must be causal or bidirectional, but is 'sideways'"
    ):
        positions.visible(3, 2, "sideways")


@pytest.mark.parametrize(
    ("placement", "distance"),
    [
        (positions.Placement(), lambda i, j: i - j + 6),
        (positions.Placement(texts=3), lambda i, j: i - j % 2 + 2),
        (positions.Placement(fixed=(9, 9, 9, 9, 9, 9)), lambda i, j: 9),
        (positions.Placement(fixed=(7, 8, 9, 9, 8, 40)), lambda i, j: (7, 8, 9, 9, 8, 40)[j]),
    ],
    ids=["in line", "side by side", "one distance", "fixed"],
)
@each_visibility
def test_memory_stands_where_it_was_placed(visibility, placement, distance):
    seq_len, mem_len = 4, 6
    of = placement.distances(seq_len, mem_len, visibility)
    shape = [2, seq_len, len(of)]
    # each logit is its own distance: what stands at a key is how far that is
    by_key = placement.by_key(
        tf.broadcast_to(tf.constant(of, tf.float32), shape), seq_len, mem_len
    )
    assert by_key.shape == (2, seq_len, mem_len + seq_len)
    for i in range(seq_len):
        expected = [distance(i, j) for j in range(mem_len)] + [i - j for j in range(seq_len)]
        seen = positions.visible(seq_len, mem_len, visibility)[i]
        for row in by_key.numpy():
            assert row[i][seen].tolist() == np.array(expected)[seen].tolist()
    clamped = placement.distances(seq_len, mem_len, visibility, 5)
    np.testing.assert_array_equal(clamped, np.clip(of, -5, 5))


def test_memory_positions_are_masked_one_by_one():
    seen, real = positions.visible(2, 3, "bidirectional"), tf.constant([[True, True]])
    remembered = tf.constant([[True, False, True]])
    mask = positions.attention_mask(seen, tf.constant([3]), real, remembered).numpy()
    np.testing.assert_array_equal(mask[0, 0] == 0, drawn(["1.111", "1.111"]))
    alone = positions.attention_mask(seen, tf.constant([3]), None, remembered).numpy()
    np.testing.assert_array_equal(alone, mask)
