r"""Scores trained networks on any split: perplexity per token and per word, bits per byte.

    python tools/evaluate.py --run=logs/RUN --split=valid --split=test
    python tools/evaluate.py --run=logs/SEARCH --run=logs/DERIVED
        a SuperNet as its mixture (soft) and as its argmax
    python tools/evaluate.py --run=logs/SEARCH --architecture=aaddid
        these blocks with the SuperNet's weights, untrained
    python tools/evaluate.py --run=logs/RUN --batch_size=1 --seq_len=64 --mem_len=256 \
        --same_length --clamp_len=64
    python tools/evaluate.py --run=logs/RUN --batch_size=1 --sweep_mem_len=0 --sweep_mem_len=16 \
        --sweep_mem_len=64 --plot=memory.png
    python tools/evaluate.py --run=logs/RUN --seq_len=64 --stride=16
        windows that overlap, instead of a memory
    python tools/evaluate.py --run=logs/RUN --baseline=none

The last rows are of an interpolated Kneser-Ney 5-gram of the same pieces, and a warning names each
network that does not beat it.

B, T and M may differ from training's: the records are joined to one stream and cut again. A sweep
also reports how much context each network uses, by itself and relative to the others (Dai et al.
2019, appendix C). The same command gives the same figures.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from par.core import metrics, schema
from par.core.errors import UsageError
from par.core.progress import Progress, announce
from par.core.text import number, table
from par.data import records
from par.evaluate import context_length, yardstick
from par.evaluate.context_length import ContextUse
from par.evaluate.eval_config import EvalConfig, num_tokens
from par.evaluate.yardstick import Yardstick
from par.search import architecture
from par.tools.cli.baseline import BASELINE, baseline_of
from par.tools.cli.checks import load_run, picture_path, refuse_idle
from par.tools.cli.flags import Flags, choice, define_path, define_paths
from par.tools.cli.tensorflow import start_tensorflow
from par.train import history, run_config, run_directory, warm_start

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (define_paths, "run", [], "run directory (the table has lines for each)"),
        (
            define_path,
            "data",
            None,
            "data set, if it has moved since the training",
        ),
        (choice(*records.SPLITS, repeatable=True), "split", ["valid", "test"], "split"),
        (
            choice("soft", "argmax", repeatable=True),
            "evaluate_as",
            ["soft", "argmax"],
            "how a SuperNet is scored",
        ),
        (
            define_path,
            "architecture",
            "",
            (
                "score these blocks, or an architecture.json, with the weights that each run has"
                " for them"
            ),
        ),
        (
            choice("last", "best"),
            "checkpoint",
            "last",
            "the last, or the best by valid nll",
        ),
        (
            flags.DEFINE_bool,
            "show_history",
            False,
            "print the table of iterations of each run, too",
        ),
        BASELINE,
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(EvalConfig, "How the text is read")
    .own(
        "Several memory lengths",
        (
            flags.DEFINE_multi_integer,
            "sweep_mem_len",
            [],
            "score at this memory length M, instead of --mem_len",
        ),
        (
            define_path,
            "plot",
            None,
            "write a picture of perplexity per word by memory length, PNG",
        ),
    )
)
FIGURES = ("nll_per_token", *metrics.COMPARED)


@dataclasses.dataclass(frozen=True)
class Line:
    """One network on one split, at one memory length or at several."""

    about: dict[str, Any]
    text: tuple  # what networks must have in common for their tokens to be the same
    readings: Sequence[EvalConfig]
    scores: list[dict[str, float]]  # for each reading
    nll: list[np.ndarray]  # for each reading, [N - 1] nats
    name: str
    data_dir: Path


class Baseline(NamedTuple):
    """The n-gram model of a data set on a split."""

    data_dir: Path
    split: str
    name: str
    model: Yardstick
    figures: dict[str, float]  # as of a network


def _work(values: Flags) -> int:
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    readings = _readings(values)
    if values.architecture:
        refuse_idle(values, ("evaluate_as",), beside="architecture")
    if values.json:
        refuse_idle(values, ("show_history",), beside="json")
    if values.plot:
        picture_path(values.plot, "plot")
    opened = [(run, *load_run(run, values.data)) for run in dict.fromkeys(values.run)]
    resolved = [
        [reading.resolved(config, manifest, values.split) for reading in readings]
        for _, config, _, manifest in opened
    ]
    blocks = _blocks(values, {run: config.architecture.blocks for run, config, _, _ in opened})
    start_tensorflow()
    lines = [
        line
        for run, of_run in zip(opened, resolved)
        for line in _lines(values, of_run, *run, blocks)
    ]
    lines = _told_apart(lines)
    data_sets = {data_dir: manifest for _, _, data_dir, manifest in opened}
    baselines = list(_baselines(values, data_sets))
    warnings = _warnings(lines, baselines)
    lengths = [reading.mem_len for reading in readings] if values.sweep_mem_len else []
    contexts = _contexts(lines, lengths) if lengths else []
    drawn = [_plot(Path(values.plot), lines, lengths)] if values.plot else []
    if values.json:
        print(schema.canonical_json(_json(lines, contexts, baselines, warnings)))
    else:
        parts = [*_parts(values, lines, lengths, contexts, baselines), drawn]
        parts.append([f"warning: {line}" for line in warnings])
        print("\n\n".join("\n".join(part) for part in parts if part))
    return 0


def _parts(
    values: Flags,
    lines: Sequence[Line],
    lengths: Sequence[int],
    contexts: Sequence[ContextUse],
    baselines: Sequence[Baseline],
) -> Iterator[list[str]]:
    """What is printed, in lines."""
    if values.show_history:
        for run in dict.fromkeys(values.run):
            yield [run, *history.table(history.read_rows(Path(run) / "history.jsonl"))]
    yield _table(lines, lengths, baselines)
    if contexts:
        yield _context_table(lines, contexts)


def _readings(values: Flags) -> list[EvalConfig]:
    """One, or one for each memory length. Raises: UsageError for flags that conflict."""
    reading, lengths = values.read(EvalConfig), sorted(set(values.sweep_mem_len))
    if not lengths:
        if values.plot:
            raise UsageError(
                "--plot draws perplexity by memory length: give --sweep_mem_len=M at least twice"
            )
        return [reading]
    if reading.mem_len is not None:
        raise UsageError(
            f"--mem_len={reading.mem_len} is one memory length, --sweep_mem_len several: give only"
            " one of both flags"
        )
    if len(lengths) == 1:
        raise UsageError(
            "--sweep_mem_len must be given at least twice, with different lengths, but is only"
            f" {lengths[0]}; for one there is --mem_len"
        )
    return [dataclasses.replace(reading, mem_len=length) for length in lengths]


def _blocks(values: Flags, of_runs: dict[str, str]) -> str:
    """The blocks to score in the place of the runs' own, "" for these. Raises: UsageError if one
    is stochastic, or a run has no weights for it."""
    if not values.architecture:
        return ""
    asked = architecture.parse(values.architecture)
    if asked.is_search:
        raise UsageError(
            f"--architecture must be a fixed network, of a, d and i, but is {asked.short[:60]!r}:"
            " a SuperNet is scored without this flag"
        )
    for run, blocks in of_runs.items():
        warm_start.check_blocks(asked.blocks, blocks, run)
    return asked.blocks


def _lines(
    values: Flags,
    readings: Sequence[EvalConfig],
    run: str,
    config: run_config.RunConfig,
    data_dir: Path,
    manifest: records.Manifest,
    blocks: str,
) -> Iterator[Line]:
    """The lines of a run's network, or of other `blocks` with its weights, by split and way."""
    from par.evaluate import evaluation
    from par.train import loading, weight_transfer

    records.verify(data_dir, manifest, values.split)
    learner = loading.load_learner(run, config, values.checkpoint, announce)
    step = int(learner.step.numpy())
    if blocks:
        learner = weight_transfer.derive_network(learner, blocks)
    scored = learner.config.architecture
    ways = [way for way in evaluation.ways(learner) if way in ("fixed", *values.evaluate_as)]
    for split, way in itertools.product(values.split, ways):
        about = {
            "run": run,
            "architecture": scored.blocks,
            "split": split,
            "evaluate_as": "inherited" if blocks else way,
            "step": step,
        }
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
        line = Line(about, text, readings, [], [], name, data_dir)
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
                evaluation.num_windows(manifest, split, reading),
            ) as progress:
                nll, weight = evaluation.token_nll(
                    learner, data_dir, manifest, split, way, reading, progress
                )
            line.scores.append(evaluation.figures(manifest, split, nll, weight))
            line.nll.append(nll)
        yield line


