"""What commands share that ask what frozen networks know of documents: the flags, the runs, their
vectors of texts, and the rows of the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.core.errors import DataError
from par.core.progress import Progress, announce
from par.core.stats import Interval
from par.data import records
from par.data.manifest import Manifest
from par.tools.cli.checks import load_run, required_dir
from par.tools.cli.flags import choice, define_path
from par.tools.cli.shelved import define_runs
from par.train import run_config
from par.train.run_config import DataIdentity

RUNS = (define_runs, "run", [], "run directory, or shelf:NAME@TAG (repeat it to compare runs)")
DATA = (
    define_path,
    "data",
    None,
    "data set with the documents; by default that of the first run",
)
SPLITS = (
    choice(*records.SPLITS, repeatable=True),
    "split",
    ["valid", "test"],
    "the splits whose documents are read",
)
AT_ONCE = 256  # documents between two steps of the progress


class Opened(NamedTuple):
    """A run: its settings, and where its tokenizer is."""

    name: str
    config: run_config.RunConfig
    data_dir: Path


def opened(given: Sequence[str], data: str | None) -> tuple[Path, Manifest, list[Opened]]:
    """The data set with the documents, and the runs of --run. data: --data, which may be left out
    beside a run. Raises: UsageError, DataError as `load_run` and `required_dir` do."""
    names = list(dict.fromkeys(given))
    if not data and names:
        data = str(load_run(names[0])[1])
    data_dir = required_dir(data, "data", "manifest.json")
    manifest = records.load(data_dir)
    runs = []
    for name in names:
        own, _ = run_config.load(required_dir(name, "run", "config.json"))
        # --data may also say where the run's own data are now
        is_same = own.data.tokenizer_sha256 == manifest.tokenizer_sha256
        config, tokenizer_dir, _ = load_run(name, str(data_dir) if is_same else None)
        runs.append(Opened(name, config, tokenizer_dir))
        if config.train_hashes != {DataIdentity.from_manifest(manifest).train_sha256}:
            announce(
                f"run {name} was trained on other data than {data_dir}, and may have seen these"
                " documents"
            )
    return data_dir, manifest, runs


def vectors(
    run: Opened,
    texts: list[str],
    checkpoint: str,
    evaluate_as: str,
    read: Callable[[Any, list[str]], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n, D] of n texts, as `read` gives them of a Model, of a run's network and of the
    same with fresh weights. Raises: DataError if they are not finite."""
    from par.evaluate.trained_model import Model

    model = Model.load(run.name, checkpoint, run.data_dir, evaluate_as, announce)
    with Progress(f"reading with {run.name}", "document", 2 * len(texts)) as done:
        own, fresh = (
            in_parts(lambda some, each=each: read(each, some), texts, done)
            for each in (model, model.untrained())
        )
    check_finite(own, f"run {run.name}")
    return own, fresh


def in_parts(
    read: Callable[[list[str]], np.ndarray], texts: list[str], done: Callable[[int], None]
) -> np.ndarray:
    """Vectors [n, D] of n texts; done: is called with how many more have been read."""
    found = []
    for start in range(0, len(texts), AT_ONCE):
        found.append(read(texts[start : start + AT_ONCE]))
        done(len(found[-1]))
    return np.concatenate(found)


def check_finite(vectors: np.ndarray, whose: str) -> None:
    """Raises: DataError if a vector is not finite."""
    if not np.isfinite(vectors).all():
        raise DataError(f"{whose} has hidden states that are not finite: its training diverged")


def row(name: str, of: dict[str, float | None], sign: str = "") -> tuple[str, str, str]:
    """A line of a table: a share or a difference with its interval."""
    mean, low, high = (None if x is None else f"{x:{sign}.3f}" for x in Interval(**of))
    return name, mean, "-" if low is None else f"{low} to {high}"


def verdict(difference: Interval) -> str:
    """What the interval of a difference says."""
    if difference.low is None or difference.low <= 0 <= difference.high:
        return "no difference is seen"
    return "better" if difference.low > 0 else "worse"
