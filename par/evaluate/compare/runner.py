"""The runs of a comparison: each trained by the loop that trains every run, and scored once.

Every run is a directory as tools/train.py leaves it, with scores.json beside: the figures of the
last state on valid and test.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from par.core import metrics, schema
from par.core.config import LoggingConfig
from par.core.errors import StoppedError
from par.data import records
from par.evaluate import evaluation
from par.evaluate.compare.statistics import SCORED, scores_path
from par.evaluate.training_hooks import training_hooks
from par.train import run_config, run_directory, session, weight_transfer
from par.train.learner import Learner


def train(
    run_dir: Path,
    config: run_config.RunConfig,
    data_dir: Path,
    announce: Callable[[str], None],
    source: Path | None = None,
) -> None:
    """Trains a run to its end, from where it stands, and writes its scores; what was stopped
    between the two is scored.

    source: as in par.train.session.train.
    Raises: StoppedError (state saved) on a signal; DivergedError; UsageError if another process
    works in the directory.
    """
    with run_directory.locked(run_dir, announce):
        made = session.train(
            run_dir,
            config,
            data_dir,
            LoggingConfig(sample_length=0),
            hooks=training_hooks(),
            announce=announce,
            source=source,
        )
        about = {
            "step": made.step,
            "parameters": made.learner.parameters,
            "seconds": made.note["seconds"],
        }
        schema.write_json(scores_path(run_dir), about | _scores(made.learner, data_dir, "fixed"))
        if made.received:
            raise StoppedError(
                f"stopped by {signal.Signals(made.received[0]).name} after run {run_dir} had"
                " ended: the same command continues"
            )
    del made
    _forget_graphs()


def score_untrained(
    search: Path,
    init: run_config.Origin,
    data_dir: Path,
    blocks: str,
    seconds: float,
    announce: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """The scores of a search at the checkpoint `init`, as in scores.json: soft, argmax, and the
    network of `blocks` with its weights. seconds: of the search. Raises: DataError if that
    checkpoint is damaged."""
    supernet = weight_transfer.load_source(search, init, announce)
    networks = {
        "soft": (supernet, "soft"),
        "argmax": (supernet, "argmax"),
        "inherited": (weight_transfer.derive_network(supernet, blocks), "fixed"),
    }
    about = {"step": init.step, "seconds": seconds}
    found = {
        name: about | {"parameters": learner.parameters} | _scores(learner, data_dir, way)
        for name, (learner, way) in networks.items()
    }
    del supernet, networks
    _forget_graphs()
    return found


def _scores(learner: Learner, data_dir: Path, way: str) -> dict[str, dict[str, Any]]:
    """The figures of par.core.metrics by split."""
    manifest = records.load(data_dir)
    return {
        split: metrics.finite(evaluation.score(learner, data_dir, manifest, split, way))
        for split in SCORED
    }


def _forget_graphs() -> None:
    """Else the graphs of every run stay in memory."""
    keras.backend.clear_session()
    gc.collect()
