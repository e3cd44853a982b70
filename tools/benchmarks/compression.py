"""Bits per character of valid and test by xz that has read train: what a network of characters
must beat, without a model of language.

python tools/benchmark.py compression --data=data/characters
"""

from __future__ import annotations

from pathlib import Path

from par.bench import compression
from par.core.errors import UsageError
from par.data import records
from par.data.tokenizer import Tokenizer
from par.tools.benchmarks import output, settings
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags, define_path

SPLITS = ("valid", "test")
FLAGS = Flags(__doc__).own(
    "compression",
    (define_path, "data", None, "directory that tools/build_data.py made"),
    settings.OUTPUT,
)


def work(values: Flags) -> int:
    """Compresses the splits of a data set, and prints what each takes behind train."""
    data_dir = required_dir(values.data, "data", "manifest.json")
    manifest = records.load(data_dir)
    records.verify(data_dir, manifest)
    tokenizer = Tokenizer.load(Path(data_dir) / "tokenizer.model")
    texts = {
        split: tokenizer.decode(records.read_stream(data_dir, manifest, split)).encode()
        for split in ("train", *SPLITS)
    }
    if len(texts["train"]) > compression.PRESET_BYTES:
        raise UsageError(
            f"xz looks back {compression.PRESET_BYTES:,} bytes at most, but train has"
            f" {len(texts['train']):,}: give a smaller data set"
        )
    found = []
    for split in SPLITS:
        bits, characters = (
            compression.primed_bits(texts["train"], texts[split]),
            manifest.splits[split].characters,
        )
        found.append({"split": split, "bits_per_character": bits / characters})
    columns = [("split", "{split}"), ("bits per character", "{bits_per_character:.3f}")]
    return output.show(values, {"xz": found}, lambda: output.table(columns, found))
