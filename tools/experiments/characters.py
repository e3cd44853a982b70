"""Networks of characters: what several of them as one position save and cost, what typing errors
cost beside pieces, and bits of a character beside counting and compression."""

from __future__ import annotations

from collections.abc import Sequence

from par.core.text import number
from par.tools.experiments.cells import minutes
from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

PAGE = "docs/characters.md"
NETWORK = "adadad"
FACTORS = (1, 2, 4)
SHARES = (5, 10, 20)  # per cent of the letters
LENGTH = ("--seq_len=128",)  # about as many characters as 32 pieces
BUILD = ("--corpus=python-docs", "--recipe=quick", "--json")
CHARACTERS = Step(
    "characters",
    "build_data",
    (*BUILD, "--model_type=char", "--vocab_size=0", *LENGTH, "--output_dir={characters}"),
)
PIECES = Step("pieces", "build_data", (*BUILD, "--output_dir={pieces}"))
COMMON = ("--recipe=quick", f"--architecture={NETWORK}", "--sample_length=0", "--json")
OF_CHARACTERS = ("--data={characters}", *COMMON, "--cutoffs=none", "--mem_len=128")
MASKED = ("--objective=masked_lm",)
RUNS = "--mask_scheme=run"


def _train(name: str, *flags: str) -> Step:
    return Step(name, "train", (*flags, f"--run={{{name}}}"))


# ---- several characters as one position ----


def _factor_steps() -> tuple[Step, ...]:
    """The speeds first: they want a machine that does nothing else."""
    own = {factor: (*OF_CHARACTERS, *MASKED, f"--downsample={factor}") for factor in FACTORS}
    speeds = (Step(f"speed-{n}", "train", (*flags, "--dry_run")) for n, flags in own.items())
    return (CHARACTERS, *speeds, *(_train(f"masked-{n}", *flags) for n, flags in own.items()))


def _factor_rows(outputs: Outputs) -> list[Row]:
    return [
        {
            "downsample": factor,
            **{key: outputs[f"speed-{factor}"][key] for key in _COSTS},
            **{key: outputs[f"masked-{factor}"]["valid"]["fixed"][key] for key in _SCORES},
        }
        for factor in FACTORS
    ]


_COSTS = ("steps_per_second", "gflop_per_step", "parameters")
_SCORES = ("nll_per_token", "accuracy")


def _factor_cells(rows: Sequence[Row]) -> list[list[str]]:
    titles = ["`--downsample`", "steps per second", "GFLOP a step", "nll per masked character"]
    lines = [[*titles, "accuracy"]]
    for row in rows:
        lines.append(
            [
                str(row["downsample"]),
                number(row["steps_per_second"], 2),
                number(row["gflop_per_step"], 2),
                number(row["nll_per_token"], 3),
                number(row["accuracy"], 3),
            ]
        )
    return lines


# ---- typing errors ----

READERS: dict[str, tuple[str, ...]] = {
    "pieces": ("--data={pieces}", *COMMON, *MASKED),
    "characters": (*OF_CHARACTERS, *MASKED, "--downsample=4"),
    "characters-typos": (*OF_CHARACTERS, *MASKED, "--downsample=4", RUNS, "--typos=.05"),
}
TITLES = {
    "pieces": "pieces",
    "characters": "characters, `--downsample=4`",
    "characters-typos": "the same, runs masked, `--typos=.05`",
}


def _typo_steps() -> tuple[Step, ...]:
    trained = [_train(f"read-{name}", *flags) for name, flags in READERS.items()]
    runs = tuple(f"--run={{read-{name}}}" for name in READERS)
    probes = [
        Step(
            f"typos-{share}",
            "probe",
            (*runs, "--data={pieces}", "--label=group", f"--typos={share / 100}", "--json"),
        )
        for share in SHARES
    ]
    return (CHARACTERS, PIECES, *trained, *probes)


