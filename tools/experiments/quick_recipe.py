"""Three seeds of quick.flags on the two small corpora: what ./base_model.sh does, other ways of
sampling, and the interleaved network beside them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from par.tools.experiments.cells import KEY, code, least_decided, mean_and_each, perplexity
from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    WIKITEXT_2_SMALL,
    Corpus,
    Experiment,
    Outputs,
    Row,
    Step,
    StepPicture,
    Table,
    Transcript,
)

SEEDS = (0, 1, 2)
SPLITS = ("valid", "test")
INTERLEAVED = "adadad"
N_GRAMS = {
    "unigram model of the same pieces": "unigram_perplexity_per_word",
    "Kneser-Ney 5-gram of the same pieces": "kneser_ney_perplexity_per_word",
}
SOFT, SINGLE_PATH = "soft", "single_path"
PREFIXES = {SOFT: "", SINGLE_PATH: "single-"}  # of the names of the steps of a sampling


def _steps(corpus: Corpus, flags: Sequence[str], samplings: Sequence[str]) -> Iterator[Step]:
    data = (f"--corpus={corpus.name}", "--recipe=quick", "--output_dir={data}", "--json")
    yield Step("data", "build_data", data)
    for seed in SEEDS:
        common = ("--data={data}", "--recipe=quick", *flags, f"--seed={seed}", "--json")
        runs = []
        for sampling in samplings:
            yield from _search(sampling, seed, common)
            runs += [f"{PREFIXES[sampling]}{name}-{seed}" for name in ("search", "derived")]
        interleaved = f"interleaved-{seed}"
        own = (f"--architecture={INTERLEAVED}", f"--run={{{interleaved}}}")
        yield Step(interleaved, "train", (*common, *own))
        scored = tuple(f"--run={{{run}}}" for run in (*runs, interleaved))
        splits = tuple(f"--split={split}" for split in SPLITS)
        yield Step(f"scores-{seed}", "evaluate", (*scored, *splits, "--baseline=none", "--json"))


def _search(sampling: str, seed: int, common: Sequence[str]) -> Iterator[Step]:
    """A search, what it derives, and that network from scratch."""
    prefix = PREFIXES[sampling]
    search, network, derived = (
        f"{prefix}{name}-{seed}" for name in ("search", "architecture", "derived")
    )
    how = () if sampling == SOFT else (f"--sampling={sampling}",)
    blocks = f"{{{network}}}/architecture.json"
    yield Step(search, "train", (*common, *how, f"--run={{{search}}}"))
    yield Step(network, "derive", (f"--run={{{search}}}", f"--output={blocks}", "--json"))
    own = (f"--architecture={blocks}", f"--run={{{derived}}}")
    yield Step(derived, "train", (*common, *own))


def _rows(samplings: Sequence[str], outputs: Outputs) -> list[Row]:
    found: list[Row] = [
        {"network": name, "split": split, KEY: outputs["data"][key][split]}
        for name, key in N_GRAMS.items()
        for split in SPLITS
    ]
    for seed in SEEDS:
        for score in outputs[f"scores-{seed}"]["results"]:
            step = score["run"].rpartition("-")[0]  # derived-0-KEY
            row = {
                "network": score["evaluate_as"],
                "blocks": score["architecture"],
                "seed": seed,
                "split": score["split"],
                KEY: score[KEY],
                "bits_per_byte": score["bits_per_byte"],
            }
            if row["network"] == "fixed":
                row["network"] = step.split("-")[-2]
            if row["network"] != "interleaved":
                prefix = "single-" if step.startswith("single-") else ""
                row["sampling"] = SINGLE_PATH if prefix else SOFT
                row["least_decided"] = least_decided(outputs[f"{prefix}architecture-{seed}"])
            found.append(row)
    return found


def _of(rows: Sequence[Row], network: str, split: str, sampling: str = SOFT) -> list[Row]:
    return [
        row
        for row in rows
        if (row["network"], row["split"], row.get("sampling", sampling))
        == (network, split, sampling)
    ]


def _networks(title: str, rows: Sequence[Row]) -> list[list[str]]:
    """README's table: n-grams, the search by the recipe, what it derives, and the interleaved."""
    lines = []
    for network in (*N_GRAMS, "soft", "argmax", "derived", "interleaved"):
        by_split = [_of(rows, network, split) for split in SPLITS]
        label = f"SuperNet, {network}" if network in ("soft", "argmax") else network
        if network in ("derived", "interleaved"):
            label = f"{network} {code([row['blocks'] for row in by_split[0]])}"
        cells = [
            perplexity(own[0][KEY])
            if network in N_GRAMS
            else mean_and_each([row[KEY] for row in own])
            for own in by_split
        ]
        lines.append([label, *cells])
    return [[title, *SPLITS], *lines]


