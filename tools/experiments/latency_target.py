"""Searches with a latency target: how heavy its penalty should weigh, and when the logits may
move under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from par.tools.experiments.cells import KEY, perplexity
from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    WIKITEXT_2_SMALL,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

SEED = 0
# attention, dense, identity, and all else: invented, so that they are the same everywhere
INVENTED = tuple(f"--latency_ms={ms}" for ms in ("5.3", "3.4", "0", "6.1"))
SMALL = (
    "--data={data}",
    "--recipe=quick",
    *("--d_model=32", "--d_ffn=64", "--num_heads=2", "--mem_len=16", "--epochs=2"),
    *INVENTED,
)
WEIGHTS = {
    "none": (),
    "half-1": ("--target_latency=0.5", "--latency_weight=1"),
    "half-0.3": ("--target_latency=0.5", "--latency_weight=0.3"),
    "half-0.1": ("--target_latency=0.5", "--latency_weight=0.1"),
    "most-0.1": ("--target_latency=0.7", "--latency_weight=0.1"),
}
SHAPE = ("--recipe=base", "--precision=bf16", "--d_ffn=512")
WINDOWS = {  # by name: the flags of the data, and the memory
    "T 32, M 16": ("t32", (), "--mem_len=16"),
    "T 64, M 192, B 16": ("t64", ("--batch_size=16", "--seq_len=64"), "--mem_len=192"),
}
FREEZES = {"early": "--arch_warmup=100", "half": "--arch_warmup=0.5"}


def _search(name: str, flags: Sequence[str]) -> Iterator[Step]:
    """A search, and what its argmax is."""
    own = (f"--seed={SEED}", "--sample_length=0", "--json", f"--run={{{name}}}")
    yield Step(name, "train", (*flags, *own))
    derived = (f"--run={{{name}}}", f"--output={{{name}-network}}/architecture.json", "--json")
    yield Step(f"{name}-network", "derive", derived)


def _steps_of_weights() -> Iterator[Step]:
    data = ("--corpus=python-docs", "--recipe=quick", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    for name, flags in WEIGHTS.items():
        yield from _search(name, (*SMALL, *flags))


def _steps_of_windows() -> Iterator[Step]:
    for name, flags, memory in WINDOWS.values():
        data, table = f"{name}-data", f"{name}-table"
        built = ("--corpus=wikitext-2-small", "--recipe=base", f"--output_dir={{{data}}}")
        yield Step(data, "build_data", (*built, *flags, "--json"))
        shape = (f"--data={{{data}}}", *SHAPE, memory)
        path = f"{{{table}}}/latency.json"
        yield Step(table, "measure_latency", (*shape, f"--output={path}", "--json"))
        target = (f"--latency_table={path}", "--target_latency=0.62")
        for how, freeze in FREEZES.items():
            yield from _search(f"{name}-{how}", (*shape, *target, freeze))


def _row(outputs: Outputs, name: str) -> Row:
    output: dict[str, Any] = outputs[name]
    return {
        "blocks": outputs[f"{name}-network"]["network"],
        "share": output["latency"]["share"],
        "soft": output["valid"]["soft"][KEY],
        "argmax": output["valid"]["argmax"][KEY],
    }


def _rows_of_weights(outputs: Outputs) -> list[Row]:
    return [{"flags": " ".join(flags)} | _row(outputs, name) for name, flags in WEIGHTS.items()]


def _rows_of_windows(outputs: Outputs) -> list[Row]:
    return [
        {"windows": windows, "flags": freeze} | _row(outputs, f"{name}-{how}")
        for windows, (name, _, _) in WINDOWS.items()
        for how, freeze in FREEZES.items()
    ]


def _results(row: Row) -> list[str]:
    return [
        f"`{row['blocks']}`",
        f"{row['share']:.1%}",
        f"{perplexity(row['soft'])} / {perplexity(row['argmax'])}",
    ]


TITLES = ["derived", "its share", "soft / argmax"]


def _weights(rows: Sequence[Row]) -> list[list[str]]:
    lines = [[f"`{row['flags']}`" if row["flags"] else "none", *_results(row)] for row in rows]
    return [["target", *TITLES], *lines]


def _windows(rows: Sequence[Row]) -> list[list[str]]:
    lines = [[row["windows"], f"`{row['flags']}`", *_results(row)] for row in rows]
    return [["windows", "logits frozen", *TITLES], *lines]


PAGE = "docs/experiments.md"

EXPERIMENTS = (
    Experiment(
        "latency_weight",
        "searches of width 32 with invented latencies: how heavy the penalty should weigh",
        minutes=6,
        corpus=PYTHON_DOCS,
        steps=tuple(_steps_of_weights()),
        rows=_rows_of_weights,
        parts=(Table("table", PAGE, _weights),),
        seeds=(SEED,),
    ),
    Experiment(
        "latency_target",
        "searches for 62 % of the interleaved network's latency, logits frozen shorter or longer",
        minutes=15,
        corpus=WIKITEXT_2_SMALL,
        steps=tuple(_steps_of_windows()),
        rows=_rows_of_windows,
        parts=(Table("table", PAGE, _windows),),
        seeds=(SEED,),
    ),
)
