"""The manifest of a data set: what its files must hold, read strictly.

No time, host or absolute path is in it: equal text and settings give equal bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from par.core import files, metrics, schema
from par.core.config import MAX_VOCAB_SIZE, DataConfig
from par.core.errors import DataError, UsageError
from par.data import windows
from par.data.cleaning import CLEANING
from par.data.corpus import FOUND, OWN_SPLITS, SPLITS

SCHEMA = 3
BEFORE = 2  # still read: a manifest that knows no documents, and no settings of them
DOCUMENT_SETTINGS = ("input_documents", "fields", "split_by")
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
    """Counts of the whole text of the split, a line end as a word and as a character; `dropped` of
    its tokens are in no window (train only)."""

    steps: int
    tokens: int
    lines: int
    words: int
    characters: int
    bytes: int
    dropped: int
    files: tuple[RecordFile, ...]

    def figures(self, nll_sum: float, scored: float | None = None) -> dict[str, float]:
        """The figures of a language model, from nats over the `scored` tokens; None: all but the
        first."""
        return metrics.scores(metrics.LANGUAGE_MODEL, self.sums(nll_sum, scored))

    def sums(
        self,
        nll_sum: float,
        scored: float | None = None,
        parts: Mapping[str, tuple[float, float]] | None = None,
    ) -> metrics.Sums:
        """Sums over the `scored` tokens, from which figures are computed; None: all but the
        first."""
        return metrics.scaled(
            nll_sum,
            self.tokens - 1 if scored is None else scored,
            parts,
            tokens=self.tokens,
            words=self.words,
            characters=self.characters,
            bytes_=self.bytes,
        )


@dataclasses.dataclass(frozen=True)
class CorpusId:
    """Which text it was: name, SHA-256 of the cleaned text (par/data/corpus.py), and a note such
    as the CPython version."""

    name: str
    sha256: str
    note: str


@dataclasses.dataclass(frozen=True)
class DocumentFile:
    """The table of a split's documents (par/data/documents.py), and how many more reach into the
    dropped end of the split."""

    rows: int
    left_out: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Documents:
    """What the data set knows of its documents: by what they were split ("corpus": by the text
    itself), numbers of authors and groups, SHA-256 of `corpus.Listing`, `counts` by the keys of
    FOUND."""

    split_by: str
    authors: int
    groups: int
    sha256: str
    counts: dict[str, int]
    splits: dict[str, DocumentFile]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What manifest.json says. `cleaning` counts what was cleaned, by the keys of CLEANING;
    `settings` is the DataConfig with base names for paths; `documents` is None for plain text."""

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
    documents: Documents | None

    @property
    def name(self) -> str:
        """The corpus' name."""
        return self.corpus.name


def load(data_dir: str | Path) -> Manifest:
    """Reads and checks manifest.json; `records.verify` checks the files against it.

    Raises: DataError if it is missing or damaged, has unknown or missing keys, wrong types, or
    figures that contradict each other.
    """
    path = Path(data_dir) / "manifest.json"
    value = _upgraded(schema.read_json(path, "data manifest", MAX_BYTES))
    if not schema.is_schema(value, SCHEMA):
        raise DataError(
            f"data manifest {path} has schema {value.get('schema')!r}, but this program reads"
            f" {BEFORE} and {SCHEMA}: {AGAIN}"
        )
    try:
        manifest = schema.decode(Manifest, value, str(path))
    except UsageError as error:
        raise DataError(str(error)) from None
    if problem := _contradiction(manifest):
        raise DataError(f"data manifest {path} contradicts itself: {problem}; {AGAIN}")
    return manifest


def _upgraded(value: dict[str, Any]) -> dict[str, Any]:
    """A manifest of the schema before in this one; any other is left as it is."""
    settings = value.get("settings")
    if (
        not schema.is_schema(value, BEFORE)
        or "documents" in value
        or not isinstance(settings, dict)
        or set(DOCUMENT_SETTINGS) & set(settings)
    ):
        return value
    new = {name: DataConfig.default(name) for name in DOCUMENT_SETTINGS}
    return value | {"schema": SCHEMA, "documents": None, "settings": settings | new}


def _contradiction(manifest: Manifest) -> str:
    """A contradiction between fields of a manifest, or ''."""
    try:
        settings = DataConfig.from_json(manifest.settings)
    except UsageError as error:
        return f"settings: {error}"
    for name in ("batch_size", "seq_len", "lowercase"):
        if getattr(settings, name) != getattr(manifest, name):
            return (
                f"{name} is {getattr(manifest, name)}, but {getattr(settings, name)} in settings"
            )
    if not manifest.vocab_size:
        return "vocab_size is 0, so no token has an id"
    if manifest.vocab_size > (most := settings.vocab_size or MAX_VOCAB_SIZE):
        return f"vocab_size is {manifest.vocab_size}, more than the {most} of settings"
    if settings.corpus and settings.corpus != manifest.name:
        return f"corpus is {manifest.name[:80]!r}, but {settings.corpus[:80]!r} in settings"
    if set(manifest.splits) != set(SPLITS):
        return f"splits are {', '.join(sorted(manifest.splits))}, not {', '.join(SPLITS)}"
    if odd := sorted(set(manifest.cleaning) - set(CLEANING)):
        return f"cleaning counts {odd[0][:80]!r}, but only {', '.join(CLEANING)} can be cleaned"
    try:
        schema.check_name(manifest.name, "the corpus' name")
        for where, text in (
            ("tokenizer", manifest.tokenizer_sha256),
            ("counts", manifest.counts_sha256),
            ("corpus", manifest.corpus.sha256),
        ):
            schema.check_sha256(text, f"{where}:")
        if manifest.documents:
            schema.check_sha256(manifest.documents.sha256, "documents:")
            for name, file in manifest.documents.splits.items():
                schema.check_sha256(file.sha256, f"documents of {name[:80]}:")
        for file in (file for split in manifest.splits.values() for file in split.files):
            schema.check_sha256(file.sha256, f"{file.name[:80]}:")
    except UsageError as error:
        return str(error)
    return (
        next(
            (
                problem
                for name, split in manifest.splits.items()
                if (problem := _odd_split(name, split, settings))
            ),
            "",
        )
        or (_odd_documents(manifest, manifest.documents) if manifest.documents else "")
        or _odd_sizes(manifest)
    )