def _samplings(rows: Sequence[Row]) -> list[list[str]]:
    """What searches of two ways of sampling derive, side by side."""

    def line(label: str, cell, network: str, split: str = "valid") -> list[str]:
        return [
            label,
            *(cell(_of(rows, network, split, sampling)) for sampling in (SOFT, SINGLE_PATH)),
        ]

    def score(own: Sequence[Row]) -> str:
        return mean_and_each([row[KEY] for row in own])

    return [
        ["", SOFT, SINGLE_PATH],
        line("derived", lambda own: code([row["blocks"] for row in own]), "derived"),
        line("derived from scratch, valid", score, "derived"),
        line("derived from scratch, test", score, "derived", "test"),
        line("search as its argmax, valid", score, "argmax"),
        line(
            "least decided block",
            lambda own: ", ".join(f"{row['least_decided']:.2f}" for row in own),
            "argmax",
        ),
    ]


# what ./base_model.sh prints at its end, of the first seed
LAST_STEPS = (
    Step("pi", "derive", ("--run={search-0}", "--output={pi}/architecture.json")),
    Step("pictures", "plot_pi", ("--run={search-0}", "--output_dir={pictures}")),
    Step(
        "table",
        "evaluate",
        (
            "--run={search-0}",
            "--run={derived-0}",
            *(f"--split={split}" for split in SPLITS),
            "--show_history",
        ),
    ),
    Step(
        "longer",
        "evaluate",
        (
            "--run={derived-0}",
            "--split=valid",
            "--batch_size=1",
            "--seq_len=64",
            "--mem_len=128",
        ),
    ),
)
NEEDS = "needs the runs of ./base_model.sh"

EXPERIMENTS = (
    Experiment(
        "readme_python_docs",
        "python-docs, quick recipe: searches, their networks, the interleaved network",
        minutes=25,
        corpus=PYTHON_DOCS,
        steps=(*_steps(PYTHON_DOCS, (), (SOFT,)), *LAST_STEPS),
        rows=functools.partial(_rows, (SOFT,)),
        parts=(
            Table("table", "README.md", functools.partial(_networks, "python-docs")),
            Transcript("output", "README.md", ("pi", "table"), NEEDS),
            StepPicture(
                "pi",
                "README.md",
                "The distribution over block kinds during a search, one column a block",
                "pictures",
                "pi.gif",
                width=744,
            ),
            Transcript("longer", "docs/evaluation.md", ("longer",), NEEDS),
        ),
        seeds=SEEDS,
        directories={
            "data": "data/python-docs",
            "search-0": "logs/search",
            "pi": "logs/search",
            "derived-0": "logs/derived",
        },
    ),
    Experiment(
        "wikitext_small",
        "wikitext-2-small, quick recipe: searches by the mixture and by single paths",
        minutes=35,
        corpus=WIKITEXT_2_SMALL,
        steps=tuple(_steps(WIKITEXT_2_SMALL, ("--epochs=5",), (SOFT, SINGLE_PATH))),
        rows=functools.partial(_rows, (SOFT, SINGLE_PATH)),
        parts=(
            Table(
                "table", "README.md", functools.partial(_networks, "wikitext-2-small, 5 epochs")
            ),
            Table("samplings", "docs/experiments.md", _samplings),
        ),
        seeds=SEEDS,
    ),
)
