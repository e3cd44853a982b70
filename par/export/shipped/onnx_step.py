"""The network one token at a time, on onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime


class Step:
    """A text that is read: a call takes its next id, and returns the log-probabilities [V], nats,
    of what follows."""

    def __init__(self, directory: str | Path):
        self._session = onnxruntime.InferenceSession(Path(directory) / "step.onnx")
        shapes = {each.name: each.shape for each in self._session.get_inputs()}
        blocks, _, mem_len, width = shapes["hidden"]
        self._hidden = np.zeros([blocks, 1, mem_len, width], np.float32)
        self._valid = np.zeros([1], np.int32)

    def __call__(self, token: int) -> np.ndarray:
        log_prob, self._hidden, self._valid = self._session.run(
            ["log_prob", "next_hidden", "next_valid"],
            {
                "tokens": np.array([token], np.int32),
                "hidden": self._hidden,
                "valid": self._valid,
            },
        )
        return log_prob[0]
