"""Scores of a network on a split: deterministic, at any window length, batch size and memory
length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.core import metrics
from par.core.auc import auc, auc_difference
from par.core.errors import UsageError
from par.core.stats import Interval
from par.data import records, windows
from par.data.manifest import Manifest
from par.data.tokenizer import PAD
from par.evaluate import detectors, masked_positions
from par.evaluate.eval_config import EvalConfig, num_tokens
from par.nn.forward_mode import EVALUATION, EVALUATION_ARGMAX, Phase
from par.objectives.contract import Contract, Ranking
from par.train.learner import Learner

PHASES = {"soft": EVALUATION, "argmax": EVALUATION_ARGMAX, "fixed": EVALUATION}
AS_TRAINED = EvalConfig()


def ways(learner: Learner) -> tuple[str, ...]:
    """The ways to evaluate a network: a SuperNet as its mixture (soft) and as its argmax, a fixed
    network only as `fixed`."""
    return ("soft", "argmax") if learner.logits else ("fixed",)


def phase(evaluate_as: str, eval_config: EvalConfig) -> Phase:
    """How a network computes in an evaluation. evaluate_as: one of `ways`."""
    return dataclasses.replace(
        PHASES[evaluate_as], same_length=eval_config.same_length, clamp_len=eval_config.clamp_len
    )


def split_windows(
    data_dir: Path, manifest: Manifest, split: str, eval_config: EvalConfig = AS_TRAINED
) -> Iterable[Any]:
    """The windows [B, T+1] of a split as they lie in the records, or its stream cut again for
    another B, T or a stride; padding has weight 0.

    The tail of train, fewer than B*T tokens that its records leave out, is not scored.
    """
    shape = eval_config.window_shape(manifest)
    if eval_config.stride is not None:
        return windows.sliding_windows(
            records.read_stream(data_dir, manifest, split), *shape, eval_config.stride, pad_id=PAD
        )
    if shape == (manifest.batch_size, manifest.seq_len):
        return records.dataset(data_dir, manifest, split)
    return tf.data.Dataset.from_tensor_slices(
        windows.windows(records.read_stream(data_dir, manifest, split), *shape, pad_id=PAD)
    )


def num_windows(manifest: Manifest, split: str, eval_config: EvalConfig = AS_TRAINED) -> int:
    """How many windows [B, T+1] `split_windows` yields."""
    tokens, shape = num_tokens(manifest, split), eval_config.window_shape(manifest)
    return (
        windows.num_steps(tokens, *shape, padded=True)
        if eval_config.stride is None
        else windows.num_sliding_steps(tokens, *shape, eval_config.stride)
    )


def token_scores(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    eval_config: EvalConfig = AS_TRAINED,
    progress: Callable[[int], None] = lambda made: None,
    draws: int | None = None,
    scores_hits: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`nll` (nats) and each of the objective's parts, and the weights, at every token of a split
    but the first, each [N - 1], in the order of the text; where the objective masks tokens, at
    every token but the last; where it draws what is scored, one draw after the other,
    [draws * (N - 1)]; of R documents [draws * R], or [draws * R * T] where their tokens are
    scored. draws: how many; None: as the contract says. scores_hits: see Phase."""
    eval_config = eval_config.fitted(learner.config, manifest, split)
    own = dataclasses.replace(phase(evaluate_as, eval_config), scores_hits=scores_hits)
    drawn = []
    for draw in range(draws or learner.config.contract.draws):
        made, count, targets = _elements(learner, data_dir, manifest, split, eval_config, draw)
        steps = list(
            learner.token_scores(
                made,
                dataclasses.replace(own, draw=draw),
                eval_config.memory_length(learner.config),
                progress,
                count,
            )
        )
        if learner.config.contract.reads_documents:
            drawn.append(_of_documents(steps, targets))
            targets = len(drawn[-1]["nll"][0])
        else:
            drawn.append(_in_order(steps, manifest, eval_config))
    for each in drawn:
        _detect(learner.config.contract, each, data_dir, manifest, eval_config)
    return {
        name: tuple(
            values[0][:targets]
            if len(values) == 1
            else np.concatenate([each[:targets] for each in values])
            for values in zip(*(found[name] for found in drawn))
        )
        for name in drawn[0]
    }


def num_steps(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    eval_config: EvalConfig = AS_TRAINED,
) -> int:
    """How many elements of the objective an evaluation of a split reads in each draw."""
    fitted = eval_config.fitted(learner.config, manifest, split)
    return _elements(learner, data_dir, manifest, split, fitted, 0)[1]


def _elements(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    eval_config: EvalConfig,
    draw: int,
) -> tuple[Iterable[Any], int, int]:
    """The elements of the objective in a draw of an evaluation, how many there are, and how many
    targets they have: tokens of the stream, or documents."""
    if not learner.config.contract.reads_documents:
        return (
            split_windows(data_dir, manifest, split, eval_config),
            num_windows(manifest, split, eval_config),
            num_tokens(manifest, split) - 1,
        )
    reader = learner.objective.documents(data_dir, manifest, split)
    rows, _ = eval_config.window_shape(manifest)
    if rows != manifest.batch_size:  # training's own number is one that replicas can share
        rows = min(rows, reader.count)
    return reader.evaluation(rows, draw), reader.evaluation_steps(rows), reader.count


