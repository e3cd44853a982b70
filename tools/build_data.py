"""Text to a data set: tokenizer, record files, manifest.

    python tools/build_data.py --corpus=python-docs
    python tools/build_data.py --input_text=FILE|DIR|GLOB [--vocab_size=4000 --model_type=unigram --batch_size=32 --seq_len=32]

Writes data/NAME/: tokenizer.model, tokenizer.vocab, counts.txt, {train,valid,test}/*.tfrecord, manifest.json. Prints what was cleaned, a
sample in pieces, the size of each split, and the perplexity per word of a unigram model, which any network must beat. Equal text and
settings give equal bytes; a build that is there already is left as it is.

Cleaning: byte order marks are removed, CRLF becomes LF, invalid UTF-8 and NUL become U+FFFD, a missing final newline is added; only LF
ends a line, and a line of more than 16 MiB is refused. Without split files, --split_fractions of all lines become train, valid and
test, in this order.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

from absl import flags

from par import build, corpus, files, metrics, records
from par.build import Source
from par.config import DataConfig
from par.errors import DataError
from par.progress import Progress, announce
from par.tokenizer import Tokenizer
from par.tools import common

FLAGS = (
    common.Flags(__doc__)
    .group(DataConfig, "Data")
    .own(
        "Output",
        (flags.DEFINE_string, "output_dir", None, "where the data set goes; default data/NAME, after the corpus or the input"),
        (flags.DEFINE_bool, "overwrite", False, "replace a data set that was built with other settings or from another text"),
        (flags.DEFINE_string, "recipe", None, "settings by name, such as quick, or by the path of a .flags file; flags given here come first"),
        (flags.DEFINE_bool, "json", False, "print one line of JSON instead of text"),
    )
)


def _work(values: common.Flags) -> None:
    source = build.read(values.read(DataConfig))
    root = Path(values.output_dir or Path("data") / source.corpus.name)
    is_built = build.is_built(root, source, values.overwrite)
    if is_built:
        common.start_tensorflow()
        try:
            records.verify(root, records.load(root))
        except DataError as error:
            announce(f"the data set in {root} is damaged and is built again: {error}")
            is_built = False
    if not is_built:
        made = f"training a {source.settings.model_type} tokenizer on" if source.model is None else "encoding with the given tokenizer"
        announce(f"{made} {source.sizes['train'].bytes:,} bytes")
        model, streams = build.encode(source, Progress)
        common.start_tensorflow()  # only records need it: what is refused is refused before
        build.write(root, source, model, streams, Progress)
    if values.json:
        _print_json(root, source, is_built)
    else:
        _print(root, source, is_built)
        print(f"next: {common.command('train', data=root, recipe=values.recipe)}")


def _unigram(root: Path, manifest: records.Manifest) -> dict[str, float]:
    """The unigram model's perplexity per word on valid and test, from the files as they are."""
    counts, found = records.read_counts(root, manifest), {}
    for name in ("valid", "test"):
        tokens, split = records.read_stream(root, manifest, name), manifest.splits[name]
        figures = metrics.figures(records.unigram_nll(counts, tokens), len(tokens) - 1, split.tokens, split.words, split.bytes)
        found[name] = figures["perplexity_per_word"]
    return found


def _print_json(root: Path, source: Source, is_built: bool) -> None:
    manifest = records.load(root)
    splits = {}
    for name, split in manifest.splits.items():
        counts = {key: getattr(split, key) for key in ("words", "bytes", "tokens", "steps", "dropped")}
        splits[name] = {"lines": source.sizes[name].lines, **counts, "files": len(split.files)}
    value = {
        "data": str(root),
        "was_built_before": is_built,
        "corpus": dataclasses.asdict(manifest.corpus),
        "cleaning": {name: source.cleaned[name] for name in corpus.CLEANING},
        "vocab_size": manifest.vocab_size,
        "tokenizer_sha256": manifest.tokenizer_sha256,
        "splits": splits,
        "unigram_perplexity_per_word": {name: value if math.isfinite(value) else None for name, value in _unigram(root, manifest).items()},
    }
    print(files.canonical_json(value))


def _sample(source: Source) -> str:
    """The first line of train with eight words, or else with one."""
    found = ""
    for line in source.corpus.texts["train"].lines():
        if len(line.split()) >= 8:
            return line
        found = found or (line if line.strip() else "")
    return found


def _print(root: Path, source: Source, is_built: bool) -> None:
    manifest = records.load(root)
    model = Tokenizer.load(root / "tokenizer.model")
    if is_built:
        print(f"{root} is there already, of this text and these settings, and its files are whole")
    note = f" ({manifest.corpus.note})" if manifest.corpus.note else ""
    print(f"text: {manifest.corpus.name}{note}, SHA-256 {manifest.corpus.sha256}")
    cleaned = [f"{source.cleaned[name]:,} {text}" for name, text in corpus.CLEANING.items() if source.cleaned[name]]
    print(f"cleaning: {'; '.join(cleaned) or 'nothing to clean (byte order marks, CRLF, invalid UTF-8, NUL, final newlines)'}")
    print(f"vocabulary: {manifest.vocab_size:,} pieces ({manifest.settings['model_type']}{', lower-cased' * manifest.lowercase})")
    pieces = model.pieces(model.encode([_sample(source)])[0])
    print(f"sample: {' '.join(pieces[:24])}{' ...' * (len(pieces) > 24)}")
    print(f"\n{'split':<6}{'lines':>11}{'words':>13}{'bytes':>15}{'tokens':>13}{'steps':>9}{'dropped':>9}")
    for name in records.SPLITS:
        split = manifest.splits[name]
        print(f"{name:<6}{source.sizes[name].lines:>11,}{split.words:>13,}{split.bytes:>15,}{split.tokens:>13,}{split.steps:>9,}{split.dropped:>9,}")
    print(f"a step is {manifest.batch_size} x {manifest.seq_len} tokens; dropped: tokens at the end that fill no step; a line end counts as a word\n")
    unigram = _unigram(root, manifest)
    print(f"unigram model, perplexity per word: valid {unigram['valid']:,.1f}, test {unigram['test']:,.1f}")
    size = sum(file.size for split in manifest.splits.values() for file in split.files)
    number = sum(len(split.files) for split in manifest.splits.values())
    print(f"files: {root}/ tokenizer.model, tokenizer.vocab, counts.txt, manifest.json, {number} record files of {size:,} bytes")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return common.run(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
