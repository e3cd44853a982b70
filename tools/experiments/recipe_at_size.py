"""The settings of base.flags on text of WikiText-2's size: the interleaved network by settings
that differ in one thing."""

from __future__ import annotations

from collections.abc import Sequence

from par.tools.experiments.cells import mean_and_each
from par.tools.experiments.experiment import PEPS, Experiment, Outputs, Row, Step, Table

SEEDS = (0, 1, 2)
# written out, as the recipe was chosen by these figures
COMMON = (
    "--data={data}",
    "--architecture=adadad",
    "--d_ffn=1024",
    "--mem_len=16",
    "--tie_embeddings",
    "--cutoffs=250",
    "--cutoffs=2500",
    "--precision=bf16",
    "--warmup_steps=200",
    "--sample_length=0",
    "--json",
)
BEFORE = ("--norm=post", "--max_lr=2e-3", "--dropout_rate=0.1", "--proj_factor=4")
NO_DROPOUT = ("--norm=post", "--max_lr=2e-3", "--dropout_rate=0", "--proj_factor=4")
HALVED = ("--norm=post", "--max_lr=2e-3", "--dropout_rate=0", "--proj_factor=2")
FULL = ("--norm=post", "--max_lr=2e-3", "--dropout_rate=0", "--proj_factor=1")
ONE_EPOCH = {
    "before": BEFORE,
    "no-dropout": NO_DROPOUT,
    "halved": HALVED,
    "slower": ("--norm=post", "--max_lr=1.4e-3", "--dropout_rate=0", "--proj_factor=2"),
    "faster": ("--norm=post", "--max_lr=4e-3", "--dropout_rate=0", "--proj_factor=2"),
    "pre": ("--norm=pre", "--max_lr=2e-3", "--dropout_rate=0", "--proj_factor=2"),
    "pre-faster": ("--norm=pre", "--max_lr=4e-3", "--dropout_rate=0", "--proj_factor=2"),
    "full": FULL,
}
WHOLE = {"before": BEFORE, "full": FULL}
KEY = "perplexity_per_word"


def _data() -> Step:
    flags = ("--input_text=data/raw/peps", "--recipe=base", "--output_dir={data}", "--json")
    return Step("data", "build_data", flags)


def _training(name: str, flags: Sequence[str], epochs: int, seed: int) -> Step:
    own = (*flags, f"--epochs={epochs}", f"--seed={seed}", f"--run={{{name}}}")
    return Step(name, "train", (*COMMON, *own))


def _row(flags: Sequence[str], seed: int, output: dict) -> Row:
    score = output["valid"]["fixed"][KEY]
    return {"flags": " ".join(flags), "seed": seed, KEY: score, "seconds": output["seconds"]}


def _rows_of_one_epoch(outputs: Outputs) -> list[Row]:
    return [_row(flags, 0, outputs[name]) for name, flags in ONE_EPOCH.items()]


def _rows_of_three_epochs(outputs: Outputs) -> list[Row]:
    return [
        _row(flags, seed, outputs[f"{name}-{seed}"])
        for name, flags in WHOLE.items()
        for seed in SEEDS
    ]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    for flags in dict.fromkeys(row["flags"] for row in rows):
        own = [row for row in rows if row["flags"] == flags]
        minutes = sum(row["seconds"] for row in own) / len(own) / 60
        lines.append([f"`{flags}`", mean_and_each([row[KEY] for row in own]), f"{minutes:.1f}"])
    return [["`adadad`", "perplexity per word", "minutes"], *lines]


EXPERIMENTS = (
    Experiment(
        "recipe_one_epoch",
        "the interleaved network on 2 million pieces, one epoch, by settings that differ in one",
        minutes=25,
        corpus=PEPS,
        steps=(_data(), *(_training(name, flags, 1, 0) for name, flags in ONE_EPOCH.items())),
        rows=_rows_of_one_epoch,
        parts=(Table("table", "docs/experiments.md", _cells),),
        seeds=(0,),
    ),
    Experiment(
        "recipe_three_epochs",
        "the interleaved network on 2 million pieces by base.flags as it was and as it is",
        minutes=45,
        corpus=PEPS,
        steps=(
            _data(),
            *(
                _training(f"{name}-{seed}", flags, 3, seed)
                for name, flags in WHOLE.items()
                for seed in SEEDS
            ),
        ),
        rows=_rows_of_three_epochs,
        parts=(Table("table", "docs/experiments.md", _cells),),
        seeds=SEEDS,
    ),
)
