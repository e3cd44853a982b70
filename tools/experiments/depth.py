"""A search of 16 blocks where attention costs more than a dense block: whether its network within
a latency budget is as good as the interleaved one, and what the number and the place of attention
blocks do at that depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from par.core import metrics
from par.core.metrics import PERPLEXITY_PER_WORD
from par.core.stats import Interval, interval
from par.evaluate.compare.statistics import rise
from par.evaluate.compare.tables import changed
from par.evaluate.compare.verdict import GOAL_RISE, GOAL_SAVING, percent
from par.search.baselines import DERIVED, INTERLEAVED
from par.tools.experiments.cells import KEY, least_decided, perplexity
from par.tools.experiments.experiment import (
    PEPS,
    Experiment,
    Outputs,
    Picture,
    Row,
    Step,
    Table,
)

DEPTH = 16
SEED = 0  # of the search
SCREEN_SEED = 1  # of all networks once
SEEDS = (2, 3, 4, 5, 6)  # of the finalists
FINALISTS = 3  # beside the derived and the interleaved network
SHAPE = ("--data={data}", "--recipe=base", "--precision=bf16", "--d_ffn=512", "--mem_len=192")
TABLE = "--latency_table={table}/latency.json"
PARTS = {"a": "attention", "d": "dense", "constant": "all else"}  # of the table
COMPARED = ("--run={search}", "--derived={network}/architecture.json", TABLE, "--json")


def _steps() -> Iterator[Step]:
    yield Step(
        "data",
        "build_data",
        (
            *("--input_text=data/raw/peps", "--recipe=base", "--batch_size=16", "--seq_len=64"),
            *("--output_dir={data}", "--json"),
        ),
    )
    output = ("--repeats=5", "--steps=3", "--output={table}/latency.json", "--json")
    yield Step("table", "measure_latency", (*SHAPE, f"--num_blocks={DEPTH}", *output))
    target = (f"--num_blocks={DEPTH}", TABLE, f"--target_latency={1 - GOAL_SAVING:g}")
    own = ("--epochs=1", f"--seed={SEED}", "--sample_length=0", "--run={search}", "--json")
    yield Step("search", "train", (*SHAPE, *target, *own))
    budget = f"--budget_ratio={1 - GOAL_SAVING:g}"
    path = "--output={network}/architecture.json"
    yield Step("network", "derive", ("--run={search}", TABLE, budget, path, "--json"))
    drawn = ("--num_random=8", "--split=valid", f"--seed={SCREEN_SEED}", "--num_seeds=1")
    yield Step("screen", "compare", (*COMPARED, *drawn, "--steps=3", "--output_dir={screen}"))
    best = ("--finalists_of={screen}", f"--num_finalists={FINALISTS}", "--split=test")
    for seed in SEEDS:  # a step each, so that two processes share them; timed in `screen`
        once = ("--num_seeds=1", f"--seed={seed}", "--repeats=1", "--steps=1")
        name = f"finals-{seed}"
        yield Step(name, "compare", (*COMPARED, *best, *once, f"--output_dir={{{name}}}"))


def _rows(outputs: Outputs) -> list[Row]:
    search, network, screen = (outputs[name] for name in ("search", "network", "screen"))
    scores = {way: search["valid"][way][KEY] for way in ("soft", "argmax")}
    decided = {"least_decided": least_decided(network)}
    measured = outputs["table"]["table"]["inference"]
    found: list[Row] = [
        {"what": "latency"} | {part: measured[part]["milliseconds"] for part in PARTS},
        {"what": "search", "blocks": network["architecture"]} | scores | decided,
        {"what": "saving"} | screen["interleaved"]["saving"]["inference"],
    ]
    found += [
        {"what": "screened", "random": each["random"], "cost": each["cost"]}
        | {"milliseconds": each["latency"]["inference"]["milliseconds"]}
        | _run(each, SCREEN_SEED)
        for each in screen["networks"]
    ]
    found += [
        {"what": "finalist"} | _run(each, seed)
        for seed in SEEDS
        for each in outputs[f"finals-{seed}"]["networks"]
    ]
    return found


def _run(network: dict[str, Any], seed: int) -> Row:
    [run] = network["runs"]
    names = " = ".join(network["names"])
    return {"network": names, "blocks": network["blocks"], "seed": seed} | {
        key: run[key] for key in ("nll_per_word", KEY)
    }


def _of(rows: Sequence[Row], what: str) -> list[Row]:
    return [row for row in rows if row["what"] == what]


def _named(rows: Sequence[Row], name: str) -> Row:
    """The row of the network that bears a name, maybe among others."""
    return next(row for row in rows if name in row["network"].split(" = "))


def _best_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(_of(rows, "screened"), key=lambda row: row["nll_per_word"])


def _places(blocks: str) -> str:
    """`3: 1, 4, 7`: the number of attention blocks, and their places where there are others."""
    places = [str(number) for number, kind in enumerate(blocks, 1) if kind == "a"]
    where = f": {', '.join(places)}" if 0 < len(places) < len(blocks) else ""
    return f"{len(places)}{where}"


def _latency(row: Row, rows: Sequence[Row]) -> list[str]:
    """Milliseconds by the table and measured, each with its share of the interleaved network's."""
    base = _named(_of(rows, "screened"), INTERLEAVED)
    return [f"{row[key]:.1f} ({row[key] / base[key]:.0%})" for key in ("cost", "milliseconds")]


