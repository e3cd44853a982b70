"""A data set on disk: TFRecord files, one Example a step, and the manifest (par/manifest.py) that says what they must hold.

    data/<name>/  tokenizer.model  tokenizer.vocab  counts.txt  manifest.json  {train,valid,test}/part-00000-of-00001.tfrecord

An Example has one feature, `tokens`: the window [B, T+1] int32 of one step (par/batching.py), serialised by `tf.io.serialize_tensor`.
Files cut the sequence of steps, never the streams. Only what touches records needs TensorFlow; `load` does not.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from par import batching, files
from par.config import DataConfig
from par.errors import DataError
from par.manifest import AGAIN, SCHEMA, SPLITS, CorpusId, Manifest, RecordFile, Split, cut, shares
from par.manifest import load as load
from par.tokenizer import PAD, Tokenizer

if TYPE_CHECKING:
    import tensorflow as tf

READ_BYTES = 1 << 20
MAX_COUNT_BYTES = 17  # of a line: 16 digits, as no split has more tokens than 2^53
RECORDS_AT_ONCE = 1 << 12


def verify(data_dir: str | Path, manifest: Manifest, splits: Iterable[str] = SPLITS) -> None:
    """Checks tokenizer, counts and the record files of `splits` against the manifest: all there, none more, sizes, SHA-256, steps, ids.

    Raises: DataError that names the file, with both hashes, or both sizes and the offset from which they differ.
    """
    root = Path(data_dir)
    _check_hash(root / "tokenizer.model", manifest.tokenizer_sha256)
    tokenizer = Tokenizer.load(root / "tokenizer.model")
    if tokenizer.vocab_size != manifest.vocab_size:
        raise DataError(f"{root / 'tokenizer.model'} has {tokenizer.vocab_size} pieces, but the manifest says {manifest.vocab_size}; {AGAIN}")
    _check_hash(root / "tokenizer.vocab", hashlib.sha256(tokenizer.vocab.encode()).hexdigest())
    _check_hash(root / "counts.txt", manifest.counts_sha256)
    read_counts(root, manifest)
    for name in splits:
        expected = {root / file.name: file for file in manifest.splits[name].files}
        extra = sorted(set((root / name).glob("*.tfrecord*")) - set(expected))
        if extra:
            raise DataError(f"{extra[0]} is not in the manifest: remove it, or {AGAIN}")
        for path, file in expected.items():
            _check_size(path, file.size)
            _check_hash(path, file.sha256, manifest)
            _check_content(path, file, manifest)


def _check_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing: {AGAIN}")
    if (found := path.stat().st_size) != size:
        what = "ends" if found < size else "goes on"
        raise DataError(f"{path} {what} at byte {min(found, size)}: it has {found} bytes, but the manifest says {size}; {AGAIN}")


def _check_hash(path: Path, sha256: str, records_of: Manifest | None = None) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing: {AGAIN}")
    try:
        found = files.sha256(path)
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror})") from None
    if found != sha256:
        place = f" {_damage(path, records_of)}:" if records_of else ""
        raise DataError(f"{path} is not the file that was built:{place} SHA-256 {found}, but the manifest says {sha256}; {AGAIN}")


def _damage(path: Path, manifest: Manifest) -> str:
    """Where a record file is damaged, as far as it tells."""
    import tensorflow as tf

    example = _Example.of_manifest(manifest)
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
    """Raises: DataError unless the file has its steps, each a window of the right shape with ids inside the vocabulary."""
    import tensorflow as tf

    example = _Example.of_manifest(manifest)
    shape = f"windows of {manifest.batch_size} x {manifest.seq_len + 1} tokens"
    if (odd := example.first_odd(path)) is not None:  # TensorFlow believes what a record says of its size, and allocates that
        raise DataError(f"{path} holds something else than {shape} in the record at byte {odd * example.record_bytes}; {AGAIN}")
    first = (tf.constant(0, tf.int64), tf.constant(0), tf.constant(0))

    def low_high(so_far: tuple, window: tf.Tensor) -> tuple:
        return so_far[0] + 1, tf.minimum(so_far[1], tf.reduce_min(window)), tf.maximum(so_far[2], tf.reduce_max(window))

    try:
        steps, low, high = (int(value) for value in _windows([str(path)], manifest).reduce(first, low_high))
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(f"{path} holds something else than {shape} ({str(error)[:120]}); {AGAIN}") from None
    if steps != file.steps:
        raise DataError(f"{path} holds {steps} steps, but the manifest says {file.steps}; {AGAIN}")
    if low < 0 or high >= manifest.vocab_size:
        raise DataError(f"{path} holds token id {low if low < 0 else high}, outside the vocabulary of {manifest.vocab_size}; {AGAIN}")


def _windows(paths: list[str], manifest: Manifest, skip: int = 0) -> tf.data.Dataset:
    """The windows [B, T+1] int32 of record files, in order."""
    import tensorflow as tf

    shape = [manifest.batch_size, manifest.seq_len + 1]

    def parse(record: tf.Tensor) -> tf.Tensor:
        example = tf.io.parse_single_example(record, {"tokens": tf.io.FixedLenFeature([], tf.string)})
        return tf.ensure_shape(tf.io.parse_tensor(example["tokens"], tf.int32), shape)

    return tf.data.TFRecordDataset(paths, buffer_size=READ_BYTES).skip(skip).map(parse)


def dataset(data_dir: str | Path, manifest: Manifest, split: str, start_step: int = 0) -> tf.data.Dataset:
    """The steps of a split from `start_step` on, in order: int32 [B, T+1] each. Files before it are not opened.

    Raises: DataError if `start_step` lies beyond the split.
    """
    import tensorflow as tf

    info = manifest.splits[split]
    if not 0 <= start_step <= info.steps:
        raise DataError(f"step {start_step} does not exist: {split} of {data_dir} has {info.steps}")
    remaining, skip = list(info.files), start_step
    while len(remaining) > 1 and skip >= remaining[0].steps:
        skip -= remaining.pop(0).steps
    return _windows([str(Path(data_dir) / file.name) for file in remaining], manifest, skip).prefetch(tf.data.AUTOTUNE)


def read_stream(data_dir: str | Path, manifest: Manifest, split: str) -> np.ndarray:
    """The one stream of a split, int32 [tokens - dropped], without padding: to be cut anew by `batching.windows` for any B and T."""
    info = manifest.splits[split]
    steps = np.stack(list(dataset(data_dir, manifest, split).as_numpy_iterator()))
    return batching.rejoin(steps, info.tokens - info.dropped)


def read_counts(data_dir: str | Path, manifest: Manifest) -> np.ndarray:
    """How often each id occurs in the train split, int64 [V]. Raises: DataError if counts.txt is missing or not that."""
    path, tokens = Path(data_dir) / "counts.txt", manifest.splits["train"].tokens
    lines = files.read_bytes(path, "the file of counts", MAX_COUNT_BYTES * manifest.vocab_size).removesuffix(b"\n").split(b"\n")
    if odd := next((number for number, line in enumerate(lines, 1) if not (line.isdigit() and len(line) < MAX_COUNT_BYTES)), None):
        raise DataError(f"{path} must hold one count per line, but line {odd} is {lines[odd - 1][:40]!r}; {AGAIN}")
    if len(lines) != manifest.vocab_size:
        raise DataError(f"{path} must hold one count for each of {manifest.vocab_size} ids, but holds {len(lines)}; {AGAIN}")
    counts = [int(line) for line in lines]
    if sum(counts) != tokens:
        raise DataError(f"{path} counts {sum(counts)} tokens, but train has {tokens}; {AGAIN}")
    return np.array(counts, np.int64)


def counts_if_there(data_dir: Path, vocab_size: int) -> np.ndarray | None:
    """The counts [V] of a run's data set, None where the directory is gone or has another vocabulary by now."""
    manifest = load(data_dir) if (data_dir / "manifest.json").is_file() else None
    return read_counts(data_dir, manifest) if manifest and manifest.vocab_size == vocab_size else None


