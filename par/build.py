"""Text and settings -> a data set on disk, whole or not at all. What the command tools/build_data.py does, without flags and printing."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from par import batching, corpus, records, tokenizer
from par.config import DataConfig
from par.corpus import Corpus, Size
from par.errors import DataError, UsageError
from par.tokenizer import Tokenizer

FILES = {"tokenizer.model", "tokenizer.vocab", "counts.txt", "manifest.json", *records.SPLITS}  # all that a data set consists of
BYTES_AT_ONCE = 4 << 20  # of text, while it is encoded

Progress = Callable[[str, str, int], AbstractContextManager[Callable[[int, str], None]]]  # (what, unit, total) -> called with units made, text


@dataclasses.dataclass(frozen=True)
class Source:
    """A text that was read once: its splits' sizes, what was cleaned, the settings as the manifest keeps them, and a given tokenizer."""

    corpus: Corpus
    sizes: dict[str, Size]
    cleaned: Counter
    settings: DataConfig
    model: bytes | None
    keep_model: bool

    @property
    def id(self) -> records.CorpusId:
        """What the manifest says of the text."""
        return records.CorpusId(self.corpus.name, corpus.fingerprint(self.sizes), self.corpus.note)


def read(settings: DataConfig) -> Source:
    """Finds and measures the text, and completes the settings: a corpus' own symbols, what a given tokenizer decides, no path of this machine.

    Raises: UsageError for a corpus that does not exist; DataError if there is no text, too little for any tokenizer, or no such tokenizer.
    """
    text = corpus.named(settings.corpus) if settings.corpus else corpus.own(settings.input_text, settings.split_fractions)
    cleaned: Counter = Counter()
    sizes = {name: corpus.measure(split, cleaned) for name, split in text.texts.items()}
    if sizes["train"].words == sizes["train"].lines:
        state = "is empty" if sizes["train"].bytes == 0 else "holds only blanks"
        raise DataError(f"the train split of {settings.corpus or settings.input_text} {state}: give more text")
    changes = {"symbols": tuple(dict.fromkeys((*text.symbols, *settings.symbols)))}
    if settings.input_text:
        changes["input_text"] = Path(settings.input_text).name or text.name
    if not settings.tokenizer_model:
        if not settings.lowercase:  # a piece is a byte or longer; a line has a space in front and an end
            records.check_size({name: size.bytes + size.lines for name, size in sizes.items()}, settings, at_most=True)
        return Source(text, sizes, cleaned, dataclasses.replace(settings, **changes), None, False)
    given = tokenizer.read_model(settings.tokenizer_model)
    model = tokenizer.adopt(given, settings.tokenizer_model)
    changes |= {"tokenizer_model": f"sha256:{hashlib.sha256(given).hexdigest()}", **tokenizer.properties(model)}
    return Source(text, sizes, cleaned, dataclasses.replace(settings, **changes), model, model == given)


def is_built(root: Path, source: Source, overwrite: bool) -> bool:
    """Whether `root` holds a data set of this text and these settings; whether its files are whole is for `records.verify` to say.

    Raises: UsageError if it holds another data set, and `overwrite` is not given, or something else, which is never touched.
    """
    if not root.exists():
        return False
    if not root.is_dir():
        raise UsageError(f"output_dir {root} is a file: give another --output_dir")
    names = {path.name for path in root.iterdir()}
    if names and (names - FILES or "manifest.json" not in names):
        raise UsageError(f"output_dir {root} is no data set, as it holds {min(names - FILES or names)}: give another --output_dir")
    if not names:
        return False
    try:
        there = records.load(root)
    except DataError as error:
        if overwrite:
            return False
        raise UsageError(f"output_dir {root} holds a damaged data set ({error}): give --overwrite to replace it") from None
    old, new = there.settings, source.settings.to_json()
    differences = [f"{name} {old[name]!r} there, {new[name]!r} asked for" for name in new if old[name] != new[name]]
    if (there.corpus.name, there.corpus.sha256) != (source.id.name, source.id.sha256):
        differences.append(f"text {there.corpus.name} {there.corpus.sha256[:12]} there, {source.id.name} {source.id.sha256[:12]} asked for")
    if differences and not overwrite:
        raise UsageError(f"output_dir {root} holds another data set ({'; '.join(differences)}): give --overwrite or another --output_dir")
    return not differences


