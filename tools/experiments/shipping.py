"""The size of an export in each format, and how fast each continues a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from par.tools.experiments.experiment import PYTHON_DOCS, Experiment, Outputs, Row, Step, Table

PAGE = "docs/shipping.md"
FORMATS = ("savedmodel", "onnx", "litert", "page", "safetensors")
ROUNDED = (("onnx", "int8"), ("litert", "float16"))  # and the type of the weights
STEPS = (
    Step(
        "data",
        "build_data",
        ("--corpus=python-docs", "--recipe=base", "--output_dir={data}", "--json"),
    ),
    Step(
        "network",
        "train",
        (
            *("--data={data}", "--recipe=base", "--architecture=adadad", "--epochs=1"),
            *("--run={network}", "--json"),
        ),
    ),
    Step(
        "exported",
        "export",
        (
            *("--run={network}", "--output={exported}"),
            *(f"--format={name}" for name in FORMATS),
            "--json",
        ),
    ),
    Step("speed", "benchmark", ("shipping", "--run={network}", "--export={exported}", "--json")),
    *(
        step
        for name, kind in ROUNDED
        for step in (
            Step(
                kind,
                "export",
                (
                    *("--run={network}", f"--output={{{kind}}}"),
                    *(f"--format={name}", f"--quantize={kind}", "--json"),
                ),
            ),
            Step(
                f"speed_{kind}",
                "benchmark",
                ("shipping", "--run={network}", f"--export={{{kind}}}", "--json"),
            ),
        )
    ),
)


def _rows(outputs: Outputs) -> list[Row]:
    speed = outputs["speed"]
    left_out = [
        {"format": name, "why": why, "bytes": outputs["exported"]["formats"][name]["bytes"]}
        for name, why in speed["left_out"].items()
    ]
    exact = [
        {"why": None} | row | _cost(outputs["exported"], row["format"])
        for row in speed["shipping"]
    ]
    rounded = [
        {"why": None, "rounded_to": kind} | row | _cost(outputs[kind], name)
        for name, kind in ROUNDED
        for row in outputs[f"speed_{kind}"]["shipping"]
        if row["format"] == name
    ]
    return [*exact, *rounded, *left_out]


def _cost(exported: dict[str, Any], name: str) -> Row:
    """What the rounded weights of a format cost, if it has any."""
    rounding = exported["formats"].get(name, {}).get("rounding")
    return {"nats": rounding["step"]} if rounding else {}


def _table(rows: Sequence[Row]) -> list[list[str]]:
    lines = [["format", "MB", "ms a token", "tokens a second", "times the library's ms", "nats"]]
    for row in rows:
        size = f"{row['bytes'] / 1e6:.2f}" if row["bytes"] else ""
        if row["why"]:
            lines.append([f"`{row['format']}`", size, row["why"], "", "", ""])
            continue
        ratio = f"{row['ratio']:.2f} ({row['least_ratio']:.2f} to {row['most_ratio']:.2f})"
        rate = f"{row['tokens_per_second']:,.0f}"
        name = row["format"] if not row["bytes"] else f"`{row['format']}`"
        if kind := row.get("rounded_to"):
            name = f"{name}, weights in {kind}"
        cost = f"{round(row['nats'], 4) + 0.0:+.4f}" if "nats" in row else ""  # no -0.0000
        lines.append([name, size, f"{row['milliseconds']:.2f}", rate, ratio, cost])
    return lines


EXPERIMENTS = (
    Experiment(
        "shipping",
        "size and milliseconds a token of each format of export, at the base recipe's network",
        minutes=12,
        corpus=PYTHON_DOCS,
        steps=STEPS,
        rows=_rows,
        parts=(Table("formats", PAGE, _table),),
        seeds=(0,),
    ),
)
