"""What a network must beat: n-gram models of the same pieces."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from par.tools.experiments.cells import perplexity
from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    WIKITEXT_2_SMALL,
    Corpus,
    Experiment,
    Outputs,
    Row,
    Step,
    Table,
)

RECIPES = ("quick", "base")
MODELS = {
    "unigram": "unigram_perplexity_per_word",
    "Kneser-Ney 5-gram": "kneser_ney_perplexity_per_word",
}
SPLITS = ("valid", "test")


def _steps(corpus: Corpus) -> tuple[Step, ...]:
    return tuple(
        Step(
            recipe,
            "build_data",
            (
                f"--corpus={corpus.name}",
                f"--recipe={recipe}",
                f"--output_dir={{{recipe}}}",
                "--json",
            ),
        )
        for recipe in RECIPES
    )


def _rows(outputs: Outputs) -> list[Row]:
    return [
        {
            "recipe": recipe,
            "vocab_size": output["vocab_size"],
            "model": model,
            "split": split,
            "perplexity_per_word": output[key][split],
        }
        for recipe, output in outputs.items()
        for model, key in MODELS.items()
        for split in SPLITS
    ]


def _cells(corpus: str, rows: Sequence[Row]) -> list[list[str]]:
    columns = [(recipe, split) for recipe in RECIPES for split in SPLITS]
    sizes = {row["recipe"]: row["vocab_size"] for row in rows}
    found = {
        (row["model"], row["recipe"], row["split"]): perplexity(row["perplexity_per_word"])
        for row in rows
    }
    titles = [f"`{recipe}` ({sizes[recipe]:,} pieces), {split}" for recipe, split in columns]
    return [
        [f"{corpus}, perplexity per word", *titles],
        *([model, *(found[model, *column] for column in columns)] for model in MODELS),
    ]


def _experiment(name: str, corpus: Corpus) -> Experiment:
    return Experiment(
        name,
        f"unigram and Kneser-Ney 5-gram models of {corpus.name}",
        minutes=2,
        corpus=corpus,
        steps=_steps(corpus),
        rows=_rows,
        parts=(Table("table", "docs/evaluation.md", functools.partial(_cells, corpus.name)),),
    )


EXPERIMENTS = (
    _experiment("ngram_python_docs", PYTHON_DOCS),
    _experiment("ngram_wikitext_small", WIKITEXT_2_SMALL),
)
