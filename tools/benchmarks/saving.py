"""The cost of checkpoints: milliseconds of one, and its share of the training time.

python tools/benchmark.py saving --recipe=base
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from par.bench import in_turn, synthetic
from par.core.config import LoggingConfig, ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.core.progress import Progress
from par.search import architecture
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow
from par.train.run_config import RunConfig

FLAGS = (
    Flags(__doc__)
    .own(
        "saving",
        (
            define_path,
            "recipe",
            "",
            "named settings from tools/recipes/ (quick, base, seed) or a .flags file; the command"
            " line wins",
        ),
        (
            flags.DEFINE_integer,
            "num_blocks",
            6,
            "short for --architecture=Ns; without effect beside --architecture",
        ),
        (define_path, "architecture", "", "blocks of the network"),
        settings.VOCABULARY,
        *settings.BATCH,
        (flags.DEFINE_integer, "steps", 20, "training steps before and after each checkpoint"),
        (flags.DEFINE_integer, "repeats", 20, "checkpoints"),
        (
            define_path,
            "directory",
            "",
            "directory of the checkpoints, on the disk to measure; default: a temporary directory",
        ),
        settings.OUTPUT,
    )
    .group(ModelConfig, "saving: network")
    .group(LoggingConfig, "saving: how often", only=("save_every",))
)


def work(values: Flags) -> int:
    """Trains and saves again and again, and prints what a checkpoint costs."""
    sizes = ("steps", "repeats", "vocab_size", "batch_size", "seq_len", "save_every", "num_blocks")
    settings.check_at_least(1, values, *sizes)
    model = values.read(ModelConfig)
    model.check_vocabulary(values.vocab_size)
    data = synthetic.data(values.vocab_size, values.batch_size, values.seq_len)
    blocks = architecture.parse(values.architecture or f"{values.num_blocks}s")
    config = RunConfig(blocks, model, SearchConfig(), TrainingConfig(), data)
    if values.directory and not Path(values.directory).is_dir():
        raise UsageError(f"--directory must be one that exists, but is {values.directory!r}")
    start_tensorflow()
    from par.bench import checkpoint_speed

    with (
        tempfile.TemporaryDirectory(dir=values.directory or None) as scratch,
        Progress("benchmark", "checkpoint", values.repeats) as progress,
    ):
        timed = checkpoint_speed.TimedSaving(config, values.steps, Path(scratch))
        saved = in_turn.measure({"checkpoint": timed.run}, values.repeats, lambda _: progress(1))[
            "checkpoint"
        ]
        figures = _figures(values, saved, timed.megabytes)
    described = {"architecture": blocks.blocks, "save_every": values.save_every, **figures}
    return output.show(values, described, lambda: _lines(values, blocks.short, figures))


def _figures(values: Flags, saved: list[Any], megabytes: float) -> dict[str, float]:
    step_before, checkpoint, step_after = map(statistics.median, zip(*saved))
    slowest = max(each.checkpoint for each in saved)

    def share(milliseconds: float) -> float:
        return milliseconds / (milliseconds + values.save_every * step_before)

    return {
        "megabytes": megabytes,
        "milliseconds": checkpoint,
        "slowest": slowest,
        "step_before": step_before,
        "step_after": step_after,
        "share_median": share(checkpoint),
        "share_slowest": share(slowest),
    }


def _lines(values: Flags, blocks: str, figures: dict[str, float]) -> list[str]:
    return [
        f"a checkpoint of {blocks}: {figures['megabytes']:.1f} MB, {figures['milliseconds']:.0f}"
        f" ms (slowest {figures['slowest']:.0f}); medians of {values.repeats}",
        f"a step: {figures['step_before']:.1f} ms before a checkpoint,"
        f" {figures['step_after']:.1f} ms after one; mean of {values.steps}, medians of"
        f" {values.repeats}",
        f"one every {values.save_every} steps takes {figures['share_median']:.2%} of the time"
        f" ({figures['share_slowest']:.2%} if each were the slowest)",
    ]
