"""Does it pay to tell replaced tokens? Networks of two stages, masked prediction first, by what
the second one is: masked prediction again, replaced tokens, and with each part of SpanELECTRA."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from par.core.text import number
from par.objectives import OBJECTIVES
from par.tools.experiments.cells import least_decided, minutes
from par.tools.experiments.experiment import (
    PEPS_DOCUMENTS,
    PYTHON_DOCS,
    Corpus,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

PAGE = "docs/objectives.md"
SEEDS = (0, 1, 2)
NETWORK = "adadad"
MASKED = ("--objective=masked_lm",)
ELECTRA = ("--objective=span_electra",)
FIRST = "masked"
AGAIN = "masked again"
# the second stages by name: their flags, and whether they begin with the first
STAGES: dict[str, tuple[tuple[str, ...], bool]] = {
    AGAIN: (MASKED, True),
    "ATO": ((*ELECTRA, "--nosbpo", "--nosbgo"), True),
    "ATO, SBPO": ((*ELECTRA, "--nosbgo"), True),
    "ATO, SBPO, SBGO": (ELECTRA, True),
    "the same, tied": ((*ELECTRA, "--share_embeddings=tied"), True),
    "the same, gdes": ((*ELECTRA, "--share_embeddings=gdes"), True),
    "frozen generator": (
        (
            *ELECTRA,
            "--generator=frozen",
            "--generator_share=1",
            f"--generator_blocks={NETWORK}",
        ),
        True,
    ),
    "random replacement": ((*ELECTRA, "--generator=random", "--nosbgo"), True),
    "from scratch": (ELECTRA, False),
}
LABELS = ("group", "author")
# the searches whose pi are compared: flags, and the search that they begin with
SEARCHES: dict[str, tuple[tuple[str, ...], str]] = {
    "causal_lm": ((), ""),
    "masked_lm": (MASKED, ""),
    "span_electra": (ELECTRA, "masked_lm"),
}
COMMON = ("--data={data}", "--recipe=quick", "--sample_length=0", "--json")
FIGURES = OBJECTIVES["span_electra"].figures


def _key(stage: str, seed: int) -> str:
    return f"{stage.replace(', ', '-').replace(' ', '-').lower()}-{seed}"


def _search(name: str) -> str:
    return f"search-{name.removesuffix('_lm').replace('_', '-')}"


class _Length(NamedTuple):
    """Epochs: of each stage; of masked prediction again, for about the time of a stage of replaced
    tokens; and of a search."""

    stage: int
    again: int
    search: int


def _steps(data: tuple[str, ...], epochs: _Length) -> Iterator[Step]:
    built = (*data, "--recipe=quick", "--output_dir={data}", "--json")
    yield Step("data", "build_data", built)
    for seed in SEEDS:
        first = _key(FIRST, seed)
        own = (*COMMON, f"--architecture={NETWORK}", f"--seed={seed}")
        yield Step(
            first, "train", (*own, *MASKED, f"--epochs={epochs.stage}", f"--run={{{first}}}")
        )
        for stage, (flags, is_second) in STAGES.items():
            name = _key(stage, seed)
            init = (f"--init_from={{{first}}}",) if is_second else ()
            more = f"--epochs={epochs.again if stage == AGAIN else epochs.stage}"
            yield Step(name, "train", (*own, *flags, more, *init, f"--run={{{name}}}"))
            if _is_electra(stage):
                scored = (f"--run={{{name}}}", "--split=test", "--json")
                yield Step(f"{name}-scores", "evaluate", scored)
        for label in LABELS:
            runs = (f"--run={{{_key(name, seed)}}}" for name in (FIRST, *STAGES))
            probed = (*runs, f"--label={label}", "--split=valid", "--split=test", "--json")
            yield Step(f"{label}-{seed}", "probe", probed)
    for name, (flags, begun) in SEARCHES.items():
        run = _search(name)
        init = (f"--init_from={{{_search(begun)}}}",) if begun else ()
        of_search = (f"--epochs={epochs.search}", *init, f"--run={{{run}}}")
        yield Step(run, "train", (*COMMON, *flags, *of_search))
        path = f"--output={{{run}-derived}}/architecture.json"
        yield Step(f"{run}-derived", "derive", (f"--run={{{run}}}", path, "--json"))


def _is_electra(stage: str) -> bool:
    return STAGES[stage][0][:1] == ELECTRA


def _rows(outputs: Outputs) -> list[Row]:
    found: list[Row] = []
    for seed in SEEDS:
        names = (FIRST, *STAGES)
        probed = {label: outputs[f"{label}-{seed}"]["runs"] for label in LABELS}
        for place, name in enumerate(names):
            key = _key(name, seed)
            row: Row = {"what": "stage", "name": name, "seed": seed}
            row["seconds"] = outputs[key]["seconds"]
            row |= {label: probed[label][place]["accuracy"]["mean"] for label in LABELS}
            if name in STAGES and _is_electra(name):
                (scores,) = outputs[f"{key}-scores"]["results"]
                row |= {figure.name: scores[figure.name] for figure in FIGURES}
            found.append(row)
    for name in SEARCHES:
        run = _search(name)
        derived = outputs[f"{run}-derived"]
        found.append(
            {"what": "search", "name": name, "architecture": derived["architecture"]}
            | {"least_decided": least_decided(derived), "seconds": outputs[run]["seconds"]}
        )
    return found


def _stages(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each stage, by name."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["what"] == "stage":
            found.setdefault(row["name"], []).append(row)
    return found


def _mean(rows: Sequence[Row], key: str) -> str:
    """`.512 (.501, .520, .515)`: the mean of the seeds, and each."""
    values = [row[key] for row in rows]
    if None in values:
        return "-"
    each = ", ".join(number(value, 3) for value in values)
    return f"{number(statistics.fmean(values), 3)} ({each})"


def _probes(rows: Sequence[Row]) -> list[list[str]]:
    """What the states of each are worth: accuracy of the probe, by label."""
    lines = [["second stage", *(f"accuracy of the {label}" for label in LABELS), "minutes"]]
    for name, own in _stages(rows).items():
        title = "none" if name == FIRST else name
        accuracies = [_mean(own, label) for label in LABELS]
        lines.append([title, *accuracies, minutes([row["seconds"] for row in own])])
    return lines


def _detection(rows: Sequence[Row]) -> list[list[str]]:
    """How well each tells replaced tokens, beside what tells them without it."""
    keys = {
        "auc": "AUC",
        "bigram_auc": "bigram detector",
        "masked_auc": "AUC among masked tokens",
        "confidence_auc": "generator's confidence",
        "replaced": "replaced",
        "accuracy": "accuracy of the generator",
        "boundary_accuracy": "from boundaries",
    }
    lines = [["second stage", *keys.values()]]
    for name, own in _stages(rows).items():
        if "auc" in own[0]:
            lines.append([name, *(_mean(own, key) for key in keys)])
    return lines


def _searches(rows: Sequence[Row]) -> list[list[str]]:
    lines = [["search by", "likeliest kinds", "least decided block", "minutes"]]
    for row in rows:
        if row["what"] == "search":
            shown = (f"`{row['architecture']}`", f"{row['least_decided']:.2f}")
            lines.append([row["name"], *shown, minutes([row["seconds"]])])
    return lines


def _experiment(
    corpus: Corpus, name: str, what: str, hours: float, epochs: _Length, *data: str
) -> Experiment:
    return Experiment(
        f"replaced_tokens_{name}",
        f"does it pay to tell replaced tokens? {what}, {len(SEEDS)} seeds",
        minutes=60 * hours,
        corpus=corpus,
        steps=tuple(_steps(data, epochs)),
        rows=_rows,
        parts=(
            Table("probes", PAGE, _probes),
            Table("detection", PAGE, _detection),
            Table("searches", PAGE, _searches),
        ),
        seeds=SEEDS,
    )


EXPERIMENTS = (
    _experiment(
        PYTHON_DOCS, "python_docs", "python-docs", 3, _Length(4, 7, 3), "--corpus=python-docs"
    ),
    _experiment(
        PEPS_DOCUMENTS,
        "peps",
        "peps",
        4,
        _Length(1, 2, 1),  # of four times as many tokens
        "--input_documents=data/raw/peps",
    ),
)
