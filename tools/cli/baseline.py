"""The flag --baseline, and the scores that it asks for."""

from __future__ import annotations

from pathlib import Path

from par.core.errors import UsageError
from par.data.manifest import Manifest
from par.evaluate.counted_texts import Reading
from par.evaluate.yardsticks import store
from par.evaluate.yardsticks.base import Yardstick
from par.objectives.contract import Contract
from par.tools.cli.flags import Flags, choice

# of a data set, whose text alone is there
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
# of a run, whose objective names its own
OF_RUN = (
    choice("auto", *store.MODELS, "none"),
    "baseline",
    "auto",
    (
        "what a network must beat: models of the same pieces, fitted to train and scored on valid"
        " and test once; auto: those of the run's objective; of more than 268 million tokens only"
        " one that is named"
    ),
)


def baseline_of(values: Flags, data_dir: Path, manifest: Manifest) -> Yardstick | None:
    """The scores of a data set's n-gram model, made if they are not there; None if they are not
    wanted. Call it when TensorFlow is started."""
    names = [] if values.baseline == "none" else [values.baseline]
    found = store.load_or_make(
        data_dir, manifest, names, is_asked=bool(values["baseline"].present)
    )
    return found[0] if found else None


def names_of(values: Flags, contract: Contract) -> tuple[str, ...]:
    """The names of the models that are wanted beside runs of an objective. Raises: UsageError if
    the flag names another one."""
    if values.baseline in ("auto", "none"):
        return contract.yardsticks if values.baseline == "auto" else ()
    if values.baseline not in contract.yardsticks:
        own = ", ".join((*contract.yardsticks, "none"))
        raise UsageError(
            f"--baseline={values.baseline} predicts something else than {contract.name}: give one"
            f" of {own}, or leave the flag out"
        )
    return (values.baseline,)


def baselines_of(
    values: Flags,
    names: tuple[str, ...],
    data_dir: Path,
    manifest: Manifest,
    reading: Reading,
    is_kept: bool,
) -> list[Yardstick]:
    """The scores of the models of `names_of`, made if they are not there; see
    store.load_or_make. Call it when TensorFlow is started."""
    return store.load_or_make(
        data_dir,
        manifest,
        names,
        is_asked=values.baseline != "auto",
        reading=reading,
        is_kept=is_kept,
    )
