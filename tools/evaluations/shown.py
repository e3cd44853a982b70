"""What tools/evaluate.py prints and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from par.core import metrics
from par.core.stats import Interval
from par.core.text import number, table
from par.evaluate import context_length
from par.evaluate.context_length import ContextUse
from par.evaluate.paired import DEEPEST
from par.tools.cli.flags import Flags
from par.tools.evaluations.compared import Baseline, alone, pairs_of
from par.tools.evaluations.lines import Line
from par.train import history, run_config


def parts(
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


def as_json(
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
    if pairs := list(pairs_of(lines)):
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


def _paired_table(lines: Sequence[Line]) -> list[str]:
    """The differences of pairs, by depth where the documents have several."""
    pairs = list(pairs_of(lines))
    others = [
        f"{line.name} on {line.about['split']} is compared with none: it scores other tokens than"
        " the networks before it"
        for line in alone(lines, pairs)
    ]
    if not pairs:
        return others
    depths = sorted({own.depth for pair in pairs for own in pair.differences[1:]})
    last = f"depth {DEEPEST} or more"
    heads = [last if depth == DEEPEST else f"depth {depth}" for depth in depths]
    cells = [["network", "less that of", "split", "all", *heads]]
    for first, second, found in pairs:
        shown = {own.depth: _signed(own.nats) for own in found}
        row = [second.name, first.name, second.about["split"], shown[None]]
        cells.append([*row, *(shown.get(depth, "") for depth in depths)])
    cluster = pairs[0].second.targets[0].cluster
    note = (
        "nll in nats a masked token, of the same tokens: below 0 where the first is better;"
        f" intervals for other {cluster}s"
    )
    return [*table(cells, left=3), note, *others]


def _signed(interval: Interval) -> str:
    """`-0.041 (-0.066 to -0.016)`."""
    bounds = "" if interval.low is None else f" ({interval.low:+.3f} to {interval.high:+.3f})"
    return f"{interval.mean:+.3f}{bounds}"


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


def plot(path: Path, lines: Sequence[Line], lengths: Sequence[int]) -> str:
    """Writes the picture of a sweep; returns what it is."""
    from par.report import line_plots, style

    figure = lines[0].contract.comparison[0]
    panels: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        panel = panels.setdefault(line.about["split"], {})
        panel[line.name] = [scores[figure.name] for scores in line.scores]
    line_plots.memory_lengths(path, lengths, panels, figure.label)
    return style.described(path)
