"""Steps per second of searches and of fixed networks; where the time of a step goes.

    python tools/benchmark.py train                        a table of networks, a table of parts
    python tools/benchmark.py train --json --steps=100     the same as one JSON line

Model FLOPs utilisation (MFU) is FLOPs of the network's matrix products per second over the fastest
2048 x 2048 product seen in the same run. The limit is what a step could reach at best: the matrix
products of the same shapes, forward and backward, with nothing between them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from absl import flags

from par.bench import in_turn
from par.core.config import SearchConfig
from par.core.progress import Progress
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow
from par.train.run_config import RunConfig

FLAGS = Flags(__doc__).own(
    "train",
    (flags.DEFINE_integer, "steps", 50, "training steps of one measurement"),
    (flags.DEFINE_integer, "repeats", 5, "measurements of each network, in turn"),
    (define_path, "architecture", "6s", "blocks of the search"),
    (
        flags.DEFINE_multi_string,
        "fixed",
        ["adadad"],
        "blocks of a fixed network to time beside it",
    ),
    settings.VOCABULARY,
    *settings.BATCH,
    settings.MEMORY,
    settings.OUTPUT,
)
PRODUCT = "matrix product"  # key of its measurement, beside networks, their products, and parts
MEANINGS = {
    "attention": "attention branches: what steps without them save",
    "dense": "dense branches: what steps without them save",
    "softmax": "nll and its gradients: what a step without them saves",
    "update": "gradient norm, clipping and Adam of all weights: what a step without it saves",
    "rest": "embedding, input, and what no other part explains",
    "step": "the whole, in the same rounds; the parts add up to it",
}


def work(values: Flags) -> int:
    """Times all networks and parts in the same rounds, and prints the tables."""
    settings.check_at_least(1, values, "steps", "repeats", "vocab_size", "batch_size", "seq_len")
    configs = _networks(values)
    soft = f"{values.architecture} soft"
    start_tensorflow()
    from par.bench import step_parts, step_products, training_speed

    lacking = [each for each in step_parts.LACKING if each != step_parts.WHOLE]
    total = (2 * len(configs) + len(lacking)) * (values.repeats + 1) + values.repeats
    with Progress("benchmark", "measurement", total) as progress:

        def on_done(key: Any) -> None:
            progress(1, key if isinstance(key, str) else f"without {', '.join(key)}")

        makers: dict[Any, Any] = {
            name: lambda config=config: training_speed.TimedTraining(config, values.steps)
            for name, config in configs.items()
        }
        makers |= {
            _limit(name): lambda config=config: step_products.TimedProducts(config, values.steps)
            for name, config in configs.items()
        }
        makers |= {
            each: lambda each=each: step_parts.timed_step(configs[soft], each, values.steps)
            for each in lacking
        }
        timed = in_turn.prepare(makers, on_done)
        measurements = {PRODUCT: training_speed.best_product}
        measurements |= {key: training.run for key, training in timed.items()}
        rates = in_turn.measure(measurements, values.repeats, on_done)
    best = max(rates[PRODUCT])
    networks = [
        _row(name, rates[name], rates[_limit(name)], timed[name].flops, best) for name in configs
    ]
    milliseconds = {each: [1e3 / rate for rate in rates[each]] for each in lacking}
    milliseconds[step_parts.WHOLE] = [1e3 / rate for rate in rates[soft]]
    parts = step_parts.split_step(milliseconds)
    figures = {
        "best_product_gflops": round(best / 1e9, 1),
        "networks": networks,
        "parts": parts,
    }
    return output.show(values, figures, lambda: _lines(values, networks, best, parts))


def _networks(values: Flags) -> dict[str, RunConfig]:
    searches: dict[str, dict[str, Any]] = {
        sampling: {"sampling": sampling} for sampling in SearchConfig.choices("sampling")
    }
    searches["single_path paths=1"] = {"sampling": "single_path", "paths": 1}
    searches |= {
        f"{name} bf16": searches[name] | {"precision": "bf16"} for name in ("soft", "single_path")
    }
    networks = {
        f"{values.architecture} {name}": settings.base_run(values, values.architecture, **search)
        for name, search in searches.items()
    }
    return networks | {blocks: settings.base_run(values, blocks) for blocks in values.fixed}


def _limit(name: str) -> str:
    """The key of the measurement of a network's matrix products."""
    return f"products of {name}"


def _row(
    name: str, rates: Sequence[float], limits: Sequence[float], flops: float, best: float
) -> dict[str, Any]:
    rate = statistics.median(rates)
    return {
        "network": name,
        "steps_per_second": rate,
        "slowest": min(rates),
        "fastest": max(rates),
        "limit": statistics.median(limits),
        "gflop_per_step": flops / 1e9,
        "model_flops_utilisation": rate * flops / best,
    }


def _lines(
    values: Flags, networks: list[dict[str, Any]], best: float, parts: dict[str, float]
) -> list[str]:
    columns = [
        ("network", "{network}"),
        ("steps/s", "{steps_per_second:.2f}"),
        ("slowest", "{slowest:.2f}"),
        ("fastest", "{fastest:.2f}"),
        ("limit", "{limit:.2f}"),
        ("GFLOP/step", "{gflop_per_step:.2f}"),
        ("MFU", "{model_flops_utilisation:.2f}"),
    ]
    rows = [
        {"part": part, "ms": ms, "share": ms / parts["step"], "meaning": MEANINGS[part]}
        for part, ms in parts.items()
    ]
    part_columns = [
        (f"part of {values.architecture} soft", "{part}"),
        ("ms", "{ms:.1f}"),
        ("share", "{share:.0%}"),
    ]
    title, *part_lines = output.table(part_columns, rows)
    return [
        *output.table(columns, networks),
        f"medians of {values.repeats} measurements of {values.steps} steps; limit: matrix products"
        f" alone, in steps/s; best matrix product {best / 1e9:.0f} GFLOP/s",
        "",
        title,
        *(f"{line}  {row['meaning']}" for line, row in zip(part_lines, rows, strict=True)),
    ]
