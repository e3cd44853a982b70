"""Figures of a network on a split: what they are called, which way is better, and how each is
computed from sums over the scored targets.

An objective (par.objectives) lists its figures in order; whoever stores, prints, draws or compares
figures takes names, words and directions from that list.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from par.core.text import number


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over the scored targets of a split.

    nll: what training minimises, in nats, over the targets, of which there are `tokens`. words,
    characters, bytes: of the original text, as far as it was scored. parts: (sum, weight) by name
    of whatever else an objective adds up, such as the hits of an accuracy.
    """

    nll: float
    tokens: float
    words: float = math.nan
    characters: float = math.nan
    bytes: float = math.nan
    parts: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_scores(cls, scores: Mapping[str, float]) -> Sums:
        """The sums that a perplexity depends on, from the figures of `scores`."""
        nll = scores["nll_per_token"] * scores["tokens"]
        return cls(nll, scores["tokens"], words=scores["words"])

    def part(self, name: str) -> float:
        """Mean of a part; NaN without any weight."""
        total, weight = self.parts[name]
        return total / weight if weight else math.nan


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a network. name: its key in files and JSON. label: its words in tables and on
    axes; brief, short, logged: the same inside a sentence where the unit is clear, in the line of
    a run that trains, and in a line of its log. tag: in TensorBoard. digits: decimal places.

    of: the figure from `Sums`. A perplexity is e to the power of what `of` gives: nats per word,
    say, which depend on nll, tokens and words alone. Such figures are averaged and compared by
    these nats (`scale_name` is their key), and differences are shares; those of others are in
    `unit`. is_detail: it is in files and JSON, but not in tables and lines.
    """

    name: str
    label: str
    of: Callable[[Sums], float]
    unit: str = ""
    digits: int = 4
    better: str = "lower"
    is_perplexity: bool = False
    scale_name: str = ""
    brief: str = ""
    short: str = ""
    logged: str = ""
    tag: str = ""
    is_detail: bool = False

    def __post_init__(self) -> None:
        for field, word in (
            ("brief", self.label),
            ("short", self.label),
            ("logged", self.label),
            ("tag", f"figures/{self.name}"),
        ):
            object.__setattr__(self, field, getattr(self, field) or word)

    def value(self, sums: Sums) -> float:
        """The figure; a perplexity that overflows is infinite."""
        return self.from_scale(self.of(sums))

    def on_scale(self, scores: Mapping[str, float]) -> float:
        """The figure of `scores`, where it is averaged: nats for a perplexity."""
        return self.of(Sums.of_scores(scores)) if self.is_perplexity else scores[self.name]

    def from_scale(self, value: float) -> float:
        """Inverse of `on_scale`."""
        return perplexity(value) if self.is_perplexity else value

    def loss(self, value: float) -> float:
        """A value, or a difference of two, as one of which less is better."""
        return value if self.better == "lower" else -value

    def is_better(self, value: float, other: float) -> bool:
        """Whether one value is better than another."""
        return self.loss(value) < self.loss(other)

    @property
    def least(self) -> float:
        """The smallest value that it can have."""
        return 1.0 if self.is_perplexity else 0.0

    @property
    def few_digits(self) -> int:
        """Decimal places where a figure is one of many in a line."""
        return self.digits - 1 if self.is_perplexity else self.digits

    def text(self, value: float | None) -> str:
        """A value for people; `-` for None, which stands for a perplexity that overflows."""
        return "-" if value is None else number(value, self.digits)


NLL_PER_TOKEN = Figure(
    "nll_per_token",
    "nll per token",
    lambda sums: sums.nll / sums.tokens,
    "nats",
    brief="nll",
    logged="nll",
    tag="loss/nll_per_token",
)
NLL_PER_MASKED_TOKEN = Figure(
    "nll_per_token",
    "nll per masked token",
    lambda sums: sums.nll / sums.tokens,
    "nats",
    brief="nll",
    logged="nll",
    tag="loss/nll_per_token",
)
MASKED_ACCURACY = Figure(
    "accuracy",
    "accuracy of masked tokens",
    lambda sums: sums.part("accuracy"),
    better="higher",
    brief="accuracy",
    short="acc",
    logged="accuracy",
    tag="accuracy/masked",
)
LOSS_PER_TEXT = Figure(
    "nll_per_token",
    "loss per text",
    lambda sums: sums.nll / sums.tokens,
    logged="loss",
    tag="loss/nll_per_token",
)
ACCURACY_OF_PAIRS = Figure(
    "accuracy",
    "accuracy against a negative",
    lambda sums: sums.part("accuracy"),
    better="higher",
    brief="accuracy",
    short="acc",
    logged="accuracy",
    tag="accuracy/pairs",
)
PERPLEXITY_PER_TOKEN = Figure(
    "perplexity_per_token",
    "perplexity per token",
    lambda sums: sums.nll / sums.tokens,
    digits=2,
    is_perplexity=True,
    scale_name="nll_per_token",
    brief="perplexity",
    short="ppl",
    tag="perplexity/per_token",
)
PERPLEXITY_PER_WORD = Figure(
    "perplexity_per_word",
    "perplexity per word",
    lambda sums: sums.nll / sums.words,
    digits=2,
    is_perplexity=True,
    scale_name="nll_per_word",
    brief="perplexity",
    short="ppl/word",
    logged="per word",
    tag="perplexity/per_word",
)
BITS_PER_CHARACTER = Figure(
    "bits_per_character",
    "bits per character",
    lambda sums: sums.nll / math.log(2) / sums.characters,
    "bits",
    tag="perplexity/bits_per_character",
)
BITS_PER_BYTE = Figure(
    "bits_per_byte",
    "bits per byte",
    lambda sums: sums.nll / math.log(2) / sums.bytes,
    "bits",
    logged="per byte",
    tag="perplexity/bits_per_byte",
)
# of whatever gives every token of a text a probability: networks, and n-gram models
LANGUAGE_MODEL = (
    NLL_PER_TOKEN,
    PERPLEXITY_PER_TOKEN,
    PERPLEXITY_PER_WORD,
    BITS_PER_CHARACTER,
    BITS_PER_BYTE,
)


def scores(listed: Sequence[Figure], sums: Sums) -> dict[str, float]:
    """The listed figures by name, and how many tokens and words were scored."""
    found = {figure.name: figure.value(sums) for figure in listed}
    return found | {"tokens": int(sums.tokens), "words": sums.words}


def figures(
    nll_sum: float, scored: float, *, tokens: int, words: int, characters: int, bytes_: int
) -> dict[str, float]:
    """The figures of a language model on a split, by name.

    Args as for `scaled`. A perplexity that overflows is infinite.
    """
    sums = scaled(
        nll_sum, scored, tokens=tokens, words=words, characters=characters, bytes_=bytes_
    )
    return scores(LANGUAGE_MODEL, sums)


def scaled(
    nll_sum: float,
    scored: float,
    parts: Mapping[str, tuple[float, float]] | None = None,
    *,
    tokens: int,
    words: int,
    characters: int,
    bytes_: int,
) -> Sums:
    """Sums over the `scored` of a split's `tokens`.

    nll_sum: nats over these. words: whitespace-separated words of the original text plus one per
    line end, as is usual in the literature. characters, bytes_: its Unicode characters and UTF-8
    bytes, line ends included. All three are scaled by scored / tokens, as the first token is not a
    target.
    """
    share = scored / tokens
    return Sums(nll_sum, scored, words * share, characters * share, bytes_ * share, parts or {})


def gap(
    soft: Mapping[str, float],
    argmax: Mapping[str, float],
    figure: Figure = PERPLEXITY_PER_WORD,
) -> dict[str, float]:
    """The cost of discretisation, from the figures of the mixture and of its argmax: the
    difference of nll per token (nats), and of a figure the difference, or the factor by which a
    perplexity grows, infinite if that overflows."""
    more = argmax["nll_per_token"] - soft["nll_per_token"]
    found = {"nll_per_token": more}
    if not figure.is_perplexity:
        return found | {f"{figure.name}_difference": argmax[figure.name] - soft[figure.name]}
    factor = figure.value(Sums.of_scores({**soft, "nll_per_token": more}))
    return found | {f"{figure.name}_ratio": factor}


def finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """The same figures with None instead of infinity, which JSON can't hold."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def perplexity(nll: float) -> float:
    """exp(nll), infinity where that overflows."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf
