"""All 127 networks of up to six blocks, trained; what searches find beside them; and every way to
choose a network, replayed on their table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from par.search import networks
from par.search.architecture import network_of
from par.search.baselines import references
from par.tools.experiments.cells import perplexity
from par.tools.experiments.experiment import (
    WIKITEXT_2_SMALL,
    Experiment,
    Outputs,
    Picture,
    Row,
    Step,
    Table,
)

PAGE = "docs/block-order.md"
DEPTH = 6
SEEDS = (0, 1, 2)  # of the searches, and of all networks
SHAPE = ("--data={data}", "--recipe=base", "--precision=bf16", f"--num_blocks={DEPTH}")
SAMPLINGS = {
    "soft": ("--sampling=soft",),
    "straight-through": ("--sampling=straight_through",),
    "single path": ("--sampling=single_path",),
    "bilevel": ("--bilevel",),
}
KNOWN = {"aadddd": "aadddd"} | {
    name: network_of(blocks) for name, blocks in references("", DEPTH).items() if name != "derived"
}
INHERITED = "inherited"  # at the end of a way of replay: a network's score with a search's weights
BEST = 10  # networks in the table of the best
DRAWN = 24  # in the picture
SPLITS = ("valid", "test")


def _name(sampling: str, seed: int) -> str:
    return f"{sampling.replace(' ', '-')}-{seed}"


def _steps() -> Iterator[Step]:
    data = ("--corpus=wikitext-2-small", "--recipe=base", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    yield Step("table", "measure_latency", (*SHAPE, "--output={table}/latency.json", "--json"))
    latencies = "--latency_table={table}/latency.json"
    yield Step("all", "compare", ("--all", *SHAPE, latencies, "--output_dir={all}", "--json"))
    seeds = ("--num_seeds=1", "--num_leaders=5", "--leader_seeds=3")
    masked = ("--all", *SHAPE, "--objective=masked_lm", *seeds, "--output_dir={masked}", "--json")
    yield Step("masked", "compare", masked)
    for sampling, flags in SAMPLINGS.items():
        for seed in SEEDS:
            name = _name(sampling, seed)
            own = (f"--seed={seed}", "--sample_length=0", f"--run={{{name}}}", "--json")
            yield Step(name, "train", (*SHAPE, *flags, *own))
            output = f"--output={{{name}-network}}/architecture.json"
            likeliest = (f"--run={{{name}}}", "--rule=likeliest", output, "--json")
            yield Step(f"{name}-network", "derive", likeliest)
    runs = tuple(f"--run={{{_name(each, seed)}}}" for each in SAMPLINGS for seed in SEEDS)
    rankings = ("--ranking={masked}/table.npz", *runs, "--inherited")
    replayed = ("--table={all}/table.npz", *rankings, "--json")
    yield Step("replay", "replay", replayed)
    yield Step("replay-budget", "replay", (*replayed, "--budget_ratio=0.65"))


def _rows(outputs: Outputs) -> list[Row]:
    found: list[Row] = [
        {"what": "network", "network": each["network"], "seeds": each["seeds"]}
        | {f"valid_{key}": value for key, value in each["valid"].items()}
        | {f"test_{key}": value for key, value in each["test"].items()}
        for each in outputs["all"]["networks"]
    ]
    for sampling in SAMPLINGS:
        for seed in SEEDS:
            derived = outputs[f"{_name(sampling, seed)}-network"]["architecture"]
            found.append(
                {"what": "search", "sampling": sampling, "seed": seed}
                | {"network": network_of(derived)}
            )
    for step in ("replay", "replay-budget"):
        found += list(_replayed(step, outputs[step]))
    return found


def _replayed(step: str, output: dict[str, Any]) -> Iterator[Row]:
    for way in output["ways"]:
        tau = way["tau_b"] or {}
        row: Row = {"what": step, "way": _sampling(way["name"]), "within": way["within"]}
        row |= {f"tau_{key}": tau.get(key) for key in ("mean", "low", "high")}
        for number, regret in way["regret"].items():
            row[f"after_{number}"] = regret["median"] if regret else None
        yield row
    kept = ("networks", "noise", "bound_held", "called", "called_rightly", "twins_called")
    yield {"what": f"{step}-claims"} | {key: output[key] for key in kept}


def _sampling(name: str) -> str:
    """The way of a ranking: of a search the name of its step, without the key of its directory."""
    steps = {_name(each, seed): f"{each}, seed {seed}" for each in SAMPLINGS for seed in SEEDS}
    shown = next((shown for step, shown in steps.items() if name.startswith(step)), name)
    return f"{shown}, {INHERITED}" if shown != name and name.endswith(INHERITED) else shown


def _of(rows: Sequence[Row], what: str) -> list[Row]:
    return [row for row in rows if row["what"] == what]


def _spread(row: Row, split: str) -> str:
    mean, low, high = (row[f"{split}_{key}"] for key in ("mean", "low", "high"))
    bounds = "" if low is None else f" ({perplexity(low)} to {perplexity(high)})"
    return f"{perplexity(mean)}{bounds}"


def _best(rows: Sequence[Row]) -> list[list[str]]:
    lines = [
        [str(rank), f"`{row['network']}`", str(row["seeds"]), *(_spread(row, s) for s in SPLITS)]
        for rank, row in enumerate(_of(rows, "network")[:BEST], 1)
    ]
    return [["", "network", "seeds", *SPLITS], *lines]


def _ranks(rows: Sequence[Row]) -> list[list[str]]:
    """Where known networks and those of the searches stand among all."""
    order = [row["network"] for row in _of(rows, "network")]
    means = {row["network"]: row["valid_mean"] for row in _of(rows, "network")}
    named = [(name, "", network) for name, network in KNOWN.items()]
    named += [(row["sampling"], str(row["seed"]), row["network"]) for row in _of(rows, "search")]
    lines = [
        [
            name,
            seed,
            f"`{network}`",
            f"{order.index(network) + 1} of {len(order)}",
            f"{means[network] / means[order[0]] - 1:+.1%}",
        ]
        for name, seed, network in named
    ]
    return [["", "seed", "network", "rank", "above the best"], *lines]


def _ways(what: str) -> Any:
    def cells(rows: Sequence[Row]) -> list[list[str]]:
        found = _of(rows, what)
        numbers = [key for key in found[0] if key.startswith("after_")]
        lines = []
        for row in found:
            tau = "" if row["tau_mean"] is None else f"{row['tau_mean']:+.2f}"
            if row["tau_low"] is not None:
                tau += f" ({row['tau_low']:+.2f} to {row['tau_high']:+.2f})"
            regrets = ["" if row[key] is None else f"{row[key]:.1%}" for key in numbers]
            lines.append([row["way"], tau, *regrets, f"{row['within']:.0%}"])
        heads = [f"after {key.removeprefix('after_')}" for key in numbers]
        return [["way", "tau-b", *heads, "within 0.5 %"], *lines]

    return cells


def _claims(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    for what, name in (("replay", "all"), ("replay-budget", "within 65 % of the latency")):
        [row] = _of(rows, f"{what}-claims")
        rightly = "" if row["called_rightly"] is None else f"{row['called_rightly']:.0%}"
        lines.append(
            [
                name,
                str(row["networks"]),
                f"{row['noise']:.2%}",
                *(f"{row[key]:.0%}" for key in ("bound_held", "called")),
                rightly,
                f"{row['twins_called']:.1%}",
            ]
        )
    heads = ["networks", "noise", "as near as claimed", "called", "rightly", "twins called"]
    return [["", *heads], *lines]


def _draw(rows: Sequence[Row], path: Path) -> None:
    from par.report import strips_plot
    from par.report.strips_plot import Strip

    found, names = _of(rows, "network"), {network: name for name, network in KNOWN.items()}
    shown = [
        Strip(
            names.get(row["network"], row["network"]),
            networks.letters_of(row["network"]),
            row["valid_mean"],
            "named" if row["network"] in names else "random",
        )
        for place, row in enumerate(found)
        if place < DRAWN or row["network"] in names
    ]
    strips_plot.strips(path, shown)


EXPERIMENTS = (
    Experiment(
        "block_order",
        "all 127 networks of up to six blocks on wikitext-2-small; searches; every way to choose",
        minutes=385,
        corpus=WIKITEXT_2_SMALL,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(
            Table("best", PAGE, _best),
            Picture(
                "order",
                PAGE,
                "the best networks and the known ones as strips of their blocks, and perplexity"
                " over the number and the mean place of attention blocks",
                _draw,
            ),
            Table("ranks", PAGE, _ranks),
            Table("ways", PAGE, _ways("replay")),
            Table("budget", PAGE, _ways("replay-budget")),
            Table("claims", PAGE, _claims),
        ),
        seeds=SEEDS,
    ),
)