def _odd_documents(manifest: Manifest, documents: Documents) -> str:
    """A contradiction between the documents and the rest of a manifest, or ''."""
    if set(documents.splits) != set(SPLITS):
        return f"documents are of {', '.join(sorted(documents.splits))}, not {', '.join(SPLITS)}"
    if odd := sorted(set(documents.counts) ^ set(FOUND)):
        return f"documents count {odd[0][:80]!r} or not, but must count {', '.join(FOUND)}"
    if documents.split_by not in (by := (*DataConfig.choices("split_by"), OWN_SPLITS)):
        return f"documents are split by {documents.split_by[:80]!r}, not by one of {', '.join(by)}"
    for name, file in documents.splits.items():
        if file.rows + file.left_out > manifest.splits[name].lines:
            return (
                f"{name} has {file.rows + file.left_out} documents, more than its"
                f" {manifest.splits[name].lines} lines"
            )
    return ""


def _odd_split(name: str, split: Split, settings: DataConfig) -> str:
    """A contradiction between fields of a split, or ''."""
    steps, dropped = cut(split.tokens, settings, name)
    if (split.steps, split.dropped) != (steps, dropped) or steps < 1:
        return (
            f"{name} has {split.tokens} tokens, which make {steps} steps and drop {dropped}, not"
            f" {split.steps} and {split.dropped}"
        )
    if [(file.name, file.steps) for file in split.files] != steps_per_file(
        name, steps, settings.shards
    ):
        return f"{name} has other files than {steps} steps in {settings.shards} shards make"
    sizes = {
        "lines": split.lines,
        "words": split.words,
        "characters": split.characters,
        "bytes": split.bytes,
    }
    # a line end is a word, a word has a character, a character has 1 to 4 bytes
    rising = list(sizes.values())
    if rising != sorted(rising) or not split.words or split.bytes > 4 * split.characters:
        return (
            f"{name} can't have {', '.join(f'{count} {what}' for what, count in sizes.items())}:"
            " each is at most the next, bytes 4 a character"
        )
    return ""


def _odd_sizes(manifest: Manifest) -> str:
    """A contradiction between the sizes of record files, or '': all records have one length, and
    hold more than their window."""
    window_bytes = 4 * manifest.batch_size * (manifest.seq_len + 1)
    all_files = [file for split in manifest.splits.values() for file in split.files]
    if short := next((file for file in all_files if file.size < file.steps * window_bytes), None):
        return (
            f"{short.name} has {short.size} bytes, too few for its {short.steps} steps of"
            f" {window_bytes} bytes each"
        )
    first = all_files[0]
    if other := next(
        (file for file in all_files if file.size * first.steps != first.size * file.steps), None
    ):
        return (
            f"{first.name} has {first.size} bytes for {first.steps} steps, but {other.name}"
            f" {other.size} for {other.steps}"
        )
    return ""


def check_size(path: Path, size: int) -> None:
    """Raises: DataError unless the file is there and has the bytes that the manifest says."""
    if not path.is_file():
        raise DataError(f"{path} is missing: {AGAIN}")
    if (found := path.stat().st_size) != size:
        what = "ends" if found < size else "continues"
        raise DataError(
            f"{path} {what} at byte {min(found, size)}: it has {found} bytes, but the manifest"
            f" says {size}; {AGAIN}"
        )


def check_hash(path: Path, sha256: str, damage: Callable[[], str] = lambda: "") -> None:
    """Raises: DataError, with both, unless the file has the SHA-256 that the manifest says.
    damage: tells where it is damaged."""
    if not path.is_file():
        raise DataError(f"{path} is missing: {AGAIN}")
    try:
        found = files.sha256(path)
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror})") from None
    if found != sha256:
        place = f" {where}:" if (where := damage()) else ""
        raise DataError(
            f"{path} is not the file that was built:{place} SHA-256 {found}, but the manifest says"
            f" {sha256}; {AGAIN}"
        )


def cut(tokens: int, settings: DataConfig, split: str) -> tuple[int, int]:
    """Steps of a split of so many tokens, and how many tokens are in none of them."""
    steps = windows.num_steps(
        tokens, settings.batch_size, settings.seq_len, padded=split != "train"
    )
    kept = min(tokens, steps * settings.batch_size * settings.seq_len + 1) if steps else 0
    return steps, tokens - kept


def steps_per_file(split: str, steps: int, shards: int) -> list[tuple[str, int]]:
    """Name and number of steps of each file: even shares, the first ones one longer; never a file
    without a step."""
    shards = min(shards, steps)
    return [
        (f"{split}/part-{i:05d}-of-{shards:05d}.tfrecord", steps // shards + (i < steps % shards))
        for i in range(shards)
    ]
