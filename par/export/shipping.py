"""A trained network exported in one or several formats, with what all of them have: a card, the
data's licence in it, and the check that what was written computes what the library does."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from par.core import files
from par.data.manifest import Manifest
from par.evaluate.trained_model import Model
from par.export import self_check
from par.export.array_functions import Library
from par.export.formats import CARD, Format, Shipped, place
from par.export.plain import plain
from par.export.self_check import Sample

BF16_TOLERANCE = 2**-5  # products of bfloat16 are not the same in every graph


@dataclasses.dataclass(frozen=True)
class Source:
    """What a format is made of. model: as it was trained. streams: the ids [N] of valid and test.
    manifest: of its data. scores: what was measured of it, by split, in words. quantize: "" or the
    type of the weights in products."""

    model: Model
    streams: Mapping[str, np.ndarray]
    manifest: Manifest
    scores: Mapping[str, str]
    quantize: str = ""

    @functools.cached_property
    def plain(self) -> Model:
        """The model in float32, as formats without TensorFlow have it."""
        return plain(self.model)


def ship(
    source: Source,
    formats: Sequence[Format],
    directory: Path,
    card: Callable[[Shipped], str],
) -> list[Shipped]:
    """Writes the formats into a directory, each with its card.

    Raises: ParError if a format does not compute what the library does; ResourceError if the disk
    takes no more.
    """
    made = []
    for each in formats:
        where = place(directory, each.name, formats)
        where.mkdir(exist_ok=True)
        kind = source.quantize if source.quantize in each.quantizes else ""
        own = source if kind == source.quantize else dataclasses.replace(source, quantize=kind)
        written = each.load().write(own, where)
        model = written.compared or (source.plain if each.in_f32 else source.model)
        exact = model.config.model.precision == "f32"
        differences = self_check.check(
            Sample(model, source.streams["valid"]),
            Library(model),
            written.backend,
            each.name,
            self_check.TOLERANCE if exact else BF16_TOLERANCE,
        )
        made.append(Shipped(each, written, differences))
        files.write_text(where / CARD, card(made[-1]))
    return made
