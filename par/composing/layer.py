"""Trained networks side by side, as a Keras layer for code of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from par.composing import network
from par.composing.settings import Source
from par.core.errors import UsageError
from par.evaluate.trained_model import Model
from par.nn.composition import Composition


def composed_layer(
    models: Sequence[Model | str | Path],
    unfreeze: Iterable[str],
    path_of: Callable[[str | Path], Path],
) -> Composition:
    """See par.compose. path_of: the directory of a run by its name."""
    if isinstance(models, (str, Path, Model)) or not isinstance(models, Sequence):
        raise UsageError(f"models must be a list of models or runs, but is {models!r}")
    loaded = [of if isinstance(of, Model) else Model.load(path_of(of)) for of in models]
    sources = [
        Source(model.name or f"model {number}", model.config)
        for number, model in enumerate(loaded, 1)
    ]
    made = network.composed(sources, [model.learner for model in loaded]).base
    made.unfreeze(unfreeze)
    return made
