"""One record file: a TFRecord Example a step, of some steps of a split; and how a split is cut
into such files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.core import files
from par.core.config import DataConfig
from par.core.errors import DataError
from par.data import windows
from par.data.manifest import RecordFile, steps_per_file
from par.data.tokenizer import PAD

RECORDS_AT_ONCE = 1 << 12


class Piece(NamedTuple):
    """What one record file holds: `steps` steps of a split from `first` on. `name` is relative to
    the data directory."""

    split: str
    name: str
    first: int
    steps: int


def pieces_of(split: str, steps: int, shards: int) -> list[Piece]:
    """The steps of a split, cut into record files."""
    named = steps_per_file(split, steps, shards)
    firsts = itertools.accumulate((count for _, count in named), initial=0)
    return [Piece(split, name, first, count) for (name, count), first in zip(named, firsts)]


def _checked(chunks: Iterator[np.ndarray], split: str, vocab_size: int) -> Iterator[np.ndarray]:
    for chunk in chunks:
        low, high = int(chunk.min()), int(chunk.max())
        if low < 0 or high >= vocab_size:
            raise DataError(
                f"{split} holds token id {low if low < 0 else high}, outside the vocabulary of"
                f" {vocab_size}"
            )
        yield chunk


class Example:
    """The serialised Example of a window: of one shape, all are the same bytes up to the ids,
    which come last."""

    def __init__(self, batch_size: int, seq_len: int):
        import tensorflow as tf

        window = np.zeros([batch_size, seq_len + 1], np.int32)
        feature = tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(window).numpy()])
        )
        example = tf.train.Example(
            features=tf.train.Features(feature={"tokens": feature})
        ).SerializeToString(deterministic=True)
        self._head = example.removesuffix(window.tobytes())
        self.record_bytes = len(example) + 16  # TFRecord adds its length and two checksums

    def serialize(self, window: np.ndarray) -> bytes:
        """The Example of a window [B, T+1]."""
        return self._head + window.astype("<i4").tobytes()

    def first_odd(self, path: Path) -> int | None:
        """The number of the first record of a file, from 0, that has another length or is another
        Example up to the ids; None: none has."""
        whole, rest = divmod(path.stat().st_size, self.record_bytes)
        head = np.frombuffer(
            (self.record_bytes - 16).to_bytes(8, "little") + bytes(4) + self._head, np.uint8
        )
        known = np.r_[0:8, 12 : len(head)]  # between them stands the checksum of the length
        records = (
            np.memmap(path, np.uint8, "r", shape=(whole, self.record_bytes))
            if whole
            else np.zeros([0, self.record_bytes], np.uint8)
        )
        for start in range(0, whole, RECORDS_AT_ONCE):
            odd = (
                records[start : start + RECORDS_AT_ONCE, : len(head)][:, known] != head[known]
            ).any(axis=1)
            if odd.any():
                return start + int(odd.argmax())
        return whole if rest or not whole else None


def write_file(
    path: Path,
    piece: Piece,
    tokens: Any,
    settings: DataConfig,
    vocab_size: int,
    progress: Callable[[int, str], None] = lambda steps, text: None,
) -> RecordFile:
    """Writes one record file, of a split's token stream (an array [N] or what has a length and
    gives arrays for slices), to `path`.

    Raises: DataError for an id outside the vocabulary; ResourceError if the disk is full.
    """
    import tensorflow as tf

    example, pad_id = (
        Example(settings.batch_size, settings.seq_len),
        (None if piece.split == "train" else PAD),
    )
    stop = piece.first + piece.steps
    chunks = windows.window_chunks(
        tokens,
        settings.batch_size,
        settings.seq_len,
        pad_id,
        start_step=piece.first,
        stop_step=stop,
    )
    with files.replacing(path) as partial:
        try:
            with tf.io.TFRecordWriter(str(partial)) as writer:
                for chunk in _checked(chunks, piece.split, vocab_size):
                    for window in chunk:
                        writer.write(example.serialize(window))
                    progress(len(chunk), piece.name)
        except tf.errors.OpError as error:  # TensorFlow's, of a full disk as a rule
            raise files.write_error(path, piece.steps * example.record_bytes, error) from None
    return RecordFile(piece.name, path.stat().st_size, files.sha256(path), piece.steps)


WriteFiles = Callable[[Path, list[Piece], dict[str, Any], DataConfig, int], Iterable[RecordFile]]


def write_one_by_one(
    progress: Callable[[int, str], None] = lambda steps, text: None,
) -> WriteFiles:
    """Writes record files in this process; `progress(steps, name)` is called as steps are
    written."""

    def write_files(
        root: Path,
        pieces: list[Piece],
        tokens: dict[str, Any],
        settings: DataConfig,
        vocab_size: int,
    ) -> Iterator[RecordFile]:
        for piece in pieces:
            yield write_file(
                root / piece.name, piece, tokens[piece.split], settings, vocab_size, progress
            )

    return write_files
