"""The whole training state, saved whole or not at all, restored or refused.

`tf.train.Checkpoint` checks every tensor against its checksum on reading; the newest `keep` and the best by validation nll are kept.
Beside the tensors a checkpoint holds one JSON text: what the loop remembers, and how long each log file was when the state was saved.
Which checkpoints there are is read from their files, never from TensorFlow's pointer file, which may be stale or empty.
"""

from __future__ import annotations

import json
import re
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
        self._directories = {"last": Path(directory), "best": Path(directory) / "best"}
        self._keep = {"last": keep, "best": 1}
        self._managers: dict[str, tf.train.CheckpointManager] = {}
        self._damaged: list[Path] = []

    def save(self, step: int, note: dict[str, Any], which: str = "last") -> None:
        """Writes the state after `step` updates. Raises: ResourceError if it can't be written; earlier checkpoints stay."""
        self._note.assign(json.dumps(note))
        try:
            self._manager(which).save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            message = str(error).splitlines()[0]
            raise ResourceError(f"checkpoint of step {step} could not be written ({message}); the one before is whole") from None

    def restore(self, which: str = "last", warn: Callable[[str], None] = print) -> dict[str, Any] | None:
        """Loads the newest checkpoint that is whole and returns its note; None if there is none at all.

        A damaged one is named through `warn` and the one before is tried; the next `save` sets it aside.
        Raises: DataError if there are checkpoints but none can be loaded.
        """
        paths = self._paths(which)
        for path in paths:
            try:
                status = self._checkpoint.restore(str(path))
                status.assert_existing_objects_matched()
                status.assert_consumed()
                return json.loads(self._note.numpy())
            except DAMAGED as error:
                self._damaged.append(path)
                warn(f"checkpoint {path} can't be used ({str(error).splitlines()[0][:160]}); trying the one before")
        if paths:
            raise DataError(f"none of the {len(paths)} checkpoints beside {paths[0]} can be loaded: give another --run, or remove it to start over")
        return None

    def _paths(self, which: str) -> list[Path]:
        """The checkpoints on disk, newest first, without TensorFlow's endings."""
        found = {path: re.fullmatch(r"ckpt-(\d+)\.(index|data-\d+-of-\d+)", path.name) for path in self._directories[which].glob("ckpt-*")}
        steps = {int(match[1]) for match in found.values() if match}
        return [self._directories[which] / f"ckpt-{step}" for step in sorted(steps, reverse=True)]

    def _manager(self, which: str) -> tf.train.CheckpointManager:
        """TensorFlow's manager, told what is on disk; damaged checkpoints are renamed to *.damaged so that they don't push out whole ones."""
        if which not in self._managers:
            directory = self._directories[which]
            for path in self._damaged:
                for file in path.parent.glob(f"{path.name}.*"):
                    file.rename(file.with_name(f"{file.name}.damaged"))
            self._damaged.clear()
            if paths := [str(path) for path in reversed(self._paths(which))]:
                tf.compat.v1.train.update_checkpoint_state(str(directory), paths[-1], paths)
            else:
                (directory / "checkpoint").unlink(missing_ok=True)
            self._managers[which] = tf.train.CheckpointManager(self._checkpoint, str(directory), max_to_keep=self._keep[which])
        return self._managers[which]
