"""The network one token at a time, on LiteRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Step:
    """A text that is read: a call takes its next id, and returns the log-probabilities [V], nats,
    of what follows."""

    def __init__(self, directory: str | Path):
        self._run = Interpreter(str(Path(directory) / "model.tflite")).get_signature_runner()
        details = self._run.get_input_details()
        self._memories = {
            name: np.zeros(details[name]["shape"], details[name]["dtype"])
            for name in details
            if name != "tokens"
        }

    def __call__(self, token: int) -> np.ndarray:
        made = self._run(tokens=np.array([token], np.int32), **self._memories)
        self._memories = {name: made[f"next_{name}"] for name in self._memories}
        return made["log_prob"][0]
