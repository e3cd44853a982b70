"""Scores trained networks on any split: perplexity per token, per word, bits per character and per byte, side by side.

    python tools/evaluate.py --run=logs/RUN --split=valid --split=test
    python tools/evaluate.py --run=logs/SEARCH --run=logs/DERIVED                  a SuperNet as its mixture (soft) and as its argmax
    python tools/evaluate.py --run=logs/RUN --batch_size=1 --seq_len=64 --mem_len=256

B, T and M may differ from training's: the records are rejoined to one stream and cut anew. Twice the same command gives the same figures.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

from absl import flags

from par import batching, files, history, metrics, records, runs
from par.errors import UsageError
from par.progress import Progress, announce
from par.tools import common

FLAGS = common.Flags(__doc__).own(
    "What",
    (flags.DEFINE_multi_string, "run", [], "run directory (the table has lines for each)"),
    (flags.DEFINE_string, "data", None, "data set, where it is not at the place that the run remembers"),
    (common.choice(*records.SPLITS, repeatable=True), "split", ["valid", "test"], "split"),
    (common.choice("soft", "argmax", repeatable=True), "evaluate_as", ["soft", "argmax"], "how a SuperNet is scored; a fixed network is what it is"),
    (flags.DEFINE_integer, "batch_size", None, "rows B; the default is training's"),
    (flags.DEFINE_integer, "seq_len", None, "window length T in tokens; the default is training's"),
    (flags.DEFINE_integer, "mem_len", None, "memory length M in tokens; the default is training's"),
    (common.choice("last", "best"), "checkpoint", "last", "the last, or the best by valid nll"),
    (flags.DEFINE_bool, "show_history", False, "print the table of iterations of each run, too"),
    (flags.DEFINE_bool, "json", False, "print one JSON line"),
)  # fmt: skip
FIGURES = ("nll_per_token", *metrics.COMPARED)


def _work(values: common.Flags) -> int:
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    for name, least in (("batch_size", 1), ("seq_len", 1), ("mem_len", 0)):
        if getattr(values, name) is not None and not least <= getattr(values, name) <= 1 << 20:
            raise UsageError(f"{name} must be from {least} to {1 << 20}, but is {getattr(values, name)}")
    loaded = [(run, *common.opened(run, values.data)) for run in values.run]
    common.start_tensorflow()
    results = []
    for run, config, data_dir, manifest in loaded:
        results += _score(values, run, config, data_dir, manifest)
    if values.json:
        print(files.canonical_json({"results": [result | metrics.finite({name: result[name] for name in FIGURES}) for result in results]}))
        return 0
    if values.show_history:
        for run in values.run:
            print(f"{run}\n" + "\n".join(history.table(history.read(Path(run) / "history.jsonl"))) + "\n")
    print("\n".join(_table(results)))
    return 0


def _score(values: common.Flags, run: str, config: runs.RunConfig, data_dir: Path, manifest: records.Manifest) -> list[dict[str, Any]]:
    from par import evaluation, loading

    records.verify(data_dir, manifest, values.split)
    learner = loading.learner_of(run, config, values.checkpoint, announce)
    results = []
    ways = [way for way in evaluation.ways(learner) if way in ("fixed", *values.evaluate_as)]
    for split, way in itertools.product(values.split, ways):
        batch_size, seq_len = values.batch_size or manifest.batch_size, values.seq_len or manifest.seq_len
        total = batching.num_steps(manifest.splits[split].tokens, batch_size, seq_len, padded=split != "train")
        with Progress(f"{config.architecture.short} {split}", "window", total) as progress:
            scores = evaluation.score(learner, data_dir, manifest, split, way, batch_size, seq_len, values.mem_len, progress)
        about = {"run": run, "architecture": config.architecture.blocks, "split": split, "evaluate_as": way, "step": int(learner.step.numpy())}
        results.append(about | scores)
    return results


def _table(results: list[dict[str, Any]]) -> list[str]:
    rows = [("network", "split", *(name.replace("_", " ") for name in metrics.COMPARED))]
    for result in results:
        way = "" if result["evaluate_as"] == "fixed" else f" {result['evaluate_as']}"
        figures = (f"{result[name]:.{4 if name.startswith('bits') else 2}f}" for name in metrics.COMPARED)
        rows.append((f"{result['architecture']}{way}", result["split"], *figures))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(f"{cell:{'<' if i < 2 else '>'}{width}}" for i, (cell, width) in enumerate(zip(row, widths))) for row in rows]


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return common.run(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
