"""Tokens per second of writing text, with the memory carried along and without.

    python tools/benchmark.py generation --mem_len=128     one memory length alone

Without the memory, the context is computed again for each token.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from absl import flags

from par.bench import in_turn, synthetic
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.core.progress import Progress
from par.search import architecture
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow
from par.train.run_config import RunConfig

FLAGS = Flags(__doc__).own(
    "generation",
    (define_path, "architecture", "adadad", "blocks of the network"),
    (
        flags.DEFINE_multi_integer,
        "mem_len",
        [16, 128, 352, 704],
        "memory length M in tokens; the context is M times the number of attention blocks",
    ),
    settings.VOCABULARY,
    (
        flags.DEFINE_integer,
        "tokens",
        100,
        "tokens of one measurement with memory; a tenth of them without",
    ),
    (flags.DEFINE_integer, "repeats", 5, "measurements of both, in turn"),
    settings.OUTPUT,
)
COLUMNS = [
    ("M", "{mem_len:,}"),
    ("context", "{context:,}"),
    ("tokens/s", "{tokens_per_second:.1f}"),
    ("recomputed", "{recomputed_tokens_per_second:.2f}"),
    ("ratio", "{ratio:.1f}"),
    ("least", "{least_ratio:.1f}"),
    ("most", "{most_ratio:.1f}"),
]


def work(values: Flags) -> int:
    """Times both ways of writing for each memory length in turn, and prints the table."""
    settings.check_at_least(1, values, "tokens", "repeats", "vocab_size", "mem_len")
    blocks = architecture.parse(values.architecture)
    if "a" not in blocks.blocks or blocks.is_search:
        raise UsageError(
            f"--architecture must be fixed blocks with attention among them, but is {blocks.short}"
        )
    model = ModelConfig(**settings.BASE_SHAPE)
    model.check_vocabulary(values.vocab_size)
    data = synthetic.data(values.vocab_size, 1, 32)
    config = RunConfig(blocks, model, SearchConfig(), TrainingConfig(), data)
    start_tensorflow()
    from par.bench import generation_speed

    rows = []
    total = 2 * values.repeats * len(values.mem_len)
    with Progress("benchmark", "measurement", total) as progress:
        for mem_len in values.mem_len:
            timed = generation_speed.TimedGeneration(config, mem_len)
            recomputed = -(-values.tokens // 10)
            rates = in_turn.measure(
                {
                    "carried": lambda timed=timed: timed.carried(values.tokens),
                    "recomputed": lambda timed=timed, tokens=recomputed: timed.recomputed(tokens),
                },
                values.repeats,
                lambda way, mem_len=mem_len: progress(1, f"{way}, M {mem_len:,}"),
            )
            sizes = {"mem_len": mem_len, "context": timed.context}
            rows.append(sizes | _compared(rates["carried"], rates["recomputed"]))
    figures = {
        "architecture": blocks.blocks,
        "vocab_size": values.vocab_size,
        "generation": rows,
    }
    return output.show(
        values,
        figures,
        lambda: [
            *output.table(COLUMNS, rows, left=0),
            f"{blocks.short}, one text: medians of {values.repeats} pairs; context: M times the"
            " attention blocks; recomputed: all of it for each token",
        ],
    )


def _compared(carried: Sequence[float], recomputed: Sequence[float]) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(carried, recomputed, strict=True)]
    return {
        "tokens_per_second": statistics.median(carried),
        "recomputed_tokens_per_second": statistics.median(recomputed),
        "ratio": statistics.median(ratios),
        "least_ratio": min(ratios),
        "most_ratio": max(ratios),
    }
