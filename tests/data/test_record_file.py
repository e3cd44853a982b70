"""A record is as long as any other, and the same up to its ids."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.data.record_file import Example


@pytest.mark.parametrize(
    ("at", "odd"), [(None, None), (0, 0), (2, 0), (8, None), (12, 0), (90, 1), (95, 1), (100, 1)]
)
def test_the_first_record_with_another_length_or_beginning_is_found(tmp_path, at, odd):
    """Byte 8 begins the checksum of the length, which TensorFlow checks."""
    example, path = Example(2, 3), tmp_path / "file.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for step in range(3):
            writer.write(example.serialize(np.full([2, 4], step)))
    data = bytearray(path.read_bytes())
    assert len(data) == 3 * example.record_bytes
    if at is not None:
        # from 90 on: counted from the second record
        data[at if at < 90 else example.record_bytes + at - 78] ^= 1
    path.write_bytes(data)
    assert example.first_odd(path) == odd


def test_an_end_that_is_no_whole_record_is_odd(tmp_path):
    example, path = Example(2, 3), tmp_path / "file.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.serialize(np.zeros([2, 4])))
    assert example.first_odd(path) is None
    path.write_bytes(path.read_bytes() + b"\0")
    assert example.first_odd(path) == 1
    path.write_bytes(b"")
    assert example.first_odd(path) == 0
