"""What the objectives for towers say of themselves: `classify` finds the label of a document.
Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from par.baselines import labels
from par.core.errors import DataError, UsageError
from par.core.metrics import Figure
from par.core.setting_group import Group, setting
from par.core.text import plural
from par.data import documents
from par.data.characters.letters import character_tokenizer
from par.data.documents import AUTHOR, GROUP
from par.data.manifest import Manifest
from par.objectives.contract import Contract

COLUMNS = {"group": GROUP, "author": AUTHOR}
CHECKED = ("valid",)  # the splits that training reads beside train
MOST_LABELS = 1 << 10


@dataclasses.dataclass(frozen=True)
class ClassifySettings(Group):
    """Which labels of documents are told apart (par.objectives.towers.classify)."""

    label: str = setting("group", "what is to be found of a document", choices=tuple(COLUMNS))
    labels: int = setting(
        0,
        "how many labels are told apart, the most frequent ones of train; 0: all that have"
        " min_documents, which the run then keeps",
        minimum=0,
        maximum=MOST_LABELS,
    )
    min_documents: int = setting(
        10, "labels of fewer documents of train are left out", minimum=1, maximum=1 << 20
    )
    labels_sha256: str = setting("", "what the labels of the data mean; set from the data")
    pool: str = setting(
        "mean",
        "the encoding of a text: the mean of its hidden states, or that of a [BOS] before it",
        choices=("mean", "cls"),
    )
    doc_len: int = setting(
        64, "tokens that are read of a text, from its beginning", minimum=1, maximum=1 << 14
    )
    typos: float = setting(
        0.0,
        "of characters (build_data --model_type=char): share of the letters that training reads"
        " with a typing error: another case, swapped, left out or doubled",
        minimum=0.0,
        maximum=1.0,
        is_later=True,
    )

    @property
    def classes(self) -> int:
        """C: the outputs of the network."""
        return max(self.labels, 2)

    @property
    def window_len(self) -> int:
        """T: the positions that the trunk sees of a text, [BOS] included."""
        return self.doc_len + (self.pool == "cls")

    def read_shape(self, batch_size: int, seq_len: int, mem_len: int) -> tuple[int, int, int]:
        """Rows, T and M of what the trunk reads in a training step on a batch of B texts."""
        return batch_size, self.window_len, 0

    def names_of(self, table: np.ndarray) -> np.ndarray:
        """The label of each document of a table [R, 6]."""
        return np.array(table[:, COLUMNS[self.label]])

    def labels_of(self, train: np.ndarray) -> np.ndarray:
        """[C] the labels that are told apart, from the documents of train."""
        return labels.frequent(self.names_of(train), self.min_documents, self.labels)


def settle(config: Any, data_dir: Path, manifest: Manifest) -> ClassifySettings:
    """The settings with how many labels the data have, and what they mean.

    Raises: DataError if the data have no documents; UsageError if train has fewer than two labels,
    or than were asked for.
    """
    settings, train = config.objective_settings, documents.load(data_dir, "train", manifest)
    found = settings.labels_of(train)
    needed = max(settings.labels, 2)
    if len(found) < needed:
        raise UsageError(
            f"train of {data_dir} has {plural(len(found), settings.label)} of at least"
            f" {settings.min_documents} documents, but {needed} are needed: lower"
            f" --min_documents{' or --labels' if settings.labels > 2 else ''}, or give another"
            " --label"
        )
    if len(found) > MOST_LABELS:
        raise UsageError(
            f"train of {data_dir} has {plural(len(found), settings.label)} of at least"
            f" {settings.min_documents} documents, but at most {MOST_LABELS:,} are told apart:"
            " raise --min_documents, or give --labels"
        )
    digest = labels.digest(settings.names_of(train), found)
    return dataclasses.replace(settings, labels=len(found), labels_sha256=digest)


def check_data(config: Any, data_dir: Path, manifest: Manifest) -> None:
    """Raises: UsageError if no document of a split that is evaluated has a label of train, or for
    typing errors in data that are not of characters."""
    settings = config.objective_settings
    if settings.typos:
        character_tokenizer(data_dir, f"--typos={settings.typos}")
    found = settings.labels_of(documents.load(data_dir, "train", manifest))
    for split in CHECKED:
        check_split(settings, documents.load(data_dir, split, manifest), found, split, data_dir)


def check_split(
    settings: ClassifySettings, table: np.ndarray, found: np.ndarray, split: str, data_dir: Path
) -> None:
    """Raises: UsageError if no document of a split has one of the labels [C] of train."""
    if not np.isin(settings.names_of(table), found).any():
        other = "thread" if settings.label == "author" else "thread or author"
        raise UsageError(
            f"no document of {split} of {data_dir} has a {settings.label} of train, as"
            f" build_data kept each in one split: build the data with --split_by={other}, or give"
            " another --label"
        )


def check_meaning(
    settings: ClassifySettings, train: np.ndarray, found: np.ndarray, data_dir: Path
) -> None:
    """Raises: DataError if the labels [C] of a data set are not those that a run tells apart."""
    if settings.labels_sha256 != labels.digest(settings.names_of(train), found):
        raise DataError(
            f"the {settings.label}s of {data_dir} are numbered otherwise than those that the run"
            " was trained on: give the data of the run; of other data, use probe"
        )


FIGURES = (
    Figure(
        "accuracy",
        "accuracy of labels",
        lambda sums: sums.part("accuracy"),
        better="higher",
        brief="accuracy",
        short="acc",
        logged="accuracy",
        tag="accuracy/labels",
    ),
    Figure(
        "nll_per_token",
        "nll per text",
        lambda sums: sums.nll / sums.tokens,
        "nats",
        brief="nll",
        logged="nll",
        tag="loss/nll_per_token",
    ),
    Figure(
        "bayes",
        "accuracy of naive Bayes",
        lambda sums: sums.part("bayes"),
        better="higher",
        brief="naive Bayes classifier",
        tag="accuracy/bayes",
    ),
    Figure(
        "majority",
        "accuracy of the most frequent label",
        lambda sums: sums.part("majority"),
        better="higher",
        brief="most frequent label",
        tag="accuracy/majority",
    ),
)
CLASSIFY = Contract(
    name="classify",
    network="par.objectives.towers.classify:Classifier",
    visibility="bidirectional",
    generates=False,
    instead="use embed, or probe",
    figures=FIGURES,
    compared=("accuracy", "nll_per_token"),
    tracked="nll_per_token",
    charts={
        "Accuracy": {
            "of labels": "accuracy",
            "naive Bayes": "bayes",
            "most frequent label": "majority",
        },
        "Loss": {"nats per text": "nll_per_token"},
    },
    carries_memory=False,
    reads="documents",
    read_shape=ClassifySettings.read_shape,
    parts=("accuracy", "bayes", "majority"),
    must_beat={"accuracy": "bayes"},
    helps="more epochs may help, or --init_from=RUN --init_layers=trunk of masked_lm",
    unit="text",
    predicted=lambda settings, seq_len: 0,
    settings=ClassifySettings,
    of_layers=("classes",),
    settle=settle,
    check_data=check_data,
)