def encode(source: Source, progress: Progress) -> tuple[Tokenizer, dict[str, np.ndarray]]:
    """Trains the tokenizer, if none was given, and encodes the splits: token streams [N] whose ids are in the order of the train counts.

    Raises: UsageError if the text does not support the vocabulary; DataError if it has too few tokens, or changed since it was measured.
    """
    settings, model = source.settings, source.model
    if model is None:
        wanted = {name: getattr(settings, name) for name in ("vocab_size", "model_type", "lowercase", "symbols")}
        model = tokenizer.train(source.corpus.texts["train"].lines(), **wanted)
    streams = {name: _encode(Tokenizer(model), name, source, progress) for name in records.SPLITS}
    if not source.keep_model:
        old_ids = tokenizer.order(np.bincount(streams["train"], minlength=Tokenizer(model).vocab_size))
        model = tokenizer.reorder(model, old_ids)
        new_ids = np.argsort(old_ids).astype(np.int32)
        streams = {name: new_ids[tokens] for name, tokens in streams.items()}
    records.check_size({name: len(tokens) for name, tokens in streams.items()}, settings)
    return Tokenizer(model), streams


def write(root: Path, source: Source, model: Tokenizer, streams: dict[str, np.ndarray], progress: Progress) -> None:
    """Writes the data set beside `root` and puts it in its place when it is whole; what was there stays until then.

    Raises: UsageError if the place can't be written, ResourceError if the disk is full.
    """
    settings = source.settings
    counts = {name: batching.num_steps(len(streams[name]), settings.batch_size, settings.seq_len, padded=name != "train") for name in streams}
    with _replacing_directory(root) as partial, progress("writing records", "step", sum(counts.values())) as made:
        records.write(
            partial,
            streams,
            tokenizer=model,
            settings=settings,
            corpus=source.id,
            words={name: size.words for name, size in source.sizes.items()},
            bytes_={name: size.bytes for name, size in source.sizes.items()},
            progress=made,
        )


def _encode(model: Tokenizer, name: str, source: Source, progress: Progress) -> np.ndarray:
    """The token stream [N] of a split. Raises: DataError if the text changed since it was measured."""
    digest, parts = hashlib.sha256(), [np.zeros([0], np.int32)]
    with progress(f"encoding {name}", "byte", source.sizes[name].bytes) as made:
        for batch in _batches(source.corpus.texts[name].lines()):
            text = "".join(f"{line}\n" for line in batch).encode("utf-8")
            digest.update(text)
            parts.append(np.concatenate(model.encode(batch)))
            made(len(text), "")
    if digest.hexdigest() != source.sizes[name].sha256:
        raise DataError(f"the {name} text changed while it was read: run the same command again")
    return np.concatenate(parts)


def _batches(lines: Iterator[str]) -> Iterator[list[str]]:
    """Lines in lists of about BYTES_AT_ONCE characters."""
    batch, size = [], 0
    for line in lines:
        batch.append(line)
        size += len(line) + 1
        if size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextlib.contextmanager
def _replacing_directory(root: Path) -> Iterator[Path]:
    """Yields a new directory beside `root` that takes its place when the block ends, and is removed when it fails.

    What a build that was killed left behind is removed, too. Raises: UsageError if the place can't be written.
    """
    root = root.resolve()
    partial, old = (root.with_name(f".{root.name}.{os.getpid()}.{what}") for what in ("partial", "old"))
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(root)
        partial.mkdir()
    except OSError as error:
        raise UsageError(f"output_dir {root} can't be written ({error.strerror}: {error.filename}): give another --output_dir") from None
    try:
        yield partial
        if root.exists():
            root.rename(old)
        partial.rename(root)
    finally:
        if old.exists() and not root.exists():
            old.rename(root)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Removes what killed builds left beside `root`; a whole data set that one had moved aside comes back. Process numbers may be used again."""
    for path in [*root.parent.glob(f".{root.name}.*.partial"), *root.parent.glob(f".{root.name}.*.old")]:
        owner = path.name.split(".")[-2]
        if owner.isdecimal() and (int(owner) == os.getpid() or not _is_alive(int(owner))):
            if path.suffix == ".old" and not root.exists():
                path.rename(root)
                continue
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    return True
