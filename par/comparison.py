"""The runs of a comparison: each trained by the loop that trains every run, and scored once; all of them timed in turn.

Every run is a directory as tools/train.py leaves it, with scores.json beside: the figures of the last state on valid and test.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from par import evaluation, files, latency_timing, metrics, records, runs, training
from par.compare import SCORED, scores_path
from par.config import LoggingConfig
from par.errors import StoppedError


def train(run_dir: Path, config: runs.RunConfig, data_dir: Path, announce: Callable[[str], None]) -> None:
    """Trains a run to its end, from where it stands, and writes its scores; what was stopped between the two is scored.

    Raises: StoppedError (state saved) on a signal; DivergedError; UsageError if another process works in the directory.
    """
    with runs.locked(run_dir):
        trainer = training.train(run_dir, config, data_dir, LoggingConfig(), announce)
        manifest = records.load(data_dir)
        scores = {split: evaluation.score(trainer.learner, data_dir, manifest, split, "fixed") for split in SCORED}
        about = {"step": trainer.step, "parameters": trainer.learner.parameters, "seconds": trainer.note["seconds"]}
        files.write_json(scores_path(run_dir), about | {split: metrics.finite(figures) for split, figures in scores.items()})
        if trainer.received:
            raise StoppedError(f"stopped by {signal.Signals(trainer.received[0]).name} after run {run_dir} had ended: the same command continues")
    del trainer
    keras.backend.clear_session()  # else the graphs of every run stay in memory
    gc.collect()


def measure(configs: Sequence[runs.RunConfig], data_dir: Path, repeats: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each network by its blocks, what of par.latency.WHAT, and round, all networks in turn: see par.latency_timing."""
    times = latency_timing.rounds(configs, records.read_counts(data_dir, records.load(data_dir)), repeats, steps)
    return {config.architecture.blocks: {what: found[:, n].tolist() for what, found in times.items()} for n, config in enumerate(configs)}
