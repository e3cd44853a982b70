"""The lines of tools/evaluate.py: what each network scores, on each split and in each way."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from par.core.progress import Progress, announce
from par.core.stats import Interval
from par.data import documents, records
from par.evaluate.eval_config import EvalConfig, num_tokens
from par.evaluate.paired import Targets
from par.objectives.contract import Contract
from par.tools.cli.flags import Flags
from par.train import run_config, run_directory


@dataclasses.dataclass(frozen=True)
class Line:
    """One network on one split, at one memory length or at several."""

    about: dict[str, Any]
    text: tuple  # what networks must have in common for their tokens to be the same
    readings: Sequence[EvalConfig]
    scores: list[dict[str, float]]  # for each reading
    nll: list[np.ndarray]  # for each reading, nats of each token that was scored
    name: str
    data_dir: Path
    pseudo: dict[str, float]  # its figures, {} without --pseudo
    contract: Contract  # of the objective in whose figures it is scored
    # for each reading, by how much a figure is above the one that it must beat
    ahead: list[dict[str, Interval]] = dataclasses.field(default_factory=list)
    targets: list[Targets] = dataclasses.field(default_factory=list)  # of documents, likewise


def lines_of(
    values: Flags,
    readings: Sequence[EvalConfig],
    run: str,
    config: run_config.RunConfig,
    data_dir: Path,
    manifest: records.Manifest,
    blocks: str,
    contract: Contract,
    draws: int,
) -> Iterator[Line]:
    """The lines of a run's network, or of other `blocks` with its weights, by split and way.
    contract: in whose figures. draws: of the masked tokens that all runs are scored on, 0 where
    these are the run's own."""
    from par.evaluate import evaluation
    from par.train import loading, weight_transfer

    records.verify(data_dir, manifest, values.split)
    learner = loading.load_learner(run, config, values.checkpoint, announce)
    step = int(learner.step.numpy())
    if blocks:
        learner = weight_transfer.derive_network(learner, blocks)
    scored = learner.config.architecture
    passes = draws if draws and config.contract.fills else config.contract.draws
    ways = [way for way in evaluation.ways(learner) if way in ("fixed", *values.evaluate_as)]
    for split, way in itertools.product(values.split, ways):
        about = {
            "run": run,
            "architecture": scored.blocks,
            "split": split,
            "evaluate_as": "inherited" if blocks else way,
            "step": step,
        }
        if contract.fills:
            about |= {"objective": config.objective, "mask_draws": draws or contract.draws}
        text = (
            split,
            manifest.corpus.sha256,
            manifest.tokenizer_sha256,
            manifest.splits[split].tokens,
            manifest.splits[split].dropped,
        )
        name = scored.blocks + (
            f" {about['evaluate_as']}" if about["evaluate_as"] != "fixed" else ""
        )
        pseudo = _pseudo(values, learner, data_dir, manifest, split, way) if values.pseudo else {}
        line = Line(about, text, readings, [], [], name, data_dir, pseudo, contract)
        for reading in readings:
            fitted = reading.fitted(learner.config, manifest, split)
            if way == ways[0] and (reduced := reading.reductions(fitted)):
                announce(
                    f"note: {split} has {num_tokens(manifest, split):,} tokens: {reduced}, which"
                    " gives the same scores"
                )
            with Progress(
                f"{scored.short} {split}",
                "window",
                passes * evaluation.num_steps(learner, data_dir, manifest, split, reading),
            ) as progress:
                how = learner, data_dir, manifest, split, way, reading
                found = (
                    evaluation.masked_scores(*how, draws, progress)
                    if draws
                    else evaluation.token_scores(*how, progress)
                )
            line.scores.append(evaluation.figures(contract, manifest, split, found))
            line.ahead.append(evaluation.ahead(contract, found, fitted.window_shape(manifest)[1]))
            nll, weight = found["nll"]
            line.nll.append(nll[weight > 0])
            if contract.scores_tokens_of_documents:
                table = documents.load(data_dir, split, manifest)
                reader = learner.objective.documents(data_dir, manifest, split)
                order = reader.draws.targets
                line.targets.append(Targets.of(weight, table, order, manifest, passes))
        yield line


def _pseudo(
    values: Flags,
    learner: Any,
    data_dir: Path,
    manifest: records.Manifest,
    split: str,
    way: str,
) -> dict[str, float]:
    """The figures of the pseudo-log-likelihood of the beginning of a split."""
    from par.evaluate import pseudo

    tokens = min(values.pseudo_tokens, num_tokens(manifest, split))
    with Progress(f"pseudo {split}", "token", tokens) as progress:
        scores = pseudo.pseudo_scores(
            learner, data_dir, manifest, split, way, values.read(EvalConfig), tokens, progress
        )
    return scores.figures(manifest, split)


def told_apart(lines: Sequence[Line]) -> list[Line]:
    """The lines, each with its objective where there are several, and those of equal blocks in
    different runs with the run's name."""
    if len({line.about.get("objective") for line in lines}) > 1:
        lines = [
            dataclasses.replace(line, name=f"{line.name} {line.about['objective']}")
            for line in lines
        ]
    shared = {
        line.name
        for line in lines
        if any(
            other.name == line.name and other.about["run"] != line.about["run"] for other in lines
        )
    }
    own = [
        f" ({run_directory.run_name(Path(line.about['run']))})" if line.name in shared else ""
        for line in lines
    ]
    return [dataclasses.replace(line, name=line.name + run) for line, run in zip(lines, own)]
