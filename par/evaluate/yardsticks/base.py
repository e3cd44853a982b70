"""The scores of a model without a network on valid and test, fitted to the train split."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from typing import Any, Self

from par.core import schema
from par.core.errors import UsageError
from par.core.metrics import Figure
from par.core.text import number
from par.data.manifest import Manifest
from par.evaluate.counted_texts import Reading, Texts

SCHEMA = 1
SPLITS = ("valid", "test")
HELPS = "more text, a smaller network or more dropout may help"


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """The scores of a model. nll: in nats, the sum over a split's scored tokens, by split."""

    schema: int
    manifest_sha256: str
    nll: dict[str, float]
    sha256: str  # of the other fields

    key = ""  # its name in Contract.yardsticks
    what = ""  # what it is, in a message
    cost = ""  # of a train split that is scored only if asked for
    is_of_windows = False  # whether what it scores depends on the windows of an evaluation

    @classmethod
    def signed(cls, manifest_sha256: str, **own: Any) -> Self:
        """With schema and hash."""
        own |= {"schema": SCHEMA, "manifest_sha256": manifest_sha256}
        return cls(**own, sha256=_digest(own))

    @classmethod
    def make(cls, texts: Texts, manifest_sha256: str) -> Self:
        """The scores of a data set. Shows progress."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"schema must be {SCHEMA}, but is {self.schema}")
        self._check()
        if set(self.nll) != set(SPLITS) or not all(
            0 < nll < math.inf for nll in self.nll.values()
        ):
            raise UsageError(f"nll must be a number above 0 for valid and test, but is {self.nll}")
        own = dataclasses.asdict(self)
        if own.pop("sha256") != (digest := _digest(own)):
            raise UsageError(f"sha256 must be {digest}, as the other fields are")

    def _check(self) -> None:
        """Raises: UsageError for fields that contradict each other."""

    def fits(self, reading: Reading | None) -> bool:
        """Whether it scores the tokens of a reading."""
        return True

    @property
    def name(self) -> str:
        """How it is shown among networks."""
        raise NotImplementedError

    @property
    def about(self) -> dict[str, Any]:
        """What it is, in JSON."""
        return {"model": self.key}

    def figures(self, manifest: Manifest, split: str) -> dict[str, float]:
        """The figures of its objective for valid or test."""
        raise NotImplementedError

    def summary(self, figures: dict[str, float]) -> str:
        """Its figures in a line."""
        raise NotImplementedError

    def warning(
        self, network: str, figure: Figure, scores: Iterable[tuple[str, float, float]]
    ) -> str:
        """A line that names the splits on which a network does not beat the model; '' if there are
        none. figure: by which they are compared. scores: split, the network's figure, the model's
        own."""
        found = [
            f"{number(value, figure.few_digits)} against {number(own, figure.few_digits)} on"
            f" {split}"
            for split, value, own in scores
            if not figure.is_better(value, own)
        ]
        if not found:
            return ""
        return (
            f"{network} does not beat the {self.name} of the same pieces, {figure.label}"
            f" {', '.join(found)}: {HELPS}"
        )


def _digest(own: dict[str, Any]) -> str:
    return hashlib.sha256(schema.canonical_json(own).encode()).hexdigest()
