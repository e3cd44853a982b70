"""What other documents give to the prediction of a masked token, by counting."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from par.baselines.relations import KINDS
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


class _Way(NamedTuple):
    """A tokenizer, and what is read of the contexts."""

    title: str
    build: tuple[str, ...]
    gain: tuple[str, ...]


WAYS = {
    "words": _Way("per word, 10 whole contexts", ("--model_type=word",), ()),
    "pieces": _Way(
        "per piece of `quick`, 32 tokens of 4 contexts and of the text",
        ("--recipe=quick",),
        ("--contexts=4", "--context_len=32", "--text_len=32"),
    ),
}


def _steps(source: str) -> tuple[Step, ...]:
    """Each way builds the data set and counts."""
    return tuple(
        step
        for name, way in WAYS.items()
        for step in (
            Step(
                name,
                "build_data",
                (source, *way.build, "--baseline=none", f"--output_dir={{{name}}}", "--json"),
            ),
            Step(f"gain-{name}", "context_gain", (f"--data={{{name}}}", *way.gain, "--json")),
        )
    )


def _rows(outputs: Outputs) -> list[Row]:
    return [
        {
            "way": name,
            **{key: gain[key] for key in ("kind", "documents", "contexts", "tokens", "clusters")},
            "share": gain["documents"] / found["documents"],
            **gain["difference"],
        }
        for name in WAYS
        for found in [outputs[f"gain-{name}"]]
        for gain in found["gains"]
    ]


def _cells(corpus: str, rows: Sequence[Row]) -> list[list[str]]:
    found = {(row["kind"], row["way"]): row for row in rows}
    kinds = [kind for kind in KINDS if any(key[0] == kind for key in found)]
    titles = [way.title for way in WAYS.values()]
    return [
        [f"{corpus}, nats less unrelated ones", "texts that have some", *titles],
        *(
            [KINDS[kind].label, _share(found, kind), *(_cell(found, kind, name) for name in WAYS)]
            for kind in kinds
        ),
    ]


def _share(found: dict[tuple[str, str], Row], kind: str) -> str:
    return next(f"{row['share']:.0%}" for key, row in found.items() if key[0] == kind)


def _cell(found: dict[tuple[str, str], Row], kind: str, way: str) -> str:
    """`-0.34 (-0.42 to -0.26)`."""
    if (kind, way) not in found:
        return "in too few groups"
    row = found[kind, way]
    return f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def _experiment(name: str, corpus: Corpus, source: str, minutes: float) -> Experiment:
    return Experiment(
        name,
        f"what contexts of {corpus.name} can give to a masked token, by counting",
        minutes=minutes,
        corpus=corpus,
        steps=_steps(source),
        rows=_rows,
        parts=(Table("table", PAGE, functools.partial(_cells, corpus.name)),),
    )


EXPERIMENTS = (
    _experiment("context_gain_python_docs", PYTHON_DOCS, "--corpus=python-docs", 2),
    _experiment("context_gain_peps", PEPS_DOCUMENTS, "--input_documents=data/raw/peps", 4),
    _experiment("context_gain_changelogs", DEBIAN_CHANGELOGS, "--corpus=debian-changelogs", 3),
    _experiment("context_gain_wikitext_small", WIKITEXT_2_SMALL, "--corpus=wikitext-2-small", 2),
)
