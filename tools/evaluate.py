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
    python tools/evaluate.py --run=logs/CAUSAL --run=logs/MASKED --mask_draws=4
        both on the tokens that are masked in so many draws
    python tools/evaluate.py --run=logs/RANDOM_CONTEXTS --run=logs/GROUP_CONTEXTS
        and how much better the second is on the same tokens, by depth in threads, with intervals
    python tools/evaluate.py --run=logs/MASKED --pseudo --pseudo_tokens=2000
        and the pseudo-perplexity, each token masked in turn

The last rows are of models of the same pieces without a network, and a warning names each network
that does not beat them: an interpolated Kneser-Ney 5-gram; where tokens are masked, the unigram
model, and its mixture with the bigrams of both neighbours.

B, T and M may differ from training's: the records are joined to one stream and cut again. A sweep
also reports how much context each network uses, by itself and relative to the others (Dai et al.
2019, appendix C). The same command gives the same figures.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import functools
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
from par.core.stats import Interval
from par.core.text import number, table
from par.data import documents, records
from par.evaluate import context_length
from par.evaluate.context_length import ContextUse
from par.evaluate.counted_texts import Reading
from par.evaluate.eval_config import EvalConfig, num_tokens
from par.evaluate.paired import DEEPEST, Difference, Targets, differences
from par.evaluate.yardsticks import store
from par.evaluate.yardsticks.base import SPLITS, Yardstick
from par.objectives import OBJECTIVES
from par.objectives.contract import Contract
from par.tools.cli import trained
from par.tools.cli.baseline import OF_RUN, baselines_of, names_of
from par.tools.cli.checks import inherited_blocks, load_run, picture_path, refuse_idle
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.shelved import define_runs
from par.tools.cli.tensorflow import start_tensorflow
from par.train import history, run_config, run_directory

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (
            define_runs,
            "run",
            [],
            "run directory, or shelf:NAME@TAG (the table has lines for each)",
        ),
        trained.DATA,
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
        trained.CHECKPOINT,
        (
            flags.DEFINE_bool,
            "show_history",
            False,
            "print the table of iterations of each run, too",
        ),
        OF_RUN,
        (
            functools.partial(flags.DEFINE_integer, lower_bound=1, upper_bound=1 << 16),
            "mask_draws",
            None,
            (
                "score the tokens that are masked in so many draws, by runs that predict the next"
                " token, too; the default is the objective's, of runs that mask tokens"
            ),
        ),
        (
            flags.DEFINE_bool,
            "pseudo",
            False,
            (
                "print the pseudo-perplexity, too: each token masked in turn, by a run that"
                " predicts masked tokens"
            ),
        ),
        (
            functools.partial(flags.DEFINE_integer, lower_bound=1, upper_bound=1 << 40),
            "pseudo_tokens",
            2_000,
            "tokens from the beginning of a split that --pseudo reads",
        ),
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


class Baseline(NamedTuple):
    """A model without a network, of a data set on a split."""

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
    for run, config, *_ in opened:
        config.contract.check_predicts("evaluate", run)
    of_runs = {run: config.contract for run, config, _, _ in opened}
    _check_pseudo(values, of_runs)
    contract, draws = _contract(values, of_runs)
    names = names_of(values, contract)
    resolved = [
        [reading.resolved(config, manifest, values.split) for reading in readings]
        for _, config, _, manifest in opened
    ]
    of_runs = {run: config.architecture.blocks for run, config, _, _ in opened}
    blocks = inherited_blocks(values.architecture, of_runs)
    start_tensorflow()
    lines = [
        line
        for run, of_run in zip(opened, resolved)
        for line in _lines(values, of_run, *run, blocks, contract, draws)
    ]
    lines = _told_apart(lines)
    data_sets = {data_dir: manifest for _, _, data_dir, manifest in opened}
    baselines = list(_baselines(values, names, data_sets, draws or contract.draws, bool(draws)))
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
            contract = run_config.load(Path(run))[0].contract
            rows = history.read_rows(Path(run) / "history.jsonl", contract)
            yield [run, *history.table(rows, contract)]
    yield _table(lines, lengths, baselines)
    yield list(_ahead_lines(lines))
    yield _paired_table(lines)
    if values.pseudo:
        yield _pseudo_table(lines)
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


def _contract(values: Flags, of_runs: dict[str, Contract]) -> tuple[Contract, int]:
    """In the figures of which objective the runs are scored, and the draws of the masked tokens
    that all of them are scored on, 0 where these are the run's own. Raises: UsageError if the runs
    have no figure in common, or one can't be scored on masked tokens."""
    (first, contract), *others = of_runs.items()
    several = [(run, other) for run, other in others if other != contract]
    masked = next(each for each in OBJECTIVES.values() if each.fills)
    for run, other in of_runs.items():
        if values.mask_draws and not (other.fills or other.generates):
            raise UsageError(
                "--mask_draws compares runs of masked_lm, and those that predict the next token,"
                f" but {run} is {other.name}: leave it out"
            )
    if values.mask_draws or (
        several and all(each.fills or each.generates for each in of_runs.values())
    ):
        if values.stride is not None:
            raise UsageError(
                "--stride reads tokens in several windows, in which others are masked: leave it"
                " out where masked tokens are scored by several objectives or draws"
            )
        return masked, values.mask_draws or masked.draws
    for run, other in several:
        raise UsageError(
            f"--run={first} is of {contract.name}, --run={run} of {other.name}, which have no"
            " figure in common: evaluate them one after the other"
        )
    return contract, 0


