"""What the objectives for towers say of themselves: `classify` finds the label of a document,
`distill` imitates another network. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from par.baselines import labels
from par.core import schema
from par.core.config import ModelConfig
from par.core.errors import DataError, SettingError, UsageError
from par.core.metrics import Figure
from par.core.setting_group import Group, setting
from par.core.text import plural
from par.data import documents
from par.data.characters.letters import character_tokenizer
from par.data.documents import AUTHOR, GROUP
from par.data.manifest import Manifest
from par.data.tokenizer import properties, read_model
from par.objectives.contract import Contract, Helper
from par.objectives.settings import check_masked_lm, most_selected, typos_setting
from par.search.architecture import Architecture

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
    typos: float = typos_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels == 1:
            raise SettingError(
                "labels must be 0, for all, or at least 2, or there is nothing to tell apart, but"
                " is 1",
                "labels",
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


def settle(config: Any, data_dir: Path, manifest: Manifest, load: Any) -> ClassifySettings:
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


# ---- distill ----


@dataclasses.dataclass(frozen=True)
class DistillSettings(Group):
    """Which network is imitated, and in what (par.objectives.towers.distill)."""

    teacher: str = setting("", "the run that is imitated", is_path=True)
    distill: str = setting(
        "hidden",
        "what of it is imitated: hidden, the hidden states of all tokens; log_prob, the"
        " distribution of masked ones, of a masked_lm teacher",
        choices=("hidden", "log_prob"),
    )
    mask_rate: float = setting(
        0.3,
        "with log_prob: share of a window's ordinary tokens that is predicted in training; scores"
        " are always of 15 %",
        minimum=0.0,
        maximum=1.0,
    )
    teacher_shape: str = setting("", "the teacher's network; set from --teacher")

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            Architecture(self.shape["blocks"])
            ModelConfig.from_json(self.shape["model"])
            if self.shape["visibility"] not in ("causal", "bidirectional"):
                raise ValueError("a teacher sees one side or both")
        except (ValueError, KeyError, TypeError):
            raise SettingError(
                "teacher_shape must be a network's, as --teacher sets it, but is"
                f" {self.teacher_shape[:60]!r}",
                "teacher_shape",
            ) from None

    @property
    def shape(self) -> dict[str, Any]:
        """blocks, model and visibility of the teacher; of no run, a small network's."""
        none = {"blocks": "ad", "model": ModelConfig().to_json(), "visibility": "bidirectional"}
        return schema.parse_json(self.teacher_shape.encode()) if self.teacher_shape else none

    @property
    def teacher_model(self) -> ModelConfig:
        """The teacher's network, which reads each window by itself."""
        return dataclasses.replace(ModelConfig.from_json(self.shape["model"]), mem_len=0)

    @property
    def imitates_log_prob(self) -> bool:
        """Whether distributions are imitated, not hidden states."""
        return self.distill == "log_prob"

    def predicted(self, seq_len: int) -> int:
        """The most tokens of a row for which a softmax is computed in training."""
        return most_selected(self.mask_rate, seq_len) if self.imitates_log_prob else 0

    def helpers(self, model: ModelConfig, seq_len: int) -> tuple[Helper, ...]:
        """The teacher, which is not trained."""
        own = (self.shape["blocks"], self.teacher_model, self.predicted(seq_len))
        return (Helper(*own, is_trained=False, on_base=False),)


def check_distill(config: Any) -> None:
    """Raises: SettingError for a run that imitates nothing."""
    if not config.objective_settings.teacher:
        raise SettingError(
            "objective distill needs the run that is imitated: give --teacher=RUN", "teacher"
        )
    if config.objective_settings.imitates_log_prob:
        check_masked_lm(config)


def settle_distill(
    config: Any, data_dir: Path, manifest: Manifest, load: Callable[[Path], tuple[Any, Path]]
) -> DistillSettings:
    """The settings with the network of the teacher.

    Raises: DataError as `load`; UsageError for a teacher that can't be imitated: a search, one on
    a base, one of other pieces, or one without the distribution that is asked for.
    """
    settings = config.objective_settings
    teacher, teacher_data = load(Path(settings.teacher))
    name, own = settings.teacher, teacher.architecture
    if own.is_search:
        raise UsageError(
            f"a teacher must be a fixed network, but {name} is a search: derive a network and"
            " train it, with the weights of the search (--init_from) if you like"
        )
    if teacher.base:
        raise UsageError(
            f"a teacher must have embeddings of its own, but {name} reads the states of"
            f" {teacher.base.stack.text}: give a run without a base"
        )
    if settings.imitates_log_prob:
        teacher.contract.check_fills("--distill=log_prob", name)
    if teacher.data.tokenizer_sha256 != manifest.tokenizer_sha256:
        _check_aligned(settings, data_dir, teacher_data)
    shape = {
        "blocks": own.blocks,
        "model": teacher.model.to_json(),
        "visibility": teacher.contract.visibility,
    }
    return dataclasses.replace(settings, teacher_shape=schema.canonical_json(shape))


def _check_aligned(settings: DistillSettings, data_dir: Path, teacher_data: Path) -> None:
    """Raises: UsageError unless the tokens of two different tokenizers are the same characters,
    and hidden states are imitated."""
    models = [read_model(Path(each) / "tokenizer.model") for each in (data_dir, teacher_data)]
    kinds = [properties(each)["model_type"] for each in models]
    if kinds != ["char", "char"]:
        raise UsageError(
            f"teacher {settings.teacher} has another tokenizer ({kinds[1]}) than the data in"
            f" {data_dir} ({kinds[0]}), whose tokens do not align: give a teacher of this"
            " tokenizer; only tokens of two character models align"
        )
    if settings.imitates_log_prob:
        raise UsageError(
            f"teacher {settings.teacher} has other characters than the data in {data_dir}, so that"
            " its distributions are over others: give --distill=hidden, or a teacher of this"
            " tokenizer"
        )


DISTILL = Contract(
    name="distill",
    network="par.objectives.towers.distill:Distiller",
    visibility="bidirectional",
    generates=False,
    instead="use embed, or train masked_lm with --init_from=RUN --init_layers=trunk",
    figures=(
        Figure(
            "nll_per_token",
            "distance from the teacher per token",
            lambda sums: sums.nll / sums.tokens,
            brief="distance",
            short="dist",
            logged="distance",
            tag="loss/nll_per_token",
        ),
        Figure(
            "agreement",
            "agreement with the teacher",
            lambda sums: sums.part("agreement"),
            better="higher",
            brief="agreement",
            logged="agreement",
            tag="accuracy/agreement",
        ),
    ),
    compared=("nll_per_token", "agreement"),
    tracked="nll_per_token",
    charts={
        "Agreement": {"with the teacher": "agreement"},
        "Loss": {"distance from the teacher": "nll_per_token"},
    },
    carries_memory=False,
    read_shape=lambda settings, batch_size, seq_len, mem_len: (batch_size, seq_len, 0),
    parts=("agreement",),
    predicted=DistillSettings.predicted,
    helpers=DistillSettings.helpers,
    settings=DistillSettings,
    of_layers=("teacher_shape", "distill"),
    check=check_distill,
    settle=settle_distill,
    teacher=lambda settings: settings.teacher,
)
