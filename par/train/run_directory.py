"""The directory of a run: its files, its name, its checkpoints, and the process that works in it.

logs/<run>/  config.json  flags.txt  environment.json  training_log.log  history.jsonl
             checkpoints/  tensorboard/{train,valid}
             summary.json (when finished)  architecture.json (by derive)  plots/  samples/
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from par.core import files, locks, schema
from par.core.errors import DataError, UsageError
from par.train.run_config import RunConfig

LOCK_BYTES = 200


def run_name(run_dir: Path) -> str:
    """The name of a run: its directory's, and for one of several seeds `group/seed0`."""
    path = Path(run_dir).resolve()
    return f"{path.parent.name}/{path.name}" if re.fullmatch(r"seed\d+", path.name) else path.name


def checkpoint_files(directory: Path) -> dict[int, list[Path]]:
    """The files of each checkpoint in a directory, by step, newest first, without those that were
    set aside or are still being written."""
    return {
        step: paths
        for step, paths in _by_step(directory).items()
        if not unfinished(directory, step).is_dir()
    }


def unfinished_files(directory: Path) -> list[Path]:
    """The files of a checkpoint whose save was killed."""
    left = {
        step: paths
        for step, paths in _by_step(directory).items()
        if unfinished(directory, step).is_dir()
    }
    return [path for paths in left.values() for path in paths]


def unfinished(directory: Path, step: int) -> Path:
    """The directory that TensorFlow writes a checkpoint to first, and removes when the
    checkpoint's own files are complete: the index is not written at once."""
    return Path(directory) / f"ckpt-{step}_temp"


def _by_step(directory: Path) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for path in sorted(Path(directory).glob("ckpt-*")):
        if match := re.fullmatch(r"ckpt-(\d+)\.(index|data-\d+-of-\d+)", path.name):
            found.setdefault(int(match[1]), []).append(path)
    return dict(sorted(found.items(), reverse=True))


def checkpoint_dir(directory: Path, which: str) -> Path:
    """The directory of the `last` or the `best` checkpoints. directory: checkpoints/ of a run."""
    return Path(directory) / "best" if which == "best" else Path(directory)


def is_finished(run_dir: Path) -> bool:
    """Whether the run has ended."""
    return (Path(run_dir) / "summary.json").is_file()


def last_step(run_dir: Path, config: RunConfig) -> int:
    """The step at which the run ends: the last of all, or an earlier one if --stop_when_stable
    ended it. Raises: DataError if summary.json is damaged."""
    path = Path(run_dir) / "summary.json"
    step = schema.read_json(path, "summary").get("step") if path.is_file() else config.total_steps
    if type(step) is not int or not 0 < step <= config.total_steps:
        raise DataError(
            f"summary {path} must have a step from 1 to {config.total_steps}, but has"
            f" {str(step)[:60]!r}"
        )
    return step


@contextlib.contextmanager
def locked(run_dir: Path, announce: Callable[[str], None]) -> Iterator[None]:
    """Locks the run for this process. The lock ends with its owner, however that ends.

    The file of the lock holds the owner's name while it works, and is emptied when the owner ends
    by itself, with an error or without. A name that is still there means that the last owner was
    killed: by a user, by the system for lack of memory, or with the machine. That is announced in
    one line.
    Raises: UsageError naming host and process if another live process holds it or the directory
    can't be written; ResourceError if the disk is full.
    """
    path = Path(run_dir) / "lock"
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = stack.enter_context(locks.locked(path))
        except locks.InUseError:
            owner = _owner(path) or "another process"
            raise UsageError(
                f"run {run_dir} is in use by {owner}: wait for it or give another --run=DIR"
            ) from None
        except OSError as error:
            if error.errno in files.DISK_FULL:
                raise files.write_error(path, LOCK_BYTES, error) from None
            raise UsageError(
                f"run directory {run_dir} can't be written ({error.strerror}): give another with"
                " --run=DIR"
            ) from None
        try:
            if killed := _owner(path):
                why = (
                    "as the system does when memory runs out: it ended without saving, and what"
                    " came after its last checkpoint is done again"
                )
                announce(f"the last process in {run_dir} ({killed}) was killed, {why}")
            os.truncate(descriptor, 0)
            owner = f"host {socket.gethostname()}, process {os.getpid()}\n"
            os.write(descriptor, owner.encode())
        except OSError as error:
            raise files.write_error(path, LOCK_BYTES, error) from None
        try:
            yield
        finally:
            # a disk that turned read-only: the error under way says so
            with contextlib.suppress(OSError):
                os.truncate(descriptor, 0)


def _owner(lock: Path) -> str:
    """The process that a lock's file names, empty if none."""
    with open(lock, "rb") as file:
        return file.read(LOCK_BYTES).decode(errors="replace").strip()
