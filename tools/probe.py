"""Tells what a trained network's hidden states are worth: how well a linear classifier finds in
them who wrote a document, or of which group it is.

    python tools/probe.py --run=logs/RUN --label=group
    python tools/probe.py --run=logs/RUN --run=logs/OTHER --label=author --evaluate_as=argmax
        two runs on the same documents, of any objectives, and how they differ

The weights of the network stay as they are. Each document is read by itself, and its vector is
the mean of the last block's hidden states over its tokens. A logistic regression on these is
fitted to four fifths of the documents and predicts the label of the others, in turn. Prints the
share that it finds, with a 95 % interval, beside what the same classifier finds in the same
network with fresh weights and in TF-IDF of character 3- to 5-grams, and beside the share of the
most frequent label.

The documents are those of the splits that the network was not trained on, of one data set: that of
the first run, or --data. Each run reads them with its own tokenizer. With --typos=.1 one letter in
ten is typed wrongly in what is predicted from (case, swap, drop, double), and the table says what
each network loses by that. Needs scikit-learn:
pip install "par-transformer-xl[probe]".
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from par.core import schema
from par.core.errors import SettingError, UsageError
from par.core.progress import Progress
from par.core.setting_group import Group, setting
from par.core.stats import Interval
from par.core.text import plural, table
from par.data import records
from par.data.characters import typos
from par.evaluate import labelled_documents, probe
from par.evaluate.labelled_documents import LABELS, Labelled
from par.tools.cli import represented, trained
from par.tools.cli.flags import Flags, choice
from par.tools.cli.represented import Opened
from par.tools.cli.tensorflow import start_tensorflow

BASELINES = {"majority": "most frequent label", "tfidf": "TF-IDF of 3- to 5-grams"}


@dataclasses.dataclass(frozen=True)
class ProbeConfig(Group):
    """Which documents are read, and how they are divided."""

    documents: int = setting(
        2_000,
        "documents that are read, drawn by the seed, of each label about as many",
        minimum=2 * probe.FEWEST,
        maximum=10_000,
    )
    min_documents: int = setting(
        10, "labels of fewer documents are left out", minimum=probe.FEWEST, maximum=5_000
    )
    labels: int = setting(
        50, "labels that are told apart, drawn by the seed", minimum=2, maximum=1 << 10
    )
    document_len: int = setting(
        256, "tokens that are read of a document, from its beginning", minimum=1, maximum=1 << 16
    )
    typos: float = setting(
        0.0,
        "also read the documents with typing errors in this share of their letters: the classifier"
        " is fitted to them as they are, and predicts from them as they are typed",
        minimum=0.0,
        maximum=1.0,
    )
    folds: int = setting(
        5, "parts that are predicted in turn, each from all others", minimum=2, maximum=100
    )
    seed: int = setting(
        0,
        "seed of the documents, the folds and the intervals",
        minimum=0,
        maximum=(1 << 32) - 1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.documents < 2 * self.min_documents:
            raise SettingError(
                "documents must be at least twice min_documents, as there are two labels, but are"
                f" {self.documents} and {self.min_documents}",
                "documents",
                "min_documents",
            )


FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        represented.RUNS,
        (
            choice(*LABELS),
            "label",
            None,
            "what a classifier shall tell of a document",
        ),
        represented.DATA,
        represented.SPLITS,
        trained.CHECKPOINT,
        trained.EVALUATE_AS,
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(ProbeConfig, "Documents")
)


class Scored(NamedTuple):
    """A run, and of each document whether its label was found, [n]: in its network, in the same
    with fresh weights, and in its network without typing errors."""

    run: Opened
    trained: np.ndarray
    untrained: np.ndarray
    clean: np.ndarray


def _work(values: Flags) -> None:
    config = values.read(ProbeConfig)
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    if not values.label:
        raise UsageError(f"--label is required: {' or '.join(LABELS)}")
    probe.require_scikit_learn()
    data_dir, manifest, runs = represented.opened(values.run, values.data)
    splits = list(dict.fromkeys(values.split))
    read = labelled_documents.read(
        data_dir,
        manifest,
        splits,
        values.label,
        min_documents=config.min_documents,
        labels=config.labels,
        most=config.documents,
        seed=config.seed,
    )
    start_tensorflow()
    from par.evaluate.trained_model import Model

    records.verify(data_dir, manifest, splits)
    texts = labelled_documents.texts(data_dir, splits, read.chosen.rows, config.document_len)
    states = [
        represented.vectors(run, texts, values.checkpoint, values.evaluate_as, Model.embed)
        for run in runs
    ]
    typed, typed_states = texts, states
    if config.typos:
        typed = [
            typos.of_text(text, config.typos, np.random.default_rng([config.seed, number]))
            for number, text in enumerate(texts)
        ]
        typed_states = [
            represented.vectors(run, typed, values.checkpoint, values.evaluate_as, Model.embed)
            for run in runs
        ]
    folds = probe.stratified_folds(read.labels, config.folds, config.seed)
    about = (read.labels, folds, config.seed)
    fits = 1 + (3 if config.typos else 2) * len(runs)
    with Progress("fitting", "fold", config.folds * fits) as done:

        def hits(states: np.ndarray, read_as: np.ndarray) -> np.ndarray:
            return probe.by_states(states, *about, done, read_as) == read.labels

        found = {
            "majority": probe.by_majority(read.labels, folds) == read.labels,
            "tfidf": probe.by_characters(texts, *about, done, typed) == read.labels,
        }
        scored = []
        for run, both, read_as in zip(runs, states, typed_states, strict=True):
            trained, untrained = map(hits, both, read_as)
            clean = hits(both[0], both[0]) if config.typos else trained
            scored.append(Scored(run, trained, untrained, clean))
    value = _facts(values, config, data_dir, splits, read, found, scored)
    print(schema.canonical_json(value) if values.json else "\n".join(_lines(value)))


def _facts(
    values: Flags,
    config: ProbeConfig,
    data_dir: Path,
    splits: list[str],
    read: Labelled,
    found: dict[str, np.ndarray],
    scored: list[Scored],
) -> dict[str, Any]:
    """The result for --json."""

    def interval(values: np.ndarray, less: np.ndarray | None = None) -> dict[str, float | None]:
        of = values.astype(float) - (0 if less is None else less)
        return probe.accuracy(of, read.clusters, config.seed).to_json()

    def lost(run: Scored) -> np.ndarray:
        return run.trained.astype(float) - run.clean

    first = scored[0].trained
    chosen = read.chosen
    return {
        "label": values.label,
        "data": str(data_dir),
        "splits": splits,
        "checkpoint": values.checkpoint,
        "evaluate_as": values.evaluate_as,
        **config.to_json(),
        "documents_read": len(read.labels),
        "labels_read": len(set(read.labels)),
        "cluster": read.cluster,
        "clusters": len(set(read.clusters)),
        "rare": dict(zip(("labels", "documents"), chosen.rare, strict=True)),
        "not_drawn": dict(zip(("labels", "documents"), chosen.more, strict=True)),
        "unlabelled": chosen.unlabelled,
        "baselines": {name: interval(correct) for name, correct in found.items()},
        "runs": [
            {
                "run": each.run.name,
                "objective": each.run.config.objective,
                "blocks": each.run.config.network,
                "accuracy": interval(each.trained),
                "untrained": interval(each.untrained),
                "less_untrained": interval(each.trained, each.untrained),
                "less_tfidf": interval(each.trained, found["tfidf"]),
                "less_first": interval(each.trained, first) if number else None,
                "clean": interval(each.clean),
                "less_clean": interval(lost(each)),
                "less_clean_less_first": (
                    interval(lost(each), lost(scored[0])) if number else None
                ),
            }
            for number, each in enumerate(scored)
        ],
    }


def _lines(value: dict[str, Any]) -> list[str]:
    """The result for people."""
    label, rare, more = value["label"], value["rare"], value["not_drawn"]
    lines = [
        f"{' and '.join(value['splits'])}: {plural(value['documents_read'], 'document')} of"
        f" {plural(value['labels_read'], label)}, in {value['folds']} folds"
    ]
    left = [
        f"{plural(rare['labels'], label)} of fewer than {value['min_documents']} documents"
        f" ({plural(rare['documents'], 'document')})"
    ]
    if more["documents"]:
        left.append(
            f"{plural(more['labels'], label)} and {plural(more['documents'], 'document')} beyond"
            f" --labels={value['labels']} and --documents={value['documents']}"
        )
    if value["unlabelled"]:
        left.append(f"{plural(value['unlabelled'], 'document')} without {label}")
    rows = [("", "accuracy", "95 %")]
    rows += [represented.row(BASELINES[name], of) for name, of in value["baselines"].items()]
    differences = [("difference", "", "95 %", "")]
    for run in value["runs"]:
        rows += [represented.row(_name(run), run["accuracy"])]
        rows += [represented.row("  the same with fresh weights", run["untrained"])]
        if value["typos"]:
            rows += [represented.row("  it without typing errors", run["clean"])]
        against = {"less_untrained": "its fresh weights", "less_tfidf": "TF-IDF"}
        if run["less_first"]:
            against["less_first"] = value["runs"][0]["run"]
        if value["typos"]:
            against["less_clean"] = "itself without typing errors"
            if run["less_first"]:
                against["less_clean_less_first"] = f"the same of {value['runs'][0]['run']}"
        differences += [
            (
                *represented.row(f"{run['run']} less {other}", run[key], "+"),
                represented.verdict(Interval(**run[key])),
            )
            for key, other in against.items()
        ]
    others = f"intervals for other {value['cluster']}s, of which there are {value['clusters']:,}"
    if value["typos"]:
        lines.append(
            f"of their letters {value['typos']:.0%} are typed wrongly where the label is predicted"
        )
    return [
        *lines,
        f"left out: {'; '.join(left)}",
        "",
        *table(rows, left=1),
        "",
        *table(differences, left=1),
        "",
        f"accuracy: share of the documents whose {label} is found; {others}",
    ]


def _name(run: dict[str, Any]) -> str:
    return f"{run['run']} ({run['blocks']}, {run['objective']})"


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
