"""The encoding of a part of a text, on LiteRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Part:
    """A call takes the ids of a part, padded to `length`, and returns its encoding, of `width`
    numbers."""

    def __init__(self, directory: str | Path):
        self._run = Interpreter(str(Path(directory) / "model.tflite")).get_signature_runner()
        self.length = int(self._run.get_input_details()["tokens"]["shape"][1])
        self.width = int(self._run.get_output_details()["encodings"]["shape"][1])

    def __call__(self, ids: list[int]) -> np.ndarray:
        return self._run(tokens=np.array([ids], np.int32))["encodings"][0]
