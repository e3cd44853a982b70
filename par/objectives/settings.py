"""The settings of objectives that have some. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from par.core.errors import SettingError
from par.core.setting_group import Group, setting
from par.data.characters.letters import character_tokenizer
from par.data.manifest import Manifest
from par.data.tokenizer import SPECIAL_PIECES

EVALUATION_RATE = 0.15  # of the tokens that are scored, whatever the rate of training


def typos_setting() -> Any:
    """The field `typos` of objectives that can read typing errors (par/objectives/typos.py)."""
    return setting(
        0.0,
        "of characters (build_data --model_type=char): share of the letters that training reads"
        " with a typing error: another case, swapped, left out or doubled",
        minimum=0.0,
        maximum=1.0,
        is_later=True,
    )


@dataclasses.dataclass(frozen=True)
class MaskedLMSettings(Group):
    """What a masked language model has to predict (par.objectives.masking)."""

    mask_rate: float = setting(
        0.3,
        "share of a window's ordinary tokens that is predicted in training; scores are always of"
        " 15 %",
        minimum=0.0,
        maximum=1.0,
    )
    mask_scheme: str = setting(
        "token",
        "what is selected together: single tokens, whole words, spans that do not touch each"
        " other, or spans of one length, runs",
        choices=("token", "word", "span", "run"),
    )
    span_p: float = setting(
        0.2, "with spans: probability that a span ends after a token", minimum=1e-3, maximum=1.0
    )
    span_max: int = setting(10, "with spans: the most tokens of one", minimum=1, maximum=1 << 20)
    run_length: int = setting(
        5, "with runs: the tokens of one", minimum=1, maximum=1 << 20, is_later=True
    )
    typos: float = typos_setting()
    mask_split: tuple[float, ...] = setting(
        (0.8, 0.1, 0.1),
        "shares of the selected tokens that are replaced by [MASK], by any piece, and by"
        " themselves",
        minimum=0.0,
        maximum=1.0,
    )

    def predicted(self, seq_len: int) -> int:
        """The most tokens of a row that are selected in training."""
        return most_selected(self.mask_rate, seq_len)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mask_split) != 3 or not math.isclose(sum(self.mask_split), 1.0, abs_tol=1e-6):
            raise SettingError(
                "mask_split must be three shares that sum to 1 ([MASK], any piece, itself), but is"
                f" {', '.join(map(str, self.mask_split))}",
                "mask_split",
            )


def most_selected(rate: float, seq_len: int) -> int:
    """The most tokens of a row of T that are selected at a rate, at least 1: rate T, rounded,
    halves up."""
    return max(1, math.floor(rate * seq_len + 0.5))


def check_masked_lm(config: Any) -> None:
    """Raises: UsageError as `check_masked`, for windows."""
    check_masked(config, config.data.seq_len, "window", "build the data with a larger --seq_len")


def check_masked(config: Any, length: int, what: str, remedy: str) -> None:
    """Raises: UsageError for a run that could predict no token of what has `length` tokens, or has
    no piece that could be predicted. remedy: how such a text, `what`, becomes longer."""
    settings, data = config.objective_settings, config.data
    if math.floor(settings.mask_rate * length + 0.5) < 1:
        raise SettingError(
            f"mask_rate of {settings.mask_rate} selects no token of a {what} of {length}: raise"
            f" it, or {remedy}",
            "mask_rate",
        )
    if math.floor(EVALUATION_RATE * length + 0.5) < 1:
        raise SettingError(
            f"{config.objective} scores {EVALUATION_RATE:.0%} of each {what}, but that is not one"
            f" token of {length}: {remedy}",
            "objective",
        )
    if data.vocab_size <= len(SPECIAL_PIECES):
        raise SettingError(
            f"{config.objective} needs more than the {len(SPECIAL_PIECES)} special pieces, but the"
            f" data has {data.vocab_size}"
        )


def check_characters(config: Any, data_dir: Path, manifest: Manifest) -> None:
    """Raises: UsageError for typing errors in data that are not of characters."""
    if config.objective_settings.typos:
        character_tokenizer(data_dir, f"--typos={config.objective_settings.typos}")


@dataclasses.dataclass(frozen=True)
class AuthorsSettings(Group):
    """Which texts are told apart, and by which loss (par.objectives.authors)."""

    relation: str = setting(
        "author",
        "what a text and its anchors have in common, and a negative has not",
        choices=("author", "group"),
    )
    cross: bool = setting(
        True,
        "anchors are of other groups than the text (with --relation=group: of other authors), so"
        " that a common topic does not tell",
    )
    loss: str = setting(
        "infonce",
        "infonce: cross-entropy against the texts of the other rows of the batch; triplet: the"
        " text must be nearer than its negative by the margin",
        choices=("infonce", "triplet"),
    )
    temperature: float = setting(
        0.05, "with infonce: what cosines are divided by", minimum=1e-3, maximum=100.0
    )
    margin: float = setting(
        1.0, "with triplet: in distances of vectors of length 1", minimum=0.0, maximum=2.0
    )
    anchors: int = setting(
        10,
        "other texts that a text is compared with; fewer where there are fewer",
        minimum=1,
        maximum=100,
    )
    negatives: str = setting(
        "random",
        "a text's own negative: of any other author (or group), or of the same group and another"
        " author, which is harder",
        choices=("random", "same_group"),
    )
    pool: str = setting(
        "mean",
        "the encoding of a text: the mean of its hidden states, or that of a [BOS] before it",
        choices=("mean", "cls"),
    )
    doc_len: int = setting(
        32, "tokens that are read of a text, from its beginning", minimum=1, maximum=1 << 14
    )

    @property
    def is_hard(self) -> bool:
        """Whether training compares a text with its own negative, too, not only with the texts of
        other rows."""
        return self.loss == "triplet" or self.negatives == "same_group"

    @property
    def window_len(self) -> int:
        """T: the positions that the trunk sees of a text, [BOS] included."""
        return self.doc_len + (self.pool == "cls")

    def read_shape(self, batch_size: int, seq_len: int, mem_len: int) -> tuple[int, int, int]:
        """Rows, T and M of what the trunk reads in a training step on a batch of B texts."""
        texts = batch_size * (self.anchors + (2 if self.is_hard else 1))
        return texts, self.window_len, 0


def check_authors(config: Any) -> None:
    """Raises: SettingError for settings that contradict each other."""
    settings = config.objective_settings
    if settings.relation == "group" and settings.negatives == "same_group":
        raise SettingError(
            "negatives must be random with relation group, as texts of the same group belong"
            " together then, but are same_group",
            "negatives",
            "relation",
        )
    if not settings.is_hard and config.data.batch_size < 2:
        raise SettingError(
            "loss infonce takes its negatives from the other rows of the batch, of which there are"
            " none: build the data with a larger --batch_size, or give --loss=triplet",
            "loss",
        )
