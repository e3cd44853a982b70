"""A search at a rate of the logits at which it collapses, and what helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import KEY, least_decided, perplexity
from par.tools.experiments.experiment import (
    WIKITEXT_2_SMALL,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

SEED = 0
COMMON = (
    "--data={data}",
    "--recipe=quick",
    "--epochs=2",
    "--arch_lr=0.1",
    f"--seed={SEED}",
    "--sample_length=0",
    "--json",
)
REMEDIES = {
    "none": ("--arch_warmup=0",),
    "frozen": ("--arch_warmup=150",),
    "entropy": ("--arch_warmup=0", "--entropy_weight=0.1"),
    "bilevel": ("--arch_warmup=150", "--bilevel"),
}


def _steps() -> Iterator[Step]:
    data = ("--corpus=wikitext-2-small", "--recipe=quick", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    for name, flags in REMEDIES.items():
        yield Step(name, "train", (*COMMON, *flags, f"--run={{{name}}}"))
        derived = (f"--run={{{name}}}", f"--output={{{name}-network}}/architecture.json", "--json")
        yield Step(f"{name}-network", "derive", derived)


def _rows(outputs: Outputs) -> list[Row]:
    return [
        {
            "flags": " ".join(flags),
            "blocks": outputs[f"{name}-network"]["network"],
            "soft": outputs[name]["valid"]["soft"][KEY],
            "argmax": outputs[name]["valid"]["argmax"][KEY],
            "least_decided": least_decided(outputs[f"{name}-network"]),
        }
        for name, flags in REMEDIES.items()
    ]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = [
        [
            f"`{row['flags']}`",
            f"`{row['blocks']}`",
            perplexity(row["soft"]),
            perplexity(row["argmax"]),
            f"{row['least_decided']:.2f}",
        ]
        for row in rows
    ]
    return [["", "argmax of pi", "soft", "argmax", "least decided block"], *lines]


EXPERIMENTS = (
    Experiment(
        "collapse",
        "two epochs of wikitext-2-small at a rate of the logits of 0.1, and what helps",
        minutes=7,
        corpus=WIKITEXT_2_SMALL,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(Table("table", "docs/experiments.md", _cells),),
        seeds=(SEED,),
    ),
)