def _detect(
    contract: Contract,
    found: dict[str, tuple[np.ndarray, np.ndarray]],
    data_dir: Path,
    manifest: Manifest,
    eval_config: EvalConfig,
) -> None:
    """Adds what the contract's detectors say of the tokens that a network saw in a draw."""
    for name in contract.detectors:
        seen, weight = found["seen"]
        _, seq_len = eval_config.window_shape(manifest)
        scores = detectors.DETECTORS[name](data_dir, manifest, seen, seq_len)
        unknown = np.zeros_like(weight)
        found[name] = (unknown, unknown) if scores is None else (scores, weight)


def masked_scores(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    eval_config: EvalConfig,
    draws: int,
    progress: Callable[[int], None] = lambda made: None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`nll` (nats) and `accuracy`, and the weights, of the tokens that are masked in an evaluation
    of so many draws, [draws * (N - 2)]: by a network that sees them masked, or by one that
    predicts the next token and sees all tokens before. So both are scored on the same tokens; the
    first of the split, which has none before it, and the last are left out.
    """
    how = learner, data_dir, manifest, split, evaluate_as, eval_config, progress
    if learner.config.contract.fills:
        found = token_scores(*how, draws=draws)
        return {
            name: tuple(each.reshape(draws, -1)[:, 1:].reshape(-1) for each in pair)
            for name, pair in found.items()
        }
    found = token_scores(*how, scores_hits=True)
    seq_len = eval_config.fitted(learner.config, manifest, split).window_shape(manifest)[1]
    stream = records.read_stream(data_dir, manifest, split)
    weights = masked_positions.scored(stream, seq_len, draws)[:, 1:].astype(np.float32).reshape(-1)
    return {name: (np.tile(value[:-1], draws), weights) for name, (value, _) in found.items()}


def _of_documents(
    steps: list[dict[str, tuple[np.ndarray, np.ndarray]]], count: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What `count` documents were scored with, by name, in their order: of each one value, or one
    for each of its tokens."""
    return {
        name: tuple(
            np.concatenate(values)[:count].reshape(-1) for values in zip(*(s[name] for s in steps))
        )
        for name in steps[0]
    }


def _in_order(
    steps: list[dict[str, tuple[np.ndarray, np.ndarray]]],
    manifest: Manifest,
    eval_config: EvalConfig,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What windows were scored with, by name, in the order of the text."""
    if eval_config.stride is None:
        return {
            name: tuple(
                windows.in_order(np.stack(values)) for values in zip(*(s[name] for s in steps))
            )
            for name in steps[0]
        }
    shape = eval_config.window_shape(manifest)
    masks = [
        windows.sliding_scored(*shape, eval_config.stride, step) for step in range(len(steps))
    ]
    return {
        name: tuple(
            np.concatenate([value[mask] for value, mask in zip(values, masks)])
            for values in zip(*(step[name] for step in steps))
        )
        for name in steps[0]
    }


def figures(
    contract: Contract,
    manifest: Manifest,
    split: str,
    scores: dict[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, float]:
    """The figures of an objective for a split, from its `token_scores`."""
    is_sum = {"nll", *contract.parts}
    sums = {
        name: (
            float(np.sum(value * weight, dtype=np.float64)),
            float(np.sum(weight, dtype=np.float64)),
        )
        for name, (value, weight) in scores.items()
        if name in is_sum
    }
    nll, weight = sums.pop("nll")
    if not weight:
        raise UsageError(f"no token of {split} is scored in such windows: give a larger --seq_len")
    sums |= {ranking.figure: _ranked(ranking, scores) for ranking in contract.rankings}
    if contract.reads_documents:  # of which no words are predicted
        return metrics.scores(contract.figures, metrics.Sums(nll, weight, words=0.0, parts=sums))
    return metrics.scores(contract.figures, manifest.splits[split].sums(nll, weight, sums))


def ahead(
    contract: Contract, scores: dict[str, tuple[np.ndarray, np.ndarray]], seq_len: int
) -> dict[str, Interval]:
    """By how much figures of an evaluation are above those that they must beat, where both rank
    the same tokens: with intervals over windows of seq_len, in pairs. scores: of `token_scores`.
    """
    rankings = {ranking.figure: ranking for ranking in contract.rankings}
    found = {}
    for name, of in contract.must_beat.items():
        if not (name in rankings and of in rankings):
            continue
        values, counted = _counted(rankings[name], scores)
        others, same = _counted(rankings[of], scores)
        counted &= same
        if not counted.any():
            continue
        labels = scores[rankings[name].label][0][counted] > 0.5
        place = np.arange(len(values) // contract.draws) // seq_len  # of the text, in all draws
        clusters = np.resize(place, len(values))[counted]
        found[name] = auc_difference(values[counted], others[counted], labels, clusters, seed=0)
    return found


def _counted(
    ranking: Ranking, scores: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """The scores of a ranking, and which of them count."""
    values, weight = scores[ranking.score]
    among = scores[ranking.among][1] > 0 if ranking.among else True
    return values, (weight > 0) & among


def _ranked(
    ranking: Ranking, scores: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """The area under the curve of a ranking, times how many tokens it has, and their number; 1/2
    where all of them are of one kind."""
    values, counted = _counted(ranking, scores)
    number = float(np.count_nonzero(counted))
    is_positive = scores[ranking.label][0][counted] > 0.5
    return number * auc(values[counted], is_positive), number


def score(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    eval_config: EvalConfig = AS_TRAINED,
    progress: Callable[[int], None] = lambda made: None,
) -> dict[str, float]:
    """The figures of the objective for a split. evaluate_as: one of `ways`."""
    found = token_scores(learner, data_dir, manifest, split, evaluate_as, eval_config, progress)
    return figures(learner.config.contract, manifest, split, found)
