"""A trained network as a TensorFlow SavedModel with its tokenizer inside. It needs only TensorFlow
and TensorFlow Text.

What it does, the objective says (`Contract.exports`); FUNCTIONS has where each comes from.
tf.saved_model.load returns an object with the same functions as attributes, which have the
settings' defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.core import files
from par.data.tokenizer import EOS
from par.evaluate.trained_model import Model
from par.export.detecting import Detecting
from par.export.filling import Filling
from par.export.formats import Written
from par.export.graph_tokenizer import GraphTokenizer
from par.export.reading import Encoding, Reading
from par.export.shipping import Source
from par.export.writing import Writing

FUNCTIONS = {
    "score": Writing,
    "step": Writing,
    "generate": Writing,
    "fill": Filling,
    "replaced": Detecting,
    "embed": Reading,
    "encodings": Encoding,
    "user_encoding": Encoding,
}


class Exported(tf.Module):
    """What is saved: the weights, the tokenizer and the functions, which are attributes."""

    def __init__(self, model: Model):
        super().__init__()
        self.tokenizer = GraphTokenizer(model.tokenizer)
        self._weights = [
            variable.value
            for layer in model.learner.exported_layers.values()
            for variable in layer.weights
        ]
        names = model.config.contract.exports
        parts = [make(model, self.tokenizer) for make in dict.fromkeys(map(FUNCTIONS.get, names))]
        made = {name: function for part in parts for name, function in part.functions.items()}
        for name in names:
            setattr(self, name, made[name])
        self._resources = [part.resources for part in parts if hasattr(part, "resources")]
        # [A, 1, M, D] of one row of `step`, if there is one
        self.memory_shape = next((p.memory_shape for p in parts if isinstance(p, Writing)), [])
        self.names = tuple(names)


class Traced:
    """A par.export.self_check.Backend of the exported functions."""

    def __init__(self, exported: Exported):
        self._exported = exported
        self.names = ("step",) if "step" in exported.names else ("embed_texts",)

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        if name == "embed_texts":
            return {"states": self._exported.embed(tf.constant(inputs["texts"]))["states"].numpy()}
        made = self._exported.step(*map(tf.constant, inputs.values()))
        names = {"log_prob": "log_prob", "hidden": "next_hidden", "valid": "next_valid"}
        return {names[output]: value.numpy() for output, value in made.items()}


def write(source: Source, directory: Path) -> Written:
    """Writes the files of the format, and compares its tokenizer with SentencePiece."""
    exported = save(source.model, directory)
    return Written(
        Traced(exported),
        exported.names,
        memory_shape=exported.memory_shape,
        mismatches={
            split: mismatches(source.model, exported, ids) for split, ids in source.streams.items()
        },
    )


def save(model: Model, directory: Path) -> Exported:
    """Writes the SavedModel into a directory. Raises: ResourceError if the disk takes no more."""
    exported = Exported(model)
    signatures = {name: getattr(exported, name) for name in exported.names}
    try:
        tf.saved_model.save(exported, str(directory), signatures=signatures)
    except tf.errors.OpError as error:
        raise files.write_error(
            directory, 4 * sum(int(np.prod(v.shape)) for v in exported._weights), error
        ) from None
    return exported


def mismatches(model: Model, exported: Exported, ids: np.ndarray) -> tuple[int, int]:
    """How many lines of the text of ids [N] get other ids from the exported tokenizer than from
    SentencePiece, and how many lines there are."""
    text = model.tokenizer.decode(ids)
    own, graphs = (
        np.split(found, np.flatnonzero(found == EOS) + 1)
        for found in (model.encode(text), exported.tokenizer.encode(text).numpy())
    )
    return sum(not np.array_equal(*lines) for lines in zip(own, graphs)), len(own) - 1
