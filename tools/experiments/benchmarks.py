"""What the subjects of tools/benchmark.py print, as the pages show it."""

from __future__ import annotations

from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    Experiment,
    Step,
    StepPicture,
    Transcript,
    no_rows,
)

NOTE = "takes long: minutes"


def _experiment(
    name: str,
    what: str,
    minutes: float,
    page: str,
    arguments: tuple[str, ...],
    note: str = NOTE,
    picture: StepPicture | None = None,
) -> Experiment:
    """One subject: its step bears the subject's name."""
    step = Step(arguments[0], "benchmark", arguments)
    transcript = Transcript("output", page, (step.name,), note)
    return Experiment(
        name,
        what,
        minutes=minutes,
        corpus=PYTHON_DOCS,
        steps=(step,),
        rows=no_rows,
        parts=(transcript, picture) if picture else (transcript,),
        directories={step.name: "logs"},
    )


# networks that are too large for one machine, by the formula
PAPERS = (
    "--architecture=32s",
    "--d_model=512",
    "--num_heads=8",
    "--d_ffn=2048",
    "--mem_len=192",
    "--seq_len=192",
)
WIKITEXT_103 = Step(
    "wikitext-103",
    "benchmark",
    (
        "scaling",
        *PAPERS,
        "--batch_size=64",
        "--vocab_size=267735",
        *("--cutoffs=20000", "--cutoffs=40000", "--cutoffs=200000"),
        "--gigatokens=0.103",
        "--tflops=40",
        "--link_gigabytes=200",
        *("--num_devices=1", "--num_devices=8"),
    ),
)
HUNDRED_GIGABYTES = Step(
    "hundred-gigabytes",
    "benchmark",
    (
        "scaling",
        *PAPERS,
        "--batch_size=1024",
        "--vocab_size=32000",
        *("--cutoffs=4000", "--cutoffs=16000"),
        "--gigatokens=25",
        "--tflops=40",
        "--link_gigabytes=12.5",
        "--overhead_ms=5",
        *("--num_devices=8", "--num_devices=64"),
    ),
)
# a network that is large for one machine, measured
LARGE = (
    "--data={data}",
    "--recipe=base",
    "--architecture=32s",
    "--d_model=512",
    "--num_heads=8",
    "--d_ffn=2048",
    "--dry_run",
)

EXPERIMENTS = (
    _experiment(
        "estimators",
        "how well each way of sampling estimates the gradient of the logits",
        5,
        "docs/experiments.md",
        ("estimators",),
    ),
    _experiment(
        "speed_data",
        "how fast data sets of 20 MB and of 1 GB are built",
        10,
        "docs/speed.md",
        ("data", "--megabytes=20", "--megabytes=1000"),
        "takes long: it builds 1 GB",
    ),
    _experiment(
        "speed_softmax",
        "adaptive and plain softmax of three vocabularies",
        4,
        "docs/speed.md",
        ("softmax",),
    ),
    _experiment(
        "speed_step",
        "steps per second by sampling and precision, and the parts of a step",
        6,
        "docs/speed.md",
        ("train", "--steps=30"),
    ),
    _experiment(
        "speed_growth",
        "a step's time and memory by L, B, T, M, D and F, beside formulas",
        8,
        "docs/speed.md",
        ("growth", "--plot={growth}/growth.png"),
        "takes long: 13 shapes, each in a process of its own",
        StepPicture(
            "picture",
            "docs/speed.md",
            "Time and memory of a step against what the formulas say, as one size after the other"
            " is varied",
            "growth",
            "growth.png",
        ),
    ),
    Experiment(
        "speed_large",
        "a SuperNet of 32 blocks of width 512, with and without gradient checkpointing",
        minutes=6,
        corpus=PYTHON_DOCS,
        steps=(
            Step(
                "data",
                "build_data",
                ("--corpus=python-docs", "--recipe=base", "--output_dir={data}", "--json"),
            ),
            Step("plain", "train", LARGE),
            Step("recomputed", "train", (*LARGE, "--gradient_checkpointing")),
        ),
        rows=no_rows,
        parts=(
            Transcript("output", "docs/speed.md", ("plain", "recomputed"), "needs 5 GB of memory"),
        ),
        directories={"data": "data/python-docs-base"},
    ),
    _experiment(
        "speed_generation",
        "tokens per second with the memory carried along, and recomputed",
        4,
        "docs/speed.md",
        ("generation", "--repeats=3"),
    ),
    _experiment(
        "speed_sharing",
        "steps per second of devices and processes that share a network",
        6,
        "docs/scaling.md",
        ("sharing", "--repeats=3"),
    ),
    Experiment(
        "scaling_formula",
        "the cost of a step on many devices, by the formula",
        minutes=0.5,
        corpus=PYTHON_DOCS,
        steps=(WIKITEXT_103, HUNDRED_GIGABYTES),
        rows=no_rows,
        parts=tuple(
            Transcript(step.name, "docs/scaling.md", (step.name,))
            for step in (WIKITEXT_103, HUNDRED_GIGABYTES)
        ),
    ),
    _experiment(
        "saving",
        "the cost of a checkpoint",
        3,
        "docs/reliability.md",
        ("saving", "--recipe=base"),
    ),
)
