"""The sizes of the synthetic corpora, what a document of them is, and what a bound says."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from par.core.errors import SettingError
from par.core.setting_group import Group, setting


class Document(NamedTuple):
    """A text with who wrote it, where, and what it answers."""

    id: str
    text: str
    author: str
    group: str
    parent: str | None = None

    def to_json(self) -> dict[str, str]:
        """The keys that `build_data --input_documents` reads; no parent where there is none."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Bound(NamedTuple):
    """The best that any model can reach at a kind of words, of which one at a time is masked.

    kind: the contexts that it reads beside the text; contexts: how many of them. targets: which
    words. accuracy: the probability that the most probable word is right. nll: nats a word.
    """

    kind: str
    contexts: int
    targets: str
    accuracy: float
    nll: float

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return self._asdict()


@dataclasses.dataclass(frozen=True)
class SyntheticConfig(Group):
    """Sizes of a synthetic corpus; each task reads some of them."""

    authors: int = setting(200, "authors", minimum=2, maximum=1 << 20)
    groups: int = setting(
        32,
        "groups; of two_latents each author writes one text in each, and their number is a"
        " multiple of --synonyms",
        minimum=2,
        maximum=1 << 20,
    )
    texts: int = setting(32, "texts of an author", minimum=2, maximum=1 << 20)
    slots: int = setting(8, "things that there are synonyms for", minimum=1, maximum=1 << 12)
    synonyms: int = setting(4, "words for each thing", minimum=2, maximum=1 << 8)
    pairs: int = setting(
        6, "things that a text names, each once; at most --slots", minimum=1, maximum=1 << 12
    )
    threads: int = setting(300, "threads", minimum=2, maximum=1 << 20)
    replies: int = setting(
        20,
        "replies at the end of each thread, the texts that repeat a word",
        minimum=1,
        maximum=1 << 16,
    )
    rare_words: int = setting(64, "rare words; more than --distance", minimum=2, maximum=1 << 16)
    distance: int = setting(
        5, "ancestors that a reply may repeat the word of", minimum=1, maximum=1 << 8
    )
    contexts: int = setting(
        5, "bounds are given for up to so many contexts", minimum=1, maximum=1 << 5
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for less, more in (("pairs", "slots"), ("distance", "rare_words")):
            if getattr(self, less) > getattr(self, more) - (more == "rare_words"):
                rule = "at most" if more == "slots" else "below"
                message = (
                    f"{less} must be {rule} {more}, {getattr(self, more)}, but is"
                    f" {getattr(self, less)}"
                )
                raise SettingError(message, less, more)
