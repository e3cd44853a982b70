"""Measures the speed of this program on this machine.

    python tools/benchmark.py train                        steps per second of the search for each sampling, and of fixed networks
    python tools/benchmark.py train --json --steps=100     the same as one JSON line
    python tools/benchmark.py softmax                      plain against adaptive softmax, forward and backward, by vocabulary size
    python tools/benchmark.py data                         how fast a data set is built, beside SentencePiece alone, and its peak memory
    python tools/benchmark.py softmax --help               the flags of one subject alone

What is compared is timed in turn, again and again, so that a change in the machine's speed meets all of it; the medians are printed. Model
FLOPs utilisation is FLOPs of the network's matrix products per second over the best 2048 x 2048 product seen in the same run.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from par import architecture, corpora, corpus, data_speed, files, runs
from par.config import DataConfig, ModelConfig, SearchConfig, TrainingConfig
from par.errors import UsageError
from par.progress import Progress
from par.tools import common

BASE_SHAPE = {"d_model": 128, "num_heads": 4, "d_ffn": 512, "mem_len": 16, "cutoffs": (250, 2500)}
BATCH = (
    (flags.DEFINE_integer, "batch_size", 32, "rows B"),
    (flags.DEFINE_integer, "seq_len", 32, "window length T in tokens"),
)
OUTPUT = (flags.DEFINE_bool, "json", False, "print one JSON line")
TRAIN = common.Flags(__doc__).own(
    "train",
    (flags.DEFINE_integer, "steps", 50, "training steps of one measurement"),
    (flags.DEFINE_integer, "repeats", 5, "measurements of each network, in turn"),
    (flags.DEFINE_string, "architecture", "6s", "blocks of the search"),
    (flags.DEFINE_multi_string, "fixed", ["adadad"], "blocks of a fixed network to time beside it"),
    (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V"),
    *BATCH,
    (flags.DEFINE_integer, "mem_len", BASE_SHAPE["mem_len"], "memory length M in tokens"),
    OUTPUT,
)
SOFTMAX = common.Flags(__doc__).own(
    "softmax",
    (flags.DEFINE_integer, "repeats", 7, "measurements of each softmax, in turn"),
    (flags.DEFINE_multi_integer, "vocab_size", [12_000, 32_000, 267_735], "vocabulary size V"),
    (flags.DEFINE_integer, "d_model", BASE_SHAPE["d_model"], "model width D"),
    (flags.DEFINE_multi_integer, "cutoffs", [], "first id of each tail cluster of the adaptive softmax, the same for every V (default V/50 and V/5)"),
    *BATCH,
    OUTPUT,
)
DATA = common.Flags(__doc__).own(
    "data",
    (flags.DEFINE_multi_integer, "megabytes", [20, 200], "size of a text, in millions of bytes"),
    (flags.DEFINE_string, "input_text", "", "a file that is repeated until it has that size; by default python-docs"),
    (flags.DEFINE_integer, "vocab_size", 4000, "vocabulary size V of the unigram tokenizer"),
    (flags.DEFINE_integer, "workers", 0, "processes that encode, 0: one a core"),
    (flags.DEFINE_integer, "repeats", 3, "measurements of SentencePiece alone, before and after each build"),
    OUTPUT,
)


def _config(values: common.Flags, blocks: str, sampling: str) -> runs.RunConfig:
    data = runs.DataIdentity("synthetic", values.vocab_size, values.batch_size, values.seq_len, 10_000, "", "")
    model = ModelConfig(**BASE_SHAPE | {"mem_len": values.mem_len})
    model.check_vocabulary(values.vocab_size)
    return runs.RunConfig(architecture.parse(blocks), model, SearchConfig(sampling=sampling), TrainingConfig(), data)


def _train(values: common.Flags) -> int:
    if min(values.steps, values.repeats, values.vocab_size, values.batch_size, values.seq_len) < 1:
        raise UsageError("steps, repeats, vocab_size, batch_size and seq_len must be at least 1")
    configs = {f"{values.architecture} {sampling}": _config(values, values.architecture, sampling) for sampling in SearchConfig.choices("sampling")}
    configs |= {blocks: _config(values, blocks, "soft") for blocks in values.fixed}
    common.start_tensorflow()
    from par import timing

    networks = {name: timing.TimedTraining(config, values.steps) for name, config in configs.items()}
    rates: dict[str, list[float]] = {name: [] for name in networks}
    best = 0.0
    with Progress("benchmark", "measurement", values.repeats * len(networks)) as progress:
        for _ in range(values.repeats):
            best = max(best, timing.best_product())
            for name, network in networks.items():
                rates[name].append(network.run())
                progress(1, name)
    results = [_result(name, rates[name], network.flops, best) for name, network in networks.items()]
    if values.json:
        print(files.canonical_json({"best_product_gflops": round(best / 1e9, 1), "networks": results}))
        return 0
    print(f"{'network':<24}{'steps/s':>9}{'slowest':>9}{'fastest':>9}{'GFLOP/step':>12}{'MFU':>7}")
    for row in results:
        figures = f"{row['steps_per_second']:>9.2f}{row['slowest']:>9.2f}{row['fastest']:>9.2f}{row['gflop_per_step']:>12.2f}"
        print(f"{row['network']:<24}{figures}{row['model_flops_utilisation']:>7.2f}")
    print(f"medians of {values.repeats} measurements of {values.steps} steps; best matrix product {best / 1e9:.0f} GFLOP/s")
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


def _softmax(values: common.Flags) -> int:
    if min(values.repeats, values.batch_size, values.seq_len, *values.vocab_size) < 1:
        raise UsageError("repeats, vocab_size, batch_size and seq_len must be at least 1")
    if not values.cutoffs and min(values.vocab_size) < 50:
        raise UsageError(f"vocab_size must be at least 50 unless --cutoffs are given, but is {min(values.vocab_size)}")
    rows = values.batch_size * values.seq_len
    plain = ModelConfig(d_model=values.d_model, num_heads=1)
    adaptive = {size: dataclasses.replace(plain, cutoffs=values.cutoffs or (size // 50, size // 5)) for size in values.vocab_size}
    for size, model in adaptive.items():
        model.check_vocabulary(size)
    common.start_tensorflow()
    from par import softmax_timing, timing

    results = []
    with Progress("benchmark", "measurement", 2 * values.repeats * len(adaptive)) as progress:
        for size, model in adaptive.items():
            tokens = timing.synthetic_tokens(size, (rows,))
            layers = {"plain": plain, "adaptive": model}
            timed = {name: softmax_timing.TimedSoftmax(layer, size, rows).timing(tokens) for name, layer in layers.items()}
            milliseconds: dict[str, list[float]] = {name: [] for name in timed}
            for _ in range(values.repeats):
                for name, timing_of in timed.items():
                    milliseconds[name].append(timing_of())
                    progress(1, f"{name}, V {size:,}")
            figures = {name: {"milliseconds": statistics.median(m), "slowest": max(m), "fastest": min(m)} for name, m in milliseconds.items()}
            ratio = figures["plain"]["milliseconds"] / figures["adaptive"]["milliseconds"]
            results.append({"vocab_size": size, "cutoffs": list(model.cutoffs), **figures, "ratio": ratio})
    if values.json:
        print(files.canonical_json({"rows": rows, "d_model": values.d_model, "softmax": results}))
        return 0
    print(f"{'vocabulary':>10}  {'cutoffs':<24}{'ms':>9}{'slowest':>9}{'fastest':>9}{'ratio':>8}")
    for row in results:
        for name, cutoffs, ratio in (("plain", "none", 1.0), ("adaptive", " ".join(f"{c:,}" for c in row["cutoffs"]), row["ratio"])):
            figures = f"{row[name]['milliseconds']:>9.1f}{row[name]['slowest']:>9.1f}{row[name]['fastest']:>9.1f}{ratio:>8.1f}"
            print(f"{row['vocab_size']:>10,}  {cutoffs:<24}{figures}")
    print(f"medians of {values.repeats} measurements of nll and gradients, {rows:,} tokens, D {values.d_model}; ratio: times as fast as plain")
    return 0


def _data(values: common.Flags) -> int:
    if min(values.repeats, *values.megabytes) < 1 or values.workers < 0:
        raise UsageError("repeats and megabytes must be at least 1, workers at least 0")
    source = corpus.Text.of(Path(values.input_text)) if values.input_text else corpora.named("python-docs").texts["train"]
    results = []
    with tempfile.TemporaryDirectory() as scratch, Progress("benchmark", "build", len(values.megabytes)) as progress:
        text, root = Path(scratch) / "text.txt", Path(scratch) / "data"
        settings = DataConfig(input_text=str(text), vocab_size=values.vocab_size)
        if source.raw_bytes == 0:
            raise UsageError(f"input_text {values.input_text} is empty: give a text to repeat")
        data_speed.write_text(text, source, data_speed.BASELINE_BYTES)
        data_speed.build_timed(settings, root, values.workers)  # gives the tokenizer that SentencePiece alone encodes with
        alone = data_speed.Baseline(root / "tokenizer.model", text, values.workers)
        for megabytes in values.megabytes:
            data_speed.write_text(text, source, megabytes * data_speed.MEGABYTE)
            rates = [alone.rate() for _ in range(values.repeats)]
            used = data_speed.build_timed(settings, root, values.workers)
            rates += [alone.rate() for _ in range(values.repeats)]
            rate = megabytes / (used["reading"] + used["encoding"] + used["writing"])
            beside = {"slowest": min(rates), "fastest": max(rates), "median": statistics.median(rates)}
            shares = {"megabytes_per_second": rate, "sentencepiece_alone": beside, "ratio": rate / beside["median"]}
            results.append({"megabytes": megabytes, "seconds": used, "peak_memory_megabytes": used.pop("peak_memory_megabytes"), **shares})
            progress(1, f"{megabytes} MB")
    if values.json:
        print(files.canonical_json({"builds": results}))
        return 0
    stages = [name for name in results[0]["seconds"] if name != "starting_tensorflow"]
    titles = "".join(f"{name} s".rjust(12) for name in stages)
    print(f"{'MB':>6}{titles}{'MB/s':>8}{'SentencePiece alone':>28}{'ratio':>7}{'peak MB':>9}")
    for row in results:
        seconds = "".join(f"{row['seconds'][name]:>12.1f}" for name in stages)
        alone = "{median:.1f} ({slowest:.1f} to {fastest:.1f})".format(**row["sentencepiece_alone"])
        print(
            f"{row['megabytes']:>6,}{seconds}{row['megabytes_per_second']:>8.1f}{alone:>28}{row['ratio']:>7.2f}{row['peak_memory_megabytes']:>9,.0f}"
        )
    print("MB/s: reading, encoding and writing, without training the tokenizer; peak: this build's processes together, training included")
    return 0


class Subject(NamedTuple):
    """What can be measured: its flags, and the work."""

    flags: common.Flags
    work: Callable[[common.Flags], int]


SUBJECTS = {"train": Subject(TRAIN, _train), "softmax": Subject(SOFTMAX, _softmax), "data": Subject(DATA, _data)}
OVERVIEW = common.Flags("\n".join([__doc__, *(line for subject in SUBJECTS.values() for line in subject.flags.options())]))


def main(argv: list[str] | None = None) -> int:
    """The command: its first argument names what is measured."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    named = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if named in SUBJECTS:
        return common.run(SUBJECTS[named].flags, SUBJECTS[named].work, arguments)

    def refuse(_: common.Flags) -> int:
        raise UsageError(f"the first argument must name what is measured, one of {', '.join(SUBJECTS)}, but is {named!r}; see --help")

    return common.run(OVERVIEW, refuse, [] if named else arguments)


if __name__ == "__main__":
    sys.exit(main())
