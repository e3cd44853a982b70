"""Steps per second of several devices or processes that train one network together.

python tools/benchmark.py sharing --workers=4          on a machine with four cores
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from par.bench import in_turn, multi_device
from par.core.machine import core_count
from par.core.progress import Progress
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow

FLAGS = Flags(__doc__).own(
    "sharing",
    (define_path, "architecture", "6s", "blocks of the network"),
    (
        flags.DEFINE_integer,
        "workers",
        2,
        "devices or processes that share the batch, each on a core of its own",
    ),
    settings.VOCABULARY,
    *settings.BATCH,
    settings.MEMORY,
    (flags.DEFINE_integer, "steps", 20, "training steps of one measurement"),
    (flags.DEFINE_integer, "repeats", 3, "measurements of each, in turn, each in new processes"),
    settings.OUTPUT,
)
COLUMNS = [
    ("", "{layout}"),
    ("cores", "{cores}"),
    ("steps/s", "{steps_per_second:.2f}"),
    ("slowest", "{slowest:.2f}"),
    ("fastest", "{fastest:.2f}"),
    ("efficiency", "{shown_efficiency}"),
]


def work(values: Flags) -> int:
    """Times every layout in turn, and prints the table."""
    settings.check_at_least(1, values, "steps", "repeats", "vocab_size", "batch_size", "seq_len")
    settings.check_at_least(2, values, "workers")
    settings.check_divisible(values, "batch_size", "workers", values.workers)
    config = settings.base_run(values, values.architecture)
    layouts = {layout.name: layout for layout in multi_device.layouts(values.workers)}
    with Progress("benchmark", "measurement", values.repeats * len(layouts)) as progress:
        rates = in_turn.measure(
            {
                name: functools.partial(
                    multi_device.rate, layout, config, values.steps, start_tensorflow
                )
                for name, layout in layouts.items()
            },
            values.repeats,
            lambda name: progress(1, name),
        )
    rows = _rows(layouts, rates)
    figures = {"architecture": config.architecture.blocks, "sharing": rows}
    return output.show(
        values,
        figures,
        lambda: [
            *output.table(COLUMNS, [_with_shown_efficiency(row) for row in rows]),
            f"{config.architecture.short}, batch {values.batch_size} x {values.seq_len}; medians"
            f" of {values.repeats}; efficiency: steps per second and core, beside one core; this"
            f" machine has {core_count()} cores",
        ],
    )


def _rows(
    layouts: Mapping[str, multi_device.Layout], rates: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    one_core = statistics.median(next(iter(rates.values())))
    rows = []
    for name, layout in layouts.items():
        rate, cores = statistics.median(rates[name]), layout.processes * layout.cores
        rows.append(
            {
                "layout": name,
                "steps_per_second": rate,
                "slowest": min(rates[name]),
                "fastest": max(rates[name]),
                "cores": cores,
                # fewer rows are less work: not comparable
                "efficiency": None if layout.share > 1 else rate / one_core / cores,
            }
        )
    return rows


def _with_shown_efficiency(row: dict[str, Any]) -> dict[str, Any]:
    efficiency = row["efficiency"]
    return row | {"shown_efficiency": "" if efficiency is None else f"{efficiency:.0%}"}
