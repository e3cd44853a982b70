"""The settings of base.flags on text of WikiText-2's size: the interleaved network by settings
that differ in one thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import KEY, mean_and_each
from par.tools.experiments.experiment import PEPS, Experiment, Outputs, Row, Step, Table

SEEDS = (0, 1, 2)
# written out, as the recipe was chosen by these figures
COMMON = (
    "--data={data}",
    "--d_ffn=1024",
    "--mem_len=16",
    "--cutoffs=250",
    "--cutoffs=2500",
    "--precision=bf16",
    "--warmup_steps=200",
    "--sample_length=0",
    "--json",
)


def _settings(
    norm: str = "post",
    max_lr: str = "2e-3",
    dropout_rate: str = "0",
    proj_factor: int = 1,
    tie: bool = True,
) -> tuple[str, ...]:
    """The flags of a training."""
    return (
        f"--norm={norm}",
        f"--max_lr={max_lr}",
        f"--dropout_rate={dropout_rate}",
        f"--proj_factor={proj_factor}",
        f"--{'' if tie else 'no'}tie_embeddings",
    )


ONE_EPOCH = {
    "before": _settings(dropout_rate="0.1", proj_factor=4),
    "no-dropout": _settings(proj_factor=4),
    "halved": _settings(proj_factor=2),
    "slower": _settings(proj_factor=2, max_lr="1.4e-3"),
    "faster": _settings(proj_factor=2, max_lr="4e-3"),
    "pre": _settings(proj_factor=2, norm="pre"),
    "pre-faster": _settings(proj_factor=2, norm="pre", max_lr="4e-3"),
    "full": _settings(),
    "pre-full": _settings(norm="pre"),
    "pre-own": _settings(norm="pre", tie=False),
    "pre-own-faster": _settings(norm="pre", tie=False, max_lr="4e-3"),
}
WHOLE = {name: ONE_EPOCH[name] for name in ("before", "full", "pre-own")}
# what is timed in turn: the interleaved network by the earlier recipe, and by base.flags as it
# is; the search by the latter
TIMED = {
    "before": ("--architecture=adadad", *WHOLE["before"]),
    "now": ("--architecture=adadad",),
    "search": (),
}
ROUNDS = ("first", "second")


def _data() -> Step:
    flags = ("--input_text=data/raw/peps", "--recipe=base", "--output_dir={data}", "--json")
    return Step("data", "build_data", flags)


def _training(name: str, flags: Sequence[str], epochs: int, seed: int) -> Step:
    own = (*flags, f"--epochs={epochs}", f"--seed={seed}", f"--run={{{name}}}")
    return Step(name, "train", (*COMMON, "--architecture=adadad", *own))


def _timings() -> Iterator[Step]:
    """Rounds that go forwards and backwards, one training after the other."""
    for number in ROUNDS:
        names = list(TIMED) if number == ROUNDS[0] else list(reversed(TIMED))
        for name in names:
            own = (*TIMED[name], "--epochs=1", f"--run={{{name}-{number}}}")
            common = ("--data={data}", "--recipe=base", "--precision=bf16", "--sample_length=0")
            yield Step(f"{name}-{number}", "train", (*common, *own, "--json"))


def _times(outputs: Outputs) -> list[Row]:
    return [
        {
            "what": name,
            "flags": " ".join(flags),
            "round": number,
            "seconds": outputs[f"{name}-{number}"]["seconds"],
        }
        for name, flags in TIMED.items()
        for number in ROUNDS
    ]


def _time_cells(rows: Sequence[Row]) -> list[list[str]]:
    seconds = {name: [row["seconds"] for row in rows if row["what"] == name] for name in TIMED}
    labels = {row["what"]: f"`{row['flags']}`" for row in rows}
    labels |= {"now": "`adadad`", "search": "the search"}
    return [
        ["one epoch", "seconds", "in the interleaved network's"],
        *(
            [
                labels[name],
                ", ".join(f"{each:.0f}" for each in own),
                f"{sum(own) / sum(seconds['now']):.2f}",
            ]
            for name, own in seconds.items()
        ),
    ]


def _row(flags: Sequence[str], seed: int, output: dict) -> Row:
    score = output["valid"]["fixed"][KEY]
    return {"flags": " ".join(flags), "seed": seed, KEY: score}


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
        lines.append([f"`{flags}`", mean_and_each([row[KEY] for row in own])])
    return [["`adadad`", "perplexity per word"], *lines]


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
        "the interleaved network on 2 million pieces by base.flags before, between and now",
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
    Experiment(
        "recipe_time",
        "one epoch of 2 million pieces in seconds: the earlier recipe, base.flags, its search",
        minutes=20,
        corpus=PEPS,
        steps=(_data(), *_timings()),
        rows=_times,
        parts=(Table("table", "docs/experiments.md", _time_cells),),
        seeds=(0,),
    ),
)
