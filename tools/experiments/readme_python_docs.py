"""README's table of python-docs: three seeds of what ./base_model.sh does, and the interleaved
network beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import mean_and_each, perplexity
from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

SEEDS = (0, 1, 2)
SPLITS = ("valid", "test")
INTERLEAVED = "adadad"
N_GRAMS = {
    "unigram model of the same pieces": "unigram_perplexity_per_word",
    "Kneser-Ney 5-gram of the same pieces": "kneser_ney_perplexity_per_word",
}
LABELS = {
    "soft": "SuperNet, soft",
    "argmax": "SuperNet, argmax",
    "derived": "derived",
    "interleaved": "interleaved",
}


def _steps() -> Iterator[Step]:
    yield Step(
        "data",
        "build_data",
        ("--corpus=python-docs", "--recipe=quick", "--output_dir={data}", "--json"),
    )
    for seed in SEEDS:
        common = ("--data={data}", "--recipe=quick", f"--seed={seed}", "--json")
        search, blocks = f"{{search-{seed}}}", f"{{architecture-{seed}}}/architecture.json"
        derived, interleaved = f"{{derived-{seed}}}", f"{{interleaved-{seed}}}"
        yield Step(f"search-{seed}", "train", (*common, f"--run={search}"))
        yield Step(
            f"architecture-{seed}", "derive", (f"--run={search}", f"--output={blocks}", "--json")
        )
        yield Step(
            f"derived-{seed}", "train", (*common, f"--architecture={blocks}", f"--run={derived}")
        )
        yield Step(
            f"interleaved-{seed}",
            "train",
            (*common, f"--architecture={INTERLEAVED}", f"--run={interleaved}"),
        )
        runs = tuple(f"--run={run}" for run in (search, derived, interleaved))
        splits = tuple(f"--split={split}" for split in SPLITS)
        yield Step(f"scores-{seed}", "evaluate", (*runs, *splits, "--baseline=none", "--json"))


def _rows(outputs: Outputs) -> list[Row]:
    found: list[Row] = [
        {"network": name, "split": split, "perplexity_per_word": outputs["data"][key][split]}
        for name, key in N_GRAMS.items()
        for split in SPLITS
    ]
    for seed in SEEDS:
        for score in outputs[f"scores-{seed}"]["results"]:
            network = score["evaluate_as"]
            if network == "fixed":
                network = score["run"].partition("-")[0]  # derived-0-KEY
            found.append(
                {
                    "network": network,
                    "blocks": score["architecture"],
                    "seed": seed,
                    "split": score["split"],
                    "perplexity_per_word": score["perplexity_per_word"],
                    "bits_per_byte": score["bits_per_byte"],
                }
            )
    return found


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    def shown(network: str) -> list[str]:
        own = [row for row in rows if row["network"] == network]
        by_split = [
            [row["perplexity_per_word"] for row in own if row["split"] == split]
            for split in SPLITS
        ]
        return [
            (mean_and_each(values) if "seed" in own[0] else perplexity(values[0]))
            for values in by_split
        ]

    def label(network: str) -> str:
        blocks = dict.fromkeys(row["blocks"] for row in rows if row["network"] == network)
        listed = ", ".join(f"`{each}`" for each in blocks)
        return (
            f"{LABELS[network]} {listed}"
            if network in ("derived", "interleaved")
            else LABELS[network]
        )

    return [
        ["python-docs, 4 epochs", *SPLITS],
        *([name, *shown(name)] for name in N_GRAMS),
        *([label(network), *shown(network)] for network in LABELS),
    ]


EXPERIMENTS = (
    Experiment(
        "readme_python_docs",
        "python-docs, quick recipe: searches, their networks, the interleaved network",
        minutes=25,
        corpus=PYTHON_DOCS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(Table("table", "README.md", _cells),),
        seeds=SEEDS,
    ),
)
