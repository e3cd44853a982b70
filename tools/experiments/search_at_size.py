"""Searches on text of WikiText-2's size: when the logits may move, against fixed networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import perplexity
from par.tools.experiments.experiment import PEPS, Experiment, Outputs, Row, Step, Table

SEED = 0
# written out, as the recipe was chosen by these figures
NETWORK = (
    "--d_ffn=1024",
    "--mem_len=16",
    "--dropout_rate=0",
    "--norm=post",
    "--tie_embeddings",
    "--cutoffs=250",
    "--cutoffs=2500",
    "--proj_factor=1",
    "--precision=bf16",
)
TRAINING = ("--epochs=1", "--max_lr=2e-3", "--warmup_steps=200", "--arch_lr=5e-2")
COMMON = (
    "--data={data}",
    *NETWORK,
    *TRAINING,
    f"--seed={SEED}",
    "--sample_length=0",
    "--json",
)
FIXED = ("adadad", "aadddd", "addadd", "aaaddd", "adaddd", "aaddad", "addaad", "addddi")
LEVERS = {
    "early": ("--arch_warmup=100",),
    "third": ("--arch_warmup=0.33",),
    "half": ("--arch_warmup=0.5",),
    "half-paths": ("--arch_warmup=0.5", "--warmup_sampling=single_path"),
    "alone": ("--arch_warmup=0.75", "--arch_alone=0.25"),
}


def _steps() -> Iterator[Step]:
    data = ("--input_text=data/raw/peps", "--recipe=base", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    for blocks in FIXED:
        own = (f"--architecture={blocks}", f"--run={{{blocks}}}")
        yield Step(blocks, "train", (*COMMON, *own))
    for name, flags in LEVERS.items():
        yield Step(name, "train", (*COMMON, *flags, f"--run={{{name}}}"))
        derived = (f"--run={{{name}}}", f"--output={{{name}-network}}/architecture.json", "--json")
        yield Step(f"{name}-network", "derive", derived)


def _rows(outputs: Outputs) -> list[Row]:
    key = "perplexity_per_word"
    found: list[Row] = [
        {
            "what": "n-gram",
            key: outputs["data"]["kneser_ney_perplexity_per_word"]["valid"],
        }
    ]
    for blocks in FIXED:
        output = outputs[blocks]
        score = output["valid"]["fixed"][key]
        found.append({"what": "fixed", "blocks": blocks, key: score, "seconds": output["seconds"]})
    for name, flags in LEVERS.items():
        output, derived = outputs[name], outputs[f"{name}-network"]
        found.append(
            {
                "what": "search",
                "flags": " ".join(flags),
                "blocks": derived["architecture"],
                "least_decided": min(max(row) for row in derived["pi"]),
                "soft": output["valid"]["soft"][key],
                "argmax": output["valid"]["argmax"][key],
                "seconds": output["seconds"],
            }
        )
    return found


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    key = "perplexity_per_word"
    by_blocks = {row["blocks"]: row[key] for row in rows if row["what"] == "fixed"}
    best = min(by_blocks.values())

    def from_scratch(blocks: str) -> str:
        if blocks not in by_blocks:
            return "not trained"
        return f"{perplexity(by_blocks[blocks])} ({by_blocks[blocks] / best - 1:+.1%})"

    lines = []
    for row in rows:
        if row["what"] == "n-gram":
            lines.append(
                ["Kneser-Ney 5-gram of the same pieces", "", "", "", perplexity(row[key])]
            )
        elif row["what"] == "fixed":
            lines.append(["fixed", f"`{row['blocks']}`", "", "", from_scratch(row["blocks"])])
        else:
            soft = f"{perplexity(row['soft'])} / {perplexity(row['argmax'])}"
            decided = f"{row['least_decided']:.2f}"
            blocks = f"`{row['blocks']}`"
            lines.append([f"`{row['flags']}`", blocks, decided, soft, from_scratch(row["blocks"])])
    return [
        ["", "blocks", "least decided", "search, soft / argmax", "from scratch"],
        *lines,
    ]


EXPERIMENTS = (
    Experiment(
        "search_levers",
        "one epoch of 2 million pieces: when and how the logits may move",
        minutes=60,
        corpus=PEPS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(Table("table", "docs/experiments.md", _cells),),
        seeds=(SEED,),
    ),
)
