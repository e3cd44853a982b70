"""The whole training state, saved whole or not at all, restored or refused.

`tf.train.Checkpoint` checks every tensor against its checksum on reading; the newest `keep` and the best by validation nll are kept.
Beside the tensors a checkpoint holds one JSON text: what the loop remembers, and how long each log file was when the state was saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from par.errors import DataError, ResourceError

# What TensorFlow raises for a flipped byte, a cut file, a missing index, a graph that can't be parsed, or another network's state.
DAMAGED = (tf.errors.OpError, ValueError, LookupError, AssertionError, DecodeError)


class Checkpoints:
    """The checkpoints of one run: `last` under checkpoints/, `best` under checkpoints/best/."""

    def __init__(self, directory: Path, state: dict[str, Any], keep: int = 2):
        self._note = tf.Variable("{}", dtype=tf.string, trainable=False)
        self._checkpoint = tf.train.Checkpoint(**state, note=self._note)
        self._managers = {
            "last": tf.train.CheckpointManager(self._checkpoint, str(directory), max_to_keep=keep),
            "best": tf.train.CheckpointManager(self._checkpoint, str(directory / "best"), max_to_keep=1),
        }

    def save(self, step: int, note: dict[str, Any], which: str = "last") -> None:
        """Writes the state after `step` updates. Raises: ResourceError if it can't be written; earlier checkpoints stay."""
        self._note.assign(json.dumps(note))
        try:
            self._managers[which].save(checkpoint_number=step)
        except (tf.errors.ResourceExhaustedError, tf.errors.UnavailableError, OSError) as error:
            message = str(error).splitlines()[0]
            raise ResourceError(f"checkpoint of step {step} could not be written ({message}); the one before is whole") from None

    def restore(self, which: str = "last", warn: Callable[[str], None] = print, for_training: bool = True) -> dict[str, Any] | None:
        """Loads the newest checkpoint that is whole and returns its note; None if there is none at all.

        A damaged one is named through `warn` and the one before is tried. for_training: False reads the layers and ignores the optimizers.
        Raises: DataError if there are checkpoints but none can be loaded.
        """
        paths = list(reversed(self._managers[which].checkpoints))
        for path in paths:
            try:
                status = self._checkpoint.restore(path)
                status.assert_existing_objects_matched()
                if for_training:
                    status.assert_consumed()
                return json.loads(self._note.numpy())
            except DAMAGED as error:
                warn(f"checkpoint {path} can't be used ({str(error).splitlines()[0][:160]}); trying the one before")
        if paths:
            raise DataError(f"none of the {len(paths)} checkpoints beside {paths[0]} can be loaded: give another --run, or remove it to start over")
        return None
