"""A network for LiteRT (TensorFlow Lite), in built-in operators alone: one function of
par.export.array_functions, the first of FUNCTIONS that it has, for one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from par.core import files
from par.evaluate.trained_model import Model
from par.export import taken_along
from par.export.array_functions import ArrayFunctions
from par.export.formats import Written
from par.export.plain import described
from par.export.self_check import Sample, costs_of_rounding
from par.export.shipping import Source

FILE = "model.tflite"
FUNCTIONS = ("step", "fill", "replaced", "encodings", "embed")
ROW_AXES = {"hidden": 1, "next_hidden": 1}  # of the others it is the first


class Runner:
    """A par.export.self_check.Backend of LiteRT's interpreter: rows one by one."""

    def __init__(self, name: str, content: bytes):
        """The function of this name; content: of its file."""
        from ai_edge_litert.interpreter import Interpreter

        self.names = (name,)
        self._interpreter = Interpreter(model_content=content)
        self._runner = self._interpreter.get_signature_runner()

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        rows = len(inputs["tokens"])
        split = {
            key: np.split(np.asarray(value), rows, axis=ROW_AXES.get(key, 0))
            for key, value in inputs.items()
        }
        taken = [key for key in split if key in self._runner.get_input_details()]
        made = [self._runner(**{key: split[key][row] for key in taken}) for row in range(rows)]
        # memories without a number stay as they are
        kept = {"next_hidden": inputs["hidden"]} if "hidden" in inputs else {}
        return kept | {
            key: np.concatenate([each[key] for each in made], axis=ROW_AXES.get(key, 0))
            for key in made[0]
        }


def write(source: Source, directory: Path) -> Written:
    """Writes the files of the format; with `source.quantize` the weights in float16."""
    model = source.plain
    functions = ArrayFunctions(model)
    name = next(each for each in FUNCTIONS if each in functions.names)
    content, exact, costs = converted(model, functions, name), None, {}
    if source.quantize:
        exact = Runner(name, content)
        content = converted(model, functions, name, tf.float16)
    files.write_bytes(directory / FILE, content)
    config = described(model)
    taken_along.write_text_files(directory, config, model.tokenizer)
    used = taken_along.write_programs(directory, [name], "litert")
    read_back = Runner(name, (directory / FILE).read_bytes())
    if exact:
        sample = Sample(model, source.streams["valid"])
        costs = costs_of_rounding("litert", sample, read_back, exact)
    return Written(exact or read_back, (f"{FILE} ({name})", *used), "", costs, source.quantize)


def converted(
    model: Model, functions: ArrayFunctions, name: str, weights: tf.DType | None = None
) -> bytes:
    """A function of one row as the content of a file. weights: the type in which they are kept;
    None: float32."""
    # the values of the variables: of Keras' layers the converter makes a file that answers NaN
    holder = tf.Module()
    holder.weights = [
        variable.value
        for layer in model.learner.exported_layers.values()
        for variable in layer.weights
    ]
    graph = without_empty(functions.function(name, rows=1), functions.signature(name, rows=1))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [graph.get_concrete_function()], holder
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if weights:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [weights]
    return converter.convert()


def without_empty(function: Callable, signature: list[tf.TensorSpec]) -> Any:
    """The function without inputs and outputs that have no number, which LiteRT refuses: the
    memories of a network without attention, or without memory."""
    kept = [each for each in signature if each.shape.num_elements()]

    def run(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        rest = iter(given)
        made = function(
            *(
                next(rest) if each.shape.num_elements() else tf.zeros(each.shape, each.dtype)
                for each in signature
            )
        )
        return {name: value for name, value in made.items() if value.shape.num_elements()}

    return tf.function(run, input_signature=kept, autograph=False)
