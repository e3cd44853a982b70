"""Tells how well networks tell authors apart that they have not seen: how often a text is nearer
to other texts of its author than a text of another author is.

    python tools/discriminate.py --run=logs/AUTHORS
    python tools/discriminate.py --run=logs/AUTHORS --run=logs/MASKED --negatives=same_group
        any objectives, on the same texts; negatives of the same group are harder
    python tools/discriminate.py --export=exports/AUTHORS --data=data/changelogs

A run of the objective authors gives its own encodings, any other run, and an export without
encodings, the mean of the hidden states. Of a run with --head_groups what the heads of each kind
take from a text is scored besides. Each text stands against all texts of other authors; the
anchors are up to ten other texts of its author, of other groups unless --nocross allows all.
Prints the share of negatives that are less near, with a 95 % interval over authors, beside the
same of the network with fresh weights, and of TF-IDF of character 3- to 5-grams.

The texts are those of the splits that the network was not trained on; authors who wrote a text of
train, too, are left out, so build the data with --split_by=author. Needs scikit-learn:
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
from par.core.errors import DataError, UsageError
from par.core.progress import Progress
from par.core.setting_group import Group, setting
from par.core.stats import Interval
from par.core.text import plural, table
from par.data import documents, records
from par.data.documents import NONE
from par.data.manifest import Manifest
from par.evaluate import discrimination, labelled_documents, probe
from par.objectives import author_pools
from par.objectives.settings import AuthorsSettings
from par.tools.cli import represented, trained
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags, define_paths
from par.tools.cli.tensorflow import start_tensorflow

TASK = ("relation", "cross", "negatives", "anchors")
TFIDF = "TF-IDF of 3- to 5-grams"


@dataclasses.dataclass(frozen=True)
class DiscriminateConfig(Group):
    """Which documents are read."""

    documents: int = setting(
        2_000,
        "documents that are read, drawn by the seed, of each author about as many",
        minimum=4,
        maximum=8_000,
    )
    document_len: int = setting(
        256, "tokens that are read of a document, from its beginning", minimum=1, maximum=1 << 16
    )
    seed: int = setting(
        0,
        "seed of the documents, the anchors and the intervals",
        minimum=0,
        maximum=(1 << 32) - 1,
    )


FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        represented.RUNS,
        (
            define_paths,
            "export",
            [],
            "directory that tools/export.py wrote; load only what you trust: a SavedModel is a"
            " program",
        ),
        represented.DATA,
        represented.SPLITS,
        trained.CHECKPOINT,
        trained.EVALUATE_AS,
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(AuthorsSettings, "Task", only=TASK)
    .group(DiscriminateConfig, "Documents")
)


class Chosen(NamedTuple):
    """The documents that are read: rows [n] of all documents of the splits, their table [n, 6],
    and the author (or group) of each, [n]. seen: documents that were left out, as train has texts
    of theirs."""

    rows: np.ndarray
    table: np.ndarray
    names: np.ndarray
    seen: int


class Scored(NamedTuple):
    """A network, and of each target the share of its negatives that are less near, [m]: by its
    vectors, and by those of the same network with fresh weights, if it is a run."""

    about: dict[str, Any]
    trained: np.ndarray
    untrained: np.ndarray | None


def _work(values: Flags) -> None:
    config, task = values.read(DiscriminateConfig), values.read(AuthorsSettings)
    if task.relation == "group" and task.negatives == "same_group":
        raise UsageError(
            "--negatives=same_group needs --relation=author: with --relation=group texts of a"
            " group belong together"
        )
    if not values.run and not values.export:
        raise UsageError("--run=DIR or --export=DIR is required; see --help")
    if not values.run and not values.data:
        raise UsageError("--export knows no documents: name the data set with --data=DIR")
    probe.require_scikit_learn("discriminate")
    for name in values.export:
        required_dir(name, "export", "saved_model.pb")
    data_dir, manifest, runs = represented.opened(values.run, values.data)
    splits = list(dict.fromkeys(values.split))
    chosen = _chosen(data_dir, manifest, splits, task, config)
    pools = author_pools.of_table(chosen.table, task)
    author_pools.check_targets(pools, task, " and ".join(splits), data_dir)
    compared = discrimination.compare(
        pools.targets, pools.anchors, pools.negatives, task.anchors, config.seed
    )
    start_tensorflow()
    from par.evaluate.trained_model import Model

    records.verify(data_dir, manifest, splits)
    texts = labelled_documents.texts(data_dir, splits, chosen.rows, config.document_len)

    def score(vectors: np.ndarray) -> np.ndarray:
        return discrimination.accuracy(discrimination.cosines(vectors), compared)

    scored = []
    for run in runs:
        settings = run.config.objective_settings
        for half in ("", *run.config.contract.halves(settings)):

            def read(model: Model, some: list[str], half: str = half) -> np.ndarray:
                return model.halves(some)[half] if half else model.encodings(some)

            both = represented.vectors(run, texts, values.checkpoint, values.evaluate_as, read)
            of = {"objective": run.config.objective, "blocks": run.config.network}
            about = _about(run=run.name, half=half or None, **of)
            scored.append(Scored(about, *map(score, both)))
    for name in dict.fromkeys(values.export):
        scored.append(Scored(_about(export=name), score(_exported(name, texts)), None))
    tfidf = probe.character_tfidf().fit_transform(texts)
    by_characters = discrimination.accuracy((tfidf @ tfidf.T).toarray(), compared)
    clusters = chosen.names[compared.targets]
    facts = _facts(values, config, task, data_dir, splits, chosen, clusters)
    facts |= _scores(scored, by_characters, clusters, config.seed)
    print(schema.canonical_json(facts) if values.json else "\n".join(_lines(facts)))


def _chosen(
    data_dir: Path,
    manifest: Manifest,
    splits: list[str],
    task: AuthorsSettings,
    config: DiscriminateConfig,
) -> Chosen:
    """The documents that are read. Raises: DataError if the data have none, or none of unseen
    authors."""
    column = author_pools.COLUMNS[task.relation]
    tables = [documents.load(data_dir, split, manifest) for split in splits]
    whole = np.concatenate(tables)
    names = whole[:, column].copy()
    known = names != NONE
    if "train" not in splits:
        of_train = documents.load(data_dir, "train", manifest)[:, column]
        known &= ~np.isin(names, of_train)
    seen = int(np.sum(names != NONE) - known.sum())
    names[~known] = NONE
    found = labelled_documents.choose(
        names, 2, config.documents // 2, config.documents, config.seed
    )
    if len(set(found.labels)) < 2:
        why = f": {plural(seen, 'text')} are by those of train" if seen else ""
        raise DataError(
            f"{' and '.join(splits)} of {data_dir} have no two {task.relation}s of two texts that"
            f" train has nothing of{why}; build the data with --split_by={task.relation}"
        )
    return Chosen(found.rows, whole[found.rows], names[found.rows], seen)


def _about(**known: str | None) -> dict[str, str | None]:
    """What is said of a network; None for what is not known."""
    return dict.fromkeys(("run", "export", "objective", "blocks", "half")) | known


def _exported(name: str, texts: list[str]) -> np.ndarray:
    """Vectors [n, D] of length 1 of n texts by an export: its encodings, or else its states."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  the operations of the tokenizer

    from par.evaluate.text_vectors import unit

    exported = tf.saved_model.load(name)
    read = "encodings" if hasattr(exported, "encodings") else "embed"
    if not hasattr(exported, read):
        raise DataError(f"export {name} has no encodings and no embed: export the run again")

    def vectors(some: list[str]) -> np.ndarray:
        (found,) = getattr(exported, read)(tf.constant(some)).values()
        return found.numpy()

    with Progress(f"reading with {name}", "document", len(texts)) as done:
        found = represented.in_parts(vectors, texts, done)
    represented.check_finite(found, f"export {name}")
    return unit(found)


