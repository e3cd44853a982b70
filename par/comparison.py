"""The runs of a comparison: each trained by the loop that trains every run, and scored once; all of them timed in turn.

Every run is a directory as tools/train.py leaves it, with scores.json beside: the figures of the last state on valid and test.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from par import evaluation, files, logs, metrics, records, runs, timing
from par.compare import SCORED, scores_path
from par.config import LoggingConfig
from par.errors import StoppedError
from par.latency import WHAT
from par.progress import Progress
from par.training import Trainer


def train(run_dir: Path, config: runs.RunConfig, data_dir: Path, announce: Callable[[str], None]) -> None:
    """Trains a run to its end, from where it stands, and writes its scores; what was stopped between the two is scored.

    Raises: StoppedError (state saved) on a signal; DivergedError; UsageError if another process works in the directory.
    """
    logging = LoggingConfig()
    with runs.locked(run_dir):
        if not (run_dir / "config.json").is_file():
            config.write_flags(run_dir, data_dir, logging)
            config.save(run_dir, data_dir)
        logs.write_environment(run_dir)
        trainer = Trainer(run_dir, config, data_dir, logging, announce)
        with Progress(config.architecture.short, "step", trainer.total, trainer.step) as progress, _many_graphs():
            trainer.run(progress)
        manifest = records.load(data_dir)
        scores = {split: evaluation.score(trainer.learner, data_dir, manifest, split, "fixed") for split in SCORED}
        about = {"step": trainer.step, "parameters": trainer.learner.parameters, "seconds": trainer.note["seconds"]}
        files.write_json(scores_path(run_dir), about | {split: metrics.finite(figures) for split, figures in scores.items()})
        if trainer.received:
            raise StoppedError(f"stopped by {signal.Signals(trainer.received[0]).name} after run {run_dir} had ended: the same command continues")
    del trainer
    keras.backend.clear_session()  # else the graphs of every run stay in memory
    gc.collect()


def measure(configs: Sequence[runs.RunConfig], repeats: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each network by its blocks, what of par.latency.WHAT, and round, on synthetic tokens.

    Every round takes all networks in turn, every other one backwards, so that a change of the machine's speed meets all of them. A measurement is
    the mean of `steps` training steps, or of as many windows of inference with memory: trunk and nll, as evaluation does it.
    """
    with _many_graphs():
        networks = [timing.TimedTraining(config, steps) for config in configs]
    windows = list(timing.synthetic_windows(configs[0], steps).take(steps))

    def inference(network: timing.TimedTraining) -> float:
        start = time.perf_counter()
        network.learner.evaluate(windows)
        return (time.perf_counter() - start) / steps

    for network in networks:
        inference(network)  # traces
    times: dict[str, dict[str, list[float]]] = {config.architecture.blocks: {what: [] for what in WHAT} for config in configs}
    with Progress("measuring", "round", repeats) as progress:
        for repeat in range(repeats):
            for network in networks[:: -1 if repeat % 2 else 1]:
                for what, seconds in zip(WHAT, (inference(network), 1 / network.run())):
                    times[network.config.architecture.blocks][what].append(1e3 * seconds)
            progress(1)
    return times


@contextlib.contextmanager
def _many_graphs() -> Iterator[None]:
    """TensorFlow warns where one function becomes many graphs; here each network needs its own."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