def count_targets(data_dir: str | Path, manifest: Manifest, split: str) -> np.ndarray:
    """How often each id is a target in a split, padding left out, int64 [V]."""
    counts = np.zeros([manifest.vocab_size], np.int64)
    for windows in dataset(data_dir, manifest, split).batch(256).as_numpy_iterator():
        counts += np.bincount(windows[:, :, 1:].ravel(), minlength=len(counts))
    counts[PAD] = 0
    return counts


def unigram_nll(counts: np.ndarray, targets: np.ndarray) -> float:
    """Negative log-likelihood, in nats, of ids that occur `targets` [V] times, under the train counts [V] with one added to each (Laplace)."""
    log_prob = np.log(counts + 1.0) - np.log(counts.sum() + len(counts))
    return -float(targets @ log_prob)


@dataclasses.dataclass(frozen=True)
class Stream:
    """A split to be written: its token ids, an array [N] or what has a length and gives arrays for slices; and the counts of its text."""

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
    progress: Callable[[int, str], None] = lambda steps, text: None,
) -> Manifest:
    """Writes a data set; each file whole or not at all, the manifest last.

    counts: [V] how often each id occurs in the train stream. `progress(steps, split)` is called as steps are written.
    Raises: DataError if a split is too short for a step or holds an id outside the vocabulary; ResourceError if the disk is or will be full.
    """
    root = Path(data_dir)
    check_size({name: len(stream.tokens) for name, stream in streams.items()}, settings)
    cuts = {name: cut(len(stream.tokens), settings, name) for name, stream in streams.items()}
    example = _Example([settings.batch_size, settings.seq_len + 1])
    root.mkdir(parents=True, exist_ok=True)
    files.check_space(root, sum(steps for steps, _ in cuts.values()) * example.record_bytes)
    files.write_bytes(root / "tokenizer.model", tokenizer.model)
    files.write_text(root / "tokenizer.vocab", tokenizer.vocab)
    files.write_text(root / "counts.txt", "".join(f"{count}\n" for count in counts))
    splits = {}
    for name in SPLITS:
        stream, (steps, dropped) = streams[name], cuts[name]
        chunks = batching.window_chunks(stream.tokens, settings.batch_size, settings.seq_len, pad_id=None if name == "train" else PAD)
        record_files = _write_files(root, shares(name, steps, settings.shards), _checked(chunks, name, len(counts)), example, progress)
        splits[name] = Split(steps, len(stream.tokens), stream.lines, stream.words, stream.characters, stream.bytes, dropped, tuple(record_files))
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
    )
    files.write_json(root / "manifest.json", dataclasses.asdict(manifest))
    return manifest


