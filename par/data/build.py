"""Builds a data set on disk from text and settings, whole or not at all: the work of
tools/build_data.py, without flags and printing."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from par.core.config import DataConfig
from par.core.errors import DataError, SettingError, UsageError
from par.core.progress import announce
from par.data import (
    corpus,
    document_tables,
    importers,
    named_corpora,
    own_text,
    records,
    tokenizer,
    windows,
)
from par.data.cleaning import CLEANING
from par.data.corpus import Corpus
from par.data.encoding import Encoded, Encoder, count_words
from par.data.fetching import download
from par.data.manifest import Manifest
from par.data.record_file import WriteFiles, write_one_by_one
from par.data.tokenizer import Tokenizer

# what networks must beat, written beside the records by par.evaluate.yardsticks
BASELINES = ("kneser_ney.json", "unigram.json", "bigrams.json")
# all that the directory of a data set may hold
FILES = {
    *("tokenizer.model", "tokenizer.vocab", "counts.txt", "manifest.json", *BASELINES),
    *(*records.SPLITS, "documents"),
}
# of text that SentencePiece is trained on by default; it needs about 20 times that in memory
SAMPLE_BYTES = 32 << 20
MARK = re.compile(
    r"(?<!\S)<[^\s<>]{1,40}>(?!\S)"
)  # a word such as <unk>, as prepared texts have them
MARKS_CHARACTERS = 8 << 20  # of the train split, in which marks are counted
MIN_MARKS, MARK_SHARE = 20, 1e-3  # so many, and such a part of the words, are worth a symbol
DEFAULT_VOCAB_SIZE = 4000  # of a unigram or BPE model
# a smaller text may be too small for any tokenizer, which is checked before one is trained
SMALL_BYTES = 1 << 20

# (what, unit, total) -> called with units made, text
Progress = Callable[[str, str, int], AbstractContextManager[Callable[[int, str], None]]]


@dataclasses.dataclass(frozen=True)
class Source:
    """A text, the settings as the manifest keeps them, and a given tokenizer."""

    corpus: Corpus
    settings: DataConfig
    model: bytes | None
    keep_model: bool

    @property
    def raw_bytes(self) -> int:
        """Of all splits, before cleaning."""
        return sum(text.raw_bytes for text in self.corpus.texts.values())


def load_source(
    settings: DataConfig,
    mirrors: Sequence[str] = (),
    find: Callable[[str], own_text.Found] | None = None,
    timeout: float = download.TIMEOUT,
    directory: Path | None = None,
) -> Source:
    """The text, with completed settings: the corpus' own symbols, what a given tokenizer decides,
    and base names instead of paths.

    Args:
      mirrors: URLs that are tried first for a named corpus that must be downloaded.
      find, directory: as `own_text.load` takes them.
      timeout: seconds that each URL is given.

    Raises: UsageError for a corpus that does not exist; DataError if there is no text, too little
    for any tokenizer, or no such tokenizer; ResourceError if the disk has no room for a download
    or for decoded text.
    """
    text = _text(settings, mirrors, find, timeout, directory)
    if all(block.isspace() for block in text.texts["train"].blocks()):
        state = "is empty" if text.texts["train"].raw_bytes == 0 else "holds only blanks"
        given = settings.corpus or settings.input_text or settings.input_documents
        raise DataError(f"the train split of {given} {state}: give more text")
    changes = {"symbols": tuple(dict.fromkeys((*text.symbols, *settings.symbols)))}
    for name in ("input_text", "input_documents"):
        if given := getattr(settings, name):
            changes[name] = Path(given).name or text.name
    if settings.tokenizer_model:
        given = tokenizer.read_model(settings.tokenizer_model)
        model = tokenizer.adopt(given, settings.tokenizer_model)
        changes |= {
            "tokenizer_model": f"sha256:{hashlib.sha256(given).hexdigest()}",
            **tokenizer.properties(model),
        }
        return Source(text, dataclasses.replace(settings, **changes), model, model == given)
    source = Source(text, dataclasses.replace(settings, **changes), None, False)
    is_small = (
        source.raw_bytes < SMALL_BYTES or min(split.raw_bytes for split in text.texts.values()) < 2
    )
    # a piece is a byte or longer; a line has a space in front and an end
    if is_small and not settings.lowercase:
        sizes = {name: corpus.measure(split) for name, split in text.texts.items()}
        records.check_size(
            {name: size.bytes + size.lines for name, size in sizes.items()}, settings, at_most=True
        )
    return source


def _text(
    settings: DataConfig,
    mirrors: Sequence[str],
    find: Callable[[str], own_text.Found] | None,
    timeout: float,
    directory: Path | None,
) -> Corpus:
    """The text that the settings name. Raises: as `load_source`."""
    split_by, fractions = settings.split_by, settings.split_fractions
    if (
        split_by != DataConfig.default("split_by")
        and not settings.input_documents
        and settings.corpus not in named_corpora.SPLIT_AS_ASKED
    ):
        raise SettingError(
            f"split_by={split_by} is for documents without splits: for --input_documents and"
            f" --corpus={' or '.join(named_corpora.SPLIT_AS_ASKED)}",
            "split_by",
        )
    if settings.corpus:
        return named_corpora.named(
            settings.corpus,
            mirrors,
            timeout,
            split_by=split_by,
            fractions=fractions,
            directory=directory,
        )
    if settings.input_documents:
        return importers.load(
            settings.input_documents, settings.fields, split_by, fractions, directory
        )
    return own_text.load(settings.input_text, fractions, find, directory)


def frequent_marks(source: Source) -> dict[str, int]:
    """Words such as <unk> that stand often in the train split of own text and would become several
    pieces each, as they are not among the symbols: how often each stands in its first 8 MiB."""
    settings = source.settings
    if settings.corpus or settings.tokenizer_model or settings.model_type == "word":
        return {}
    counts: Counter = Counter()
    words = characters = 0
    for block in source.corpus.texts["train"].blocks():
        counts.update(MARK.findall(block))
        words, characters = words + count_words(block), characters + len(block)
        if characters >= MARKS_CHARACTERS:
            break
    needed = max(MIN_MARKS, MARK_SHARE * words)
    return {
        mark: count
        for mark, count in counts.most_common(10)
        if count >= needed and mark not in settings.symbols
    }


def is_built(root: Path, source: Source, overwrite: bool, progress: Progress) -> bool:
    """Whether `root` holds a data set of this text and these settings; `records.verify` checks its
    files.

    Raises: UsageError if it holds another data set and `overwrite` is false, or something else,
    which is never touched.
    """
    if not root.exists():
        return False
    if not root.is_dir():
        raise UsageError(f"--output_dir={root} is a file: give another --output_dir")
    partial = tuple(f".{name}." for name in BASELINES)
    names = {path.name for path in root.iterdir() if not path.name.startswith(partial)}
    if names and (names - FILES or "manifest.json" not in names):
        raise UsageError(
            f"--output_dir={root} is not a data set, as it holds {min(names - FILES or names)}:"
            " give another --output_dir"
        )
    if not names:
        return False
    try:
        there = records.load(root)
    except DataError as error:
        if overwrite:
            return False
        raise UsageError(
            f"--output_dir={root} holds a damaged data set ({error}): give --overwrite to replace"
            " it"
        ) from None
    differences = _differences(there, source, progress)
    if differences and not overwrite:
        raise UsageError(
            f"--output_dir={root} holds another data set ({'; '.join(differences)}): give"
            " --overwrite or another --output_dir"
        )
    if not differences and source.corpus.documents and there.documents is None:
        announce(f"the data set in {root} has no documents yet and is built again with them")
        return False
    return not differences


def _differences(there: Manifest, source: Source, progress: Progress) -> list[str]:
    """What a data set has otherwise than asked for: settings, else the text, else the documents,
    if it has some."""
    old, new = there.settings, source.settings.to_json()
    changed = [
        f"{name} {old[name]!r} there, {new[name]!r} asked for"
        for name in new
        if old[name] != new[name]
    ]
    if changed:
        return changed
    with progress("comparing the text", "byte", source.raw_bytes) as made:
        text = corpus.fingerprint(
            {
                name: corpus.measure(split, made).sha256
                for name, split in source.corpus.texts.items()
            }
        )
    if (there.corpus.name, there.corpus.sha256) != (source.corpus.name, text):
        return [
            f"text {there.corpus.name} {there.corpus.sha256[:12]} there, {source.corpus.name}"
            f" {text[:12]} asked for"
        ]
    if source.corpus.documents and there.documents:
        listed = source.corpus.documents.sha256()
        if there.documents.sha256 != listed:
            return [f"documents {there.documents.sha256[:12]} there, {listed[:12]} asked for"]
    return []


def train(source: Source) -> bytes:
    """The tokenizer that was given, or one trained on the train split, or on a sample of it.

    Raises: UsageError, with the size that works, if the text does not support the vocabulary.
    """
    settings, text = source.settings, source.corpus.texts["train"]
    if source.model is not None:
        return source.model
    named = {name: getattr(settings, name) for name in ("model_type", "lowercase", "symbols")}
    if settings.model_type in ("word", "char"):  # they count words or characters, all of them
        return tokenizer.train(text.pieces(), vocab_size=settings.vocab_size, **named)
    wanted = settings.tokenizer_sample_lines
    share = wanted / corpus.measure(text).lines if wanted else SAMPLE_BYTES / text.raw_bytes
    named |= {
        "vocab_size": settings.vocab_size or DEFAULT_VOCAB_SIZE,
        "threads": settings.tokenizer_threads,
    }
    try:
        return tokenizer.train(sample(text.pieces(), share), **named)
    except UsageError as error:
        if share >= 1:
            raise
        raise SettingError(
            f"{error} (of {share:.2%} of its lines: --tokenizer_sample_lines takes more)",
            "vocab_size",
        ) from None


class Engine(Protocol):
    """What encodes the text and writes the records of a build. Every engine gives the same
    bytes."""

    def encode(
        self, partial: Path, source: Source, model: bytes, progress: Progress
    ) -> dict[str, Encoded]:
        """The splits as ids, which are kept in `partial`. Raises: DataError for a text that can't
        be read, ResourceError if disk or memory is exhausted."""

    def write_files(
        self, partial: Path, steps: int, progress: Progress
    ) -> AbstractContextManager[WriteFiles]:
        """Yields what writes the record files, of `steps` steps in all, to `partial`, and removes
        what `encode` left there. Raises: as `encode`."""


@dataclasses.dataclass(frozen=True)
class Local:
    """Work on this machine, with so many processes; 0: one a core."""

    workers: int = 0

    def encode(
        self, partial: Path, source: Source, model: bytes, progress: Progress
    ) -> dict[str, Encoded]:
        """Encodes the splits once, each into one file."""
        with (
            Encoder(model, source.raw_bytes, self.workers) as encoder,
            progress("encoding", "byte", source.raw_bytes) as made,
        ):
            return {
                name: encoder.encode(text, partial / f"{name}.ids", made)
                for name, text in source.corpus.texts.items()
            }

    @contextlib.contextmanager
    def write_files(self, partial: Path, steps: int, progress: Progress) -> Iterator[WriteFiles]:
        """Yields what writes them one after the other."""
        with progress("writing records", "step", steps) as made:
            yield write_one_by_one(made)
        for ids in partial.glob("*.ids"):
            ids.unlink()


def encode(
    partial: Path, source: Source, model: bytes, progress: Progress, engine: Engine
) -> tuple[Tokenizer, dict[str, Encoded]]:
    """The tokenizer and the splits as ids. They are encoded once, kept in `partial` until all are
    counted, and then renumbered by their rank in the train counts.

    Raises: DataError if the text has too few tokens; ResourceError if the disk is full.
    """
    encoded = engine.encode(partial, source, model, progress)
    if not source.keep_model:
        old_ids = tokenizer.order(encoded["train"].counts)
        model = tokenizer.reorder(model, old_ids)
        encoded = {name: split.renumbered(old_ids) for name, split in encoded.items()}
    records.check_size(
        {name: len(split.tokens) for name, split in encoded.items()}, source.settings
    )
    return Tokenizer(model), encoded


def write(
    partial: Path,
    source: Source,
    model: Tokenizer,
    encoded: dict[str, Encoded],
    progress: Progress,
    engine: Engine,
) -> None:
    """Writes the data set to `partial`, and removes the ids. Raises: ResourceError if the disk is
    full."""
    settings = source.settings
    streams = {
        name: records.Stream(split.tokens, split.lines, split.words, split.characters, split.bytes)
        for name, split in encoded.items()
    }
    steps = [
        windows.num_steps(
            len(encoded[name].tokens),
            settings.batch_size,
            settings.seq_len,
            padded=name != "train",
        )
        for name in encoded
    ]
    text = records.CorpusId(
        source.corpus.name,
        corpus.fingerprint({name: split.sha256 for name, split in encoded.items()}),
        source.corpus.note,
    )
    cleaned = sum((split.cleaned for split in encoded.values()), Counter())
    listed = None
    if source.corpus.documents:
        tokens = {name: split.tokens for name, split in encoded.items()}
        kept = {
            name: len(stream) - records.cut(len(stream), settings, name)[1]
            for name, stream in tokens.items()
        }
        listed = document_tables.write(partial, source.corpus.documents, tokens, kept)
    with engine.write_files(partial, sum(steps), progress) as write_files:
        records.write(
            partial,
            streams,
            tokenizer=model,
            counts=encoded["train"].counts,
            settings=settings,
            corpus=text,
            cleaning={name: cleaned[name] for name in CLEANING},
            listed=listed,
            write_files=write_files,
        )


def sample(pieces: Iterable[str], share: float) -> Iterator[str]:
    """Each piece with probability `share`; always the same ones of the same text."""
    draw = random.Random(0)  # its random() is the same in every version of Python
    return (piece for piece in pieces if share >= 1 or draw.random() < share)
