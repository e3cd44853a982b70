r"""Builds a data set from text: tokenizer, record files, manifest.

    python tools/build_data.py --corpus=python-docs
    python tools/build_data.py --corpus=wikitext-2 --mirror=URL
    python tools/build_data.py --input_text=FILE|DIR|GLOB --vocab_size=4000 --model_type=unigram
    python tools/build_data.py --input_text=FILE --batch_size=32 --seq_len=32
    python tools/build_data.py --input_documents=FILE.jsonl --split_by=author
    python tools/build_data.py --input_documents=FILE.jsonl.gz \
        --fields=text:body,group:subreddit,parent:parent_id
    python tools/build_data.py --corpus=debian-changelogs
    python tools/build_data.py --input_text=FILE --runner=beam \
        --runner_options='--runner=DirectRunner --direct_num_workers=4'
    python tools/build_data.py --verify=data/NAME

Writes data/NAME/: tokenizer.model, tokenizer.vocab, counts.txt, {train,valid,test}/*.tfrecord,
manifest.json, kneser_ney.json, and for documents documents/{train,valid,test}.npy. Prints what was
cleaned, a sample in pieces, the size of each split, and the perplexity per word of a unigram model
and of an interpolated Kneser-Ney 5-gram of the same pieces, which a network must beat. The same
text and settings give the same bytes; a build that already exists is kept.

--runner=beam encodes and writes with workers of Apache Beam, on this machine or on Dataflow, Spark
or Flink (docs/scaling.md); the bytes are the same. It needs
pip install "par-transformer-xl[beam]".

WikiText is read from data/raw/NAME/, data/raw/ or data/ (the zip, or the files in it), or else
downloaded to data/raw/. Its SHA-256 is checked before a file is opened (for the text files of
wikitext-103, of which no SHA-256 is known, the SHA-1), and another file of the same name is
skipped. A broken download is continued; where one mirror refuses, the next one is asked.

Documents are texts with authors, groups and threads: --input_documents takes lines of JSON (id and
text, and where they are known author, group and parent, the id of the document that one answers)
and mailboxes. They are text like any other, and documents/*.npy says which tokens are whose. A
hash of its group (--split_by=author or thread: of its author or thread) puts a document into
train, valid or test. Names become numbers: no name and no id is written. Text, id or parents that
can't be are refused with file and line.

Text is UTF-8. Text in UTF-16 or UTF-32 with a byte order mark, and files compressed by gzip or xz,
are decoded once; other archives, documents and encodings are refused by name. Where all lines end
with CR, CR becomes LF. A directory's hidden files (._a.txt) are left out.

Cleaning: byte order marks are removed, CRLF becomes LF, invalid UTF-8 and NUL become U+FFFD, a
missing final newline is added. Only LF ends a line, which may be of any length; a word or a run of
spaces of more than 1 MiB is refused. Without split files, --split_fractions of all lines become
train, valid and test, in this order.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import contextlib
import dataclasses
import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from absl import flags

from par.core import files, metrics, schema
from par.core.config import DataConfig
from par.core.errors import DataError, UsageError
from par.core.progress import Progress, announce
from par.core.text import number
from par.data import build, own_text, records
from par.data.build import Source
from par.data.cleaning import CLEANING
from par.data.corpus import FOUND, OWN_SPLITS
from par.data.manifest import Documents
from par.data.tokenizer import UNK, Tokenizer
from par.evaluate.yardsticks import store
from par.evaluate.yardsticks.base import SPLITS, Yardstick
from par.tools.cli.baseline import BASELINE, baseline_of
from par.tools.cli.checks import required_dir
from par.tools.cli.command_line import tool_command
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.recipes import cutoffs_beside
from par.tools.cli.tensorflow import check_temporary_files, silenced_stderr, start_tensorflow

MAX_WORKERS = 1024
FLAGS = (
    Flags(__doc__)
    .group(DataConfig, "Data")
    .own(
        "Download",
        (
            flags.DEFINE_multi_string,
            "mirror",
            [],
            (
                "http://, https:// or file:/// URL, asked before the known ones: of the archive or"
                " of a file in it, or of a directory with them"
            ),
        ),
        (
            flags.DEFINE_float,
            "timeout",
            15.0,
            (
                "seconds to wait for a URL, at first and between parts, before the next"
                " one is asked: 1 to 600"
            ),
        ),
    )
    .own(
        "Output",
        (
            define_path,
            "output_dir",
            None,
            "directory of the data set; default data/NAME, after the corpus or the input",
        ),
        (
            flags.DEFINE_bool,
            "overwrite",
            False,
            "replace a data set that was built with other settings or from another text",
        ),
        (
            define_path,
            "verify",
            None,
            (
                "check every file of the data set in this directory against its manifest, and do"
                " nothing else"
            ),
        ),
        (
            flags.DEFINE_integer,
            "workers",
            0,
            "processes that encode, 0: one a core; without effect on the result",
        ),
        (
            choice("local", "beam"),
            "runner",
            "local",
            "what encodes and writes: this machine, or Apache Beam; without effect on the result",
        ),
        (
            flags.DEFINE_multi_string,
            "runner_options",
            [],
            (
                "Beam's own options, one or several in quotes: '--runner=DirectRunner"
                " --direct_num_workers=4 --direct_running_mode=multi_processing'"
            ),
        ),
        (
            define_path,
            "work_dir",
            None,
            (
                "directory or URL (gs://BUCKET/DIR) where Beam's workers share ids and records;"
                " default beside the data set"
            ),
        ),
        (
            define_path,
            "recipe",
            None,
            (
                "settings by name (quick, base, seed), auto (quick for a text below 4 MB, else"
                " base), or a .flags file; flags given here come first"
            ),
        ),
        BASELINE,
        (flags.DEFINE_bool, "json", False, "print one line of JSON instead of text"),
    )
)


def _work(values: Flags) -> None:
    if values.verify is not None:
        return _verify(values)
    if not 0 <= values.workers <= MAX_WORKERS:
        raise UsageError(f"--workers must be from 0 to {MAX_WORKERS}, but is {values.workers}")
    if not 1 <= values.timeout <= 600:
        raise UsageError(f"--timeout must be from 1 to 600 seconds, but is {values.timeout:g}")
    with _engine(values) as engine:
        return _build(values, engine)


def _engine(values: Flags) -> AbstractContextManager[build.Engine]:
    """Who does the work. Raises: UsageError for flags that are not of this runner, or where Apache
    Beam is missing or refuses its options."""
    if values.runner == "local":
        if given := next(
            (name for name in ("runner_options", "work_dir") if values[name].value), None
        ):
            raise UsageError(f"--{given} is for --runner=beam")
        return contextlib.nullcontext(build.Local(values.workers))
    if values.workers:
        raise UsageError(
            "--workers is for --runner=local: give Beam's runner an option such as"
            " --runner_options=--direct_num_workers=4"
        )
    if importlib.util.find_spec("apache_beam") is None:
        raise UsageError(
            "--runner=beam needs Apache Beam, which is not installed: pip install"
            ' "par-transformer-xl[beam]"'
        )
    with silenced_stderr():
        from par.data.beam import engine
    return engine.Beam(values.runner_options, values.work_dir or "")


def _find(values: Flags) -> Callable[[str], own_text.Found] | None:
    """How a text is found that is behind a URL, which Beam can read."""
    if values.runner == "local" or "://" not in values.input_text:
        return None
    from par.data.beam import files as beam_files

    return beam_files.find


def _build(values: Flags, engine: build.Engine) -> None:
    source = build.load_source(
        values.read(DataConfig),
        values.mirror,
        _find(values),
        values.timeout,
        _existing(Path(values.output_dir or "data")),
    )
    root = Path(values.output_dir or Path("data") / source.corpus.name)
    with files.building(root, "manifest.json", "output_dir") as partial:
        is_built = build.is_built(root, source, values.overwrite, Progress)
        if is_built:
            start_tensorflow()
            try:
                records.verify(root, records.load(root))
            except DataError as error:
                announce(f"the data set in {root} is damaged and is built again: {error}")
                is_built = False
        if not is_built:
            files.refuse_mount_point(root, "output_dir")
            check_temporary_files()
            if marks := build.frequent_marks(source):
                found = ", ".join(f"{mark} ({count:,} times)" for mark, count in marks.items())
                options = " ".join(f"--symbols='{mark}'" for mark in marks)
                announce(f"the text often has {found}: {options} keeps each of them one piece")
            made = (
                f"training a {source.settings.model_type} tokenizer on"
                if source.model is None
                else "encoding with the given tokenizer"
            )
            announce(f"{made} {source.corpus.texts['train'].raw_bytes:,} bytes")
            model, encoded = build.encode(partial, source, build.train(source), Progress, engine)
            # only the records need it: after the checks, and when the text's memory is free
            start_tensorflow()
            build.write(partial, source, model, encoded, Progress, engine)
    baseline = baseline_of(values, root, records.load(root))
    if values.json:
        _print_json(root, source, is_built, baseline)
    else:
        _print(root, source, is_built, baseline)
        cutoffs = cutoffs_beside(values.recipe, records.load(root).vocab_size)
        print(f"next: {tool_command('train', data=root, recipe=values.recipe, cutoffs=cutoffs)}")


def _existing(directory: Path) -> Path:
    """The directory itself, or its nearest parent that exists."""
    directory = directory.absolute()
    return next(path for path in [directory, *directory.parents] if path.is_dir())


def _verify(values: Flags) -> None:
    root = required_dir(values.verify, "verify", "manifest.json")
    manifest = records.load(root)
    start_tensorflow()
    records.verify(root, manifest)
    store.load_all(root, store.MODELS)
    names = [file.name for split in manifest.splits.values() for file in split.files]
    size = sum((root / name).stat().st_size for name in names)
    listed = (
        sum(file.rows for file in manifest.documents.splits.values()) if manifest.documents else 0
    )
    if values.json:
        value = {"data": str(root), "is_whole": True, "record_files": len(names), "bytes": size}
        print(schema.canonical_json(value | {"documents": listed}))
    else:
        tables = f", the tables of {listed:,} documents" if listed else ""
        print(
            f"{root} is whole: tokenizer, counts{tables} and {len(names)} record files of"
            f" {size:,} bytes are what the manifest says"
        )


def _unigram(root: Path, manifest: records.Manifest) -> dict[str, dict[str, float]]:
    """Of valid and test: the unigram model's figures, and the share of tokens that are unknown
    words."""
    counts, found = records.read_counts(root, manifest), {}
    for name in SPLITS:
        targets = records.count_targets(root, manifest, name)
        nll = records.unigram_nll(counts, targets)
        unknown = targets[UNK] / targets.sum()
        found[name] = manifest.splits[name].figures(nll) | {"unknown": unknown}
    return found


def _print_json(root: Path, source: Source, is_built: bool, baseline: Yardstick | None) -> None:
    manifest = records.load(root)
    splits = {}
    for name, split in manifest.splits.items():
        counts = {
            key: getattr(split, key)
            for key in ("lines", "words", "characters", "bytes", "tokens", "steps", "dropped")
        }
        splits[name] = counts | {"files": len(split.files)}
    unigram = _unigram(root, manifest)
    value = {
        "data": str(root),
        "was_built_before": is_built,
        "corpus": dataclasses.asdict(manifest.corpus),
        "cleaning": manifest.cleaning,
        "vocab_size": manifest.vocab_size,
        "tokenizer_sha256": manifest.tokenizer_sha256,
        "splits": splits,
        "documents": manifest.documents and _documents(manifest.documents),
        "unigram_perplexity_per_word": _per_word(unigram),
        "kneser_ney_perplexity_per_word": baseline and _per_word(_figures(baseline, manifest)),
        "unknown_words": {name: figures["unknown"] for name, figures in unigram.items()},
    }
    print(schema.canonical_json(value))


def _documents(documents: Documents) -> dict[str, Any]:
    """What is told of documents."""
    splits = {
        name: {"documents": file.rows, "left_out": file.left_out}
        for name, file in documents.splits.items()
    }
    counts = {key: getattr(documents, key) for key in ("split_by", "authors", "groups")}
    return counts | documents.counts | {"splits": splits}


def _print_documents(documents: Documents) -> None:
    rows = {name: file.rows for name, file in documents.splits.items()}
    split_by = "the text itself" if documents.split_by == OWN_SPLITS else documents.split_by
    print(
        f"documents: {sum(rows.values()):,}"
        f" ({', '.join(f'{name} {count:,}' for name, count in rows.items())}) of"
        f" {documents.authors:,} authors and {documents.groups:,} groups, split by {split_by}"
    )
    told = [(documents.counts[key], text) for key, text in FOUND.items()]
    left_out = sum(file.left_out for file in documents.splits.values())
    told.append((left_out, "documents left out that reach into the dropped end of train"))
    if found := "; ".join(f"{count:,} {text}" for count, text in told if count):
        print(f"of them: {found}")


def _figures(baseline: Yardstick, manifest: records.Manifest) -> dict[str, dict[str, float]]:
    return {name: baseline.figures(manifest, name) for name in SPLITS}


def _per_word(figures: dict[str, dict[str, float]]) -> dict[str, float | None]:
    """The perplexity per word of each split."""
    return metrics.finite({name: own["perplexity_per_word"] for name, own in figures.items()})


def _sample(source: Source) -> str:
    """The first line of train with eight words, or else with one."""
    found = ""
    for line in source.corpus.texts["train"].pieces():
        if len(line.split()) >= 8:
            return line
        found = found or (line if line.strip() else "")
    return found


def _print(root: Path, source: Source, is_built: bool, baseline: Yardstick | None) -> None:
    manifest = records.load(root)
    model = Tokenizer.load(root / "tokenizer.model")
    if is_built:
        print(f"{root} is there already, of this text and these settings, and its files are whole")
    note = f" ({manifest.corpus.note})" if manifest.corpus.note else ""
    print(f"text: {manifest.corpus.name}{note}, SHA-256 {manifest.corpus.sha256}")
    cleaned = [
        f"{manifest.cleaning[name]:,} {text}"
        for name, text in CLEANING.items()
        if manifest.cleaning[name]
    ]
    nothing = "nothing to clean (byte order marks, CRLF, invalid UTF-8, NUL, final newlines)"
    print(f"cleaning: {'; '.join(cleaned) or nothing}")
    kind = manifest.settings["model_type"] + (", lower-cased" if manifest.lowercase else "")
    print(f"vocabulary: {manifest.vocab_size:,} pieces ({kind})")
    pieces = model.pieces(model.encode([_sample(source)])[0])
    print(f"sample: {' '.join(pieces[:24])}{' ...' if len(pieces) > 24 else ''}\n")
    widths = {"lines": 11, "words": 13, "bytes": 15, "tokens": 13, "steps": 9, "dropped": 9}
    print(f"{'split':<6}" + "".join(f"{what:>{width}}" for what, width in widths.items()))
    for name, split in manifest.splits.items():
        figures = [f"{getattr(split, what):>{width},}" for what, width in widths.items()]
        print(f"{name:<6}" + "".join(figures))
    print(
        f"a step is {manifest.batch_size} x {manifest.seq_len} tokens; dropped: tokens at the end"
        " that fill no step; a line end counts as a word\n"
    )
    if manifest.documents:
        _print_documents(manifest.documents)
    unigram = _unigram(root, manifest)
    models = {"unigram model": unigram}
    if baseline:
        models[f"{baseline.name}, which a network must beat"] = _figures(baseline, manifest)
    figures = {"perplexity per word": ("perplexity_per_word", 1)}
    if manifest.settings["model_type"] == "char":
        figures["bits per character"] = ("bits_per_character", 4)
    for name, found in models.items():
        for what, (key, digits) in figures.items():
            shown = (f"{split} {number(own[key], digits)}" for split, own in found.items())
            print(f"{name}, {what}: {', '.join(shown)}")
    if manifest.settings["model_type"] == "word":
        print(
            "words that are not in the vocabulary, and become [UNK]: valid"
            f" {unigram['valid']['unknown']:.2%}, test {unigram['test']['unknown']:.2%}"
        )
    size = sum(file.size for split in manifest.splits.values() for file in split.files)
    count = sum(len(split.files) for split in manifest.splits.values())
    tables = ", documents/*.npy" if manifest.documents else ""
    print(
        f"files: {root}/ tokenizer.model, tokenizer.vocab, counts.txt, manifest.json{tables},"
        f" {count} record files of {size:,} bytes"
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
