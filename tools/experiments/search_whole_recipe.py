"""Searches by base.flags as it is on text of WikiText-2's size, three seeds: the networks that
they derive, trained from scratch, beside fixed ones by the same recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import KEY, mean_and_each, perplexity
from par.tools.experiments.experiment import PEPS, Experiment, Outputs, Row, Step, Table

SEEDS = (0, 1, 2)
FIXED = ("adadad", "aadddd", "addadd", "aaaddd")
DERIVED = "derived"
SPLITS = ("valid", "test")


def _steps() -> Iterator[Step]:
    flags = ("--input_text=data/raw/peps", "--recipe=base", "--output_dir={data}", "--json")
    yield Step("data", "build_data", flags)
    for seed in SEEDS:
        yield from _steps_of(seed)


def _steps_of(seed: int) -> Iterator[Step]:
    common = (
        "--data={data}",
        "--recipe=base",
        "--precision=bf16",
        f"--seed={seed}",
        "--sample_length=0",
        "--json",
    )
    search, network = f"search-{seed}", f"network-{seed}"
    blocks = f"{{{network}}}/architecture.json"
    yield Step(search, "train", (*common, f"--run={{{search}}}"))
    yield Step(network, "derive", (f"--run={{{search}}}", f"--output={blocks}", "--json"))
    trained = {f"{name}-{seed}": name for name in FIXED} | {f"{DERIVED}-{seed}": blocks}
    for name, architecture in trained.items():
        own = (f"--architecture={architecture}", f"--run={{{name}}}")
        yield Step(name, "train", (*common, *own))
    runs = tuple(f"--run={{{name}}}" for name in (search, *trained))
    splits = tuple(f"--split={split}" for split in SPLITS)
    yield Step(f"scores-{seed}", "evaluate", (*runs, *splits, "--baseline=none", "--json"))


def _rows(outputs: Outputs) -> list[Row]:
    models = {
        "unigram of the same pieces": "unigram_perplexity_per_word",
        "Kneser-Ney 5-gram of the same pieces": "kneser_ney_perplexity_per_word",
    }
    found: list[Row] = [
        {"network": name, "split": split, KEY: outputs["data"][key][split]}
        for name, key in models.items()
        for split in SPLITS
    ]
    for seed in SEEDS:
        decided = min(max(row) for row in outputs[f"network-{seed}"]["pi"])
        for score in outputs[f"scores-{seed}"]["results"]:
            name = score["run"].partition("-")[0]  # derived-0-KEY
            found.append(
                {
                    "network": score["evaluate_as"] if name == "search" else name,
                    "blocks": score["architecture"],
                    "seed": seed,
                    "split": score["split"],
                    KEY: score[KEY],
                }
                | ({"least_decided": decided} if name == "search" else {})
            )
    return found


def _of(rows: Sequence[Row], network: str, split: str) -> list[Row]:
    return [row for row in rows if row["network"] == network and row["split"] == split]


def _networks(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    for network in dict.fromkeys(row["network"] for row in rows):
        valid, test = (_of(rows, network, split) for split in SPLITS)
        blocks = {
            "derived": "derived: " + ", ".join(f"`{row.get('blocks')}`" for row in valid),
            "soft": "SuperNet, soft",
            "argmax": "SuperNet, argmax",
        }
        lines.append(
            [
                blocks.get(network, f"`{network}`" if network in FIXED else network),
                *(mean_and_each([row[KEY] for row in of]) for of in (valid, test)),
            ]
        )
    return [["perplexity per word", *SPLITS], *lines]


def _seeds(rows: Sequence[Row]) -> list[list[str]]:
    """What a search is judged by: how far its network is above the best of the fixed ones of the
    same seed."""
    lines = []
    for i, derived in enumerate(_of(rows, DERIVED, "valid")):
        fixed = [_of(rows, network, "valid")[i] for network in FIXED]
        best = min(fixed, key=lambda row: row[KEY])
        search = _of(rows, "soft", "valid")[i]
        lines.append(
            [
                str(derived["seed"]),
                f"`{derived['blocks']}`",
                f"{search['least_decided']:.2f}",
                perplexity(derived[KEY]),
                f"{perplexity(best[KEY])} (`{best['blocks']}`)",
                f"{derived[KEY] / best[KEY] - 1:+.1%}",
            ]
        )
    titles = ["derived", "least decided", "its perplexity", "best of the four", "above it"]
    return [["seed", *titles], *lines]


EXPERIMENTS = (
    Experiment(
        "search_three_epochs",
        "base.flags on 2 million pieces: three searches, their networks, four fixed ones",
        minutes=150,
        corpus=PEPS,
        steps=tuple(_steps()),
        rows=_rows,
        parts=(
            Table("networks", "docs/experiments.md", _networks),
            Table("seeds", "docs/experiments.md", _seeds),
        ),
        seeds=SEEDS,
    ),
)