LATENCIES = ["ms by the table", "measured"]


def _parts(rows: Sequence[Row]) -> list[list[str]]:
    [row] = _of(rows, "latency")
    return [
        ["", *PARTS.values()],
        ["inference, ms a window", *(f"{row[part]:.2f}" for part in PARTS)],
    ]


def _searched(rows: Sequence[Row]) -> list[list[str]]:
    [row] = _of(rows, "search")
    soft = f"{perplexity(row['soft'])} / {perplexity(row['argmax'])}"
    return [
        ["derived within the budget", "least decided", "search, soft / argmax"],
        [f"`{row['blocks']}`", f"{row['least_decided']:.2f}", soft],
    ]


def _screened(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    base = _named(_of(rows, "screened"), INTERLEAVED)["nll_per_word"]
    for row in _best_first(rows):
        above = f"{rise(row['nll_per_word'] - base):+.1%}"
        place = [f"`{row['blocks']}`", _places(row["blocks"]), *_latency(row, rows)]
        lines.append([row["network"], *place, perplexity(row[KEY]), above])
    titles = ["network", "blocks", "attention: number, places", *LATENCIES]
    return [[*titles, "perplexity", "against interleaved"], *lines]


def _runs(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Nats per word of the finalists by their names, seed by seed."""
    found: dict[str, list[float]] = {}
    for row in _of(rows, "finalist"):
        found.setdefault(row["network"], []).append(row["nll_per_word"])
    return found


def _gap(rows: Sequence[Row], name: str) -> Interval:
    """By what share a finalist's perplexity lies above the interleaved network's, paired by
    seed."""
    runs = _runs(rows)
    base = runs[_named(_of(rows, "finalist"), INTERLEAVED)["network"]]
    return interval([own - other for own, other in zip(runs[name], base, strict=True)]).map(rise)


def _finalists(rows: Sequence[Row]) -> list[list[str]]:
    screened = {row["blocks"]: row for row in _of(rows, "screened")}
    blocks = {row["network"]: row["blocks"] for row in _of(rows, "finalist")}
    lines = []
    for name, runs in sorted(_runs(rows).items(), key=lambda item: sum(item[1])):
        mean = _perplexities(interval(runs))
        against = (
            ""
            if INTERLEAVED in name.split(" = ")
            else changed(PERPLEXITY_PER_WORD, _gap(rows, name))
        )
        latency = _latency(screened[blocks[name]], rows)
        lines.append([name, f"`{blocks[name]}`", *latency, mean, against])
    titles = ["network", "blocks", *LATENCIES, "perplexity: mean, 95 % interval"]
    return [[*titles, "against interleaved, paired by seed"], *lines]


def _perplexities(nll: Interval) -> str:
    """`1,217.6 (1,200.1 to 1,235.4)`: the perplexity of a mean of nats, and its interval."""
    mean, low, high = map(perplexity, nll.map(metrics.perplexity))
    return f"{mean} ({low} to {high})" if nll.low is not None else mean


def _goal(rows: Sequence[Row]) -> list[list[str]]:
    """How far the derived network is from the paper's goal, in points of per cent."""
    [saving] = _of(rows, "saving")
    saved = Interval(saving["mean"], saving["low"], saving["high"])
    gap = _gap(rows, _named(_of(rows, "finalist"), DERIVED)["network"])
    between = f"quartiles {percent(saved.low)} to {percent(saved.high)}"
    return [
        ["derived against interleaved", "asked", "found", ""],
        [
            "less latency, measured",
            f"at least {percent(GOAL_SAVING, 0)}",
            f"{percent(saved.mean)} ({between})",
            _margin(saved.mean - GOAL_SAVING),
        ],
        [
            "mean perplexity above",
            f"at most {percent(GOAL_RISE, 0)}",
            changed(PERPLEXITY_PER_WORD, gap),
            _margin(GOAL_RISE - gap.mean),
        ],
    ]


def _margin(share: float) -> str:
    """`met by 1.2 points`; a share below 0 is missed."""
    return f"{'met' if share >= 0 else 'missed'} by {abs(100 * share):.1f} points"


def _kind(row: Row) -> str:
    is_derived = DERIVED in row["network"].split(" = ")
    return "derived" if is_derived else "random" if row["random"] else "named"


def _draw(rows: Sequence[Row], path: Path) -> None:
    from par.report import strips_plot  # matplotlib takes a second to import

    strips = [
        strips_plot.Strip(row["network"], row["blocks"], row[KEY], _kind(row))
        for row in _best_first(rows)
        if row[KEY] is not None
    ]
    strips_plot.strips(path, strips)


PAGE = "docs/depth.md"

EXPERIMENTS = (
    Experiment(
        "depth",
        "a search of 16 blocks with long windows for 65 % of the interleaved network's latency",
        minutes=175,
        corpus=PEPS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(
            Table("latencies", PAGE, _parts),
            Table("search", PAGE, _searched),
            Table("goal", PAGE, _goal),
            Table("finalists", PAGE, _finalists),
            Table("networks", PAGE, _screened),
            Picture(
                "order",
                PAGE,
                "The networks' blocks, best first, and their perplexity by the number and the"
                " place of attention blocks",
                _draw,
            ),
        ),
        seeds=(SEED, SCREEN_SEED, *SEEDS),
    ),
)
