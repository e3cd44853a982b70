"""How well networks tell authors apart whom they have not seen: planted ones, and those of the
changelogs of this machine's packages; and which blocks a search takes for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from par.search.architecture import network_of
from par.tools.experiments.cells import least_decided
from par.tools.experiments.experiment import (
    DEBIAN_CHANGELOGS,
    Corpus,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

PAGE = "docs/objectives.md"
BY_AUTHOR = ("--split_by=author", "--baseline=none", "--output_dir={data}", "--json")
NETWORK = ("--cutoffs=none", "--mem_len=0", "--sample_length=0", "--json")

PLANTED = ("--split_fractions=0.8", "--split_fractions=0.1", "--split_fractions=0.1")
PLANTED_RUN = (
    *("--objective=authors", "--architecture=ad", "--anchors=4", "--doc_len=16"),
    *("--d_model=32", "--num_heads=2", "--d_ffn=64", "--max_lr=3e-3", "--warmup_steps=30"),
    *("--epochs=1", "--data={data}", "--run={authors}"),
)

SHARES = ("--split_fractions=0.6", "--split_fractions=0.2", "--split_fractions=0.2")
SIZES = ("--d_model=128", "--num_heads=4", "--d_ffn=256", "--max_lr=1e-3", "--warmup_steps=50")
AUTHORS = ("--objective=authors", "--anchors=5", "--doc_len=64", "--dropout_rate=0.4")
NETWORKS = {"bag": "i", "dense": "d", "attention": "a"}  # by the step that trains it
SEEDS = (0, 1, 2)  # of the searches


def _train(name: str, *own: str) -> Step:
    return Step(name, "train", ("--data={data}", *NETWORK, *own, f"--run={{{name}}}"))


def _planted() -> Iterator[Step]:
    texts = "{texts}/dialects.jsonl"
    yield Step(
        "texts", "synth", ("--task=dialects", "--authors=400", f"--output={texts}", "--json")
    )
    words = (f"--input_documents={texts}", "--model_type=word", "--vocab_size=64")
    yield Step("data", "build_data", (*words, *PLANTED, *BY_AUTHOR))
    yield Step("authors", "train", (*NETWORK, *PLANTED_RUN))
    yield Step("told", "discriminate", ("--run={authors}", "--json"))


def _data() -> Step:
    changelogs = ("--corpus=debian-changelogs", "--batch_size=64")
    return Step("data", "build_data", (*changelogs, *SHARES, *BY_AUTHOR))


def _changelogs() -> Iterator[Step]:
    yield _data()
    for name, blocks in NETWORKS.items():
        yield _train(name, *AUTHORS, *SIZES, "--epochs=3", f"--architecture={blocks}")
    masked = ("--objective=masked_lm", "--architecture=ad", "--epochs=2")
    yield _train("masked", *masked, *SIZES)
    runs = tuple(f"--run={{{name}}}" for name in (*NETWORKS, "masked"))
    yield Step("told", "discriminate", (*runs, "--json"))


def _blocks() -> Iterator[Step]:
    yield _data()
    for seed in SEEDS:
        search = ("--architecture=3s", "--epochs=3", f"--seed={seed}")
        yield _train(f"search-{seed}", *AUTHORS, *SIZES, *search)
        path = f"--output={{of-{seed}}}/architecture.json"
        run = f"--run={{search-{seed}}}"
        yield Step(f"of-{seed}", "derive", (run, "--rule=likeliest", path, "--json"))
    runs = tuple(f"--run={{search-{seed}}}" for seed in SEEDS)
    yield Step("told", "discriminate", (*runs, "--evaluate_as=argmax", "--json"))


def _runs(outputs: Outputs) -> list[str]:
    """The steps whose runs are scored, in the order of the figures."""
    return [name for name, output in outputs.items() if "valid" in output]


def _rows(outputs: Outputs) -> list[Row]:
    told = outputs["told"]
    found: list[Row] = [{"name": "TF-IDF", **_interval("accuracy", told["tfidf"])}]
    for name, network in zip(_runs(outputs), told["networks"], strict=True):
        row = {"name": name, "objective": network["objective"], "blocks": network["blocks"]}
        row["seconds"] = outputs[name]["seconds"]
        for key in ("accuracy", "untrained", "less_untrained", "less_tfidf"):
            row |= _interval(key, network[key])
        found.append(row)
    return found


def _search_rows(outputs: Outputs) -> list[Row]:
    found = _rows(outputs)
    for seed, row in zip(SEEDS, found[1:], strict=True):
        derived = outputs[f"of-{seed}"]
        row |= {"seed": seed, "network": network_of(derived["architecture"])}
        row["least_decided"] = least_decided(derived)
    return found


def _interval(key: str, of: dict[str, float | None]) -> Row:
    return {f"{key}_{name}": of[name] for name in ("mean", "low", "high")}


def _shown(row: Row, key: str, sign: str = "") -> str:
    """`0.741 (0.701 to 0.780)`."""
    mean, low, high = (row[f"{key}_{name}"] for name in ("mean", "low", "high"))
    bounds = "" if low is None else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{mean:{sign}.3f}{bounds}"


def _table(rows: Sequence[Row]) -> list[list[str]]:
    first, *networks = rows
    heads = ["", "seconds of training", "accuracy", "with fresh weights", "less TF-IDF"]
    lines = [heads, ["TF-IDF of 3- to 5-grams", "", _shown(first, "accuracy"), "", ""]]
    for row in networks:
        name = f"`{row['blocks']}`, {row['objective']}"
        accuracies = (_shown(row, "accuracy"), _shown(row, "untrained"))
        lines.append([name, f"{row['seconds']:.0f}", *accuracies, _shown(row, "less_tfidf", "+")])
    return lines


def _searches(rows: Sequence[Row]) -> list[list[str]]:
    first, *searches = rows
    heads = ["search", "network", "least decided block", "seconds", "accuracy of its argmax"]
    lines = [heads]
    for row in searches:
        cells = (f"{row['least_decided']:.2f}", f"{row['seconds']:.0f}", _shown(row, "accuracy"))
        lines.append([f"seed {row['seed']}", f"`{row['network']}`", *cells])
    return [*lines, ["TF-IDF of 3- to 5-grams", "", "", "", _shown(first, "accuracy")]]


EXPERIMENTS = (
    Experiment(
        "authors_planted",
        "planted authors: unseen ones told apart by a network of a minute",
        minutes=2,
        corpus=Corpus("dialects"),
        steps=tuple(_planted()),
        rows=_rows,
        parts=(Table("table", PAGE, _table),),
        seeds=(0,),
    ),
    Experiment(
        "authors_changelogs",
        "unseen authors of changelogs, by networks of authors and of masked tokens, and TF-IDF",
        minutes=12,
        corpus=DEBIAN_CHANGELOGS,
        steps=tuple(_changelogs()),
        rows=_rows,
        parts=(Table("table", PAGE, _table),),
        seeds=(0,),
    ),
    Experiment(
        "authors_blocks",
        "which blocks searches take to tell the authors of changelogs apart",
        minutes=15,
        corpus=DEBIAN_CHANGELOGS,
        steps=tuple(_blocks()),
        rows=_search_rows,
        parts=(Table("searches", PAGE, _searches),),
        seeds=SEEDS,
    ),
)
