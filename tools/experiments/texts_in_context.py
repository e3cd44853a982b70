"""Whether other texts beside a text pay: kinds of contexts, and ways to read them, at equal steps
and at equal time, beside runs that were trained with random ones."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from par.tools.experiments.experiment import (
    DEBIAN_CHANGELOGS,
    PEPS_DOCUMENTS,
    PYTHON_DOCS,
    WIKITEXT_2_SMALL,
    Corpus,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

PAGE = "docs/objectives.md"
SEEDS = (0, 1, 2)
EPOCHS, AS_LONG = 10, 3.5  # of runs with contexts; times as many without, in about the same time
FEWER = 4  # of each way to read contexts, and of corpora that are larger
COMMON = ("--recipe=quick", "--architecture=adadad", "--sample_length=0", "--json")
CONTEXT = ("--objective=context_mlm", "--contexts=4", "--init_from={masked}")
CONTROL = "random"  # the run that the others are compared with
EQUAL_TIME = "none, equal time"
KINDS = {
    CONTROL: ("--context=random",),
    "group": ("--context=group",),
    "author": ("--context=author",),
    "author, other groups": ("--context=author", "--cross"),
    "ancestors": ("--context=ancestors",),
    "parent": ("--context=ancestors", "--contexts=1"),
    "none": ("--context=none",),
    EQUAL_TIME: ("--context=none",),
}
WAYS = [
    (encoder, combine)
    for encoder in ("batch", "biencoder", "hierarchical")
    for combine in ("tokens", "attention", "sum", "concat")
    if (encoder, combine) != ("hierarchical", "tokens")
]


def _name(*parts: object) -> str:
    return "-".join(str(part).replace(", ", "-").replace(" ", "-") for part in parts)


def _begin(source: str) -> Iterator[Step]:
    yield Step("data", "build_data", (source, "--recipe=quick", "--output_dir={data}", "--json"))
    masked = ("--objective=masked_lm", "--epochs=4", "--data={data}", "--run={masked}")
    yield Step("masked", "train", (*COMMON, *masked))


def _train(name: str, seed: int, epochs: int, *own: str) -> Step:
    run = ("--data={data}", f"--epochs={epochs}", *own, f"--seed={seed}", f"--run={{{name}}}")
    return Step(name, "train", (*COMMON, *CONTEXT, *run))


def _compare(name: str, runs: Sequence[str]) -> Step:
    """All runs on the same tokens of test, the first one the control."""
    listed = (f"--run={{{run}}}" for run in runs)
    return Step(name, "evaluate", (*listed, "--split=test", "--json"))


def _of_kinds(source: str, kinds: Sequence[str], epochs: int) -> Iterator[Step]:
    yield from _begin(source)
    for seed in SEEDS:
        for kind in kinds:
            own = round(AS_LONG * epochs) if kind == EQUAL_TIME else epochs
            yield _train(_name(kind, seed), seed, own, *KINDS[kind])
        yield _compare(_name("test", seed), [_name(kind, seed) for kind in kinds])


def _of_ways(source: str) -> Iterator[Step]:
    yield from _begin(source)
    for seed in SEEDS:
        for encoder, combine in WAYS:
            how = (f"--encoder={encoder}", f"--combine={combine}")
            runs = [_name(kind, encoder, combine, seed) for kind in (CONTROL, "group")]
            for run, kind in zip(runs, (CONTROL, "group")):
                yield _train(run, seed, FEWER, *KINDS[kind], *how)
            yield _compare(_name("test", encoder, combine, seed), runs)


def _paired(outputs: Outputs, test: str, runs: Sequence[str]) -> Iterator[Row]:
    """What each run but the first is above that, by depth; and its nll and seconds."""
    found = outputs[test]
    results = dict(zip(runs, found["results"], strict=True))
    for run, pair in zip(runs[1:], found["paired"], strict=True):
        for own in pair["differences"]:
            yield {
                "run": run,
                "depth": own["depth"],
                "clusters": own["clusters"],
                **own["nats"],
                "nll": results[run]["nll_per_token"],
                "seconds": outputs[run]["seconds"],
            }


def _rows_of_kinds(kinds: Sequence[str], outputs: Outputs) -> list[Row]:
    rows = []
    for seed in SEEDS:
        names = {_name(kind, seed): kind for kind in kinds}
        for row in _paired(outputs, _name("test", seed), list(names)):
            rows.append({"seed": seed, "kind": names[row.pop("run")]} | row)
    return rows


def _rows_of_ways(outputs: Outputs) -> list[Row]:
    rows = []
    for seed in SEEDS:
        for encoder, combine in WAYS:
            runs = [_name(kind, encoder, combine, seed) for kind in (CONTROL, "group")]
            for row in _paired(outputs, _name("test", encoder, combine, seed), runs):
                del row["run"]
                rows.append({"seed": seed, "encoder": encoder, "combine": combine} | row)
    return rows


def _shown(rows: Sequence[Row]) -> str:
    """The mean over the seeds, and each seed's interval: `-0.041: -0.07 to -0.02, ...`."""
    if not rows:
        return ""
    mean = sum(row["mean"] for row in rows) / len(rows)
    bounds = [f"{row['low']:+.3f} to {row['high']:+.3f}" for row in rows if row["low"] is not None]
    return f"{mean:+.3f}" + (f" ({', '.join(bounds)})" if bounds else "")


