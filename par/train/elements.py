"""What the steps of a run read: windows of the records, or what is drawn of documents."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from par.data import records
from par.data.manifest import Manifest
from par.train.learner import Learner


def of_epoch(learner: Learner, data_dir: Path, manifest: Manifest, step: int) -> tf.data.Dataset:
    """The elements of the objective from step `step` of the run to the end of its epoch.

    Raises: DataError if the data lack what the objective reads.
    """
    config = learner.config
    per_epoch = config.data.steps_per_epoch
    if not config.contract.reads_documents:
        return records.dataset(data_dir, manifest, "train", start_step=step % per_epoch)
    reader = learner.objective.documents(data_dir, manifest, "train")
    steps = per_epoch - step % per_epoch
    return reader.training(config.data.batch_size, config.training.seed, step, steps)
