"""The flag --baseline, and the scores that it asks for."""

from __future__ import annotations

from pathlib import Path

from par.data.manifest import Manifest
from par.evaluate import yardstick
from par.evaluate.yardstick import Yardstick
from par.tools.cli.flags import Flags, choice

BASELINE = (
    choice("kneser_ney", "none"),
    "baseline",
    "kneser_ney",
    (
        "what a network must beat: an n-gram model of the same pieces, of order 5, fitted to train"
        " and scored on valid and test once; of more than 268 million tokens only if the flag is"
        " given"
    ),
)


def baseline_of(values: Flags, data_dir: Path, manifest: Manifest) -> Yardstick | None:
    """The scores of a data set's n-gram model, made if they are not there; None if they are not
    wanted. Call it when TensorFlow is started."""
    if values.baseline == "none":
        return None
    return yardstick.load_or_make(data_dir, manifest, is_asked=bool(values["baseline"].present))
