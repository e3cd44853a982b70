"""The memories of blocks of several widths, and of several tokens a position, in one tensor."""

from __future__ import annotations

import numpy as np
import pytest

from par.nn.memory_layout import Layout, Slot


@pytest.mark.parametrize(
    ("slots", "shape"),
    [
        ([(4, 1), (4, 1), (4, 1)], (3, 2, 7, 4)),
        ([(4, 1), (6, 1)], (1, 2, 7, 10)),
        ([(3, 1)], (1, 2, 7, 3)),
        ([(4, 3), (4, 3)], (2, 2, 3, 4)),
        ([(4, 3), (4, 1)], (2, 2, 7, 4)),
        ([(4, 3), (6, 2), (5, 1)], (1, 2, 7, 15)),
    ],
    ids=["equal", "widths", "one", "all of three tokens", "both", "widths and tokens"],
)
def test_memories_come_back_as_they_were_packed(slots, shape):
    layout, rng = Layout(tuple(Slot(*slot) for slot in slots), 9), np.random.default_rng(0)
    assert tuple(layout.shape(2, 7)) == shape
    lengths = [-(-7 // slot.factor) for slot in layout.slots]
    kept = [
        rng.normal(size=(2, length, slot.width)).astype(np.float32)
        for length, slot in zip(lengths, layout.slots)
    ]
    hidden = layout.packed(kept, np.zeros(shape, np.float32))
    assert tuple(hidden.shape) == shape
    for mine, found in zip(kept, layout.unpacked(hidden), strict=True):
        np.testing.assert_array_equal(found, mine)


def test_without_attention_there_is_nothing_to_unpack():
    layout = Layout((), 7, factor=2)
    assert layout.shape(2, 5) == [0, 2, 3, 7]
    before = np.zeros([0, 2, 3, 7], np.float32)
    assert layout.unpacked(before) == [] and layout.packed([], before) is before


@pytest.mark.parametrize("seq_len", [4, 6, 7])
def test_positions_are_counted_as_a_network_of_that_factor_alone_counts_them(seq_len):
    mixed, alone = Layout((Slot(4, 3), Slot(4)), 4), Layout((Slot(4, 3),), 4)
    length = -(-17 // 3)
    valid, own = np.zeros([2], np.int32), np.zeros([2], np.int32)
    for _ in range(6):
        found, places = mixed.seen(valid, 17, seq_len, 3)
        assert places == length and np.asarray(found).tolist() == np.asarray(own).tolist()
        assert mixed.seen(valid, 17, seq_len, 1) == (valid, 17)
        valid, own = mixed.after(valid, 17, seq_len), alone.after(own, length, seq_len)
