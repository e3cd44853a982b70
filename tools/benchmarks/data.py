"""How fast a data set is built, compared with SentencePiece alone, and its peak memory.

python tools/benchmark.py data --megabytes=20 --input_text=novel.txt
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from par.bench import data_speed, in_turn
from par.core.config import DataConfig
from par.core.errors import UsageError
from par.core.progress import Progress
from par.data import corpus, named_corpora
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow

FLAGS = Flags(__doc__).own(
    "data",
    (flags.DEFINE_multi_integer, "megabytes", [20, 200], "size of a text, in millions of bytes"),
    (
        define_path,
        "input_text",
        "",
        "a file that is repeated until it has that size; by default python-docs",
    ),
    (flags.DEFINE_integer, "vocab_size", 4000, "vocabulary size V of the unigram tokenizer"),
    (flags.DEFINE_integer, "workers", 0, "processes that encode, 0: one a core"),
    (
        flags.DEFINE_integer,
        "repeats",
        3,
        "measurements of SentencePiece alone, before and after each build",
    ),
    settings.OUTPUT,
)


def work(values: Flags) -> int:
    """Builds a data set of each size in a process of its own, and prints the table."""
    settings.check_at_least(1, values, "repeats", "megabytes")
    settings.check_at_least(0, values, "workers")
    source = (
        corpus.Text.of(Path(values.input_text))
        if values.input_text
        else named_corpora.named("python-docs").texts["train"]
    )
    if source.raw_bytes == 0:
        raise UsageError(f"--input_text {values.input_text} is empty: give a text to repeat")
    builds = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        Progress("benchmark", "build", len(values.megabytes)) as progress,
    ):
        text, root = Path(scratch) / "text.txt", Path(scratch) / "data"
        config = DataConfig(input_text=str(text), vocab_size=values.vocab_size)
        data_speed.write_text(text, source, data_speed.BASELINE_BYTES)
        # for the tokenizer that SentencePiece alone encodes with
        data_speed.build_timed(config, root, values.workers, start_tensorflow)
        alone = data_speed.Baseline(root / "tokenizer.model", text, values.workers)
        for megabytes in values.megabytes:
            data_speed.write_text(text, source, megabytes * data_speed.MEGABYTE)
            rates = _rates(alone, values.repeats)
            seconds = data_speed.build_timed(config, root, values.workers, start_tensorflow)
            rates += _rates(alone, values.repeats)
            builds.append(_row(megabytes, seconds, rates))
            progress(1, f"{megabytes} MB")
    return output.show(values, {"builds": builds}, lambda: _lines(builds))


def _rates(alone: data_speed.Baseline, repeats: int) -> list[float]:
    return in_turn.measure({"SentencePiece": alone.rate}, repeats)["SentencePiece"]


def _row(megabytes: int, seconds: dict[str, float], rates: list[float]) -> dict[str, Any]:
    peak = seconds.pop("peak_memory_megabytes")
    rate = megabytes / (seconds["reading"] + seconds["encoding"] + seconds["writing"])
    median = statistics.median(rates)
    return {
        "megabytes": megabytes,
        "seconds": seconds,
        "peak_memory_megabytes": peak,
        "megabytes_per_second": rate,
        "sentencepiece_alone": {
            "slowest": min(rates),
            "fastest": max(rates),
            "median": median,
        },
        "ratio": rate / median,
    }


def _lines(builds: list[dict[str, Any]]) -> list[str]:
    stages = [name for name in builds[0]["seconds"] if name != "starting_tensorflow"]
    alone = "sentencepiece_alone"
    columns = [
        ("MB", "{megabytes:,}"),
        *((f"{stage} s", f"{{seconds[{stage}]:.1f}}") for stage in stages),
        ("MB/s", "{megabytes_per_second:.1f}"),
        (
            "SentencePiece alone",
            f"{{{alone}[median]:.1f}} ({{{alone}[slowest]:.1f}} to {{{alone}[fastest]:.1f}})",
        ),
        ("ratio", "{ratio:.2f}"),
        ("peak MB", "{peak_memory_megabytes:,.0f}"),
    ]
    return [
        *output.table(columns, builds, left=0),
        "MB/s: reading, encoding and writing, without training the tokenizer; peak: this build's"
        " processes together, training included",
    ]
