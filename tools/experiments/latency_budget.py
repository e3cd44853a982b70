"""One search on wikitext-2-small from its latencies to an exported network: what the commands of
the pages about latency, scores and comparisons print."""

from __future__ import annotations

import dataclasses

from par.tools.experiments.experiment import (
    WIKITEXT_2_SMALL,
    Experiment,
    Step,
    StepPicture,
    Transcript,
    no_rows,
)

TRAINING = ("--data={data}", "--recipe=quick", "--epochs=5")
TABLE = "--latency_table={table}/latency.json"
ONE_TEXT = ("--split=valid", "--batch_size=1", "--same_length")

STEPS = (
    Step(
        "data",
        "build_data",
        ("--corpus=wikitext-2-small", "--recipe=quick", "--output_dir={data}", "--json"),
    ),
    Step("ws", "train", (*TRAINING, "--run={ws}", "--json")),
    Step("table", "measure_latency", ("--run={ws}", "--output={table}/latency.json")),
    Step("front", "derive", ("--run={ws}", TABLE, "--pareto", "--plot")),
    Step(
        "network",
        "derive",
        ("--run={ws}", TABLE, "--budget_ratio=0.65", "--output={network}/architecture.json"),
    ),
    Step(
        "derived",
        "train",
        (
            *TRAINING,
            "--architecture={network}/architecture.json",
            "--run={derived}",
            "--json",
        ),
    ),
    Step(
        "interleaved",
        "train",
        (*TRAINING, "--architecture=adadad", "--run={interleaved}", "--json"),
    ),
    Step(
        "sweep",
        "evaluate",
        (
            "--run={derived}",
            "--run={interleaved}",
            *ONE_TEXT,
            *(f"--sweep_mem_len={length}" for length in (16, 32, 64, 128, 256)),
            "--plot={sweep}/memory.png",
        ),
    ),
    Step(
        "clamped",
        "evaluate",
        ("--run={derived}", *ONE_TEXT, "--mem_len=256", "--clamp_len=63"),
    ),
    Step(
        "stride", "evaluate", ("--run={derived}", "--split=valid", "--seq_len=64", "--stride=16")
    ),
    Step(
        "text",
        "generate",
        (
            "--run={interleaved}",
            "--prompt=The city was",
            "--length=60",
            "--temperature=0.7",
            "--top_p=0.9",
        ),
    ),
    Step("export", "export", ("--run={derived}", "--output={export}")),
    Step("truth", "compare", ("--run={ws}", "--truth", "--output_dir={truth}")),
)
NEEDS = "needs the network of docs/evaluation.md"

PARETO = StepPicture(
    "pareto",
    "docs/latency.md",
    "The likeliest network for every latency",
    "ws",
    "plots/pareto.png",
)

EXPERIMENTS = (
    Experiment(
        "latency_budget",
        "a search on wikitext-2-small: latencies, a network within a budget, its scores",
        minutes=25,
        corpus=WIKITEXT_2_SMALL,
        steps=STEPS,
        rows=no_rows,
        parts=(
            Transcript("table", "docs/latency.md", ("table",)),
            Transcript("front", "docs/latency.md", ("front",)),
            PARETO,
            dataclasses.replace(PARETO, name="pareto-explained", page="docs/how-it-works.md"),
            Transcript("network", "docs/latency.md", ("network",)),
            Transcript("sweep", "docs/evaluation.md", ("sweep",)),
            StepPicture(
                "memory",
                "docs/evaluation.md",
                "Perplexity per word by memory length",
                "sweep",
                "memory.png",
            ),
            Transcript("windows", "docs/evaluation.md", ("clamped", "stride")),
            Transcript("text", "docs/guide.md", ("text",), NEEDS),
            Transcript("export", "docs/guide.md", ("export",), NEEDS),
            Transcript(
                "truth", "docs/comparison.md", ("truth",), "takes long: trains six networks"
            ),
        ),
        seeds=(0, 1, 2, 3),
        directories={
            "data": "data/wikitext-2-small",
            "ws": "logs/ws",
            "table": "logs/ws",
            "network": "logs/ws",
            "derived": "logs/ws-derived",
            "interleaved": "logs/ws-adadad",
            "sweep": "logs",
            "export": "exported",
            "truth": "logs/ws-compare",
        },
    ),
)