def _typo_rows(outputs: Outputs) -> list[Row]:
    return [
        {"name": name, "share": share / 100}
        | {
            f"{key}_{end}": (own[key] or {}).get(end)
            for key in ("clean", "accuracy", "less_clean", "less_clean_less_first")
            for end in ("mean", "low", "high")
        }
        for share in SHARES
        for name, own in zip(READERS, outputs[f"typos-{share}"]["runs"], strict=True)
    ]


def _interval(row: Row, key: str, sign: str = "") -> str:
    """`-0.12 (-0.15 to -0.09)`."""
    mean, low, high = (row[f"{key}_{end}"] for end in ("mean", "low", "high"))
    if mean is None:
        return "-"
    around = "" if low is None else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{mean:{sign}.3f}{around}"


def _typo_cells(rows: Sequence[Row]) -> list[list[str]]:
    titles = ["letters typed wrongly", "network", "accuracy without", "with errors", "difference"]
    lines = [[*titles, "less that of pieces"]]
    for row in rows:
        found = [_interval(row, "clean"), _interval(row, "accuracy")]
        found += [_interval(row, key, "+") for key in ("less_clean", "less_clean_less_first")]
        lines.append([f"{row['share']:.0%}", TITLES[row["name"]], *found])
    return lines


# ---- bits of a character ----

CAUSAL = {
    "causal-characters": (*OF_CHARACTERS, "--epochs=4"),
    "causal-pieces": ("--data={pieces}", *COMMON),
}
BESIDE = {
    "causal-characters": "network of characters",
    "causal-pieces": "network of pieces",
    "kneser_ney": "Kneser-Ney 5-gram of characters",
    "xz": "xz that has read train",
}


def _bit_steps() -> tuple[Step, ...]:
    trained = [_train(name, *flags) for name, flags in CAUSAL.items()]
    scored = [
        Step(f"{name}-scores", "evaluate", (f"--run={{{name}}}", "--split=valid", "--json"))
        for name in CAUSAL
    ]
    xz = Step("xz", "benchmark", ("compression", "--data={characters}", "--json"))
    return (CHARACTERS, PIECES, *trained, *scored, xz)


def _bit_rows(outputs: Outputs) -> list[Row]:
    found: list[Row] = []
    for name in CAUSAL:
        (scores,) = outputs[f"{name}-scores"]["results"]
        bits = {"bits_per_character": scores["bits_per_character"]}
        found.append({"model": name, **bits, "seconds": outputs[name]["seconds"]})
    counted = next(
        each
        for each in outputs["causal-characters-scores"]["baselines"]
        if (each["model"], each["split"]) == ("kneser_ney", "valid")
    )
    xz = next(each for each in outputs["xz"]["xz"] if each["split"] == "valid")
    for name, own in (("kneser_ney", counted), ("xz", xz)):
        bits = {"bits_per_character": own["bits_per_character"]}
        found.append({"model": name, **bits, "seconds": None})
    return found


def _bit_cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = [["python-docs, valid", "bits per character", "minutes of training"]]
    for row in sorted(rows, key=lambda row: row["bits_per_character"]):
        took = "-" if row["seconds"] is None else minutes([row["seconds"]])
        lines.append([BESIDE[row["model"]], number(row["bits_per_character"], 3), took])
    return lines


EXPERIMENTS = (
    Experiment(
        "characters_downsample",
        "networks of characters of which blocks read 1, 2 and 4 as one position",
        minutes=40,
        corpus=PYTHON_DOCS,
        steps=_factor_steps(),
        rows=_factor_rows,
        parts=(Table("table", PAGE, _factor_cells),),
    ),
    Experiment(
        "characters_typos",
        "what typing errors cost networks of pieces and of characters",
        minutes=60,
        corpus=PYTHON_DOCS,
        steps=_typo_steps(),
        rows=_typo_rows,
        parts=(Table("table", PAGE, _typo_cells),),
    ),
    Experiment(
        "characters_bits",
        "bits of a character: networks, an n-gram model, xz",
        minutes=30,
        corpus=PYTHON_DOCS,
        steps=_bit_steps(),
        rows=_bit_rows,
        parts=(Table("table", PAGE, _bit_cells),),
    ),
)
