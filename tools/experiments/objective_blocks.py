"""Which blocks each objective wants: searches by causal and by masked prediction on the same data,
and every network that they derive trained by both."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from par.core.rank_correlation import bootstrap_interval
from par.core.stats import permutation_p
from par.core.text import number
from par.objectives import OBJECTIVES
from par.search.architecture import network_of
from par.tools.experiments.cells import least_decided
from par.tools.experiments.experiment import PYTHON_DOCS, Experiment, Outputs, Row, Step, Table

PAGE = "docs/objectives.md"
NAMES = ("causal_lm", "masked_lm")
SEEDS = (0, 1, 2, 3, 4)  # of the searches
TRAINING_SEED = 5  # of the networks: none of a search, whose luck its network would share
INTERLEAVED = "adadad"
# other orders of its blocks, which cost the same
ORDERS = sorted({"".join(order) for order in itertools.permutations(INTERLEAVED)} - {INTERLEAVED})
RANDOM = random.Random(0).sample(ORDERS, 3)
FIXED = {"interleaved": INTERLEAVED} | {
    f"random-{n}": blocks for n, blocks in enumerate(RANDOM, 1)
}
COMMON = ("--data={data}", "--recipe=quick", "--sample_length=0", "--json")
FIGURE = OBJECTIVES[NAMES[0]].comparison[0]  # by which networks are listed
BOOTSTRAP_SEED = 0


def _short(objective: str) -> str:
    return objective.removesuffix("_lm")


def _steps() -> Iterator[Step]:
    data = ("--corpus=python-docs", "--recipe=quick", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    networks = dict(FIXED)
    for seed in SEEDS:
        for objective in NAMES:
            search, network = (f"{what}-{_short(objective)}-{seed}" for what in ("search", "of"))
            own = (f"--objective={objective}", f"--seed={seed}", f"--run={{{search}}}")
            yield Step(search, "train", (*COMMON, *own))
            path = f"{{{network}}}/architecture.json"
            likeliest = (f"--run={{{search}}}", "--rule=likeliest", f"--output={path}", "--json")
            yield Step(network, "derive", likeliest)
            networks[network] = path
    for name, blocks in networks.items():
        for objective in NAMES:
            run = _trained(name, objective)
            own = (f"--objective={objective}", f"--seed={TRAINING_SEED}", f"--run={{{run}}}")
            yield Step(run, "train", (*COMMON, f"--architecture={blocks}", *own))


def _trained(name: str, objective: str) -> str:
    return f"{name}-by-{_short(objective)}"


def _rows(outputs: Outputs) -> list[Row]:
    found: list[Row] = []
    networks = dict(FIXED)
    for objective in NAMES:
        for seed in SEEDS:
            name = f"of-{_short(objective)}-{seed}"
            derived = outputs[name]
            networks[name] = network_of(derived["architecture"])
            found.append(
                {"what": "search", "objective": objective, "seed": seed}
                | {"network": networks[name], "least_decided": least_decided(derived)}
                | {"seconds": outputs[f"search-{_short(objective)}-{seed}"]["seconds"]}
                | _attention(networks[name])
            )
    for name, blocks in networks.items():
        row: Row = {"what": "network", "name": name, "network": blocks}
        for objective in NAMES:
            trained = outputs[_trained(name, objective)]
            figures = trained["valid"]["fixed"]
            row |= {
                f"{objective}_{each}": figures[each] for each in OBJECTIVES[objective].compared
            }
            row[f"{objective}_seconds"] = trained["seconds"]
        found.append(row)
    return found


def _attention(blocks: str) -> Row:
    """How many attention blocks a network has, and their mean place as a share of its depth, 0 at
    the input and 1 at the output; None where it has none."""
    places = [number for number, kind in enumerate(blocks) if kind == "a"]
    depth = max(len(blocks) - 1, 1)
    place = sum(places) / len(places) / depth if places else None
    return {"attention": len(places), "place": place}


def _of(rows: Sequence[Row], what: str) -> list[Row]:
    return [row for row in rows if row["what"] == what]


def _searched(rows: Sequence[Row], objective: str) -> list[Row]:
    return [row for row in _of(rows, "search") if row["objective"] == objective]


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.2f} ({', '.join(f'{value:.3g}' for value in values)})"


def _searches(rows: Sequence[Row]) -> list[list[str]]:
    lines = [["searches by", "networks", "least decided block", "seconds of one"]]
    for objective in NAMES:
        found = _searched(rows, objective)
        networks = ", ".join(f"`{row['network']}`" for row in found)
        least = f"{min(row['least_decided'] for row in found):.2f}"
        seconds = f"{sum(row['seconds'] for row in found) / len(found):.0f}"
        lines.append([objective, networks, least, seconds])
    return lines


def _differences(rows: Sequence[Row]) -> list[list[str]]:
    """The attention blocks of the searches' networks, and how probable a difference as large is if
    the objective does not matter."""
    lines = [["attention blocks of the five networks", *NAMES, "p"]]
    for key, title in (("attention", "number"), ("place", "mean place, 0 input to 1 output")):
        values = [
            [row[key] for row in _searched(rows, objective) if row[key] is not None]
            for objective in NAMES
        ]
        known = all(values)
        shown = [_mean(each) if each else "none" for each in values]
        lines.append([title, *shown, f"{permutation_p(*values):.3f}" if known else ""])
    return lines


def _networks(rows: Sequence[Row]) -> list[list[str]]:
    """Every network by both objectives, best by the first at the top."""
    figures = {
        f"{name}_{figure.name}": figure
        for name, shown in ((NAMES[0], 1), (NAMES[1], 2))
        for figure in OBJECTIVES[name].comparison[:shown]
    }
    lines = [["network", "which", *(figure.label for figure in figures.values())]]
    merged: dict[str, list[Row]] = {}
    for row in sorted(_of(rows, "network"), key=lambda row: row[f"{NAMES[0]}_{FIGURE.name}"]):
        merged.setdefault(row["network"], []).append(row)
    for network, same in merged.items():
        names = ", ".join(row["name"].replace("of-", "search ").replace("-", " ") for row in same)
        # of one network by the same seed every training is the same
        shown = [number(same[0][key], figure.digits) for key, figure in figures.items()]
        lines.append([f"`{network}`", names, *shown])
    return lines


def _agreement(rows: Sequence[Row]) -> list[list[str]]:
    """Whether the two objectives rank the distinct networks alike."""
    distinct = {row["network"]: row for row in _of(rows, "network")}.values()
    both = [
        [row[f"{name}_{OBJECTIVES[name].comparison[0].name}"] for row in distinct]
        for name in NAMES
    ]
    tau = bootstrap_interval(*both, BOOTSTRAP_SEED)
    bounds = "" if tau.low is None else f" ({tau.low:+.2f} to {tau.high:+.2f})"
    return [
        ["distinct networks", "tau-b of the two orders (95 % interval)"],
        [str(len(both[0])), f"{tau.mean:+.2f}{bounds}"],
    ]


EXPERIMENTS = (
    Experiment(
        "objective_blocks",
        "python-docs, quick recipe: searches by causal and masked prediction, networks by both",
        minutes=100,
        corpus=PYTHON_DOCS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(
            Table("searches", PAGE, _searches),
            Table("attention", PAGE, _differences),
            Table("networks", PAGE, _networks),
            Table("agreement", PAGE, _agreement),
        ),
        seeds=(*SEEDS, TRAINING_SEED),
    ),
)
