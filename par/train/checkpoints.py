"""The whole training state, saved whole or not at all, restored or refused.

`tf.train.Checkpoint` checks every tensor against its checksum on reading; the newest `keep` and
the best by validation nll are kept. Beside the tensors a checkpoint holds one JSON text, the note:
what the loop remembers, how long each log file was when the state was saved, and the settings that
the run was made with. Numbers of the state are read by their names; nothing is unpickled.

Which checkpoints there are is read from their files, never from TensorFlow's pointer file, which
may be stale or empty. `tf.train.CheckpointManager` is not used: it takes the directory as a
pattern, and so for logs/run[12] would remove the files of logs/run1.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from par.core import files, schema
from par.core.errors import DataError, ResourceError
from par.objectives import CONTRACTS
from par.search import diagnostics
from par.train import run_directory
from par.train.literal_path import literal_path
from par.train.run_config import RunConfig

# What TensorFlow raises for a flipped byte, a cut file, a missing index, a graph that can't be
# parsed, or another network's state.
DAMAGED = (tf.errors.OpError, ValueError, LookupError, AssertionError, DecodeError)
NOTE = "note/.ATTRIBUTES/VARIABLE_VALUE"  # the note's name in TensorFlow's files
MAX_NOTE_BYTES = 1 << 20


class Checkpoints:
    """The checkpoints of one run: `last` under checkpoints/, `best` under checkpoints/best/."""

    def __init__(self, directory: Path, state: dict[str, Any], keep: int = 2):
        self._note = tf.Variable("{}", dtype=tf.string, trainable=False)
        self._checkpoint = tf.train.Checkpoint(**state, note=self._note)
        self._state = state
        self._directories = {
            which: run_directory.checkpoint_dir(directory, which) for which in ("last", "best")
        }
        self._keep = {"last": keep, "best": 1}
        self._checkpoint.save_counter  # noqa: B018  creates it: it is a part of the state
        self._damaged: list[Path] = []

    @property
    def variables(self) -> list[Any]:
        """Every variable of the state."""
        return list(_variables(self._state))

    def save(self, step: int, note: dict[str, Any], which: str = "last") -> None:
        """Writes the state after `step` updates. Raises: ResourceError if it can't be written;
        earlier checkpoints stay, and nothing half-written."""
        self._note.assign(json.dumps(note))
        directory = self._directories[which]
        path = directory / f"ckpt-{step}"
        before = set(directory.glob(f"{path.name}.*"))
        try:
            self._tidy(directory)
            self._checkpoint.save_counter.assign_add(1)
            self._checkpoint.write(str(path))
            older = [each for each in _paths(directory) if each != path]
            kept = [path, *older[: self._keep[which] - 1]]
            _write_pointer(directory, kept)
            for each in set(older) - set(kept):
                _remove_checkpoint(each)
        except (tf.errors.OpError, OSError, ResourceError) as error:
            half = set() if _is_readable(path) else set(directory.glob(f"{path.name}.*")) - before
            _remove(directory, half)
            size = sum(variable.numpy().nbytes for variable in self.variables)
            raise files.write_error(path, size, error, kept=self._whole()) from None

    def files(self, step: int) -> list[Path]:
        """The files of a checkpoint."""
        return run_directory.checkpoint_files(self._directories["last"])[step]

    def restore(
        self, which: str = "last", warn: Callable[[str], None] = print
    ) -> dict[str, Any] | None:
        """Loads the newest checkpoint that is whole and returns its note; None if there is none at
        all.

        A damaged one is named through `warn` and the one before is tried; the next `save` sets it
        aside.
        Raises: DataError if there are checkpoints but none can be loaded; ResourceError if the
        system does not let one be read: it may be whole.
        """
        directory = self._directories[which]
        paths = _paths(directory)
        if not paths:
            return None
        with literal_path(directory) as literal:
            for path in paths:
                _check_readable(path)
                try:
                    status = self._checkpoint.restore(str(literal / path.name))
                    status.assert_existing_objects_matched()
                    status.assert_consumed()
                    return checked_note(self._note.numpy())
                except DAMAGED as error:
                    self._damaged.append(path)
                    reason = str(error).splitlines()[0].replace(str(literal), str(directory))[:160]
                    warn(f"checkpoint {path} can't be used ({reason}); trying the one before")
        raise DataError(
            f"none of the {len(paths)} checkpoints in {directory} can be loaded: put a whole copy"
            " in their place, or train again in another --run=DIR"
        )

    def _whole(self) -> str:
        whole = [
            path.name
            for which in ("last", "best")
            for path in _paths(self._directories[which])
            if path not in self._damaged
        ]
        return f"; checkpoint {whole[0]} is whole" if whole else "; there is no checkpoint yet"

    def _tidy(self, directory: Path) -> None:
        """Renames damaged checkpoints to *.damaged, so that whole ones are kept in their place,
        and removes what a save that was killed has left."""
        directory.mkdir(parents=True, exist_ok=True)
        for path in self._damaged:
            for file in path.parent.glob(f"{path.name}.*"):
                file.rename(file.with_name(f"{file.name}.damaged"))
        self._damaged.clear()
        _remove(directory, set(run_directory.unfinished_files(directory)))


def check_settings(directory: Path, config: RunConfig, which: str = "last") -> None:
    """Compares a run's settings with those that its newest readable checkpoint was made with,
    before a network of these settings is allocated.

    Raises: DataError with the differences, `name: in config.json -> in the checkpoint`.
    """
    for path in _paths(run_directory.checkpoint_dir(directory, which)):
        try:
            made = _read_note(path)["run"]
        except DAMAGED:  # `Checkpoints.restore` names it
            continue
        asked = json.loads(json.dumps(config.identity()))
        differences = [
            f"{key}: {asked.get(key)} -> {made.get(key)}"
            for key in sorted(asked | made)
            if asked.get(key) != made.get(key)
        ]
        if differences:
            raise DataError(
                f"the settings are not those of checkpoint {path} ({'; '.join(differences)}): put"
                " the run's own config.json back"
            )
        return


def checked_note(text: bytes) -> dict[str, Any]:
    """A note from its JSON text. Raises: ValueError unless it is what the training loop writes."""
    if len(text) > MAX_NOTE_BYTES:
        raise ValueError(f"the checkpoint's note has {len(text)} bytes")
    try:
        note = schema.parse_json(text)
        contract = CONTRACTS[note["run"]["objective"]]
        headline = contract.headline.name
        # an earlier version summed all parts
        sums_of = {2 + 2 * len(parts) for parts in (contract.training_parts, contract.parts)}
        best = {"step": 0, headline: 0.0} if note["best"] is None else note["best"]
        numbers = [
            note["seconds"],
            best[headline],
            *(number for sums in note["sums"].values() for number in sums),
        ]
        lengths = [best["step"], *note["files"].values()]
        diagnostics.Stability.from_json(note["watch"])
        ok = set(note) == {"sums", "seconds", "best", "files", "run", "watch"} and set(
            note["sums"]
        ) == {"log", "record", "evaluation"}
        ok = (
            ok
            and set(best) == {"step", headline}
            and all(len(sums) in sums_of for sums in note["sums"].values())
        )
        ok = ok and all(
            type(number) in (int, float) and 0 <= number <= sys.float_info.max
            for number in numbers
        )
        ok = ok and all(type(length) is int and 0 <= length < 1 << 53 for length in lengths)
    except (LookupError, TypeError, AttributeError, ValueError):
        ok = False
    if not ok:
        raise ValueError(f"the checkpoint's note is not one of this program: {text[:60]!r}")
    return note


def _paths(directory: Path) -> list[Path]:
    """The checkpoints on disk, newest first, without TensorFlow's endings."""
    return [directory / f"ckpt-{step}" for step in run_directory.checkpoint_files(directory)]


