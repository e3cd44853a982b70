"""The settings of masked prediction with other texts beside the text. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from par.core import files
from par.core.config import ModelConfig
from par.core.errors import SettingError
from par.core.setting_group import fields, setting
from par.objectives import head_groups
from par.objectives.contract import Helper
from par.objectives.head_groups import HeadGroup
from par.objectives.settings import MaskedLMSettings, check_masked, most_selected
from par.search import architecture

KINDS = ("none", "random", "author", "group", "ancestors")
DEFAULT_KIND = "group"
COMBINES = ("tokens", "attention", "sum", "concat")
MOST_BYTES = 1 << 20  # of a file of words
OF_LAYERS = ("encoder", "context_architecture", "has_concat")  # give the layers a shape


@dataclasses.dataclass(frozen=True)
class TextSettings(MaskedLMSettings):
    """What is read of a text and of those beside it, whatever these are."""

    depth_distances: bool = setting(
        True,
        "ancestors are the further away the more answers lie between; else all are at one"
        " distance, as other contexts are",
    )
    pool: str = setting(
        "mean",
        "the vector of a context: the mean of its hidden states, or that of a [BOS] before it",
        choices=("mean", "cls"),
    )
    mask_words: tuple[str, ...] = setting(
        (),
        "words that alone are masked and scored, all of them up to the share of a text that is: a"
        " file with one in each line, or words",
    )
    doc_len: int = setting(
        32, "tokens that are read of a text, from its beginning", minimum=1, maximum=1 << 14
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_words and self.mask_scheme != "token":
            raise SettingError(
                f"mask_words says what is masked, so that mask_scheme {self.mask_scheme} has no"
                " effect: give only one of them",
                "mask_words",
                "mask_scheme",
            )

    def as_typed(self) -> Self:
        """The settings with the words of the files that were given as words. Raises: UsageError
        for a file that has none, or is missing."""
        return dataclasses.replace(self, mask_words=tuple(_words(self.mask_words)))


@dataclasses.dataclass(frozen=True)
class ContextSettings(TextSettings):
    """Which other texts are read beside a text, and how (par.objectives.contexts.context_mlm)."""

    context: str = setting(
        DEFAULT_KIND,
        "the texts that are read beside a text: none, any others, those of its author or of its"
        " group, or what it answers",
        choices=KINDS,
    )
    contexts: int = setting(
        10, "texts beside a text; fewer where there are fewer", minimum=0, maximum=100
    )
    cross: bool = setting(
        False,
        "with context author: those of other groups; with group: those of other authors",
    )
    encoder: str = setting(
        "batch",
        "what reads the contexts: the network itself, a second one, or the network itself, where"
        " in each block all texts see what is pooled of each",
        choices=("batch", "biencoder", "hierarchical"),
    )
    combine: str = setting(
        "tokens",
        "how a text sees its contexts: in each block every token of them, or one pooled vector of"
        " each; or behind the last block, their mean is added, or joined by a linear map",
        choices=COMBINES,
    )
    context_gradient: bool = setting(
        False,
        "the gradient goes through what is read of the contexts; that of a second network always"
        " does",
    )
    context_architecture: str = setting(
        "",
        "with encoder biencoder: blocks of the second network; the default is those of the first",
    )
    head_groups: str = setting(
        "",
        "kinds of contexts, each read by heads of its own, such as author:0-1,group:2-3, in the"
        " place of one kind: beside a text are --contexts of each kind; heads of none read the"
        " text alone",
        is_later=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_groups:
            self._check_head_groups()
        if self.cross and not {"author", "group"} & set(self.kinds):
            raise SettingError(
                f"cross needs context author or group, but it is {self.context}: leave it out",
                "cross",
                "context",
            )
        if self.context != "ancestors" and not self.depth_distances:
            raise SettingError(
                f"depth_distances is of context ancestors, but context is {self.context}, whose"
                " texts are all at one distance anyway: leave it out",
                "depth_distances",
                "context",
            )
        if self.encoder == "hierarchical" and self.combine == "tokens":
            raise SettingError(
                "combine must be attention, sum or concat with encoder hierarchical, whose blocks"
                " see pooled vectors, but is tokens",
                "combine",
                "encoder",
            )
        if self.pool == "cls" and (self.combine == "tokens" or self.encoder == "hierarchical"):
            raise SettingError(
                "pool must be mean with combine tokens, which pools nothing, and with encoder"
                f" hierarchical, which reads all texts alike, but is {self.pool}",
                "pool",
                "combine",
                "encoder",
            )
        if self.context_architecture:
            if self.encoder != "biencoder":
                raise SettingError(
                    "context_architecture needs encoder biencoder, but it is"
                    f" {self.encoder}: leave it out",
                    "context_architecture",
                    "encoder",
                )
            blocks = architecture.parse(self.context_architecture).canonical.blocks
            object.__setattr__(self, "context_architecture", blocks)

    def _check_head_groups(self) -> None:
        """Raises: SettingError for groups that can't be, or have no effect."""
        head_groups.parsed(self.head_groups)
        if self.context != DEFAULT_KIND:
            raise SettingError(
                f"head_groups says which contexts there are, so that context {self.context} has no"
                " effect: give only one of them",
                "head_groups",
                "context",
            )
        if self.encoder == "hierarchical" or self.combine not in ("tokens", "attention"):
            raise SettingError(
                "head_groups needs combine tokens or attention and encoder batch or biencoder,"
                " where heads read each context by itself, but combine is"
                f" {self.combine} and encoder {self.encoder}",
                "head_groups",
                "combine",
                "encoder",
            )

    @property
    def groups(self) -> tuple[HeadGroup, ...]:
        """The kinds of contexts that have heads of their own, with these."""
        return head_groups.parsed(self.head_groups)

    def halves(self) -> tuple[str, ...]:
        """The kinds of contexts that have heads of their own."""
        return tuple(group.kind for group in self.groups)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of contexts, in their order beside a text."""
        if self.head_groups:
            return self.halves()
        return () if self.context == "none" else (self.context,)

    @property
    def of_each_kind(self) -> list[ContextSettings]:
        """The settings for each kind of contexts alone, in their order."""
        return [
            dataclasses.replace(
                self,
                context=kind,
                head_groups="",
                cross=self.cross and kind in ("author", "group"),
            )
            for kind in self.kinds
        ]

    @property
    def number(self) -> int:
        """N: the contexts of a text, of all kinds; 0 for none."""
        return len(self.kinds) * self.contexts

    @property
    def by_depth(self) -> bool:
        """Whether the contexts are at distances of their own."""
        return self.context == "ancestors" and self.depth_distances

    @property
    def learns(self) -> bool:
        """Whether a gradient goes through what is read of the contexts."""
        return self.context_gradient or self.encoder == "biencoder"

    @property
    def has_concat(self) -> bool:
        """Whether there is a linear map behind the last block."""
        return self.number > 0 and self.combine == "concat"

    @property
    def memory(self) -> int:
        """M: the memory positions of a text."""
        if not self.number:
            return 0
        if self.encoder == "hierarchical":
            return 1 + self.number
        return {"tokens": self.number * self.doc_len, "attention": self.number}.get(
            self.combine, 0
        )

    def read_shape(self, batch_size: int, seq_len: int, mem_len: int) -> tuple[int, int, int]:
        """Rows, T and M of what the network reads of the texts themselves in a training step."""
        return batch_size, self.doc_len, self.memory

    def predicted(self, seq_len: int) -> int:
        """The most tokens of a text that are selected in training."""
        return most_selected(self.mask_rate, self.doc_len)

    def helpers(self, model: ModelConfig, seq_len: int) -> tuple[Helper, ...]:
        """What reads the contexts: the network once more, or a second one."""
        if not self.number:
            return ()
        mem_len = self.memory if self.encoder == "hierarchical" else 0
        shape = dataclasses.replace(model, mem_len=mem_len)
        return (Helper(self.context_architecture, shape, 0, self.learns, self.number),)


@dataclasses.dataclass(frozen=True)
class ThreadSettings(TextSettings):
    """How a text is predicted from those that it answers (par.objectives.contexts.thread_mlm)."""

    ancestors: int = setting(
        32,
        "texts above a text in its thread that it sees, the nearest ones",
        minimum=1,
        maximum=100,
    )

    @property
    def as_contexts(self) -> ContextSettings:
        """The settings of context_mlm of which this is the recipe."""
        shared = {field.name: getattr(self, field.name) for field, _ in fields(TextSettings)}
        return ContextSettings(
            **shared,
            context="ancestors",
            contexts=self.ancestors,
            combine="attention",
            context_gradient=True,
        )

    def read_shape(self, batch_size: int, seq_len: int, mem_len: int) -> tuple[int, int, int]:
        """Rows, T and M of what the network reads of the texts themselves in a training step."""
        return self.as_contexts.read_shape(batch_size, seq_len, mem_len)

    def predicted(self, seq_len: int) -> int:
        """The most tokens of a text that are selected in training."""
        return self.as_contexts.predicted(seq_len)

    def helpers(self, model: ModelConfig, seq_len: int) -> tuple[Helper, ...]:
        """The network once more: texts that are beside several ones are read once, so that there
        are about as many as rows."""
        (once,) = self.as_contexts.helpers(model, seq_len)
        return (once._replace(texts=1),)


def as_contexts(settings: ContextSettings | ThreadSettings) -> ContextSettings:
    """The settings of either objective as those of context_mlm."""
    return settings.as_contexts if isinstance(settings, ThreadSettings) else settings


def _words(given: Iterable[str]) -> Iterator[str]:
    """Words, and those of files. What has a / or ends with .txt is a file."""
    for word in given:
        path = Path(word)
        if not (path.is_file() or "/" in word or path.suffix == ".txt"):
            yield word
            continue
        text = files.read_bytes(path, "the file of words", MOST_BYTES).decode("utf-8", "replace")
        if not (found := [line.strip() for line in text.splitlines() if line.strip()]):
            raise SettingError(
                f"mask_words: {path} has no word: write one in each line", "mask_words"
            )
        yield from found


def layers_from(settings: ContextSettings | ThreadSettings, objective: str) -> dict[str, str]:
    """Of a masked language model, with contexts or not, trunk and softmax are taken, and the trunk
    again for a second network of the same blocks."""
    if objective not in ("masked_lm", "context_mlm", "thread_mlm"):
        return {}
    found = {"trunk": "trunk", "head": "head"}
    own = as_contexts(settings)
    if own.encoder == "biencoder" and not own.context_architecture:
        found["contexts"] = "trunk"
    return found


def check_context_mlm(config: Any) -> None:
    """Raises: UsageError for a run that could predict no token of a text."""
    check_masked(config, config.objective_settings.doc_len, "text", "raise --doc_len")
    own = as_contexts(config.objective_settings)
    head_groups.check_heads(own.groups, config.model.num_heads)
    if config.model.downsample != 1:
        raise SettingError(
            f"{config.objective} puts every token of a text into memory, but downsample is"
            f" {config.model.downsample}: leave it out",
            "downsample",
        )
