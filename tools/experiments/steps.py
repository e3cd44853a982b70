"""One step: what its figures depend on, how its command is run, and what is kept of it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from par.core import schema
from par.core.errors import DataError, ParError, StoppedError, UsageError
from par.core.signals import active_signals
from par.tools.experiments import settings
from par.tools.experiments.experiment import TEXT, Step
from par.tools.experiments.record import Machine

SCHEMA = 1
KEY = 12  # hexadecimal digits of a key in the name of a directory
# how many threads an operation has changes the last digits of sums: the tools choose it by the
# cores that they may use
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


class StepFailedError(ParError):
    """A step's command failed, after it said why on stderr; its exit code is this one's, too."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


@dataclasses.dataclass(frozen=True)
class StepRecord:
    """What a finished step left: the whole key, the commit that it ran at, whether the code had
    changes that are in none, its seconds, and the JSON object that it printed, or its text."""

    schema: int
    key: str
    commit: str
    is_dirty: bool
    seconds: float
    output: dict[str, Any]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"schema must be {SCHEMA}, but is {self.schema}")
        schema.check_sha256(self.key, "key")
        if not self.commit.isalnum() or not 0 <= self.seconds < math.inf:
            raise UsageError(
                f"commit must be a hash and seconds a time, but they are {self.commit[:80]!r} and"
                f" {self.seconds}"
            )


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What all steps of a run depend on, beside their settings: the SHA-256 of the corpus' files
    by name, the machine, the versions, and whether the code has changes that no commit has."""

    corpus: dict[str, str]
    machine: Machine
    versions: dict[str, str]
    is_dirty: bool


def key(step: Step, needs: Mapping[str, str], conditions: Conditions) -> str:
    """The SHA-256 of all that a step's figures depend on but the commit. needs: the keys of the
    steps that it needs, by name."""
    depends_on = [
        schema.encode(settings.identity(step)),
        dict(needs),
        schema.encode(conditions),
    ]
    return hashlib.sha256(schema.canonical_json(depends_on).encode()).hexdigest()


def directory(name: str, step_key: str) -> str:
    """The directory of a step in that of the commands."""
    return f"{name}-{step_key[:KEY]}"


def load(path: Path, step_key: str) -> StepRecord:
    """Reads what a finished step left. Raises: DataError if it is damaged."""
    try:
        found = schema.decode(StepRecord, schema.read_json(path, "step"), "step")
        if found.key != step_key:
            raise UsageError(f"key must be {step_key[:KEY]}, but is {found.key[:KEY]}")
    except (UsageError, DataError) as error:
        raise DataError(
            f"{path} is damaged ({error}): remove it, and the step is run again"
        ) from None
    return found


def run(
    step: Step, script: Path, work_dir: Path, directories: Mapping[str, str]
) -> dict[str, Any]:
    """Runs the command of a step in `work_dir` to its end; returns the JSON object that it
    printed, or its text with references in place of directories. script: of its tool;
    directories: of this step and all before it.

    Raises: StepFailedError with the command's exit code; StoppedError after a signal; DataError if
    no JSON was printed, or no text.
    """
    code, printed, is_stopped = _call(
        [sys.executable, str(script), *step.resolved(directories)], work_dir
    )
    if is_stopped:
        raise StoppedError(
            f"stopped in step {step.name}; finished steps are kept: the same command continues"
        )
    if code:
        raise StepFailedError(
            f"step {step.name} ended with exit code {code}, for the reason above: remove that, and"
            " the same command continues",
            code if code > 0 else ParError.exit_code,
        )
    return _json_object(printed, step) if step.prints_json else _text(printed, step, directories)


def timed(
    step: Step, script: Path, work_dir: Path, directories: Mapping[str, str]
) -> tuple[dict[str, Any], float]:
    """What `run` returns, and the seconds that it took."""
    start = time.monotonic()
    output = run(step, script, work_dir, directories)
    return output, round(time.monotonic() - start, 1)


def _call(command: Sequence[str], work_dir: Path) -> tuple[int, bytes, bool]:
    """Runs a command in a session of its own. Returns its exit code, what it printed, and whether
    a signal came, which this process alone hands on, so that the command can save its state."""
    received: list[int] = []
    started: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, _frame: Any) -> None:
        received.append(number)
        for process in started:
            process.terminate()

    # handlers that raise nothing: a signal while the process starts must not leave it alone
    before = {number: signal.signal(number, hand_on) for number in active_signals()}
    try:
        process = subprocess.Popen(
            command,
            cwd=work_dir,
            env={name: value for name, value in os.environ.items() if name not in THREADS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        if received:
            process.terminate()
        printed, _ = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return process.returncode, printed, bool(received)


def _json_object(content: bytes, step: Step) -> dict[str, Any]:
    try:
        value = schema.parse_json(content)
    except ValueError as error:
        raise DataError(f"step {step.name} printed no JSON ({error}) with --json") from None
    if not isinstance(value, dict):
        raise DataError(
            f"step {step.name} must print a JSON object, but printed a {type(value).__name__}"
        )
    return value


def _text(content: bytes, step: Step, directories: Mapping[str, str]) -> dict[str, Any]:
    text = content.decode("utf-8").rstrip()
    if not text:
        raise DataError(f"step {step.name} must print a text, but printed nothing")
    for name, each in directories.items():
        text = text.replace(each, f"{{{name}}}")
    return {TEXT: text}
