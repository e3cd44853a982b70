"""The encoding of a part of a text, on onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime


class Part:
    """A call takes the ids of a part, padded to `length`, and returns its encoding, of `width`
    numbers."""

    def __init__(self, directory: str | Path):
        self._session = onnxruntime.InferenceSession(Path(directory) / "encodings.onnx")
        self.length = self._session.get_inputs()[0].shape[1]
        self.width = self._session.get_outputs()[0].shape[1]

    def __call__(self, ids: list[int]) -> np.ndarray:
        return self._session.run(["encodings"], {"tokens": np.array([ids], np.int32)})[0][0]