def _told_apart(lines: Sequence[Line]) -> list[Line]:
    """The lines, those of equal blocks in different runs with the run's name."""
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


def _baselines(values: Flags, data_sets: Mapping[Path, records.Manifest]) -> Iterator[Baseline]:
    """The n-gram models of the data sets on the splits that are scored."""
    splits = [split for split in values.split if split in yardstick.SPLITS]
    for data_dir, manifest in data_sets.items() if splits else ():
        if model := baseline_of(values, data_dir, manifest):
            name = f"{model.name} ({manifest.name})" if len(data_sets) > 1 else model.name
            for split in splits:
                yield Baseline(data_dir, split, name, model, model.figures(manifest, split))


def _warnings(lines: Sequence[Line], baselines: Sequence[Baseline]) -> list[str]:
    """A line for each trained network that the n-gram model of its data set beats."""
    models = {(own.data_dir, own.split): own for own in baselines}
    compared: dict[str, list[tuple[Line, Baseline]]] = {}
    for line in lines:
        model = models.get((line.data_dir, line.about["split"]))
        if model and line.about["evaluate_as"] != "inherited":
            compared.setdefault(line.name, []).append((line, model))
    key = "perplexity_per_word"
    found = [
        pairs[0][1].model.warning(
            name,
            [
                (own.split, min(scores[key] for scores in line.scores), own.figures[key])
                for line, own in pairs
            ],
        )
        for name, pairs in compared.items()
    ]
    return [warning for warning in found if warning]


