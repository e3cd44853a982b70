"""The weights as safetensors, with a forward pass in NumPy that reads them:
par/export/shipped/forward.py.

The file is 8 bytes with the length of a JSON object, that object, which has type, shape and place
of every weight, and the weights one after the other
(https://huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from par.core import files
from par.export import taken_along
from par.export.array_functions import names_of
from par.export.formats import Written
from par.export.plain import arrays
from par.export.shipped import forward
from par.export.shipping import Source

OTHER_HEADS = ("replaced", "encodings")  # functions of which forward.py does not have all
ALIGNMENT = 8  # bytes, of the first weight


class Reference:
    """A par.export.self_check.Backend of the forward pass in NumPy."""

    def __init__(self, network: forward.Network, names: tuple[str, ...]):
        self._network, self.names = network, names

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        memories = forward.Memories(inputs["hidden"], inputs["valid"])
        tokens, network = inputs["tokens"], self._network
        if name == "step":
            states, after = network(tokens[:, None], memories, band=True)
            made = {"log_prob": network.log_prob(states[:, 0])}
        else:
            states, after = network(tokens, memories, inputs.get("real"))
            if name == "embed":
                made = {"states": states}
            else:
                made = {"log_prob": network.log_prob(states)}
        if name == "score":
            of_targets = np.take_along_axis(made["log_prob"], inputs["targets"][..., None], axis=2)
            made = {"log_prob": of_targets[..., 0]}
        return made | {"next_hidden": after.hidden, "next_valid": after.valid}


def write(source: Source, directory: Path) -> Written:
    """Writes the files of the format."""
    model = source.plain
    config, weights = arrays(model)
    files.write_bytes(directory / "model.safetensors", serialized(weights))
    taken_along.write_text_files(directory, config, model.tokenizer)
    shutil.copyfile(forward.__file__, directory / "forward.py")
    names = tuple(
        name for name in names_of(model.config.contract.exports) if name not in OTHER_HEADS
    )
    return Written(Reference(forward.Network.read(directory), names), names)


def serialized(weights: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a safetensors file of float32 arrays by name."""
    header, blobs, end = {"__metadata__": {"format": "np"}}, [], 0
    for name, weight in weights.items():
        blobs.append(np.ascontiguousarray(weight, "<f4").tobytes())
        begin, end = end, end + len(blobs[-1])
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": [begin, end]}
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % ALIGNMENT)
    return b"".join([len(told).to_bytes(8, "little"), told, *blobs])
