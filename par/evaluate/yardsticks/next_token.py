"""A model of the next token: the n-gram model of par.baselines.kneser_ney."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from par.baselines import kneser_ney
from par.core.errors import UsageError
from par.core.progress import Progress
from par.core.text import number
from par.data.manifest import Manifest
from par.evaluate.counted_texts import Texts
from par.evaluate.yardsticks.base import SPLITS, Yardstick


@dataclasses.dataclass(frozen=True)
class KneserNey(Yardstick):
    """Of all tokens but the first. discounts: one a level, from the shortest history on."""

    order: int
    discounts: tuple[float, ...]

    key = "kneser_ney"
    what = "n-gram model"
    cost = "at about 10 minutes and 1 GiB for 268 million"

    @classmethod
    def make(cls, texts: Texts, manifest_sha256: str) -> Self:
        """The scores of a data set. Shows progress."""
        train = texts.stream("train")
        with Progress(cls.what, "token", len(train) - 1) as progress:
            scores = kneser_ney.score(
                train, [texts.stream(name) for name in SPLITS], texts.vocab_size, progress=progress
            )
        return cls.signed(
            manifest_sha256,
            order=len(scores.discounts),
            discounts=tuple(scores.discounts),
            nll={name: float(nll.sum()) for name, nll in zip(SPLITS, scores.nll, strict=True)},
        )

    def _check(self) -> None:
        if not (2 <= self.order <= 64 and len(self.discounts) == self.order):
            raise UsageError(
                f"order must be from 2 to 64, with a discount each, but there are"
                f" {len(self.discounts)} for {self.order}"
            )
        if not all(0 < discount <= 1 for discount in self.discounts):
            raise UsageError(f"discounts must be above 0 and at most 1, but are {self.discounts}")

    @property
    def name(self) -> str:
        """How it is shown among networks."""
        return f"Kneser-Ney {self.order}-gram"

    @property
    def about(self) -> dict[str, Any]:
        """What it is, in JSON."""
        return {"model": self.key, "order": self.order}

    def figures(self, manifest: Manifest, split: str) -> dict[str, float]:
        """The figures of a language model for valid or test."""
        return manifest.splits[split].figures(self.nll[split])

    def summary(self, figures: dict[str, float]) -> str:
        """Its figures in a line."""
        return (
            f"perplexity {number(figures['perplexity_per_token'], 2)},"
            f" {number(figures['perplexity_per_word'], 1)} per word"
        )