def _contexts(lines: Sequence[Line], lengths: Sequence[int]) -> list[ContextUse]:
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


def _json(
    lines: Sequence[Line],
    contexts: Sequence[ContextUse],
    baselines: Sequence[Baseline],
    warnings: Sequence[str],
) -> dict[str, Any]:
    results = [
        line.about
        | reading.to_json()
        | scores
        | metrics.finite({name: scores[name] for name in FIGURES})
        for line in lines
        for reading, scores in zip(line.readings, line.scores)
    ]
    found = {"results": results, "warnings": list(warnings)}
    found["baselines"] = [
        {
            "data": str(baseline.data_dir),
            "split": baseline.split,
            "model": "kneser_ney",
            "order": baseline.model.order,
        }
        | metrics.finite(baseline.figures)
        for baseline in baselines
    ]
    if contexts:
        found["contexts"] = [line.about | used.to_json() for line, used in zip(lines, contexts)]
    return found


def _table(
    lines: Sequence[Line], lengths: Sequence[int], baselines: Sequence[Baseline]
) -> list[str]:
    heads = ["network", "split", *(name.replace("_", " ") for name in metrics.COMPARED)]
    rows = [
        (line.name, line.about["split"], f"{reading.mem_len:,}" if lengths else "", scores)
        for line in lines
        for reading, scores in zip(line.readings, line.scores)
    ]
    rows += [(own.name, own.split, "", own.figures) for own in baselines]
    cells = [heads]
    for name, split, memory, scores in rows:
        figures = (
            number(scores[key], 4 if key.startswith("bits") else 2) for key in metrics.COMPARED
        )
        cells.append([name, split, *figures])
        if lengths:
            cells[-1].insert(2, memory)
    if lengths:
        heads.insert(2, "memory")
    return table(cells, left=2)


def _context_table(lines: Sequence[Line], contexts: Sequence[ContextUse]) -> list[str]:
    shares = max((tuple(found.relative) for found in contexts), key=len)
    rows = [
        [
            "network",
            "split",
            "effective context",
            *(f"relative, r = {share:g}" for share in shares),
        ]
    ]
    for line, found in zip(lines, contexts):
        rows.append(
            [
                line.name,
                line.about["split"],
                str(found.effective),
                *(str(found.relative.get(share, "")) for share in shares),
            ]
        )
    return [
        *table(rows, left=2),
        (
            f"tokens of memory up to which each step is a gain of {context_length.LEAST_GAIN:.0%}"
            " or more in perplexity"
        ),
    ]


def _plot(path: Path, lines: Sequence[Line], lengths: Sequence[int]) -> str:
    """Writes the picture of a sweep; returns what it is."""
    from par.report import line_plots, style

    panels: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        panel = panels.setdefault(line.about["split"], {})
        panel[line.name] = [scores["perplexity_per_word"] for scores in line.scores]
    line_plots.memory_lengths(path, lengths, panels)
    return style.described(path)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
