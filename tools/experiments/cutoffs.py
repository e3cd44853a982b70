"""Cutoffs of the softmax: the fastest for a machine, and what they cost in perplexity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import KEY, mean_and_each, minutes
from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    Experiment,
    Outputs,
    Row,
    Step,
    StepPicture,
    Table,
    Transcript,
)

SEEDS = (0, 1)
CUTOFFS = {
    "none": ("--cutoffs=none",),
    "recipe": ("--cutoffs=500", "--cutoffs=2000"),
    "two": ("--cutoffs=274",),
    "three": ("--cutoffs=81", "--cutoffs=973"),
}


def _steps() -> Iterator[Step]:
    for recipe in ("quick", "base"):
        flags = ("--corpus=python-docs", f"--recipe={recipe}", f"--output_dir={{{recipe}}}")
        yield Step(recipe, "build_data", (*flags, "--json"))
    plot = "--plot={cuts}/cutoffs.png"
    yield Step("cuts", "optimal_cuts", ("--data={quick}", "--measure", plot))
    large = ("--data={base}", "--measure", "--max_clusters=5", "--plot=")
    yield Step("large", "optimal_cuts", large)
    yield Step(
        "auto", "train", ("--data={quick}", "--recipe=quick", "--cutoffs=auto", "--dry_run")
    )
    common = ("--data={quick}", "--recipe=quick", "--architecture=adadad", "--epochs=1")
    for name, flags in CUTOFFS.items():
        for seed in SEEDS:
            own = (f"--seed={seed}", "--sample_length=0", "--json", f"--run={{{name}-{seed}}}")
            yield Step(f"{name}-{seed}", "train", (*common, *flags, *own))


def _rows(outputs: Outputs) -> list[Row]:
    return [
        {
            "flags": " ".join(flags),
            "seed": seed,
            KEY: outputs[f"{name}-{seed}"]["valid"]["fixed"][KEY],
            "seconds": outputs[f"{name}-{seed}"]["seconds"],
        }
        for name, flags in CUTOFFS.items()
        for seed in SEEDS
    ]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    for flags in dict.fromkeys(row["flags"] for row in rows):
        own = [row for row in rows if row["flags"] == flags]
        time = minutes([row["seconds"] for row in own])
        lines.append([f"`{flags}`", mean_and_each([row[KEY] for row in own]), time])
    return [["`adadad`, one epoch", "perplexity per word, valid", "minutes"], *lines]


PAGE = "docs/cutoffs.md"
PICTURE = StepPicture(
    "picture",
    PAGE,
    "Counts of python-docs by rank, with the best cutoffs",
    "cuts",
    "cutoffs.png",
)

EXPERIMENTS = (
    Experiment(
        "cutoffs",
        "the fastest cutoffs for python-docs, and what cutoffs cost in perplexity",
        minutes=15,
        corpus=PYTHON_DOCS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(
            Transcript("cuts", PAGE, ("cuts",)),
            PICTURE,
            dataclasses.replace(PICTURE, name="picture-explained", page="docs/how-it-works.md"),
            Transcript("auto", PAGE, ("auto",)),
            Transcript("large", PAGE, ("large",), "takes long: each width of a tail is timed"),
            Table("scores", PAGE, _cells),
            Transcript("dry-run", "docs/guide.md", ("auto",)),
        ),
        seeds=SEEDS,
        directories={
            "quick": "data/python-docs",
            "base": "data/python-docs-base",
            "cuts": "logs",
        },
    ),
)
