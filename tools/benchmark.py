"""Measures the speed of this program on this machine.

    python tools/benchmark.py train                        steps per second of the search for each
    sampling, and of fixed networks
    python tools/benchmark.py train --json --steps=100     the same as one JSON line
    python tools/benchmark.py softmax                      plain against adaptive softmax, forward
    and backward, by vocabulary size
    python tools/benchmark.py data                         how fast a data set is built, beside
    SentencePiece alone, and its peak memory
    python tools/benchmark.py growth --plot=growth.png     how a step's time and memory grow with
    L, B, T, M, D and F, beside the formulas for that
    python tools/benchmark.py generation                   tokens per second, memory carried,
    beside computing the context again for each token
    python tools/benchmark.py sharing                      steps per second of several devices or
    processes that train one network together
    python tools/benchmark.py scaling --num_devices=8      what a step on many devices would cost,
    by a formula
    python tools/benchmark.py saving --recipe=base         what checkpoints cost: milliseconds of
    one, and its share of the time
    python tools/benchmark.py estimators                   how well each sampling estimates the
    gradient of the logits, by enumeration
    python tools/benchmark.py softmax --help               the flags of one subject alone

What is compared is timed in turn, again and again, so that a change in the machine's speed meets
all of it; the medians are printed. Model
FLOPs utilisation is FLOPs of the network's matrix products per second over the best 2048 x 2048
product seen in the same run.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from par.bench import cost_fit, data_speed, multi_device, scaling_model
from par.core import schema
from par.core.config import DataConfig, LoggingConfig, ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.core.machine import core_count
from par.core.progress import Progress
from par.data import corpus, named_corpora
from par.search import architecture, flops
from par.search.architecture import KINDS
from par.tools.cli.checks import picture_path
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
from par.tools.cli.tensorflow import start_tensorflow
from par.train import run_config

BASE_SHAPE = {"d_model": 128, "num_heads": 4, "d_ffn": 512, "mem_len": 16, "cutoffs": (250, 2500)}
BATCH = (
    (flags.DEFINE_integer, "batch_size", 32, "rows B"),
    (flags.DEFINE_integer, "seq_len", 32, "window length T in tokens"),
)
OUTPUT = (flags.DEFINE_bool, "json", False, "print one JSON line")
TRAIN = Flags(__doc__).own(
    "train",
    (flags.DEFINE_integer, "steps", 50, "training steps of one measurement"),
    (flags.DEFINE_integer, "repeats", 5, "measurements of each network, in turn"),
    (flags.DEFINE_string, "architecture", "6s", "blocks of the search"),
    (
        flags.DEFINE_multi_string,
        "fixed",
        ["adadad"],
        "blocks of a fixed network to time beside it",
    ),
    (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V"),
    *BATCH,
    (flags.DEFINE_integer, "mem_len", BASE_SHAPE["mem_len"], "memory length M in tokens"),
    OUTPUT,
)
SOFTMAX = Flags(__doc__).own(
    "softmax",
    (flags.DEFINE_integer, "repeats", 7, "measurements of each softmax, in turn"),
    (flags.DEFINE_multi_integer, "vocab_size", [12_000, 32_000, 267_735], "vocabulary size V"),
    (flags.DEFINE_integer, "d_model", BASE_SHAPE["d_model"], "model width D"),
    (
        flags.DEFINE_multi_integer,
        "cutoffs",
        [],
        (
            "first id of each tail cluster of the adaptive softmax, the same for every V (default"
            " V/50 and V/5)"
        ),
    ),
    *BATCH,
    OUTPUT,
)
DATA = Flags(__doc__).own(
    "data",
    (flags.DEFINE_multi_integer, "megabytes", [20, 200], "size of a text, in millions of bytes"),
    (
        flags.DEFINE_string,
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
    OUTPUT,
)
GROWTH = Flags(__doc__).own(
    "growth",
    (
        flags.DEFINE_multi_integer,
        "num_blocks",
        [2, 1, 4],
        "blocks L: the middle of the sweep, then what else is tried, all else at its middle",
    ),
    (flags.DEFINE_multi_integer, "batch_size", [64, 16, 128], "rows B, the middle first"),
    (
        flags.DEFINE_multi_integer,
        "seq_len",
        [64, 32, 128],
        "window length T in tokens, the middle first",
    ),
    (
        flags.DEFINE_multi_integer,
        "mem_len",
        [32, 0, 128],
        "memory length M in tokens, the middle first",
    ),
    (flags.DEFINE_multi_integer, "d_model", [128, 64, 256], "model width D, the middle first"),
    (
        flags.DEFINE_multi_integer,
        "d_ffn",
        [512, 128, 1536],
        "width F of a dense block, the middle first",
    ),
    (flags.DEFINE_integer, "num_heads", 4, "attention heads H"),
    (
        flags.DEFINE_integer,
        "vocab_size",
        256,
        "vocabulary size V; small, as embedding and softmax are in the formula's constant",
    ),
    (flags.DEFINE_bool, "gradient_checkpointing", False, "train so"),
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
    (flags.DEFINE_string, "plot", "", "a PNG of the measured values against the fitted ones"),
    OUTPUT,
)

ESTIMATORS = Flags(__doc__).own(
    "estimators",
    (
        flags.DEFINE_integer,
        "blocks",
        2,
        "stochastic blocks of the small network: 3^blocks paths are enumerated",
    ),
    (flags.DEFINE_integer, "draws", 1000, "gradients that each way of sampling draws"),
    (flags.DEFINE_integer, "seed", 0, "seed of the network, the text and the draws"),
    OUTPUT,
)
GENERATION = Flags(__doc__).own(
    "generation",
    (flags.DEFINE_string, "architecture", "adadad", "blocks of the network"),
    (
        flags.DEFINE_multi_integer,
        "mem_len",
        [16, 128, 352, 704],
        "tokens that a query sees back, M; the context is M times the attention blocks",
    ),
    (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V"),
    (
        flags.DEFINE_integer,
        "tokens",
        100,
        "tokens of one measurement with memory; a tenth of them without",
    ),
    (flags.DEFINE_integer, "repeats", 5, "measurements of both, in turn"),
    OUTPUT,
)
SHARING = Flags(__doc__).own(
    "sharing",
    (flags.DEFINE_string, "architecture", "6s", "blocks of the network"),
    (
        flags.DEFINE_integer,
        "workers",
        2,
        "devices or processes that share the batch, each on a core of its own",
    ),
    (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V"),
    *BATCH,
    (flags.DEFINE_integer, "mem_len", BASE_SHAPE["mem_len"], "memory length M in tokens"),
    (flags.DEFINE_integer, "steps", 20, "training steps of one measurement"),
    (flags.DEFINE_integer, "repeats", 3, "measurements of each, in turn, each in new processes"),
    OUTPUT,
)
SCALING = (
    Flags(__doc__)
    .own(
        "scaling",
        (flags.DEFINE_string, "architecture", "6s", "blocks of the network"),
        (flags.DEFINE_multi_integer, "num_devices", [1, 8], "devices R"),
        (flags.DEFINE_float, "tflops", 10.0, "TFLOP/s that a device reaches in training"),
        (flags.DEFINE_float, "link_gigabytes", 10.0, "GB/s from each device to the next"),
        (flags.DEFINE_float, "overhead_ms", 1.0, "milliseconds of a step that do not shrink"),
        (
            flags.DEFINE_integer,
            "devices_per_machine",
            8,
            "devices of one machine, whose worker reads for all of them",
        ),
        (flags.DEFINE_float, "gigatokens", 0.1, "10^9 tokens of the train split"),
        (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V"),
        *BATCH,
        OUTPUT,
    )
    .group(ModelConfig, "scaling: network")
    .group(SearchConfig, "scaling: search", only=("sampling", "paths"))
)
SAVING = (
    Flags(__doc__)
    .own(
        "saving",
        (
            flags.DEFINE_string,
            "recipe",
            "",
            (
                "named settings from tools/recipes/ (quick, base, seed) or a .flags file; the"
                " command line wins"
            ),
        ),
        (
            flags.DEFINE_integer,
            "num_blocks",
            6,
            "short for --architecture=Ns; without effect beside --architecture",
        ),
        (flags.DEFINE_string, "architecture", "", "blocks of the network"),
        (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V"),
        *BATCH,
        (flags.DEFINE_integer, "steps", 20, "training steps before and after each checkpoint"),
        (flags.DEFINE_integer, "repeats", 20, "checkpoints"),
        (
            flags.DEFINE_string,
            "directory",
            "",
            "where they are saved, as disks differ; default: a temporary directory",
        ),
        OUTPUT,
    )
    .group(ModelConfig, "saving: network")
    .group(LoggingConfig, "saving: how often", only=("save_every",))
)

PARTS = {
    "attention": "the step less that of a network without attention, each less its update",
    "dense": "the step less that of a network without dense branches, each less its update",
    "softmax": "timed alone: nll and gradients",
    "update": "timed alone: gradient norm, clipping and Adam of all weights",
    "rest": (
        "what is left: embedding, mixture, norms and dropout of a block that both differences"
        " keep, input; less what runs side by side"
    ),
    "step": "measured whole, in the same rounds",
}


def _config(
    values: Flags, blocks: str, precision: str = "f32", **search: Any
) -> run_config.RunConfig:
    """At the base shape; pi stays uniform."""
    data = run_config.DataIdentity(
        "synthetic", values.vocab_size, values.batch_size, values.seq_len, 10_000, "", ""
    )
    model = ModelConfig(**BASE_SHAPE | {"mem_len": values.mem_len, "precision": precision})
    model.check_vocabulary(values.vocab_size)
    return run_config.RunConfig(
        architecture.parse(blocks),
        model,
        SearchConfig(arch_lr=0.0, **search),
        TrainingConfig(),
        data,
    )


def _train(values: Flags) -> int:
    if min(values.steps, values.repeats, values.vocab_size, values.batch_size, values.seq_len) < 1:
        raise UsageError("steps, repeats, vocab_size, batch_size and seq_len must be at least 1")
    searches: dict[str, dict[str, Any]] = {
        sampling: {"sampling": sampling} for sampling in SearchConfig.choices("sampling")
    }
    searches["single_path paths=1"] = {"sampling": "single_path", "paths": 1}
    searches |= {
        f"{name} bf16": searches[name] | {"precision": "bf16"} for name in ("soft", "single_path")
    }
    configs = {
        f"{values.architecture} {name}": _config(values, values.architecture, **settings)
        for name, settings in searches.items()
    }
    configs |= {blocks: _config(values, blocks) for blocks in values.fixed}
    start_tensorflow()
    from par.bench import training_speed

    networks = {
        name: training_speed.TimedTraining(config, values.steps)
        for name, config in configs.items()
    }
    parts = training_speed.TimedParts(networks[f"{values.architecture} soft"])
    rates: dict[str, list[float]] = {name: [] for name in networks}
    best = 0.0
    with Progress("benchmark", "measurement", values.repeats * (len(networks) + 1)) as progress:
        for _ in range(values.repeats):
            best = max(best, training_speed.best_product())
            for name, network in networks.items():
                rates[name].append(network.run())
                progress(1, name)
            parts.run()
            progress(1, "parts")
    results = [
        _result(name, rates[name], network.flops, best) for name, network in networks.items()
    ]
    if values.json:
        print(
            schema.canonical_json(
                {
                    "best_product_gflops": round(best / 1e9, 1),
                    "networks": results,
                    "parts": parts.milliseconds(),
                }
            )
        )
        return 0
    print(f"{'network':<26}{'steps/s':>9}{'slowest':>9}{'fastest':>9}{'GFLOP/step':>12}{'MFU':>7}")
    for row in results:
        figures = f"{row['steps_per_second']:>9.2f}{row['slowest']:>9.2f}{row['fastest']:>9.2f}{row['gflop_per_step']:>12.2f}"
        print(f"{row['network']:<26}{figures}{row['model_flops_utilisation']:>7.2f}")
    print(
        f"medians of {values.repeats} measurements of {values.steps} steps; best matrix product"
        f" {best / 1e9:.0f} GFLOP/s"
    )
    whole = parts.milliseconds()
    print(f"\n{'part of ' + values.architecture + ' soft':<26}{'ms':>9}{'share':>9}")
    for name, milliseconds in whole.items():
        print(f"{name:<26}{milliseconds:>9.1f}{milliseconds / whole['step']:>9.0%}  {PARTS[name]}")
    return 0


def _result(name: str, rates: list[float], flops: float, best: float) -> dict[str, Any]:
    rate = statistics.median(rates)
    return {
        "network": name,
        "steps_per_second": rate,
        "slowest": min(rates),
        "fastest": max(rates),
        "gflop_per_step": flops / 1e9,
        "model_flops_utilisation": rate * flops / best,
    }


def _generation(values: Flags) -> int:
    if min(values.tokens, values.repeats, values.vocab_size, *values.mem_len) < 1:
        raise UsageError("tokens, repeats, vocab_size and mem_len must be at least 1")
    data = run_config.DataIdentity("synthetic", values.vocab_size, 1, 32, 1, "", "")
    blocks = architecture.parse(values.architecture)
    if "a" not in blocks.blocks or blocks.is_search:
        raise UsageError(
            f"architecture must be fixed blocks with attention among them, but is {blocks.short}"
        )
    model = ModelConfig(**BASE_SHAPE)
    model.check_vocabulary(values.vocab_size)
    start_tensorflow()
    from par.bench import training_speed

    results = []
    with Progress("benchmark", "measurement", values.repeats * len(values.mem_len)) as progress:
        for mem_len in values.mem_len:
            timed = training_speed.TimedGeneration(
                run_config.RunConfig(blocks, model, SearchConfig(), TrainingConfig(), data),
                mem_len,
            )
            pairs = []
            for _ in range(values.repeats):
                pairs.append(
                    (timed.carried(values.tokens), timed.recomputed(-(-values.tokens // 10)))
                )
                progress(1, f"M {mem_len}")
            carried, recomputed = map(statistics.median, zip(*pairs))
            ratios = [a / b for a, b in pairs]
            speeds = {"tokens_per_second": carried, "recomputed_tokens_per_second": recomputed}
            of_pairs = {
                "ratio": statistics.median(ratios),
                "least_ratio": min(ratios),
                "most_ratio": max(ratios),
            }
            results.append({"mem_len": mem_len, "context": timed.context, **speeds, **of_pairs})
    if values.json:
        print(
            schema.canonical_json(
                {
                    "architecture": blocks.blocks,
                    "vocab_size": values.vocab_size,
                    "generation": results,
                }
            )
        )
        return 0
    print(
        f"{'M':>6}{'context':>10}{'tokens/s':>11}{'recomputed':>13}{'ratio':>8}{'least':>8}{'most':>8}"
    )
    for row in results:
        speeds = f"{row['tokens_per_second']:>11.1f}{row['recomputed_tokens_per_second']:>13.2f}"
        print(
            f"{row['mem_len']:>6,}{row['context']:>10,}{speeds}{row['ratio']:>8.1f}{row['least_ratio']:>8.1f}{row['most_ratio']:>8.1f}"
        )
    print(
        f"{blocks.short}, one text: medians of {values.repeats} pairs; context: M times the"
        " attention blocks; recomputed: all of it for each token"
    )
    return 0


def _softmax(values: Flags) -> int:
    if min(values.repeats, values.batch_size, values.seq_len, *values.vocab_size) < 1:
        raise UsageError("repeats, vocab_size, batch_size and seq_len must be at least 1")
    if not values.cutoffs and min(values.vocab_size) < 50:
        raise UsageError(
            "vocab_size must be at least 50 unless --cutoffs are given, but is"
            f" {min(values.vocab_size)}"
        )
    rows = values.batch_size * values.seq_len
    plain = ModelConfig(d_model=values.d_model, num_heads=1)
    adaptive = {
        size: dataclasses.replace(plain, cutoffs=values.cutoffs or (size // 50, size // 5))
        for size in values.vocab_size
    }
    for size, model in adaptive.items():
        model.check_vocabulary(size)
    start_tensorflow()
    from par.bench import softmax_speed, training_speed

    results = []
    with Progress("benchmark", "measurement", 2 * values.repeats * len(adaptive)) as progress:
        for size, model in adaptive.items():
            tokens = training_speed.synthetic_tokens(size, (rows,))
            layers = {"plain": plain, "adaptive": model}
            timed = {
                name: softmax_speed.TimedSoftmax(layer, size, rows).timing(tokens)
                for name, layer in layers.items()
            }
            milliseconds: dict[str, list[float]] = {name: [] for name in timed}
            for _ in range(values.repeats):
                for name, timing_of in timed.items():
                    milliseconds[name].append(timing_of())
                    progress(1, f"{name}, V {size:,}")
            figures = {
                name: {"milliseconds": statistics.median(m), "slowest": max(m), "fastest": min(m)}
                for name, m in milliseconds.items()
            }
            ratio = figures["plain"]["milliseconds"] / figures["adaptive"]["milliseconds"]
            results.append(
                {"vocab_size": size, "cutoffs": list(model.cutoffs), **figures, "ratio": ratio}
            )
    if values.json:
        print(schema.canonical_json({"rows": rows, "d_model": values.d_model, "softmax": results}))
        return 0
    print(f"{'vocabulary':>10}  {'cutoffs':<24}{'ms':>9}{'slowest':>9}{'fastest':>9}{'ratio':>8}")
    for row in results:
        for name, cutoffs, ratio in (
            ("plain", "none", 1.0),
            ("adaptive", " ".join(f"{c:,}" for c in row["cutoffs"]), row["ratio"]),
        ):
            figures = f"{row[name]['milliseconds']:>9.1f}{row[name]['slowest']:>9.1f}{row[name]['fastest']:>9.1f}{ratio:>8.1f}"
            print(f"{row['vocab_size']:>10,}  {cutoffs:<24}{figures}")
    print(
        f"medians of {values.repeats} measurements of nll and gradients, {rows:,} tokens, D"
        f" {values.d_model}; ratio: times as fast as plain"
    )
    return 0


def _data(values: Flags) -> int:
    if min(values.repeats, *values.megabytes) < 1 or values.workers < 0:
        raise UsageError("repeats and megabytes must be at least 1, workers at least 0")
    source = (
        corpus.Text.of(Path(values.input_text))
        if values.input_text
        else named_corpora.named("python-docs").texts["train"]
    )
    results = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        Progress("benchmark", "build", len(values.megabytes)) as progress,
    ):
        text, root = Path(scratch) / "text.txt", Path(scratch) / "data"
        settings = DataConfig(input_text=str(text), vocab_size=values.vocab_size)
        if source.raw_bytes == 0:
            raise UsageError(f"input_text {values.input_text} is empty: give a text to repeat")
        data_speed.write_text(text, source, data_speed.BASELINE_BYTES)
        # gives the tokenizer that SentencePiece alone encodes with
        data_speed.build_timed(settings, root, values.workers)
        alone = data_speed.Baseline(root / "tokenizer.model", text, values.workers)
        for megabytes in values.megabytes:
            data_speed.write_text(text, source, megabytes * data_speed.MEGABYTE)
            rates = [alone.rate() for _ in range(values.repeats)]
            used = data_speed.build_timed(settings, root, values.workers)
            rates += [alone.rate() for _ in range(values.repeats)]
            rate = megabytes / (used["reading"] + used["encoding"] + used["writing"])
            beside = {
                "slowest": min(rates),
                "fastest": max(rates),
                "median": statistics.median(rates),
            }
            shares = {
                "megabytes_per_second": rate,
                "sentencepiece_alone": beside,
                "ratio": rate / beside["median"],
            }
            results.append(
                {
                    "megabytes": megabytes,
                    "seconds": used,
                    "peak_memory_megabytes": used.pop("peak_memory_megabytes"),
                    **shares,
                }
            )
            progress(1, f"{megabytes} MB")
    if values.json:
        print(schema.canonical_json({"builds": results}))
        return 0
    stages = [name for name in results[0]["seconds"] if name != "starting_tensorflow"]
    titles = "".join(f"{name} s".rjust(12) for name in stages)
    print(f"{'MB':>6}{titles}{'MB/s':>8}{'SentencePiece alone':>28}{'ratio':>7}{'peak MB':>9}")
    for row in results:
        seconds = "".join(f"{row['seconds'][name]:>12.1f}" for name in stages)
        alone = "{median:.1f} ({slowest:.1f} to {fastest:.1f})".format(
            **row["sentencepiece_alone"]
        )
        print(
            f"{row['megabytes']:>6,}{seconds}{row['megabytes_per_second']:>8.1f}{alone:>28}{row['ratio']:>7.2f}{row['peak_memory_megabytes']:>9,.0f}"
        )
    print(
        "MB/s: reading, encoding and writing, without training the tokenizer; peak: this build's"
        " processes together, training included"
    )
    return 0


def _growth_config(values: Flags, shape: cost_fit.Shape) -> run_config.RunConfig:
    data = run_config.DataIdentity(
        "synthetic", values.vocab_size, shape.batch_size, shape.seq_len, 10_000, "", ""
    )
    model = ModelConfig(
        d_model=shape.d_model, num_heads=values.num_heads, d_ffn=shape.d_ffn, mem_len=shape.mem_len
    )
    training = TrainingConfig(gradient_checkpointing=values.gradient_checkpointing)
    return run_config.RunConfig(
        architecture.parse(f"{shape.num_blocks}s"), model, SearchConfig(), training, data
    )


def _growth(values: Flags) -> int:
    sizes = {name: getattr(values, name) for name in cost_fit.LETTERS.values()}
    if (
        min(
            values.repeats,
            values.vocab_size,
            *(min(tried) for name, tried in sizes.items() if name != "mem_len"),
        )
        < 1
    ):
        raise UsageError(
            "repeats, vocab_size, num_blocks, batch_size, seq_len, d_model and d_ffn must be at"
            " least 1"
        )
    sweep = cost_fit.star(sizes)
    configs = {shape: _growth_config(values, shape) for shape in sweep}
    least = len(cost_fit.MEMORY_TERMS) + 1
    if len(sweep) < least:
        raise UsageError(
            f"the sizes must make at least {least} shapes, one more than a formula has"
            f" coefficients, but make {len(sweep)}"
        )
    if values.plot:
        picture_path(values.plot, "plot")
    start_tensorflow()
    from par.bench import memory, training_speed

    with Progress(
        "benchmark", "measurement", len(sweep) * (1 + values.memory + values.repeats)
    ) as progress:
        taken = {}
        for shape in sweep if values.memory else ():
            taken[shape] = memory.of_training(configs[shape], start_tensorflow)
            progress(1, f"{shape}, memory")
        networks = {}
        for shape, config in configs.items():
            networks[shape] = training_speed.TimedTraining(config, steps=1)
            progress(1, f"{shape}, start")
        times: dict[cost_fit.Shape, list[tuple[float, float]]] = {shape: [] for shape in sweep}
        for _ in range(values.repeats):
            for shape, network in networks.items():
                before = time.process_time()
                rate = network.run()
                times[shape].append((1e3 / rate, 1e3 * (time.process_time() - before)))
                progress(1, str(shape))
    fastest = [map(min, zip(*pairs)) for pairs in times.values()]
    measured = dict(zip(("milliseconds", "CPU milliseconds"), map(list, zip(*fastest))))
    fits = {
        name: cost_fit.fit([cost_fit.time_terms(shape) for shape in sweep], figures)
        for name, figures in measured.items()
    }
    if values.memory:
        measured["megabytes"] = [found["peak_memory_megabytes"] for found in taken.values()]
        terms = [
            cost_fit.memory_terms(shape, values.num_heads, found["parameters"])
            for shape, found in taken.items()
        ]
        fits["megabytes"] = cost_fit.fit(terms, measured["megabytes"])
    if values.plot:
        from par.report import line_plots

        line_plots.growth(Path(values.plot), list(sweep.values()), measured, fits)
    _print_growth(values, sweep, measured, fits)
    return 0


def _without_last(sweep: Iterable[cost_fit.Shape], figures: list[float]) -> cost_fit.Fit:
    """The fit of a time without the products for keys and values."""
    return cost_fit.fit([cost_fit.time_terms(shape)[:-1] for shape in sweep], figures)


def _print_growth(
    values: Flags,
    sweep: dict[cost_fit.Shape, str],
    measured: dict[str, list[float]],
    fits: dict[str, cost_fit.Fit],
) -> None:
    if values.json:
        keys = {name: name.lower().replace(" ", "_") for name in measured}
        shapes = [
            dataclasses.asdict(shape)
            | {keys[name]: figures[i] for name, figures in measured.items()}
            for i, shape in enumerate(sweep)
        ]
        print(
            schema.canonical_json(
                {
                    "shapes": shapes,
                    "fits": {
                        keys[name]: dataclasses.asdict(found) for name, found in fits.items()
                    },
                }
            )
        )
        return
    letters = "".join(letter.rjust(6) for letter in cost_fit.LETTERS)
    print(letters + "".join(f"{name:>18}{'fitted':>10}{'apart':>7}" for name in measured))
    for i, shape in enumerate(sweep):
        sizes = "".join(f"{size:>6,}" for size in dataclasses.astuple(shape))
        print(
            sizes
            + "".join(
                f"{measured[name][i]:>18,.1f}{found.fitted[i]:>10,.1f}{found.residuals[i]:>+7.0%}"
                for name, found in fits.items()
            )
        )
    for name in fits:
        terms = cost_fit.MEMORY_TERMS if name == "megabytes" else cost_fit.TIME_TERMS
        formula = " + ".join(
            f"{value:.3g}{'' if term == '1' else f' {term}'}"
            for value, term in zip(fits[name].coefficients, terms)
        )
        shorter = (
            ""
            if name == "megabytes"
            else f"; without the last term R² {_without_last(sweep, measured[name]).r_squared:.4f}"
        )
        print(
            f"{name}: {formula}; R² {fits[name].r_squared:.4f}, worst {fits[name].worst:.0%}"
            f" apart{shorter}"
        )
    print(
        f"the fastest of {values.repeats} steps of each shape; least squares of the relative"
        " error, no coefficient negative"
    )
    if values.plot:
        from par.report import style

        print(style.described(Path(values.plot)))


def _estimators(values: Flags) -> int:
    if not (1 <= values.blocks <= 5 and values.draws > 1 and values.seed >= 0):
        raise UsageError(
            f"blocks must be 1 to 5, draws at least 2, seed at least 0, but are {values.blocks},"
            f" {values.draws}, {values.seed}"
        )
    start_tensorflow()
    from par.bench import gradient_estimators

    exact, estimates = gradient_estimators.measure(values.blocks, values.draws, values.seed)
    if values.json:
        ways = {name: estimate._asdict() for name, estimate in estimates.items()}
        print(
            schema.canonical_json(
                {"exact": exact.tolist(), "draws": values.draws, "estimates": ways}
            )
        )
        return 0
    print(f"{'':<28}{'bias':>8}{'its error':>11}{'deviation':>11}{'cosine':>8}")
    for name, estimate in estimates.items():
        print(
            f"{name:<28}{estimate.bias:>8.3f}{estimate.error:>11.3f}{estimate.deviation:>11.3f}{estimate.cosine:>8.3f}"
        )
    print(
        f"{values.draws:,} draws; norms of mean - exact, of its standard error and of a draw's"
        " standard deviation, over that of the exact gradient;"
    )
    print(
        "the exact gradient of the expected loss:",
        " ".join(f"{kind} {value:+.3f}" for row in exact for kind, value in zip(KINDS, row)),
    )
    return 0


def _sharing(values: Flags) -> int:
    if (
        min(values.steps, values.repeats, values.vocab_size, values.batch_size, values.seq_len) < 1
        or values.workers < 2
    ):
        raise UsageError(
            "steps, repeats, vocab_size, batch_size and seq_len must be at least 1, workers at"
            " least 2"
        )
    if values.batch_size % values.workers:
        raise UsageError(
            f"batch_size must be divisible by workers, {values.workers}, but is"
            f" {values.batch_size}"
        )
    config, layouts = _config(values, values.architecture), multi_device.layouts(values.workers)
    rates: dict[str, list[float]] = {layout.name: [] for layout in layouts}
    with Progress("benchmark", "measurement", values.repeats * len(layouts)) as progress:
        for _ in range(values.repeats):
            for layout in layouts:
                rates[layout.name].append(
                    multi_device.rate(layout, config, values.steps, start_tensorflow)
                )
                progress(1, layout.name)
    alone = statistics.median(rates[layouts[0].name])
    results = []
    for layout in layouts:
        found = rates[layout.name]
        used = layout.processes * layout.cores
        figures = {
            "steps_per_second": statistics.median(found),
            "slowest": min(found),
            "fastest": max(found),
            "cores": used,
        }
        efficiency = None if layout.share > 1 else statistics.median(found) / alone / used
        results.append({"layout": layout.name, **figures, "efficiency": efficiency})
    if values.json:
        print(
            schema.canonical_json({"architecture": config.architecture.blocks, "sharing": results})
        )
        return 0
    print(f"{'':<30}{'cores':>6}{'steps/s':>9}{'slowest':>9}{'fastest':>9}{'efficiency':>12}")
    for row in results:
        speeds = f"{row['steps_per_second']:>9.2f}{row['slowest']:>9.2f}{row['fastest']:>9.2f}"
        print(
            f"{row['layout']:<30}{row['cores']:>6}{speeds}"
            + ("" if row["efficiency"] is None else f"{row['efficiency']:>12.0%}")
        )
    shared = f"medians of {values.repeats}; efficiency: steps per second and core, beside one core"
    print(
        f"{config.architecture.short}, batch {values.batch_size} x {values.seq_len}; {shared};"
        f" this machine has {core_count()} cores"
    )
    return 0


def _scaling(values: Flags) -> int:
    numbers = (
        "tflops",
        "link_gigabytes",
        "gigatokens",
        "vocab_size",
        "batch_size",
        "seq_len",
        "devices_per_machine",
    )
    for name in numbers:
        if not getattr(values, name) > 0:
            raise UsageError(f"{name} must be above 0, but is {getattr(values, name)}")
    if min(values.num_devices) < 1 or values.overhead_ms < 0:
        raise UsageError("num_devices must be at least 1, overhead_ms at least 0")
    model, search = values.read(ModelConfig), values.read(SearchConfig)
    model.check_vocabulary(values.vocab_size)
    blocks = architecture.parse(values.architecture)
    counts = flops.zipf_counts(values.vocab_size)
    steps = int(values.gigatokens * 1e9) // (values.batch_size * values.seq_len)
    results = []
    for devices in values.num_devices:
        if values.batch_size % devices:
            raise UsageError(
                f"batch_size must be divisible by num_devices, {devices}, but is"
                f" {values.batch_size}"
            )
        machines = scaling_model.Machines(
            devices, values.tflops * 1e12, values.link_gigabytes * 1e9, values.overhead_ms / 1e3
        )
        found = scaling_model.estimate(
            blocks.blocks, model, search, values.batch_size, values.seq_len, counts, machines
        )
        readers = -(-devices // values.devices_per_machine)
        results.append(
            {
                "devices": devices,
                "compute_ms": 1e3 * found.compute,
                "communication_ms": 1e3 * found.communication,
                "step_ms": 1e3 * found.seconds,
                "state_megabytes": found.state_bytes / 1e6,
                "activation_megabytes": found.activation_bytes / 1e6,
                "hours_per_epoch": steps * found.seconds / 3600,
                "read_gigabytes_per_epoch_and_machine": steps * found.read_bytes / 1e9,
                "read_megabytes_per_second_and_machine": found.read_bytes / found.seconds / 1e6,
                "machines": readers,
            }
        )
    alone = scaling_model.estimate(
        blocks.blocks,
        model,
        search,
        values.batch_size,
        values.seq_len,
        counts,
        dataclasses.replace(machines, devices=1),
    )
    for row in results:
        row["efficiency"] = 1e3 * alone.seconds / row["step_ms"] / row["devices"]
    parameters = scaling_model.parameters(blocks.blocks, model, values.vocab_size)
    if values.json:
        print(
            schema.canonical_json(
                {
                    "architecture": blocks.blocks,
                    "parameters": parameters,
                    "steps_per_epoch": steps,
                    "scaling": results,
                }
            )
        )
        return 0
    print(
        f"{blocks.short}: {parameters:,} parameters; batch {values.batch_size} x {values.seq_len};"
        f" {steps:,} steps an epoch"
    )
    print(
        "devices  compute ms  all-reduce ms  step ms  efficiency  state MB  activations MB "
        " hours/epoch  read GB/epoch and machine  MB/s"
    )
    for row in results:
        times = f"{row['devices']:>7}{row['compute_ms']:>12.1f}{row['communication_ms']:>15.1f}{row['step_ms']:>9.1f}{row['efficiency']:>12.0%}"
        memory = f"{row['state_megabytes']:>10,.0f}{row['activation_megabytes']:>16,.0f}{row['hours_per_epoch']:>13.2f}"
        input_ = f"{row['read_gigabytes_per_epoch_and_machine']:>27.2f}{row['read_megabytes_per_second_and_machine']:>6.1f}"
        print(f"{times}{memory}{input_}")
    print(
        "by the formula of par/bench/scaling_model.py; state: parameters, gradients, moments;"
        " memory of one device, by figures of a CPU"
    )
    return 0


def _saving(values: Flags) -> int:
    if (
        min(
            values.steps,
            values.repeats,
            values.vocab_size,
            values.batch_size,
            values.seq_len,
            values.save_every,
            values.num_blocks,
        )
        < 1
    ):
        raise UsageError(
            "steps, repeats, vocab_size, batch_size, seq_len, save_every and num_blocks must be at"
            " least 1"
        )
    model = values.read(ModelConfig)
    model.check_vocabulary(values.vocab_size)
    data = run_config.DataIdentity(
        "synthetic", values.vocab_size, values.batch_size, values.seq_len, 10_000, "", ""
    )
    blocks = architecture.parse(values.architecture or f"{values.num_blocks}s")
    config = run_config.RunConfig(blocks, model, SearchConfig(), TrainingConfig(), data)
    if values.directory and not Path(values.directory).is_dir():
        raise UsageError(f"directory must be one that exists, but is {values.directory!r}")
    start_tensorflow()
    from par.bench import training_speed

    with (
        tempfile.TemporaryDirectory(dir=values.directory or None) as scratch,
        Progress("benchmark", "checkpoint", values.repeats) as progress,
    ):
        timed = training_speed.TimedSaving(config, values.steps, Path(scratch))
        rounds = []
        for _ in range(values.repeats):
            rounds.append(
                (timed.milliseconds_per_step(), timed.save(), timed.milliseconds_per_step())
            )
            progress(1)
        megabytes = timed.megabytes
    before, saving, after = map(statistics.median, zip(*rounds))
    slowest = max(milliseconds for _, milliseconds, _ in rounds)
    lost = {"median": saving, "slowest": slowest}
    shares = {
        f"share_{name}": milliseconds / (milliseconds + values.save_every * before)
        for name, milliseconds in lost.items()
    }
    figures = {
        "megabytes": megabytes,
        "milliseconds": saving,
        "slowest": slowest,
        "step_before": before,
        "step_after": after,
        **shares,
    }
    if values.json:
        print(
            schema.canonical_json(
                {"architecture": blocks.blocks, "save_every": values.save_every, **figures}
            )
        )
        return 0
    print(
        f"a checkpoint of {blocks.short}: {megabytes:.1f} MB, {saving:.0f} ms (slowest"
        f" {slowest:.0f}); medians of {values.repeats}"
    )
    print(
        f"a step: {before:.1f} ms before a checkpoint, {after:.1f} ms after one; mean of"
        f" {values.steps}, medians of {values.repeats}"
    )
    every = f"one every {values.save_every} steps takes"
    print(
        f"{every} {shares['share_median']:.2%} of the time ({shares['share_slowest']:.2%} if each"
        " were the slowest)"
    )
    return 0


class Subject(NamedTuple):
    """What can be measured: its flags, and the work."""

    flags: Flags
    work: Callable[[Flags], int]


SUBJECTS = {
    "train": Subject(TRAIN, _train),
    "softmax": Subject(SOFTMAX, _softmax),
    "data": Subject(DATA, _data),
    "estimators": Subject(ESTIMATORS, _estimators),
    "growth": Subject(GROWTH, _growth),
    "generation": Subject(GENERATION, _generation),
    "sharing": Subject(SHARING, _sharing),
    "scaling": Subject(SCALING, _scaling),
    "saving": Subject(SAVING, _saving),
}
OVERVIEW = Flags(
    "\n".join(
        [__doc__, *(line for subject in SUBJECTS.values() for line in subject.flags.options())]
    )
)


def main(argv: list[str] | None = None) -> int:
    """The command: its first argument names what is measured."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    named = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if named in SUBJECTS:
        return run_command(SUBJECTS[named].flags, SUBJECTS[named].work, arguments)

    def refuse(_: Flags) -> int:
        raise UsageError(
            f"the first argument must name what is measured, one of {', '.join(SUBJECTS)}, but is"
            f" {named!r}; see --help"
        )

    return run_command(OVERVIEW, refuse, [] if named else arguments)


if __name__ == "__main__":
    sys.exit(main())
