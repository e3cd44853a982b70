"""docs/results/NAME.json: the figures of an experiment, with all that they depend on."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import platform
from pathlib import Path
from typing import Any

import par
from par.core import machine, schema
from par.core.errors import DataError, UsageError
from par.tools.experiments.experiment import Row
from par.tools.experiments.settings import Settings

SCHEMA = 2
PACKAGES = ("tensorflow", "keras", "numpy", "sentencepiece")


@dataclasses.dataclass(frozen=True)
class Machine:
    """What computed: the processor's name, the cores and 10^9 bytes of memory that the commands
    might use. No host name."""

    processor: str
    cores: int
    memory_gigabytes: int

    @classmethod
    def here(cls) -> Machine:
        """This machine, as far as this process may use it."""
        return cls(
            machine.processor(), machine.core_count(), round(machine.memory_bytes() / 10**9)
        )


def versions() -> dict[str, str]:
    """Of this program, of Python, and of the packages that compute."""
    own = {"par": par.__version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in PACKAGES}


@dataclasses.dataclass(frozen=True)
class Results:
    """The figures of an experiment.

    corpus: SHA-256 of the text's files by name, empty where it is part of Python; commits: of the
    steps, each once; is_dirty: whether a step ran with code that no commit has; seconds: of all
    steps together; rows: the figures; printed: by step, the text that transcripts show; pictures:
    SHA-256 of those that steps drew, by part.
    """

    schema: int
    name: str
    settings: Settings
    corpus: dict[str, str]
    seeds: tuple[int, ...]
    commits: tuple[str, ...]
    is_dirty: bool
    machine: Machine
    versions: dict[str, str]
    seconds: float
    rows: tuple[dict[str, Any], ...]
    printed: dict[str, str]
    pictures: dict[str, str]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"schema must be {SCHEMA}, but is {self.schema}")
        for name, digest in self.corpus.items():
            schema.check_sha256(digest, f"corpus.{name}")
        if not self.commits or not all(commit.isalnum() for commit in self.commits):
            raise UsageError(f"commits must be hashes, at least one, but are {self.commits}")
        if missing := {"python", "tensorflow"} - set(self.versions):
            raise UsageError(f"versions must hold {', '.join(sorted(missing))}")
        if self.machine.cores < 1 or not 0 <= self.seconds < math.inf:
            raise UsageError(
                f"there must be at least one core and a time, but there are {self.machine.cores}"
                f" and {self.seconds} s"
            )
        for name, digest in self.pictures.items():
            schema.check_sha256(digest, f"pictures.{name}")
        if not self.rows and not self.printed:
            raise UsageError("there must be rows or printed texts, at least one")
        for row in self.rows:
            check_row(row)


def check_row(row: Row) -> None:
    """Raises: UsageError for a value other than a text, number, boolean or null."""
    for name, value in row.items():
        if not isinstance(value, str | int | float | bool | None):
            raise UsageError(
                f"rows must hold texts, numbers, booleans and null, but {name} is"
                f" {repr(value)[:80]}"
            )


def path_of(root: Path, name: str) -> Path:
    """Where the figures of an experiment lie in a clone."""
    return root / "docs" / "results" / f"{name}.json"


def save(path: Path, results: Results) -> None:
    """Writes the file; equal figures give equal bytes."""
    schema.write_json(path, schema.encode(results))


def load(path: Path) -> Results:
    """Reads the file. Raises: DataError if it is missing or damaged, or holds the figures of
    another experiment than its name says."""
    try:
        found = schema.decode(Results, schema.read_json(path, "results"), "results")
        if found.name != path.stem:
            raise UsageError(f"name must be {path.stem}, but is {found.name!r}")
    except UsageError as error:
        raise DataError(
            f"{path} is damaged ({error}): restore it, or make it again by"
            f" tools/results.py --run={path.stem}"
        ) from None
    return found