def _check_readable(path: Path) -> None:
    """Raises: ResourceError if the system refuses to read a file of a checkpoint, as where a
    permission is missing or a disk fails. TensorFlow tells that and damage alike."""
    for file in sorted(path.parent.glob(f"{path.name}.*")):
        try:
            with file.open("rb") as stream:
                stream.read(1)
        except (FileNotFoundError, IsADirectoryError):
            continue  # damage, which TensorFlow finds
        except OSError as error:
            raise ResourceError(
                f"checkpoint file {file} can't be read ({error.strerror}), so it is not known"
                " whether it is whole: make it readable, then try again"
            ) from None


def _read_note(path: Path) -> dict[str, Any]:
    """The note of a checkpoint on disk. Raises: one of DAMAGED."""
    with literal_path(path.parent) as literal:
        return checked_note(tf.train.load_checkpoint(str(literal / path.name)).get_tensor(NOTE))


def _is_readable(path: Path) -> bool:
    try:
        _read_note(path)
    except (*DAMAGED, ResourceError):
        return False
    return True


def _write_pointer(directory: Path, kept: list[Path]) -> None:
    """The file by which `tf.train.latest_checkpoint` finds the newest. kept: newest first."""
    names = [path.name for path in reversed(kept)]
    lines = [
        f'model_checkpoint_path: "{names[-1]}"',
        *(f'all_model_checkpoint_paths: "{name}"' for name in names),
    ]
    files.write_text(directory / "checkpoint", "\n".join(lines) + "\n")


def _remove_checkpoint(path: Path) -> None:
    """Removes a checkpoint; its index first, without which it no longer counts."""
    for file in sorted(
        path.parent.glob(f"{path.name}.*"), key=lambda file: file.suffix != ".index"
    ):
        if not file.name.endswith(".damaged"):
            file.unlink(missing_ok=True)


def _remove(directory: Path, partial: set[Path]) -> None:
    """Removes half-written files: `partial`, and what TensorFlow leaves of a save that failed or
    was killed."""
    for path in partial:
        path.unlink(missing_ok=True)
    for path in directory.glob("ckpt-*_temp"):
        shutil.rmtree(path, ignore_errors=True)
    for path in directory.glob("checkpoint.tmp*"):
        path.unlink(missing_ok=True)


def _variables(state: Any) -> Iterator[Any]:
    """Every variable of a layer, an optimizer, a variable, or of a collection of them."""
    if isinstance(state, dict):
        yield from _variables(list(state.values()))
    elif isinstance(state, (list, tuple)):
        for item in state:
            yield from _variables(item)
    else:
        yield from getattr(state, "variables", [state])
