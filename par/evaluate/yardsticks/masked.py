"""Models of the masked tokens of an evaluation: those of par.baselines.two_sided."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

from par.baselines import two_sided
from par.core import metrics
from par.core.errors import UsageError
from par.core.progress import Progress
from par.data.manifest import Manifest
from par.evaluate.counted_texts import Reading, Texts
from par.evaluate.yardsticks.base import SPLITS, Yardstick

MASKED = (metrics.NLL_PER_MASKED_TOKEN, metrics.MASKED_ACCURACY)


@dataclasses.dataclass(frozen=True)
class Masked(Yardstick):
    """Of masked tokens, those of windows of `seq_len` in all `draws`: tokens and hits, where the
    token was the most probable piece, by split."""

    seq_len: int
    draws: int
    tokens: dict[str, int]
    hits: dict[str, int]

    cost = "at a few minutes and 100 bytes a bigram that occurs in it"
    is_of_windows = True

    @classmethod
    def make(cls, texts: Texts, manifest_sha256: str) -> Self:
        """The scores of a data set. Shows progress."""
        own = cls._fitted(texts)
        nll, hits = {}, {}
        for split in SPLITS:
            found = cls._scores(texts, texts.masked(split), own)
            nll[split], hits[split] = found.nll, found.hits
        return cls.signed(
            manifest_sha256,
            seq_len=texts.reading.seq_len,
            draws=texts.reading.draws,
            nll={name: float(values.sum()) for name, values in nll.items()},
            tokens={name: len(values) for name, values in nll.items()},
            hits={name: int(values.sum()) for name, values in hits.items()},
            **own,
        )

    @classmethod
    def _fitted(cls, texts: Texts) -> dict[str, Any]:
        """Fields of its own."""
        return {}

    @classmethod
    def _scores(
        cls, texts: Texts, places: two_sided.Places, own: dict[str, Any]
    ) -> two_sided.Scores:
        raise NotImplementedError

    def _check(self) -> None:
        if not (self.seq_len and self.draws):
            raise UsageError("seq_len and draws must be at least 1")
        for split in SPLITS:
            tokens, hits = self.tokens.get(split, 0), self.hits.get(split, -1)
            if set(self.tokens) | set(self.hits) != set(SPLITS) or not 0 <= hits <= tokens:
                raise UsageError(
                    "tokens and hits must be of valid and test, hits at most tokens, but are"
                    f" {self.tokens} and {self.hits}"
                )

    @property
    def about(self) -> dict[str, Any]:
        """What it is, in JSON."""
        return {"model": self.key, "draws": self.draws}

    def fits(self, reading: Reading | None) -> bool:
        """Whether it scores the tokens of a reading."""
        return (self.seq_len, self.draws) == reading[:2]

    def figures(self, manifest: Manifest, split: str) -> dict[str, float]:
        """The figures of masked tokens for valid or test."""
        tokens, hits = float(self.tokens[split]), float(self.hits[split])
        parts = {"accuracy": (hits, tokens)}
        return metrics.scores(MASKED, manifest.splits[split].sums(self.nll[split], tokens, parts))

    def summary(self, figures: dict[str, float]) -> str:
        """Its figures in a line."""
        return ", ".join(f"{each.brief} {each.text(figures[each.name])}" for each in MASKED)


@dataclasses.dataclass(frozen=True)
class Unigram(Masked):
    """By the frequency of each piece alone."""

    key = "unigram"
    what = "unigram model"

    @classmethod
    def _scores(
        cls, texts: Texts, places: two_sided.Places, own: dict[str, Any]
    ) -> two_sided.Scores:
        return two_sided.unigram_scores(texts.counts, places)

    @property
    def name(self) -> str:
        """How it is shown among networks."""
        return "unigram"


@dataclasses.dataclass(frozen=True)
class Bigrams(Masked):
    """By the frequency of each piece, and beside the token before and the one after. weights_*: of
    these models where both neighbours are there, or one."""

    weights_both: tuple[float, ...]
    weights_before: tuple[float, ...]
    weights_after: tuple[float, ...]

    key = "bigrams"
    what = "model of two-sided bigrams"

    @classmethod
    def _fitted(cls, texts: Texts) -> dict[str, Any]:
        return {f"weights_{name}": each for name, each in texts.weights().items()}

    @classmethod
    def _scores(
        cls, texts: Texts, places: two_sided.Places, own: dict[str, Any]
    ) -> two_sided.Scores:
        weights = {name: own[f"weights_{name}"] for name in two_sided.PATTERNS}
        with Progress(cls.what, "place", len(places.token)) as progress:
            return two_sided.mixture_scores(texts.counts, weights, places, progress)

    def _check(self) -> None:
        super()._check()
        for name, there in two_sided.PATTERNS.items():
            own = getattr(self, f"weights_{name}")
            if (
                len(own) != 1 + sum(there)
                or not all(0 <= weight <= 1 for weight in own)
                or not math.isclose(sum(own), 1, abs_tol=1e-6)
            ):
                raise UsageError(
                    f"weights_{name} must be {1 + sum(there)} of sum 1, but are {own}"
                )

    @property
    def name(self) -> str:
        """How it is shown among networks."""
        return "two-sided bigrams"
