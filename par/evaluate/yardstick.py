"""What a network must beat: the n-gram model of par.evaluate.kneser_ney of the same pieces, fitted
to the train split and scored on valid and test.

Its scores lie beside the records in kneser_ney.json, with the SHA-256 of the manifest: those of
another data set are never shown.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from par.core import files, schema
from par.core.errors import DataError, ResourceError, UsageError
from par.core.progress import Progress, announce
from par.core.text import number
from par.data import records
from par.data.build import BASELINE
from par.data.manifest import Manifest
from par.evaluate import kneser_ney

SCHEMA = 1
SPLITS = ("valid", "test")
UNASKED = 1 << 28  # tokens of train
HELPS = "more text, a smaller network or more dropout may help"


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """The scores of the model: nll in nats, the sum over a split's tokens but the first, by split;
    one discount a level, from the shortest history on."""

    schema: int
    order: int
    discounts: tuple[float, ...]
    manifest_sha256: str
    nll: dict[str, float]
    sha256: str  # of the other fields

    @classmethod
    def of(cls, scores: kneser_ney.Scores, manifest_sha256: str) -> Yardstick:
        """From the scores of SPLITS."""
        own = {
            "schema": SCHEMA,
            "order": len(scores.discounts),
            "discounts": tuple(scores.discounts),
            "manifest_sha256": manifest_sha256,
            "nll": {name: float(nll.sum()) for name, nll in zip(SPLITS, scores.nll, strict=True)},
        }
        return cls(**own, sha256=_digest(own))

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UsageError(f"schema must be {SCHEMA}, but is {self.schema}")
        if not (2 <= self.order <= 64 and len(self.discounts) == self.order):
            raise UsageError(
                f"order must be from 2 to 64, with a discount each, but there are"
                f" {len(self.discounts)} for {self.order}"
            )
        if not all(0 < discount <= 1 for discount in self.discounts):
            raise UsageError(f"discounts must be above 0 and at most 1, but are {self.discounts}")
        if set(self.nll) != set(SPLITS) or not all(
            0 < nll < math.inf for nll in self.nll.values()
        ):
            raise UsageError(f"nll must be a number above 0 for valid and test, but is {self.nll}")
        own = dataclasses.asdict(self)
        if own.pop("sha256") != (digest := _digest(own)):
            raise UsageError(f"sha256 must be {digest}, as the other fields are")

    @property
    def name(self) -> str:
        """How it is shown among networks."""
        return f"Kneser-Ney {self.order}-gram"

    def figures(self, manifest: Manifest, split: str) -> dict[str, float]:
        """The figures of par.core.metrics for valid or test."""
        return manifest.splits[split].figures(self.nll[split])

    def warning(self, network: str, scores: Iterable[tuple[str, float, float]]) -> str:
        """A line that names the splits on which a network does not beat the model; '' if there are
        none. scores: split, the network's perplexity per word, the model's own."""
        found = [
            f"{number(perplexity, 1)} against {number(own, 1)} on {split}"
            for split, perplexity, own in scores
            if not perplexity < own
        ]
        if not found:
            return ""
        return (
            f"{network} does not beat the {self.name} of the same pieces, perplexity per word"
            f" {', '.join(found)}: {HELPS}"
        )


def load(data_dir: str | Path) -> Yardstick | None:
    """The scores beside the records of a data set; None if there are none of this manifest.

    Raises: DataError if the file is damaged.
    """
    path = Path(data_dir) / BASELINE
    if not path.is_file():
        return None
    value = schema.read_json(path, "scores of the n-gram model")
    try:
        found = schema.decode(Yardstick, value, "it")
    except UsageError as error:
        raise DataError(
            f"scores of the n-gram model {path}: {error}; remove it, and tools/build_data.py makes"
            " it again"
        ) from None
    return found if found.manifest_sha256 == _manifest_sha256(data_dir) else None


def load_or_make(
    data_dir: str | Path, manifest: Manifest, *, is_asked: bool = False
) -> Yardstick | None:
    """The scores beside the records, made if there are none of this manifest, and kept there if
    the directory can be written. Shows progress. To make them needs TensorFlow, as the records
    do.

    Of more than UNASKED tokens they are made only if asked for; else None.
    Raises: as `load`.
    """
    if found := load(data_dir):
        return found
    if (tokens := manifest.splits["train"].tokens) > UNASKED and not is_asked:
        announce(
            f"note: no n-gram model is scored, as train has {tokens:,} tokens:"
            " --baseline=kneser_ney does it, at about 10 minutes and 1 GiB for 268 million"
        )
        return None
    train, *streams = (
        records.read_stream(data_dir, manifest, name) for name in ("train", *SPLITS)
    )
    with Progress("n-gram model", "token", len(train) - 1) as progress:
        scores = kneser_ney.score(train, streams, manifest.vocab_size, progress=progress)
    made = Yardstick.of(scores, _manifest_sha256(data_dir))
    try:
        schema.write_json(Path(data_dir) / BASELINE, dataclasses.asdict(made))
    except (OSError, ResourceError, UsageError) as error:
        announce(f"note: the scores of the n-gram model are not kept: {error}")
    return made


def _digest(own: dict[str, Any]) -> str:
    return hashlib.sha256(schema.canonical_json(own).encode()).hexdigest()


def _manifest_sha256(data_dir: str | Path) -> str:
    return files.sha256(Path(data_dir) / "manifest.json")
