"""Whether an order of six blocks that is good at that depth is good at 12 and 16 blocks, too: the
same networks at each depth, ranked by their perplexities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from par.core.rank_correlation import (
    bootstrap_interval,
    ranks,
    simple_regret,
    spearman_rho,
    spearman_rho_within,
)
from par.core.stats import Interval
from par.search import baselines
from par.tools.experiments.cells import KEY, perplexity
from par.tools.experiments.experiment import (
    PEPS,
    Experiment,
    Outputs,
    Picture,
    Row,
    Step,
    Table,
)

DEPTH = 6
NAMED = ("adadad", "aaaddd", "dddaaa", "aadddd", "adaddd", "addadd", "aaaaaa", "dddddd")
DRAWN = 12
BOOTSTRAP_SEED = 0


def repeated(blocks: str, depth: int) -> str:
    """The order over and over, cut at `depth` blocks: `adaddd` of 12 is `adadddadaddd`."""
    return (blocks * (depth // len(blocks) + 1))[:depth]


def stretched(blocks: str, depth: int) -> str:
    """Each block of the order as often as it takes for `depth` blocks, block i of the deep network
    being block floor(i L / depth) of the L: `adaddd` of 12 is `aaddaadddddd`."""
    return "".join(blocks[i * len(blocks) // depth] for i in range(depth))


WAYS: dict[str, Callable[[str, int], str]] = {"repeated": repeated, "stretched": stretched}
# what the networks of six blocks are compared with: how it is made, depth, seed of the training.
# The seed is another one: with the same, two trainings would share their luck, too
TARGETS = {
    "6, another seed": (repeated, DEPTH, 1),
    **{f"{depth}, {name}": (way, depth, 1) for depth in (12, 16) for name, way in WAYS.items()},
}
FIRST_SEED = 0  # of the networks of six blocks
SPLIT = (0.4, 0.05, 0.55)  # train, valid, and what is left out: there are more than 100 trainings
COMMON = (
    "--data={data}",
    *("--recipe=base", "--precision=bf16", "--epochs=1", "--sample_length=0", "--json"),
)


def networks() -> list[str]:
    """The orders of six blocks: named ones, and those that are drawn, all others with equal
    probability."""
    fits = [(attention, DEPTH - attention) for attention in range(DEPTH + 1)]
    return [*NAMED, *baselines.draw(DRAWN, fits, NAMED, seed=0)]


def _trainings() -> Iterator[tuple[str, int]]:
    """Blocks and seed of every training, some of them of several uses; those of an order follow
    each other."""
    for blocks in networks():
        yield blocks, FIRST_SEED
        for way, depth, seed in TARGETS.values():
            yield way(blocks, depth), seed


def _name(blocks: str, seed: int) -> str:
    return f"{blocks}-{seed}"


def _steps() -> Iterator[Step]:
    text = ("--input_text=data/raw/peps/train.txt", *map("--split_fractions={}".format, SPLIT))
    data = (*text, "--recipe=base", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    for blocks, seed in dict.fromkeys(_trainings()):
        name = _name(blocks, seed)
        own = (f"--architecture={blocks}", f"--seed={seed}", f"--run={{{name}}}")
        yield Step(name, "train", (*COMMON, *own))


def _rows(outputs: Outputs) -> list[Row]:
    """A row for each order of six blocks, with its perplexities at every depth."""

    def score(blocks: str, seed: int) -> float:
        return outputs[_name(blocks, seed)]["valid"]["fixed"][KEY]

    return [
        {"blocks": blocks, "attention": blocks.count("a"), "6": score(blocks, FIRST_SEED)}
        | {name: score(way(blocks, depth), seed) for name, (way, depth, seed) in TARGETS.items()}
        for blocks in networks()
    ]


def _columns(rows: Sequence[Row]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in ("attention", "6", *TARGETS)}


def _correlations(rows: Sequence[Row]) -> list[list[str]]:
    """How the perplexities at six blocks predict those of each target, and what the choice of the
    best order of six costs there."""
    columns, lines = _columns(rows), []
    six, attention = columns["6"], columns["attention"]
    best = min(range(len(rows)), key=lambda i: six[i])
    for name in TARGETS:
        there = columns[name]
        rho = bootstrap_interval(six, there, BOOTSTRAP_SEED, spearman_rho)
        within = bootstrap_interval(
            six, there, BOOTSTRAP_SEED, spearman_rho_within, groups=attention
        )
        lost = float(simple_regret(there, best)) / min(there)
        place = f"{ranks(there)[best]:g} of {len(rows)}, {lost:+.1%}"
        lines.append([name, _shown(rho), _shown(within), place])
    titles = ["Spearman's rho", "number of attention blocks held fixed"]
    return [["blocks", *titles, f"`{rows[best]['blocks']}`, the best of six: its place"], *lines]


def _shown(rho: Interval) -> str:
    """`0.81 (0.60 to 0.92)`."""
    if rho.low is None or rho.high is None:
        return f"{rho.mean:.2f}"
    return f"{rho.mean:.2f} ({rho.low:.2f} to {rho.high:.2f})"


def _networks(rows: Sequence[Row]) -> list[list[str]]:
    names = ("6", *TARGETS)
    ordered = sorted(rows, key=lambda row: row["6"])
    lines = [[f"`{row['blocks']}`", *(perplexity(row[name]) for name in names)] for row in ordered]
    return [["blocks", *names], *lines]


def _draw(rows: Sequence[Row], path: Path) -> None:
    from par.report import transfer_plot  # matplotlib takes a second to import

    columns = _columns(rows)
    transfer_plot.panels(
        path,
        ("6 blocks", columns["6"]),
        {name: columns[name] for name in TARGETS},
        [row["attention"] for row in rows],
    )


PAGE = "docs/depth.md"

EXPERIMENTS = (
    Experiment(
        "transfer",
        f"{len(NAMED) + DRAWN} orders of six blocks, at 12 and at 16 blocks, too",
        minutes=145,
        corpus=PEPS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(
            Table("correlations", PAGE, _correlations),
            Picture(
                "scatter",
                PAGE,
                "The rank of each order at six blocks, and at 12 and 16",
                _draw,
            ),
            Table("networks", PAGE, _networks),
        ),
        seeds=(0, 1),
    ),
)
