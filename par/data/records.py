"""A data set on disk: TFRecord files, one Example a step, and the manifest (par/data/manifest.py)
that says what they must hold.

    data/<name>/  tokenizer.model  tokenizer.vocab  counts.txt  manifest.json
                  {train,valid,test}/part-00000-of-00001.tfrecord
                  documents/{train,valid,test}.npy, where the text has documents

An Example has one feature, `tokens`: the window [B, T+1] int32 of one step (par/data/windows.py),
serialised by `tf.io.serialize_tensor`.
Files cut the sequence of steps, never the streams. Only what touches records needs TensorFlow;
`load` does not.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from par.core import files, schema
from par.core.config import DataConfig
from par.core.errors import DataError
from par.data import documents, windows
from par.data.manifest import (
    AGAIN,
    SCHEMA,
    SPLITS,
    CorpusId,
    Documents,
    Manifest,
    RecordFile,
    Split,
    check_hash,
    cut,
)
from par.data.manifest import check_size as check_file_size
from par.data.manifest import load as load
from par.data.record_file import Example, WriteFiles, pieces_of, write_one_by_one
from par.data.tokenizer import PAD, Tokenizer

if TYPE_CHECKING:
    import tensorflow as tf

READ_BYTES = 1 << 20
MAX_COUNT_BYTES = 17  # of a line: 16 digits, as no split has more tokens than 2^53


def verify(data_dir: str | Path, manifest: Manifest, splits: Iterable[str] = SPLITS) -> None:
    """Checks tokenizer, counts, and the record files and documents of `splits` against the
    manifest: all there, none more, sizes, SHA-256, steps, ids.

    Raises: DataError that names the file, with both hashes, or both sizes and the offset from
    which they differ.
    """
    root = Path(data_dir)
    check_hash(root / "tokenizer.model", manifest.tokenizer_sha256)
    tokenizer = Tokenizer.load(root / "tokenizer.model")
    if tokenizer.vocab_size != manifest.vocab_size:
        raise DataError(
            f"{root / 'tokenizer.model'} has {tokenizer.vocab_size} pieces, but the manifest says"
            f" {manifest.vocab_size}; {AGAIN}"
        )
    check_hash(root / "tokenizer.vocab", hashlib.sha256(tokenizer.vocab.encode()).hexdigest())
    check_hash(root / "counts.txt", manifest.counts_sha256)
    read_counts(root, manifest)
    splits = tuple(splits)
    documents.verify(root, manifest, splits)
    for name in splits:
        expected = {root / file.name: file for file in manifest.splits[name].files}
        extra = sorted(set((root / name).glob("*.tfrecord*")) - set(expected))
        if extra:
            raise DataError(f"{extra[0]} is not in the manifest: remove it, or {AGAIN}")
        for path, file in expected.items():
            check_file_size(path, file.size)
            check_hash(path, file.sha256, lambda path=path: _damage(path, manifest))
            _check_content(path, file, manifest)


def _damage(path: Path, manifest: Manifest) -> str:
    """Where a record file is damaged, as far as it tells."""
    import tensorflow as tf

    example = Example(manifest.batch_size, manifest.seq_len)
    if (odd := example.first_odd(path)) is not None:
        return f"damaged in the record at byte {odd * example.record_bytes}"
    offset = 0
    try:
        for _ in tf.data.TFRecordDataset(str(path)):
            offset += example.record_bytes
    except tf.errors.DataLossError:
        return f"damaged in the record at byte {offset}"
    return "its records are whole but others"


def _check_content(path: Path, file: RecordFile, manifest: Manifest) -> None:
    """Raises: DataError unless the file has its steps, each a window of the right shape with ids
    inside the vocabulary."""
    import tensorflow as tf

    example = Example(manifest.batch_size, manifest.seq_len)
    shape = f"windows of {manifest.batch_size} x {manifest.seq_len + 1} tokens"
    # TensorFlow believes what a record says of its size, and allocates that
    if (odd := example.first_odd(path)) is not None:
        raise DataError(
            f"{path} holds something else than {shape} in the record at byte"
            f" {odd * example.record_bytes}; {AGAIN}"
        )
    first = (tf.constant(0, tf.int64), tf.constant(0), tf.constant(0))

    def low_high(so_far: tuple, window: tf.Tensor) -> tuple:
        return (
            so_far[0] + 1,
            tf.minimum(so_far[1], tf.reduce_min(window)),
            tf.maximum(so_far[2], tf.reduce_max(window)),
        )

    try:
        steps, low, high = (
            int(value) for value in _windows([str(path)], manifest).reduce(first, low_high)
        )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"{path} holds something else than {shape} ({str(error)[:120]}); {AGAIN}"
        ) from None
    if steps != file.steps:
        raise DataError(f"{path} holds {steps} steps, but the manifest says {file.steps}; {AGAIN}")
    if low < 0 or high >= manifest.vocab_size:
        raise DataError(
            f"{path} holds token id {low if low < 0 else high}, outside the vocabulary of"
            f" {manifest.vocab_size}; {AGAIN}"
        )


def _windows(paths: list[str], manifest: Manifest, skip: int = 0) -> tf.data.Dataset:
    """The windows [B, T+1] int32 of record files, in order."""
    import tensorflow as tf

    shape = [manifest.batch_size, manifest.seq_len + 1]

    def parse(record: tf.Tensor) -> tf.Tensor:
        example = tf.io.parse_single_example(
            record, {"tokens": tf.io.FixedLenFeature([], tf.string)}
        )
        return tf.ensure_shape(tf.io.parse_tensor(example["tokens"], tf.int32), shape)

    return tf.data.TFRecordDataset(paths, buffer_size=READ_BYTES).skip(skip).map(parse)


def dataset(
    data_dir: str | Path, manifest: Manifest, split: str, start_step: int = 0
) -> tf.data.Dataset:
    """The steps of a split from `start_step` on, in order: int32 [B, T+1] each. Files before it
    are not opened.

    Raises: DataError if `start_step` lies beyond the split.
    """
    import tensorflow as tf

    info = manifest.splits[split]
    if not 0 <= start_step <= info.steps:
        raise DataError(
            f"step {start_step} does not exist: {split} of {data_dir} has {info.steps}"
        )
    remaining, skip = list(info.files), start_step
    while len(remaining) > 1 and skip >= remaining[0].steps:
        skip -= remaining.pop(0).steps
    return _windows(
        [str(Path(data_dir) / file.name) for file in remaining], manifest, skip
    ).prefetch(tf.data.AUTOTUNE)


def read_stream(data_dir: str | Path, manifest: Manifest, split: str) -> np.ndarray:
    """The one stream of a split, int32 [tokens - dropped], without padding: to be cut anew by
    `windows.windows` for any B and T."""
    info = manifest.splits[split]
    steps = dataset(data_dir, manifest, split).as_numpy_iterator()
    return windows.rejoin(steps, info.steps, info.tokens - info.dropped)


def read_counts(data_dir: str | Path, manifest: Manifest) -> np.ndarray:
    """How often each id occurs in the train split, int64 [V]. Raises: DataError if counts.txt is
    missing or not that."""
    path, tokens = Path(data_dir) / "counts.txt", manifest.splits["train"].tokens
    lines = (
        files.read_bytes(path, "the file of counts", MAX_COUNT_BYTES * manifest.vocab_size)
        .removesuffix(b"\n")
        .split(b"\n")
    )
    if odd := next(
        (
            number
            for number, line in enumerate(lines, 1)
            if not (line.isdigit() and len(line) < MAX_COUNT_BYTES)
        ),
        None,
    ):
        raise DataError(
            f"{path} must hold one count per line, but line {odd} is {lines[odd - 1][:40]!r};"
            f" {AGAIN}"
        )
    if len(lines) != manifest.vocab_size:
        raise DataError(
            f"{path} must hold one count for each of {manifest.vocab_size} ids, but holds"
            f" {len(lines)}; {AGAIN}"
        )
    counts = [int(line) for line in lines]
    if sum(counts) != tokens:
        raise DataError(f"{path} counts {sum(counts)} tokens, but train has {tokens}; {AGAIN}")
    return np.array(counts, np.int64)


def counts_if_there(data_dir: Path, vocab_size: int) -> np.ndarray | None:
    """The counts [V] of a run's data set, None where the directory is gone or has another
    vocabulary by now."""
    manifest = load(data_dir) if (data_dir / "manifest.json").is_file() else None
    return (
        read_counts(data_dir, manifest) if manifest and manifest.vocab_size == vocab_size else None
    )


def count_targets(data_dir: str | Path, manifest: Manifest, split: str) -> np.ndarray:
    """How often each id is a target in a split, padding left out, int64 [V]."""
    counts = np.zeros([manifest.vocab_size], np.int64)
    for batch in dataset(data_dir, manifest, split).batch(256).as_numpy_iterator():
        counts += np.bincount(batch[:, :, 1:].ravel(), minlength=len(counts))
    counts[PAD] = 0
    return counts


def unigram_nll(counts: np.ndarray, targets: np.ndarray) -> float:
    """Negative log-likelihood, in nats, of ids that occur `targets` [V] times, under the train
    counts [V] with one added to each (Laplace)."""
    log_prob = np.log(counts + 1.0) - np.log(counts.sum() + len(counts))
    return -float(targets @ log_prob)


@dataclasses.dataclass(frozen=True)
class Stream:
    """A split to be written: its token ids, an array [N] or what has a length and gives arrays for
    slices; and the counts of its text."""

    tokens: Any
    lines: int
    words: int
    characters: int
    bytes: int


def write(
    data_dir: str | Path,
    streams: dict[str, Stream],
    *,
    tokenizer: Tokenizer,
    counts: np.ndarray,
    settings: DataConfig,
    corpus: CorpusId,
    cleaning: dict[str, int],
    listed: Documents | None = None,
    write_files: WriteFiles | None = None,
) -> Manifest:
    """Writes a data set; each file whole or not at all, the manifest last.

    counts: [V] how often each id occurs in the train stream. listed: the documents, whose tables
    are written already. write_files: (directory, pieces, token streams of the splits, settings, V)
    -> what was written, in the order of the pieces; by default `write_one_by_one()`.
    Raises: DataError if a split is too short for a step or holds an id outside the vocabulary;
    ResourceError if the disk is or will be full.
    """
    root = Path(data_dir)
    check_size({name: len(stream.tokens) for name, stream in streams.items()}, settings)
    cuts = {name: cut(len(stream.tokens), settings, name) for name, stream in streams.items()}
    pieces = [
        piece for name in SPLITS for piece in pieces_of(name, cuts[name][0], settings.shards)
    ]
    root.mkdir(parents=True, exist_ok=True)
    files.check_space(
        root,
        sum(piece.steps for piece in pieces)
        * Example(settings.batch_size, settings.seq_len).record_bytes,
    )
    files.write_bytes(root / "tokenizer.model", tokenizer.model)
    files.write_text(root / "tokenizer.vocab", tokenizer.vocab)
    files.write_text(root / "counts.txt", "".join(f"{count}\n" for count in counts))
    tokens = {name: stream.tokens for name, stream in streams.items()}
    written = list(
        (write_files or write_one_by_one())(root, pieces, tokens, settings, len(counts))
    )
    splits = {}
    for name in SPLITS:
        stream, (steps, dropped) = streams[name], cuts[name]
        made = tuple(
            file for piece, file in zip(pieces, written, strict=True) if piece.split == name
        )
        splits[name] = Split(
            steps,
            len(stream.tokens),
            stream.lines,
            stream.words,
            stream.characters,
            stream.bytes,
            dropped,
            made,
        )
    manifest = Manifest(
        schema=SCHEMA,
        batch_size=settings.batch_size,
        seq_len=settings.seq_len,
        vocab_size=tokenizer.vocab_size,
        lowercase=settings.lowercase,
        tokenizer_sha256=tokenizer.sha256,
        counts_sha256=files.sha256(root / "counts.txt"),
        corpus=corpus,
        cleaning=cleaning,
        settings=settings.to_json(),
        splits=splits,
        documents=listed,
    )
    schema.write_json(root / "manifest.json", dataclasses.asdict(manifest))
    return manifest


def check_size(tokens: dict[str, int], settings: DataConfig, at_most: bool = False) -> None:
    """Raises: DataError unless train has the tokens of one step and valid and test one target
    each; `at_most`: `tokens` are upper bounds."""
    needed = settings.batch_size * settings.seq_len + 1
    if any(tokens[name] < (needed if name == "train" else 2) for name in SPLITS):
        found = ", ".join(f"{name} {tokens[name]}" for name in SPLITS)
        bound = "at most " if at_most else ""
        raise DataError(
            "the text is too small: its splits, made of whole lines, have"
            f" {bound}these tokens: {found}; train needs batch_size * seq_len + 1 ="
            f" {needed}, valid and test 2 each: give more text or lower --batch_size or --seq_len"
        )
