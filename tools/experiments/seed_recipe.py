"""The recipe that was published first, seed.flags, beside base.flags on the same records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import KEY, minutes, perplexity
from par.tools.experiments.experiment import (
    WIKITEXT_2_SMALL,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

SEED = 0
# by step: the recipe, and its epochs where they are not the recipe's
SEARCHES = {
    "seed": ("--recipe=seed",),
    "base": ("--recipe=base",),
    "base-2": ("--recipe=base", "--epochs=2"),
}


def _steps() -> Iterator[Step]:
    data = ("--corpus=wikitext-2-small", "--recipe=base", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    for name, flags in SEARCHES.items():
        own = (f"--seed={SEED}", "--sample_length=0", "--json", f"--run={{{name}}}")
        yield Step(name, "train", ("--data={data}", *flags, *own))


def _rows(outputs: Outputs) -> list[Row]:
    return [
        {
            "flags": " ".join(flags),
            "steps": outputs[name]["steps"],
            "seconds": outputs[name]["seconds"],
            "soft": outputs[name]["valid"]["soft"][KEY],
            "argmax": outputs[name]["valid"]["argmax"][KEY],
        }
        for name, flags in SEARCHES.items()
    ]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = [
        [
            f"`{row['flags']}`",
            f"{row['steps']:,}",
            minutes([row["seconds"]]),
            f"{perplexity(row['soft'])} / {perplexity(row['argmax'])}",
        ]
        for row in rows
    ]
    return [["", "steps", "minutes", "perplexity per word, soft / argmax"], *lines]


EXPERIMENTS = (
    Experiment(
        "seed_recipe",
        "searches on wikitext-2-small by the first published recipe and by base.flags",
        minutes=15,
        corpus=WIKITEXT_2_SMALL,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(Table("table", "docs/experiments.md", _cells),),
        seeds=(SEED,),
    ),
)
