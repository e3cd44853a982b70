"""Cosines and nearest rows by closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from par.evaluate import neighbours

TABLE = np.array([[0, 0], [5, 0], [3, 4], [0, 2], [-1, 0], [6, 8]], np.float32)


def test_cosines_are_those_of_the_angles_whatever_the_lengths():
    np.testing.assert_allclose(neighbours.cosines(TABLE, 1), [0, 1, 0.6, 0, -1, 0.6])
    np.testing.assert_array_equal(neighbours.cosines(TABLE, 0), np.zeros(6))


def test_the_nearest_come_first_equal_ones_in_their_order_and_never_the_row_itself():
    assert [row for row, _ in neighbours.nearest(TABLE, 1, 9)] == [2, 5, 0, 3, 4]
    assert neighbours.nearest(TABLE, 2, 1) == [(5, pytest.approx(1.0))]
    assert [row for row, _ in neighbours.nearest(TABLE, 1, 2, first=3)] == [5, 3]
