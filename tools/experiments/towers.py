"""Does it pay to compose? Towers of three tasks on one base, side by side, against each of them,
against the same networks of random weights, and against TF-IDF; frozen, and trained further."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import minutes
from par.tools.experiments.experiment import PYTHON_DOCS, Experiment, Outputs, Row, Step, Table

PAGE = "docs/composition.md"
SEEDS = (0, 1)
BLOCKS = "ad"  # of a tower
TASKS = {
    "masked": ("--objective=masked_lm",),
    "replaced": ("--objective=span_electra",),
    "modules": ("--objective=authors", "--relation=group", "--nocross"),
}
NEW_TASK = TASKS["modules"]  # of the network on all of them
KINDS = {"pretrained": ("--epochs=2",), "random": ("--epochs=1", "--max_lr=0")}
WAYS = {"frozen": (), "trained further": ("--nofreeze_base",)}
LABELS = {"group": "module", "author": "package"}
COMMON = ("--data={data}", "--recipe=quick", "--sample_length=0", "--json")
TFIDF = "TF-IDF of 3- to 5-grams"


def _key(*parts: object) -> str:
    return "-".join(str(part).replace(" ", "-") for part in parts)


def _steps() -> Iterator[Step]:
    built = ("--corpus=python-docs", "--recipe=quick", "--output_dir={data}", "--json")
    yield Step("data", "build_data", built)
    for seed in SEEDS:
        for kind, epochs in KINDS.items():
            base = _key(kind, "base", seed)
            of_base = ("--epochs=4",) if kind == "pretrained" else epochs
            yield _train(base, seed, *TASKS["masked"], "--architecture=adadad", *of_base)
            towers = []
            for task, flags in TASKS.items():
                towers.append(_key(kind, task, seed))
                on = (f"--base={{{base}}}", f"--architecture={BLOCKS}")
                yield _train(towers[-1], seed, *flags, *on, *epochs)
            both = _key(kind, "all", seed)
            runs = tuple(f"--run={{{tower}}}" for tower in towers)
            names = tuple(f"--name={task}" for task in TASKS)
            yield Step(both, "compose", (*runs, *names, f"--output={{{both}}}", "--json"))
            for way, flags in WAYS.items():
                top = (f"--base={{{both}}}", f"--architecture={BLOCKS}", "--epochs=2")
                yield _train(_key(kind, "top", way, seed), seed, *NEW_TASK, *flags, *top)
        for label in LABELS:
            runs = tuple(f"--run={{{_key(name, seed)}}}" for name in _networks())
            probed = (*runs, f"--label={label}", f"--seed={seed}", "--json")
            yield Step(_key(label, seed), "probe", probed)


def _train(name: str, seed: int, *flags: str) -> Step:
    return Step(name, "train", (*COMMON, *flags, f"--seed={seed}", f"--run={{{name}}}"))


def _networks() -> dict[str, str]:
    """What is probed: the names of the steps without their seed, and how a table calls them."""
    tops = {
        _key(kind, "top", way): f"`{BLOCKS}` on all, from {kind} ones, base {way}"
        for way in WAYS
        for kind in KINDS
    }
    return {
        "pretrained-base": "base alone",
        **{_key("pretrained", task): f"tower {task}" for task in TASKS},
        "pretrained-all": "all towers, pretrained",
        "random-all": "all towers, random",
        **tops,
    }


def _rows(outputs: Outputs) -> list[Row]:
    found: list[Row] = []
    for seed in SEEDS:
        probed = {label: outputs[_key(label, seed)] for label in LABELS}
        tfidf: Row = {"name": TFIDF, "seed": seed, "seconds": None}
        for label, of in probed.items():
            tfidf |= _interval(label, of["baselines"]["tfidf"])
        found.append(tfidf)
        for place, name in enumerate(_networks()):
            output = outputs[_key(name, seed)]
            row: Row = {"name": name, "seed": seed, "seconds": output.get("seconds")}
            for label, of in probed.items():
                row |= _interval(label, of["runs"][place]["accuracy"])
            found.append(row)
    return found


def _interval(label: str, of: dict[str, float | None]) -> Row:
    return {f"{label}_{name}": of[name] for name in ("mean", "low", "high")}


def _table(rows: Sequence[Row]) -> list[list[str]]:
    heads = [f"share of {each}s found" for each in LABELS.values()]
    lines = [["hidden states of", "minutes of training", *heads]]
    for name, title in ({TFIDF: TFIDF} | _networks()).items():
        of_seeds = [row for row in rows if row["name"] == name]
        seconds = [row["seconds"] for row in of_seeds if row["seconds"] is not None]
        time = minutes(seconds) if seconds else ""
        lines.append([title, time, *(_cell(of_seeds, label) for label in LABELS)])
    return lines


def _cell(rows: Sequence[Row], label: str) -> str:
    """`0.741 (0.701 to 0.780)`: the mean of the seeds, the lowest and the highest bound."""
    mean = statistics.fmean(row[f"{label}_mean"] for row in rows)
    bounds = [[row[f"{label}_{name}"] for row in rows] for name in ("low", "high")]
    if None in (*bounds[0], *bounds[1]):
        return f"{mean:.3f}"
    return f"{mean:.3f} ({min(bounds[0]):.3f} to {max(bounds[1]):.3f})"


EXPERIMENTS = (
    Experiment(
        "composed_towers",
        "towers of three tasks side by side, against each, random ones and TF-IDF",
        minutes=60,
        corpus=PYTHON_DOCS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(Table("table", PAGE, _table),),
        seeds=SEEDS,
    ),
)
