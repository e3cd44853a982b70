"""The work of an Apache Beam worker: a shard to ids, a split to its SHA-256, steps to a record
file.

The pipelines are in par/data/beam/engine.py. Workers and driver share one directory, `work`:

    tokenizer.model                                   trained by the driver
    ids/train-00000 ...     encoded.jsonl counts      of each shard, and what was counted
    starts.json new_ids                               where a shard's ids are in the stream, and
                                                      their new numbers
    records/train/part-00000-of-00008.tfrecord ...    written.jsonl

A file is named after its content and appears whole, so work that a runner repeats makes the same
file again. A worker holds one block of text (2 MiB) and its ids, or one chunk of steps (a million
tokens), and the counts or the new numbers of all ids [V].
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.core.config import DataConfig
from par.data import corpus
from par.data.beam import files as beam_files
from par.data.corpus import Part, Text, open_source
from par.data.encoding import Encoder, id_type
from par.data.record_file import Piece, write_file
from par.data.shards import ShardedTokens
from par.data.text_formats import DecodedText


class Shard(NamedTuple):
    """A piece of a split, and which one it is."""

    split: str
    index: int
    part: Part


def ids_place(work: str, split: str, index: int) -> str:
    """The file with the ids of a shard."""
    return f"{work}/ids/{split}-{index:05d}"


class EncodeShard:
    """A shard -> its ids in a file; what was counted as JSON, and of train how often each id
    occurs [V]."""

    def __init__(self, work: str):
        self._work, self._encoder = work, None

    def __call__(self, shard: Shard) -> tuple[dict[str, Any], np.ndarray | None]:
        if self._encoder is None:
            self._encoder = Encoder(beam_files.read(f"{self._work}/tokenizer.model"), 0, workers=1)
        with beam_files.published(ids_place(self._work, shard.split, shard.index)) as path:
            found = self._encoder.encode(Text((shard.part,)), path)
            sums = {
                name: getattr(found, name) for name in ("lines", "words", "characters", "bytes")
            }
            line = {
                "split": shard.split,
                "index": shard.index,
                "tokens": len(found.tokens),
                "cleaned": dict(found.cleaned),
                **sums,
            }
        return line, found.counts if shard.split == "train" else None


class Fingerprint:
    """A split -> the SHA-256 of its cleaned text: one pass from its beginning to its end, as
    SHA-256 can't be put together from parts."""

    def __call__(self, named: tuple[str, Text]) -> tuple[dict[str, Any], None]:
        split, text = named
        return {"split": split, "sha256": corpus.measure(text).sha256}, None


class WritePiece:
    """Steps of a split -> a record file, and the manifest's line about it."""

    def __init__(self, work: str, settings: DataConfig):
        self._work, self._settings, self._tokens, self._vocab_size = work, settings, {}, 0

    def __call__(self, piece: Piece) -> tuple[dict[str, Any], None]:
        if not self._tokens:
            self._tokens, self._vocab_size = load_ids(self._work)
        place = f"{self._work}/records/{piece.name}"
        with beam_files.published(place) as path:
            file = write_file(
                path, piece, self._tokens[piece.split], self._settings, self._vocab_size
            )
        return dataclasses.asdict(file), None


def save_ids(work: str, tokens: dict[str, ShardedTokens], vocab_size: int) -> None:
    """Writes where the shards of each split are in its stream, and the new numbers of the ids.
    Raises: OSError."""
    new_ids = next(iter(tokens.values())).new_ids
    beam_files.write(
        f"{work}/new_ids",
        (np.arange(vocab_size) if new_ids is None else new_ids).astype("<i4").tobytes(),
    )
    positions = {split: stream.starts.tolist() for split, stream in tokens.items()}
    beam_files.write(f"{work}/starts.json", json.dumps(positions).encode())


def load_ids(work: str) -> tuple[dict[str, ShardedTokens], int]:
    """The token stream of each split, and the vocabulary size V. Raises: OSError."""
    new_ids = np.frombuffer(beam_files.read(f"{work}/new_ids"), "<i4")
    positions, dtype = json.loads(beam_files.read(f"{work}/starts.json")), id_type(len(new_ids))
    reads = {split: functools.partial(read_ids, work, split, dtype) for split in positions}
    return {
        split: ShardedTokens(np.array(positions[split], np.int64), read, new_ids)
        for split, read in reads.items()
    }, len(new_ids)


def read_ids(
    work: str, split: str, dtype: np.dtype, shard: int, first: int, stop: int
) -> np.ndarray:
    """Ids `first` to `stop` (exclusive) of a shard, as they were written. Raises: OSError."""
    size = dtype.itemsize
    return np.frombuffer(
        beam_files.read_range(ids_place(work, split, shard), first * size, (stop - first) * size),
        dtype,
    )


def summed(counts: Iterable[np.ndarray]) -> np.ndarray | int:
    """The sum of arrays [V], of which two are in memory at once; 0 of none."""
    total: np.ndarray | int = 0
    for found in counts:
        total = total + found
    return total


class SaveCounts:
    """Counts [V] -> a file."""

    def __init__(self, work: str):
        self._work = work

    def __call__(self, counts: np.ndarray) -> None:
        beam_files.write(f"{self._work}/counts", counts.astype("<i8").tobytes())


def load_counts(work: str) -> np.ndarray:
    """What `SaveCounts` saved, [V] int64. Raises: OSError."""
    return np.frombuffer(beam_files.read(f"{work}/counts"), "<i8")


def on_disk(source: Path | bytes, place: str) -> Path | Any:
    """A text's source as workers can read it: what is in memory, or was decoded by this process,
    goes to a file. Raises: OSError."""
    if isinstance(source, bytes | DecodedText):
        with (
            beam_files.published(place) as path,
            open_source(source) as text,
            open(path, "wb") as file,
        ):
            shutil.copyfileobj(text, file)
        return beam_files.at(place)
    return source.resolve() if isinstance(source, Path) else source
