"""What several tools check of their flags: the directories, runs and pictures that these name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from par.core import files
from par.core.errors import DataError, UsageError
from par.core.text import plural
from par.shelf.reference import is_reference
from par.tools.cli.flags import Flags


def refuse_idle(values: Flags, names: Sequence[str], beside: str = "", without: str = "") -> None:
    """Raises: UsageError if one of these flags was typed `beside` another, or `without` one, where
    it changes nothing."""
    for name in names:
        if values[name].present and values[name].value is not False:
            where, remedy = (
                (f"beside --{beside}", "leave one of both out")
                if beside
                else (f"without --{without}", f"add --{without}, or leave it out")
            )
            raise UsageError(f"--{name} has no effect {where}: {remedy}")


def picture_path(path: str, flag: str, formats: Sequence[str] = (".png",)) -> Path:
    """Where a picture goes. Raises: UsageError unless its name ends as one of `formats`, in which
    it is written; what `files.check_writable` does."""
    if Path(path).suffix.lower() not in formats:
        raise UsageError(f"--{flag} must end with {' or '.join(formats)}, but is {path!r}")
    files.check_writable(Path(path))
    return Path(path)


def required_dir(path: str | None, flag: str, artefact: str) -> Path:
    """The directory that a flag names. Raises: UsageError if the flag is missing or several runs
    are given for one, DataError if the directory lacks `artefact`."""
    if not path:
        raise UsageError(f"--{flag}=DIR is required; see --help")
    if is_reference(path):
        raise UsageError(
            f"--{flag} does not take networks from a shelf, such as {path}: `shelf.py fetch` it,"
            " and give a copy of the directory"
        )
    if not (Path(path) / artefact).is_file():
        from par.train import seeds

        if several := seeds.find_runs(Path(path)) if artefact == "config.json" else {}:
            first = next(iter(several.values()))
            raise UsageError(
                f"--{flag}={path} holds {plural(len(several), 'seed')}: give one of them, such as"
                f" {first}; derive --rule=consensus --plot takes all together"
            )
        maker = "build_data" if artefact == "manifest.json" else "train"
        raise DataError(
            f"--{flag}={path} has no {artefact}: give a directory that tools/{maker}.py made"
        )
    return Path(path)


def load_run(run: str | None, data: str | None = None) -> tuple[Any, Path, Any]:
    """Settings (par.train.run_config.RunConfig), data directory and manifest of a trained run.
    data: where the data is now; None: where the run remembers it.

    Raises: UsageError, DataError as `required_dir` does; DataError if the run or the data is
    damaged, the data is not the run's, or the run has saved no checkpoint yet.
    """
    from par.train import run_config

    run_dir = required_dir(run, "run", "config.json")
    config, remembered = run_config.load(run_dir)
    # an error before TensorFlow starts, which takes seconds
    if not any(path.is_file() for path in (run_dir / "checkpoints").rglob("*")):
        raise DataError(f"run {run} has no checkpoint yet: train it first")
    data_dir = required_dir(data or str(remembered), "data", "manifest.json")
    return config, data_dir, run_config.load_manifest(run, config, data_dir)


def inherited_blocks(text: str, of_runs: Mapping[str, str]) -> str:
    """The blocks of --architecture that take the weights of runs, "" if it is not given. of_runs:
    the blocks of each run by its name.

    Raises: UsageError if one is stochastic, or a run has no weights for it.
    """
    from par.search import architecture
    from par.train import warm_start

    if not text:
        return ""
    asked = architecture.parse(text)
    if asked.is_search:
        raise UsageError(
            f"--architecture must be a fixed network, of a, d and i, but is {asked.short[:60]!r}:"
            " a SuperNet is used without this flag"
        )
    for run, blocks in of_runs.items():
        warm_start.check_blocks(asked.blocks, blocks, run)
    return asked.blocks
