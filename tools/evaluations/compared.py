"""What the lines of tools/evaluate.py are compared with: models without a network, other memory
lengths, and each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from par.data import records
from par.evaluate import context_length
from par.evaluate.context_length import ContextUse
from par.evaluate.counted_texts import Reading
from par.evaluate.paired import Difference, differences
from par.evaluate.yardsticks import store
from par.evaluate.yardsticks.base import SPLITS, Yardstick
from par.tools.cli.baseline import baselines_of
from par.tools.cli.flags import Flags
from par.tools.evaluations.lines import Line


class Baseline(NamedTuple):
    """A model without a network, of a data set on a split."""

    data_dir: Path
    split: str
    name: str
    model: Yardstick
    figures: dict[str, float]  # as of a network


def baselines_beside(
    values: Flags,
    names: tuple[str, ...],
    data_sets: Mapping[Path, records.Manifest],
    draws: int,
    skips_first: bool,
) -> Iterator[Baseline]:
    """The models without a network on the splits that are scored; those of masked tokens on the
    tokens that a network scores when it reads the text like this, but not with a stride.
    skips_first: see Reading."""
    splits = [split for split in values.split if split in SPLITS]
    if values.stride is not None:
        names = tuple(name for name in names if not store.MODELS[name].is_of_windows)
    for data_dir, manifest in data_sets.items() if splits else ():
        reading = Reading(values.seq_len or manifest.seq_len, draws, skips_first)
        is_kept = not skips_first and reading.seq_len == manifest.seq_len
        for model in baselines_of(values, names, data_dir, manifest, reading, is_kept):
            name = f"{model.name} ({manifest.name})" if len(data_sets) > 1 else model.name
            for split in splits:
                yield Baseline(data_dir, split, name, model, model.figures(manifest, split))


def warnings_of(lines: Sequence[Line], baselines: Sequence[Baseline]) -> list[str]:
    """A line for each trained network and what it does not beat: a model of its data set, or a
    figure of its own evaluation."""
    compared: dict[tuple[str, str], list[tuple[Line, Baseline]]] = {}
    for line, own in itertools.product(lines, baselines):
        is_same = (line.data_dir, line.about["split"]) == (own.data_dir, own.split)
        if is_same and line.about["evaluate_as"] != "inherited":
            compared.setdefault((line.name, own.name), []).append((line, own))
    found = []
    for (network, _), pairs in compared.items():
        figure = pairs[0][0].contract.comparison[0]
        scores = [
            (
                own.split,
                min((each[figure.name] for each in line.scores), key=figure.loss),
                own.figures[figure.name],
            )
            for line, own in pairs
        ]
        found.append(pairs[0][1].model.warning(network, figure, scores))
    for line in lines:
        for scores in line.scores:
            found += line.contract.warnings(line.name, line.about["split"], scores)
    return [warning for warning in found if warning]


def contexts_of(lines: Sequence[Line], lengths: Sequence[int]) -> list[ContextUse]:
    """How much context each line uses; a group are those that score the same tokens."""
    groups = {
        text: [line for line in lines if line.text == text]
        for text in {line.text: None for line in lines}
    }
    found = {
        text: iter(context_length.context_use(lengths, [line.nll for line in group]))
        for text, group in groups.items()
    }
    return [next(found[line.text]) for line in lines]


class Pair(NamedTuple):
    """Two lines that score the same tokens of documents, and by how much the nll of the second is
    above that of the first."""

    first: Line
    second: Line
    differences: list[Difference]


def pairs_of(lines: Sequence[Line]) -> Iterator[Pair]:
    """Each line beside the first one of its split that scores the same tokens."""
    firsts: list[Line] = []
    for line in lines:
        if not line.targets:
            continue
        own = line.targets[0]
        for first in firsts:
            if first.text == line.text and first.targets[0].are_those_of(own):
                found = differences(line.nll[0], first.nll[0], own)
                yield Pair(first, line, list(found))
                break
        else:
            firsts.append(line)


def alone(lines: Sequence[Line], pairs: Sequence[Pair]) -> list[Line]:
    """The lines behind the first of their split that score documents, but other tokens than any
    line before them."""
    compared = [line for pair in pairs for line in (pair.first, pair.second)]
    found, splits = [], set()
    for line in lines:
        if line.targets:
            if line.about["split"] in splits and not any(line is each for each in compared):
                found.append(line)
            splits.add(line.about["split"])
    return found