def check_size(tokens: dict[str, int], settings: DataConfig, at_most: bool = False) -> None:
    """Raises: DataError unless train has the tokens of one step and valid and test one target each; `at_most`: `tokens` are upper bounds."""
    needed = settings.batch_size * settings.seq_len + 1
    if any(tokens[name] < (needed if name == "train" else 2) for name in SPLITS):
        found = ", ".join(f"{name} {tokens[name]}" for name in SPLITS)
        raise DataError(
            f"the text is too small: its splits, made of whole lines, have {'at most ' * at_most}these tokens: {found}; train needs "
            f"batch_size * seq_len + 1 = {needed}, valid and test 2 each: give more text or lower --batch_size or --seq_len"
        )


def _checked(chunks: Iterator[np.ndarray], split: str, vocab_size: int) -> Iterator[np.ndarray]:
    for chunk in chunks:
        low, high = int(chunk.min()), int(chunk.max())
        if low < 0 or high >= vocab_size:
            raise DataError(f"{split} holds token id {low if low < 0 else high}, outside the vocabulary of {vocab_size}")
        yield chunk


class _Example:
    """The serialised Example of a window: of one shape, all are the same bytes up to the ids, which come last."""

    def __init__(self, shape: list[int]):
        import tensorflow as tf

        window = np.zeros(shape, np.int32)
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(window).numpy()]))
        example = tf.train.Example(features=tf.train.Features(feature={"tokens": feature})).SerializeToString(deterministic=True)
        self._head = example.removesuffix(window.tobytes())
        self.record_bytes = len(example) + 16  # TFRecord adds its length and two checksums

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> _Example:
        return cls([manifest.batch_size, manifest.seq_len + 1])

    def first_odd(self, path: Path) -> int | None:
        """The number of the first record of a file, from 0, that has another length or is another Example up to the ids; None: none has."""
        whole, rest = divmod(path.stat().st_size, self.record_bytes)
        head = np.frombuffer((self.record_bytes - 16).to_bytes(8, "little") + bytes(4) + self._head, np.uint8)
        known = np.r_[0:8, 12 : len(head)]  # between them stands the checksum of the length
        records = np.memmap(path, np.uint8, "r", shape=(whole, self.record_bytes)) if whole else np.zeros([0, self.record_bytes], np.uint8)
        for start in range(0, whole, RECORDS_AT_ONCE):
            odd = (records[start : start + RECORDS_AT_ONCE, : len(head)][:, known] != head[known]).any(axis=1)
            if odd.any():
                return start + int(odd.argmax())
        return whole if rest or not whole else None

    def of(self, window: np.ndarray) -> bytes:
        return self._head + window.astype("<i4").tobytes()


def _write_files(
    root: Path, names: list[tuple[str, int]], chunks: Iterator[np.ndarray], example: _Example, progress: Callable[[int, str], None]
) -> Iterator[RecordFile]:
    """Writes windows, which come in chunks [m, B, T+1], to files of so many steps each."""
    import tensorflow as tf

    chunk = np.zeros([0])
    for name, share in names:
        path, left = root / name, share
        with files.replacing(path) as partial:
            try:
                with tf.io.TFRecordWriter(str(partial)) as writer:
                    while left:
                        if not len(chunk):
                            chunk = next(chunks)
                        now, chunk = chunk[:left], chunk[left:]
                        for window in now:
                            writer.write(example.of(window))
                        left -= len(now)
                        progress(len(now), name)
            except tf.errors.OpError as error:  # TensorFlow's, of a full disk as a rule
                raise files.refused(path, share * example.record_bytes, error) from None
        yield RecordFile(name, path.stat().st_size, files.sha256(path), share)