def _lines(
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
    contract, draws: of `_contract`."""
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


def _check_pseudo(values: Flags, of_runs: dict[str, Contract]) -> None:
    """Raises: UsageError if --pseudo can't be computed."""
    if not values.pseudo:
        refuse_idle(values, ("pseudo_tokens",), without="pseudo")
        return
    refuse_idle(values, ("sweep_mem_len", "stride"), beside="pseudo")
    for run, contract in of_runs.items():
        contract.check_fills("--pseudo", run)


def _told_apart(lines: Sequence[Line]) -> list[Line]:
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


def _baselines(
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


def _warnings(lines: Sequence[Line], baselines: Sequence[Baseline]) -> list[str]:
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


class Pair(NamedTuple):
    """Two lines that score the same tokens of documents, and by how much the nll of the second is
    above that of the first."""

    first: Line
    second: Line
    differences: list[Difference]


def _pairs(lines: Sequence[Line]) -> Iterator[Pair]:
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


def _paired_table(lines: Sequence[Line]) -> list[str]:
    """The differences of pairs, by depth where the documents have several."""
    pairs = list(_pairs(lines))
    if not pairs:
        return []
    depths = sorted({own.depth for pair in pairs for own in pair.differences[1:]})
    last = f"depth {DEEPEST} or more"
    heads = [last if depth == DEEPEST else f"depth {depth}" for depth in depths]
    cells = [["network", "less", "split", "all", *heads]]
    for first, second, found in pairs:
        shown = {own.depth: _signed(own.nats) for own in found}
        row = [second.name, first.name, second.about["split"], shown[None]]
        cells.append([*row, *(shown.get(depth, "") for depth in depths)])
    cluster = pairs[0].second.targets[0].cluster
    note = f"nats a masked token, the same tokens in both; intervals for other {cluster}s"
    return [*table(cells, left=3), note]


def _signed(interval: Interval) -> str:
    """`-0.041 (-0.066 to -0.016)`."""
    bounds = "" if interval.low is None else f" ({interval.low:+.3f} to {interval.high:+.3f})"
    return f"{interval.mean:+.3f}{bounds}"


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
        | metrics.finite({name: scores[name] for name in line.contract.names})
        | ({"ahead": {name: own._asdict() for name, own in ahead.items()}} if ahead else {})
        for line in lines
        for reading, scores, ahead in zip(line.readings, line.scores, line.ahead)
    ]
    found = {"results": results, "warnings": list(warnings)}
    found["baselines"] = [
        {
            "data": str(baseline.data_dir),
            "split": baseline.split,
        }
        | baseline.model.about
        | metrics.finite(baseline.figures)
        for baseline in baselines
    ]
    if pairs := list(_pairs(lines)):
        found["paired"] = [
            {name: second.about[name] for name in ("run", "evaluate_as", "split")}
            | {f"less_{name}": first.about[name] for name in ("run", "evaluate_as")}
            | {"cluster": second.targets[0].cluster}
            | {"differences": [own.to_json() for own in every]}
            for first, second, every in pairs
        ]
    if any(line.pseudo for line in lines):
        found["pseudo"] = [line.about | metrics.finite(line.pseudo) for line in lines]
    if contexts:
        found["contexts"] = [line.about | used.to_json() for line, used in zip(lines, contexts)]
    return found


def _table(
    lines: Sequence[Line], lengths: Sequence[int], baselines: Sequence[Baseline]
) -> list[str]:
    figures = lines[0].contract.tabled
    heads = ["network", "split", *(figure.label for figure in figures)]
    rows = [
        (line.name, line.about["split"], f"{reading.mem_len:,}" if lengths else "", scores)
        for line in lines
        for reading, scores in zip(line.readings, line.scores)
    ]
    rows += [(own.name, own.split, "", own.figures) for own in baselines]
    cells = [heads]
    for name, split, memory, scores in rows:
        cells.append([name, split, *(figure.text(scores[figure.name]) for figure in figures)])
        if lengths:
            cells[-1].insert(2, memory)
    if lengths:
        heads.insert(2, "memory")
    return table(cells, left=2)


def _ahead_lines(lines: Sequence[Line]) -> Iterator[str]:
    """By how much each network is above what it must beat on the same tokens."""
    for line in lines:
        for name, own in (pair for ahead in line.ahead for pair in ahead.items()):
            of = line.contract.figure(line.contract.must_beat[name])
            shown = f"{own.mean:+.4f}"
            if own.low is not None:
                shown += f" ({own.low:+.4f} to {own.high:+.4f})"
            figure = line.contract.figure(name)
            yield f"{line.name}, {line.about['split']}: {figure.brief} {shown} to the {of.brief}"


def _pseudo_table(lines: Sequence[Line]) -> list[str]:
    heads = ["network", "split", "tokens", "nll per token", "pseudo-perplexity per token"]
    rows = [[*heads, "per word"]]
    for line in lines:
        own = line.pseudo
        perplexities = (own["perplexity_per_token"], own["perplexity_per_word"])
        rows.append(
            [
                line.name,
                line.about["split"],
                f"{own['tokens']:,}",
                number(own["nll_per_token"], 4),
                *(number(value, 2) for value in perplexities),
            ]
        )
    return [*table(rows, left=2), "each token masked in turn: no perplexity of the text"]


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

    figure = lines[0].contract.comparison[0]
    panels: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        panel = panels.setdefault(line.about["split"], {})
        panel[line.name] = [scores[figure.name] for scores in line.scores]
    line_plots.memory_lengths(path, lengths, panels, figure.label)
    return style.described(path)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
