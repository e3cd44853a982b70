"""The table of all networks (par.search.block_table) from the directories of their runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.core import schema
from par.core.errors import DataError, UsageError
from par.core.metrics import PERPLEXITY_PER_WORD
from par.evaluate.compare.statistics import SCORED, scores_path
from par.search import networks
from par.search.architecture import network_of
from par.search.block_table import BY_EPOCH, BlockTable
from par.train import history, run_config


class TableRun(NamedTuple):
    """One run of the table: a network in any spelling, trained with a seed."""

    network: str
    seed: int
    run_dir: Path


@dataclasses.dataclass(frozen=True)
class Epochs:
    """What is known of one run. Arrays [E], NaN from the first epoch on that has not ended."""

    config: run_config.RunConfig
    train_nll: np.ndarray
    valid_nll: np.ndarray
    seconds: np.ndarray
    scores: dict[str, Any] | None  # content of scores.json; None before the run is scored
    made_with: dict[str, Any]  # content of environment.json


def runs_in(directory: Path) -> list[TableRun]:
    """The runs of fixed networks in a directory, such as that of a comparison, each known by its
    config.json. Raises: DataError if one is damaged."""
    configs = {
        path.parent: run_config.load(path.parent)[0]
        for path in sorted(Path(directory).glob("*/config.json"))
    }
    return [
        TableRun(config.architecture.network, config.training.seed, run_dir)
        for run_dir, config in configs.items()
        if not config.architecture.is_search
    ]


def build(
    num_blocks: int,
    runs: Iterable[TableRun],
    latency_ms: Mapping[str, float] | None = None,
    measured_latency_ms: Mapping[str, float] | None = None,
    made_with: Mapping[str, Any] | None = None,
) -> BlockTable:
    """The table of all networks of at most `num_blocks` blocks, with what the runs hold so far.

    A run that has not begun or has not ended an epoch is left out; one that has not ended is known
    up to its last epoch, without its score on test. latency_ms, measured_latency_ms: milliseconds
    of inference by network. made_with: what a run's environment.json does not tell, such as the
    processor and the commit.
    Raises: UsageError if no run is finished, if two runs are of one network and seed, or if a run
    is of another network, seed or recipe than it is given as; DataError if a run is damaged.
    """
    found: dict[tuple[int, int], Epochs] = {}
    for network, seed, run_dir in runs:
        place = networks.number_of(network) - 1
        if len(networks.letters_of(network)) > num_blocks or (place, seed) in found:
            raise UsageError(
                f"run {run_dir} of {network} with seed {seed} has more than {num_blocks} blocks,"
                " or is there twice"
            )
        if known := read(TableRun(network, seed, run_dir)):
            found[place, seed] = known
    finished = [each for each in found.values() if each.scores]
    if not finished:
        raise UsageError(
            "a table of networks needs one finished run, but none of the given ones is finished"
        )
    shared = _shared(found.values())
    seeds = sorted({seed for _, seed in found})
    arrays = _arrays(networks.count(num_blocks), seeds, found)
    for name, of_network in (
        ("latency_ms", latency_ms or {}),
        ("measured_latency_ms", measured_latency_ms or {}),
    ):
        for network, milliseconds in of_network.items():
            arrays[name][networks.number_of(network) - 1] = milliseconds
    environments = [each.made_with | dict(made_with or {}) for each in found.values()]
    distinct = [each for i, each in enumerate(environments) if each not in environments[:i]]
    tokens, words = _sizes(finished)
    return BlockTable(
        num_blocks=num_blocks,
        seeds=np.array(seeds),
        steps_per_epoch=finished[0].config.data.steps_per_epoch,
        tokens=tokens,
        words=words,
        about={**shared, "made_with": distinct},
        **arrays,
    )


def read(run: TableRun) -> Epochs | None:
    """What is known of a run; None before its first epoch has ended. Raises: UsageError if it is
    of another network or seed; DataError if it is damaged."""
    if not (run.run_dir / "config.json").is_file():
        return None
    config, _ = run_config.load(run.run_dir)
    made = (config.architecture.network, config.training.seed)
    if made != (network_of(run.network), run.seed):
        raise UsageError(
            f"run {run.run_dir} is of {made[0]} with seed {made[1]}, not of {run.network} with"
            f" seed {run.seed}"
        )
    per_epoch = config.data.steps_per_epoch
    arrays = {name: np.full(config.training.epochs, np.nan) for name in BY_EPOCH}
    rows = history.read_run(run.run_dir).rows["valid"]
    for number, row in enumerate(row for row in rows if row["split"] == "valid"):
        if row["step"] != (number + 1) * per_epoch:
            raise DataError(
                f"history {run.run_dir / 'history.jsonl'} must have one evaluation after each"
                f" epoch of {per_epoch} steps, but number {number + 1} is at step {row['step']}"
            )
        arrays["train_nll"][number] = row["train_nll_per_token"]
        arrays["valid_nll"][number] = row["nll_per_token"]
        arrays["seconds"][number] = row["seconds"]
    if not np.isfinite(arrays["valid_nll"][0]):
        return None
    path = run.run_dir / "environment.json"
    made_with = schema.read_json(path, "environment") if path.is_file() else {}
    has_words = PERPLEXITY_PER_WORD in config.contract.figures
    return Epochs(config, **arrays, scores=_scores(run.run_dir, has_words), made_with=made_with)


def _scores(run_dir: Path, has_words: bool) -> dict[str, Any] | None:
    """The content of scores.json; None before the run is scored. has_words: whether it tells how
    many words there are; else the tokens stand for these. Raises: DataError if it is damaged."""
    path = scores_path(run_dir)
    if not path.is_file():
        return None
    found = schema.read_json(path, "scores")
    try:
        if not has_words:
            found |= {split: found[split] | {"words": found[split]["tokens"]} for split in SCORED}
        figures = [found[split][name] for split in SCORED for name in ("tokens", "words")]
        figures += [found[split]["nll_per_token"] for split in SCORED] + [found["parameters"]]
        is_sound = all(type(each) in (int, float) and each >= 0 for each in figures)
    except (LookupError, TypeError):
        is_sound = False
    if not is_sound:
        raise DataError(
            f"scores {path} are not those of a comparison: remove the file, and the run is scored"
            " again"
        )
    return found


def _shared(runs: Iterable[Epochs]) -> dict[str, dict[str, Any]]:
    """What all runs have in common: data, and settings by `group.name`. Raises: UsageError, with
    the differences, if they have not."""
    first, *others = [each.config for each in runs]
    for config in others:
        same = dataclasses.replace(
            config.with_seed(first.training.seed), architecture=first.architecture
        )
        if odd := run_config.differences(first, same):
            raise UsageError(
                "all runs of a table must have the same settings, but that of"
                f" {config.architecture.short} with seed {config.training.seed} has others:"
                f" {'; '.join(odd)}"
            )
    settings = {
        name: value
        for name, value in first.identity().items()
        if not name.startswith("data.") and name not in ("architecture", "training.seed")
    }
    return {"data": dataclasses.asdict(first.data), "settings": settings}


def _sizes(finished: Iterable[Epochs]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Tokens and words of each split that runs were scored on. Raises: UsageError if they were
    scored on different texts."""
    tokens, words = (
        {tuple(each.scores[split][name] for split in SCORED) for each in finished}
        for name in ("tokens", "words")
    )
    if len(tokens) + len(words) > 2:
        raise UsageError(
            "all runs of a table must be scored on the same text, but they have"
            f" {sorted(tokens)} tokens and {sorted(words)} words of {' and '.join(SCORED)}"
        )
    return tokens.pop(), tuple(map(float, words.pop()))


def _arrays(
    size: int, seeds: list[int], found: Mapping[tuple[int, int], Epochs]
) -> dict[str, np.ndarray]:
    """The arrays of the table, without latencies."""
    epochs = next(iter(found.values())).config.training.epochs
    arrays = {name: np.full((size, len(seeds), epochs), np.nan) for name in BY_EPOCH}
    arrays["test_nll"] = np.full((size, len(seeds)), np.nan)
    arrays |= {
        name: np.full(size, np.nan) for name in ("parameters", "latency_ms", "measured_latency_ms")
    }
    for (place, seed), run in found.items():
        column = seeds.index(seed)
        for name in BY_EPOCH:
            arrays[name][place, column] = getattr(run, name)
        if run.scores:
            arrays["test_nll"][place, column] = run.scores["test"]["nll_per_token"]
            arrays["parameters"][place] = run.scores["parameters"]
    return arrays