def _facts(
    values: Flags,
    config: DiscriminateConfig,
    task: AuthorsSettings,
    data_dir: Path,
    splits: list[str],
    chosen: Chosen,
    clusters: np.ndarray,
) -> dict[str, Any]:
    """What was compared, for --json."""
    return {
        "data": str(data_dir),
        "splits": splits,
        "checkpoint": values.checkpoint,
        "evaluate_as": values.evaluate_as,
        **{name: getattr(task, name) for name in TASK},
        **config.to_json(),
        "documents_read": len(chosen.rows),
        "targets": len(clusters),
        "names": len(set(clusters.tolist())),
        "seen": chosen.seen,
    }


def _scores(
    scored: list[Scored], by_characters: np.ndarray, clusters: np.ndarray, seed: int
) -> dict[str, Any]:
    """The accuracies and their differences, for --json."""

    def interval(shares: np.ndarray, less: np.ndarray | None = None) -> dict[str, Any]:
        of = shares if less is None else shares - less
        return probe.accuracy(of, clusters, seed).to_json()

    first = scored[0].trained
    return {
        "tfidf": interval(by_characters),
        "networks": [
            {
                **each.about,
                "accuracy": interval(each.trained),
                "untrained": None if each.untrained is None else interval(each.untrained),
                "less_untrained": (
                    None if each.untrained is None else interval(each.trained, each.untrained)
                ),
                "less_tfidf": interval(each.trained, by_characters),
                "less_first": interval(each.trained, first) if number else None,
            }
            for number, each in enumerate(scored)
        ],
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """The result for people."""
    relation, names = facts["relation"], plural(facts["names"], facts["relation"])
    other = "group" if relation == "author" else "author"
    anchors = f"{plural(facts['anchors'], 'anchor')} at most" + (
        f", of other {other}s" if facts["cross"] else ""
    )
    negatives = {
        "random": f"all texts of other {relation}s",
        "same_group": "texts of the same group and other authors",
    }
    lines = [
        f"{' and '.join(facts['splits'])}: {plural(facts['targets'], 'text')} of {names};"
        f" {anchors}; against {negatives[facts['negatives']]}"
    ]
    if facts["seen"]:
        lines.append(
            f"left out: {plural(facts['seen'], 'text')} of {relation}s that train has texts of"
        )
    rows = [("", "accuracy", "95 %"), represented.row(TFIDF, facts["tfidf"])]
    differences = [("difference", "", "95 %", "")]
    for each in facts["networks"]:
        name = _name(each)
        shown = f"{name} ({each['blocks']}, {each['objective']})" if each["run"] else name
        rows.append(represented.row(shown, each["accuracy"]))
        against = {"less_untrained": "its fresh weights", "less_tfidf": "TF-IDF"}
        if each["untrained"]:
            rows.append(represented.row("  the same with fresh weights", each["untrained"]))
        if each["less_first"]:
            against["less_first"] = _name(facts["networks"][0])
        differences += [
            (
                *represented.row(f"{name} less {what}", each[key], "+"),
                represented.verdict(Interval(**each[key])),
            )
            for key, what in against.items()
            if each[key]
        ]
    return [
        *lines,
        "",
        *table(rows, left=1),
        "",
        *table(differences, left=1),
        "",
        f"accuracy: share of the negatives that are less near than the text; intervals for other"
        f" {relation}s",
    ]


def _name(network: dict[str, Any]) -> str:
    """A network as the lines call it."""
    of = f", heads of {network['half']}" if network["half"] else ""
    return f"{network['run'] or network['export']}{of}"


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
