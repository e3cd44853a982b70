"""The manifest of a data set: what its files must hold, read strictly.

No time, host or absolute path is in it: equal text and settings give equal bytes.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

from par import batching, files
from par.config import MAX_VOCAB_SIZE, DataConfig
from par.corpus import SPLITS
from par.errors import DataError, UsageError

SCHEMA = 2
MAX_INTEGER = 1 << 53
MAX_BYTES = 64 << 20  # three splits of 99,999 shards, with a SHA-256 each
AGAIN = "run tools/build_data.py again"


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """One file of a split; `name` is relative to the data directory, `size` in bytes."""

    name: str
    size: int
    sha256: str
    steps: int


@dataclasses.dataclass(frozen=True)
class Split:
    """Counts of the whole text of the split, a line end as a word and as a character; `dropped` of its tokens are in no window (train only)."""

    steps: int
    tokens: int
    lines: int
    words: int
    characters: int
    bytes: int
    dropped: int
    files: tuple[RecordFile, ...]


@dataclasses.dataclass(frozen=True)
class CorpusId:
    """Which text it was: name, SHA-256 of the cleaned text (par/corpus.py), and a note such as the CPython version."""

    name: str
    sha256: str
    note: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What manifest.json says. `cleaning` counts what was cleaned (`corpus.CLEANING`); `settings` is the DataConfig with base names for paths."""

    schema: int
    batch_size: int
    seq_len: int
    vocab_size: int
    lowercase: bool
    tokenizer_sha256: str
    counts_sha256: str
    corpus: CorpusId
    cleaning: dict[str, int]
    settings: dict[str, Any]
    splits: dict[str, Split]

    @property
    def name(self) -> str:
        """The corpus' name."""
        return self.corpus.name


def load(data_dir: str | Path) -> Manifest:
    """Reads and checks manifest.json; `verify` checks the files against it.

    Raises: DataError if it is missing or damaged, has unknown or missing keys, wrong types, or figures that contradict each other.
    """
    path = Path(data_dir) / "manifest.json"
    value = files.read_json(path, "data manifest", MAX_BYTES)
    if value.get("schema") != SCHEMA:
        raise DataError(f"data manifest {path} has schema {value.get('schema')!r}, but this program reads {SCHEMA}: {AGAIN}")
    manifest = _parse(Manifest, value, str(path))
    if problem := _contradiction(manifest):
        raise DataError(f"data manifest {path} contradicts itself: {problem}; {AGAIN}")
    return manifest


def _contradiction(manifest: Manifest) -> str:
    """What can't be true in a manifest, or ''."""
    try:
        settings = DataConfig.from_json(manifest.settings)
    except UsageError as error:
        return f"settings: {error}"
    for name in ("batch_size", "seq_len", "lowercase"):
        if getattr(settings, name) != getattr(manifest, name):
            return f"{name} is {getattr(manifest, name)}, but {getattr(settings, name)} in settings"
    if manifest.vocab_size > (most := settings.vocab_size or MAX_VOCAB_SIZE):
        return f"vocab_size is {manifest.vocab_size}, more than the {most} of settings"
    if set(manifest.splits) != set(SPLITS):
        return f"splits are {', '.join(sorted(manifest.splits))}, not {', '.join(SPLITS)}"
    hashes = [manifest.tokenizer_sha256, manifest.counts_sha256, manifest.corpus.sha256]
    hashes += [file.sha256 for split in manifest.splits.values() for file in split.files]
    if bad := next((text for text in hashes if not re.fullmatch("[0-9a-f]{64}", text)), None):
        return f"{bad[:80]!r} is not a SHA-256"
    window_bytes = 4 * manifest.batch_size * (manifest.seq_len + 1)
    for name, split in manifest.splits.items():
        steps, dropped = cut(split.tokens, settings, name)
        if (split.steps, split.dropped) != (steps, dropped) or steps < 1:
            return f"{name} has {split.tokens} tokens, which make {steps} steps and drop {dropped}, not {split.steps} and {split.dropped}"
        if [(file.name, file.steps) for file in split.files] != shares(name, steps, settings.shards):
            return f"{name} has other files than {steps} steps in {settings.shards} shards make"
        if bad_file := next((file for file in split.files if file.size < file.steps * window_bytes), None):
            return f"{bad_file.name} has {bad_file.size} bytes, too few for its {bad_file.steps} steps of {window_bytes} bytes each"
    return ""


def cut(tokens: int, settings: DataConfig, split: str) -> tuple[int, int]:
    """Steps of a split of so many tokens, and how many tokens are in none of them."""
    steps = batching.num_steps(tokens, settings.batch_size, settings.seq_len, padded=split != "train")
    kept = min(tokens, steps * settings.batch_size * settings.seq_len + 1) if steps else 0
    return steps, tokens - kept


def shares(split: str, steps: int, shards: int) -> list[tuple[str, int]]:
    """Name and number of steps of each file: even shares, the first ones one longer; never a file without a step."""
    shards = min(shards, steps)
    return [(f"{split}/part-{i:05d}-of-{shards:05d}.tfrecord", steps // shards + (i < steps % shards)) for i in range(shards)]


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`value` from JSON as the type `kind`, strictly. Raises: DataError that says where it does not fit."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            odd = sorted(set(value) ^ set(hints)) if isinstance(value, dict) else repr(value)[:80]
            raise DataError(f"{where} must have exactly the keys {', '.join(hints)}; unknown or missing: {odd}")
        return kind(**{name: _parse(hint, value[name], f"{where}: {name}") for name, hint in hints.items()})
    container, arguments = typing.get_origin(kind), typing.get_args(kind)
    if container is tuple and isinstance(value, list):
        return tuple(_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if container is dict and isinstance(value, dict):
        return {name: item if arguments[1] is Any else _parse(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if container is None and type(value) is kind and not (kind is int and not 0 <= value < MAX_INTEGER):
        return value
    raise DataError(f"{where} must be of type {getattr(container or kind, '__name__', kind)}, but is {repr(value)[:80]}")
