"""The runs of a comparison: each trained by the loop that trains every run, and scored once.

Every run is a directory as tools/train.py leaves it, with scores.json beside: the figures of the
last state on valid and test.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Sequence
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
from par.train import loading, run_config, run_directory, session, weight_transfer
from par.train.learner import Learner


def train(
    run_dir: Path,
    config: run_config.RunConfig,
    data_dir: Path,
    announce: Callable[[str], None],
    *,
    source: Path | None = None,
    base_run: Path | None = None,
    until: int | None = None,
    splits: Sequence[str] = SCORED,
    should_stop: Callable[[int], bool] = lambda step: False,
    quiet: bool = False,
) -> None:
    """Trains a run to its end, from where it stands, and writes its scores on `splits`; what was
    stopped between the two is scored. A run that ends at step `until` before its end has none.

    source, base_run, until, should_stop, quiet: as in par.train.session.train.
    Raises: StoppedError (state saved) on a signal or should_stop; DivergedError; UsageError if
    another process works in the directory.
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
            base_run=base_run,
            until=until,
            should_stop=should_stop,
            quiet=quiet,
        )
        if made.ended:
            about = {
                "step": made.step,
                "parameters": made.learner.parameters,
                "seconds": made.note["seconds"],
            }
            found = _scores(made.learner, data_dir, "fixed", splits)
            schema.write_json(scores_path(run_dir), about | found)
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


def score_split(run_dir: Path, data_dir: Path, split: str) -> None:
    """Adds the scores of a finished run on one more split to its scores.json. Raises: DataError if
    its checkpoint is damaged."""
    config, _ = run_config.load(run_dir)
    learner = loading.load_learner(run_dir, config)
    kept = schema.read_json(scores_path(run_dir), "scores")
    found = kept | _scores(learner, data_dir, "fixed", [split])
    schema.write_json(scores_path(run_dir), found)
    del learner
    _forget_graphs()


def _scores(
    learner: Learner, data_dir: Path, way: str, splits: Sequence[str] = SCORED
) -> dict[str, dict[str, Any]]:
    """The figures of the objective by split."""
    manifest = records.load(data_dir)
    return {
        split: metrics.finite(evaluation.score(learner, data_dir, manifest, split, way))
        for split in splits
    }


def _forget_graphs() -> None:
    """Else the graphs of every run stay in memory."""
    keras.backend.clear_session()
    gc.collect()
