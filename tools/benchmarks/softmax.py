"""Plain against adaptive softmax, forward and backward, by vocabulary size.

python tools/benchmark.py softmax --vocab_size=32000   one size alone
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from absl import flags

from par.bench import in_turn, synthetic
from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.core.progress import Progress
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags
from par.tools.cli.tensorflow import start_tensorflow

FLAGS = Flags(__doc__).own(
    "softmax",
    (flags.DEFINE_integer, "repeats", 7, "measurements of each softmax, in turn"),
    (flags.DEFINE_multi_integer, "vocab_size", [12_000, 32_000, 267_735], "vocabulary size V"),
    (flags.DEFINE_integer, "d_model", settings.BASE_SHAPE["d_model"], "model width D"),
    (
        flags.DEFINE_multi_integer,
        "cutoffs",
        [],
        "first id of each tail cluster of the adaptive softmax, the same for every V"
        " (default V/50 and V/5)",
    ),
    *settings.BATCH,
    settings.OUTPUT,
)
COLUMNS = [
    ("vocabulary", "{vocab_size:,}"),
    ("cutoffs", "{shown_cutoffs}"),
    ("ms", "{milliseconds:.1f}"),
    ("slowest", "{slowest:.1f}"),
    ("fastest", "{fastest:.1f}"),
    ("ratio", "{ratio:.1f}"),
]


def work(values: Flags) -> int:
    """Times both softmaxes of each vocabulary size in turn, and prints the table."""
    settings.check_at_least(1, values, "repeats", "batch_size", "seq_len", "vocab_size")
    if not values.cutoffs and min(values.vocab_size) < 50:
        raise UsageError(
            "--vocab_size must be at least 50 unless --cutoffs are given, but is"
            f" {min(values.vocab_size)}"
        )
    plain = ModelConfig(d_model=values.d_model, num_heads=1)
    adaptive = {
        size: dataclasses.replace(plain, cutoffs=values.cutoffs or (size // 50, size // 5))
        for size in values.vocab_size
    }
    for size, model in adaptive.items():
        model.check_vocabulary(size)
    start_tensorflow()
    with Progress("benchmark", "timing", 2 * (values.repeats + 1) * len(adaptive)) as progress:
        results = [
            _compare(values, size, {"plain": plain, "adaptive": model}, progress)
            for size, model in adaptive.items()
        ]
    rows = values.batch_size * values.seq_len
    figures = {"rows": rows, "d_model": values.d_model, "softmax": results}
    return output.show(values, figures, lambda: _lines(values, results))


def _compare(
    values: Flags, size: int, models: dict[str, ModelConfig], progress: Progress
) -> dict[str, Any]:
    from par.bench import softmax_speed

    rows = values.batch_size * values.seq_len
    tokens = synthetic.tokens(size, (rows,))

    def on_done(name: str) -> None:
        progress(1, f"{name}, V {size:,}")

    timings = in_turn.prepare(
        {
            name: lambda model=model: softmax_speed.TimedSoftmax(model, size, rows).timing(tokens)
            for name, model in models.items()
        },
        on_done,
    )
    figures = {
        name: {"milliseconds": statistics.median(ms), "slowest": max(ms), "fastest": min(ms)}
        for name, ms in in_turn.measure(timings, values.repeats, on_done).items()
    }
    ratio = figures["plain"]["milliseconds"] / figures["adaptive"]["milliseconds"]
    cutoffs = list(models["adaptive"].cutoffs)
    return {"vocab_size": size, "cutoffs": cutoffs, **figures, "ratio": ratio}


def _lines(values: Flags, results: list[dict[str, Any]]) -> list[str]:
    rows = []
    for result in results:
        cutoffs = " ".join(f"{cutoff:,}" for cutoff in result["cutoffs"])
        rows.append(result | result["plain"] | {"shown_cutoffs": "none", "ratio": 1.0})
        rows.append(result | result["adaptive"] | {"shown_cutoffs": cutoffs})
    return [
        *output.table(COLUMNS, rows, left=2),
        f"medians of {values.repeats} measurements of nll and gradients,"
        f" {values.batch_size * values.seq_len:,} tokens, D {values.d_model}; ratio: times as fast"
        " as plain",
    ]
