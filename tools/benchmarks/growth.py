"""How a step's time and memory grow with L, B, T, M, D and F, beside the formulas for that.

    python tools/benchmark.py growth --plot=growth.png

The formulas are in par/bench/cost_fit.py.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

from absl import flags

from par.bench import cost_fit, in_turn, peak_memory, synthetic
from par.core import text
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.core.progress import Progress
from par.search import architecture
from par.tools.benchmarks import output, settings
from par.tools.cli.checks import picture_path
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow
from par.train.run_config import RunConfig

FLAGS = Flags(__doc__).own(
    "growth",
    (
        flags.DEFINE_multi_integer,
        "num_blocks",
        [2, 1, 4],
        "blocks L: the middle value first, then the others, tried with all else"
        " at its middle value",
    ),
    (flags.DEFINE_multi_integer, "batch_size", [64, 16, 128], "rows B, the middle value first"),
    (
        flags.DEFINE_multi_integer,
        "seq_len",
        [64, 32, 128],
        "window length T in tokens, the middle value first",
    ),
    (
        flags.DEFINE_multi_integer,
        "mem_len",
        [32, 0, 128],
        "memory length M in tokens, the middle value first",
    ),
    (
        flags.DEFINE_multi_integer,
        "d_model",
        [128, 64, 256],
        "model width D, the middle value first",
    ),
    (
        flags.DEFINE_multi_integer,
        "d_ffn",
        [512, 128, 1536],
        "width F of a dense block, the middle value first",
    ),
    (flags.DEFINE_integer, "num_heads", 4, "attention heads H"),
    (
        flags.DEFINE_integer,
        "vocab_size",
        256,
        "vocabulary size V; small, as embedding and softmax are in the formula's constant",
    ),
    (flags.DEFINE_bool, "gradient_checkpointing", False, "train with gradient checkpointing"),
    (
        flags.DEFINE_integer,
        "repeats",
        9,
        "measurements of each shape, in turn; the fastest counts",
    ),
    (
        flags.DEFINE_bool,
        "memory",
        True,
        "also train each shape in a process of its own, for its peak memory",
    ),
    (define_path, "plot", "", "a PNG of the measured values against the fitted ones"),
    settings.OUTPUT,
)
MEMORY = "megabytes"  # name of the measured peak; the others are times
Measured = dict[str, list[float]]  # of each shape of the sweep


def work(values: Flags) -> int:
    """Trains each shape of the sweep, in turn, fits the formulas, and prints the table."""
    settings.check_at_least(1, values, "repeats", "vocab_size", "num_blocks", "batch_size")
    settings.check_at_least(1, values, "seq_len", "d_model", "d_ffn")
    sweep = cost_fit.star({name: getattr(values, name) for name in cost_fit.LETTERS.values()})
    configs = {shape: _config(values, shape) for shape in sweep}
    least = len(cost_fit.MEMORY_TERMS) + 1
    if len(sweep) < least:
        raise UsageError(
            f"the sizes must make at least {least} shapes, one more than a formula has"
            f" coefficients, but make {len(sweep)}"
        )
    if values.plot:
        picture_path(values.plot, "plot")
    start_tensorflow()
    measured, parameters = _measure(values, configs)
    fits = _fit(values, list(sweep), measured, parameters)
    if values.plot:
        from par.report import line_plots

        line_plots.growth(Path(values.plot), list(sweep.values()), measured, fits)
    keys = {name: name.lower().replace(" ", "_") for name in measured}
    figures = {
        "shapes": [
            dataclasses.asdict(shape) | {keys[name]: found[i] for name, found in measured.items()}
            for i, shape in enumerate(sweep)
        ],
        "fits": {keys[name]: dataclasses.asdict(found) for name, found in fits.items()},
    }
    return output.show(values, figures, lambda: _lines(values, list(sweep), measured, fits))


def _config(values: Flags, shape: cost_fit.Shape) -> RunConfig:
    return RunConfig(
        architecture.parse(f"{shape.num_blocks}s"),
        ModelConfig(
            d_model=shape.d_model,
            num_heads=values.num_heads,
            d_ffn=shape.d_ffn,
            mem_len=shape.mem_len,
        ),
        SearchConfig(),
        TrainingConfig(gradient_checkpointing=values.gradient_checkpointing),
        synthetic.data(values.vocab_size, shape.batch_size, shape.seq_len),
    )


def _measure(
    values: Flags, configs: dict[cost_fit.Shape, RunConfig]
) -> tuple[Measured, list[int]]:
    """The fastest times and the peak memory of each shape; with --memory, its parameters, too."""
    from par.bench import training_speed

    rounds = values.repeats + (2 if values.memory else 1)
    with Progress("benchmark", "measurement", len(configs) * rounds) as progress:
        peaks = {}
        if values.memory:
            peaks = in_turn.prepare(
                {
                    shape: functools.partial(peak_memory.of_training, config, start_tensorflow)
                    for shape, config in configs.items()
                },
                lambda shape: progress(1, f"{shape}, memory"),
            )
        trainings = in_turn.prepare(
            {
                shape: functools.partial(training_speed.TimedTraining, config, steps=1)
                for shape, config in configs.items()
            },
            lambda shape: progress(1, f"{shape}, start"),
        )
        times = in_turn.measure(
            {
                shape: functools.partial(_milliseconds, training)
                for shape, training in trainings.items()
            },
            values.repeats,
            lambda shape: progress(1, str(shape)),
        )
    measured = {
        "milliseconds": [min(wall for wall, _ in found) for found in times.values()],
        "CPU milliseconds": [min(cpu for _, cpu in found) for found in times.values()],
    }
    if values.memory:
        measured[MEMORY] = [peak["peak_memory_megabytes"] for peak in peaks.values()]
    return measured, [peak["parameters"] for peak in peaks.values()]


def _milliseconds(training: Any) -> tuple[float, float]:
    """The time of one step on the clock and on all cores."""
    before = time.process_time()
    rate = training.run()
    return 1e3 / rate, 1e3 * (time.process_time() - before)


def _fit(
    values: Flags, shapes: list[cost_fit.Shape], measured: Measured, parameters: list[int]
) -> dict[str, cost_fit.Fit]:
    time_terms = [cost_fit.time_terms(shape) for shape in shapes]
    fits = {
        name: cost_fit.fit(time_terms, found) for name, found in measured.items() if name != MEMORY
    }
    if values.memory:
        terms = [
            cost_fit.memory_terms(shape, values.num_heads, count)
            for shape, count in zip(shapes, parameters, strict=True)
        ]
        fits[MEMORY] = cost_fit.fit(terms, measured[MEMORY])
    return fits


def _lines(
    values: Flags,
    shapes: list[cost_fit.Shape],
    measured: Measured,
    fits: dict[str, cost_fit.Fit],
) -> list[str]:
    rows = [[*cost_fit.LETTERS]]
    rows += [[f"{size:,}" for size in dataclasses.astuple(shape)] for shape in shapes]
    for name, fit in fits.items():
        rows[0] += [name, "fitted", "apart"]
        for row, value, fitted, apart in zip(rows[1:], measured[name], fit.fitted, fit.residuals):
            row += [f"{value:,.1f}", f"{fitted:,.1f}", f"{apart:+.0%}"]
    lines = text.table(rows)
    for name, fit in fits.items():
        terms = cost_fit.MEMORY_TERMS if name == MEMORY else cost_fit.TIME_TERMS
        line = (
            f"{name}: {cost_fit.formula(fit, terms)}; R² {fit.r_squared:.4f}, worst"
            f" {fit.worst:.0%} apart"
        )
        if name != MEMORY:  # the formula without the products for keys and values
            shorter = [cost_fit.time_terms(shape)[:-1] for shape in shapes]
            r_squared = cost_fit.fit(shorter, measured[name]).r_squared
            line += f"; without the last term R² {r_squared:.4f}"
        lines.append(line)
    lines.append(
        f"the fastest of {values.repeats} steps of each shape; least squares of the relative"
        " error, no coefficient negative"
    )
    if values.plot:
        from par.report import style

        lines.append(style.described(Path(values.plot)))
    return lines
