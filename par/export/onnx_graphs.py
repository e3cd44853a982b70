"""A network as ONNX graphs, one a function of par.export.array_functions, which share one file of
weights: step.onnx, score.onnx and so on, and weights.bin.

tf2onnx makes them of the library's own layers, in plain operators of opset 17.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from par.core import files
from par.export import self_check, taken_along
from par.export.array_functions import ArrayFunctions
from par.export.formats import Written
from par.export.plain import described
from par.export.self_check import Sample
from par.export.shipping import Source

OPSET = 17
WEIGHTS = "weights.bin"
SHARED_BYTES = 1024  # from which a constant is moved to the file of weights
ALIGNMENT = 4096  # bytes; what onnxruntime can map into memory


class Sessions:
    """A par.export.self_check.Backend of onnxruntime."""

    def __init__(self, graphs: Mapping[str, Any]):
        """graphs: by function, the path of a file or the bytes of a graph."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        self.names = tuple(graphs)
        self._sessions = {
            name: onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
            for name, graph in graphs.items()
        }

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        outputs = [each.name for each in self._sessions[name].get_outputs()]
        return dict(zip(outputs, self._sessions[name].run(outputs, dict(inputs))))


def write(source: Source, directory: Path) -> Written:
    """Writes the files of the format; with `source.quantize` the weights of matrix products as
    8-bit integers."""
    functions = ArrayFunctions(source.plain)
    graphs = {
        name: converted(functions.function(name), functions.signature(name))
        for name in functions.names
    }
    backend, costs = None, {}
    if source.quantize:
        backend = Sessions({name: graph.SerializeToString() for name, graph in graphs.items()})
        graphs = {name: quantized(graph) for name, graph in graphs.items()}
    paths = save(graphs, directory)
    config = described(source.plain)
    taken_along.write_text_files(directory, config, source.model.tokenizer)
    used = taken_along.write_programs(directory, graphs, "onnx")
    read_back = Sessions({name: str(path) for name, path in paths.items()})
    if source.quantize:
        sample = Sample(source.plain, source.streams["valid"])
        costs = self_check.costs_of_rounding("onnx", sample, read_back, backend)
    return Written(backend or read_back, (*graphs, *used), "", costs, source.quantize)


def converted(function: Callable, signature: list) -> Any:
    """A function as an ONNX model (ModelProto)."""
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    made, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return without_erfc(made)


def without_erfc(model: Any) -> Any:
    """The model with 1 - Erf for Erfc, TensorFlow's operator in the gelu, which ONNX lacks and
    tf2onnx leaves as it is."""
    import onnx

    nodes, one = [], "one_of_erfc"
    for node in model.graph.node:
        if node.op_type == "Erfc":
            inner = f"{node.output[0]}/erf"
            nodes.append(onnx.helper.make_node("Erf", node.input, [inner]))
            nodes.append(onnx.helper.make_node("Sub", [one, inner], node.output))
        else:
            nodes.append(node)
    if len(nodes) > len(model.graph.node):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), one))
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model


def quantized(model: Any) -> Any:
    """The model with the constant factors of matrix products as signed 8-bit integers, each with a
    scale; the other factors are rounded while it runs (onnxruntime's dynamic quantization)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        quantize_dynamic(before, after, weight_type=QuantType.QInt8)
        return onnx.load(after)


def save(graphs: Mapping[str, Any], directory: Path) -> dict[str, Path]:
    """Writes the graphs with one file of weights; returns the paths by function. Raises:
    ResourceError if the disk takes no more."""
    from onnx.external_data_helper import set_external_data

    places: dict[bytes, int] = {}
    with files.replacing(directory / WEIGHTS) as partial, open(partial, "wb") as weights:
        for graph in graphs.values():
            for tensor in graph.graph.initializer:
                data = tensor.raw_data
                if len(data) < SHARED_BYTES:
                    continue
                digest = hashlib.sha256(data).digest()
                if digest not in places:
                    weights.write(b"\0" * (-weights.tell() % ALIGNMENT))
                    places[digest] = weights.tell()
                    weights.write(data)
                set_external_data(tensor, WEIGHTS, places[digest], len(data))
                tensor.ClearField("raw_data")
    paths = {name: directory / f"{name}.onnx" for name in graphs}
    for name, graph in graphs.items():
        files.write_bytes(paths[name], graph.SerializeToString())
    return paths