def _kinds_table(corpus: str, rows: Sequence[Row]) -> list[list[str]]:
    depths = sorted({row["depth"] for row in rows} - {None})
    heads = [corpus, "seconds", "nats less random contexts, of each seed"]
    lines = [[*heads, *(f"depth {depth}" for depth in depths)]]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        whole = [row for row in own if row["depth"] is None]
        seconds = sum(row["seconds"] for row in whole) / len(whole)
        means = []
        for depth in depths:
            values = [row["mean"] for row in own if row["depth"] == depth]
            means.append(f"{sum(values) / len(values):+.3f}" if values else "")
        lines.append([kind, f"{seconds:.0f}", _shown(whole), *means])
    return lines


def _ways_table(rows: Sequence[Row]) -> list[list[str]]:
    lines = [["encoder", "combine", "seconds", "group less random contexts, nats, of each seed"]]
    for encoder, combine in WAYS:
        own = [
            row
            for row in rows
            if (row["encoder"], row["combine"], row["depth"]) == (encoder, combine, None)
        ]
        seconds = sum(row["seconds"] for row in own) / max(len(own), 1)
        lines.append([encoder, combine, f"{seconds:.0f}", _shown(own)])
    return lines


def _experiment(
    name: str, corpus: Corpus, source: str, epochs: int, kinds: Sequence[str] = tuple(KINDS)
) -> Experiment:
    return Experiment(
        name,
        f"{corpus.name}: contexts of each kind beside a text, at equal steps and at equal time",
        minutes=0.8 * epochs * len(kinds) * len(SEEDS),
        corpus=corpus,
        steps=tuple(_of_kinds(source, kinds, epochs)),
        rows=functools.partial(_rows_of_kinds, kinds),
        parts=(Table("table", PAGE, functools.partial(_kinds_table, corpus.name)),),
        seeds=SEEDS,
    )


EXPERIMENTS = (
    _experiment("context_kinds_python_docs", PYTHON_DOCS, "--corpus=python-docs", EPOCHS),
    _experiment(
        "context_kinds_changelogs", DEBIAN_CHANGELOGS, "--corpus=debian-changelogs", FEWER
    ),
    _experiment("context_kinds_peps", PEPS_DOCUMENTS, "--input_documents=data/raw/peps", FEWER),
    _experiment(
        "context_kinds_wikitext_small",
        WIKITEXT_2_SMALL,
        "--corpus=wikitext-2-small",
        FEWER,
        [kind for kind in KINDS if "author" not in kind],  # paragraphs have none
    ),
    Experiment(
        "context_ways_python_docs",
        "python-docs: every encoder and way to combine, group contexts beside random ones",
        minutes=0.8 * FEWER * len(WAYS) * 2 * len(SEEDS),
        corpus=PYTHON_DOCS,
        steps=tuple(_of_ways("--corpus=python-docs")),
        rows=_rows_of_ways,
        parts=(Table("table", PAGE, _ways_table),),
        seeds=SEEDS,
    ),
)
