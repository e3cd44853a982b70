"""Scores texts with onnxruntime and sentencepiece alone.

python score.py FILE [FILE ...]     or, of standard input:     python score.py < FILE
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from text import EOS, PAD, Tokenizer, clean

HERE = Path(__file__).parent


class Scorer:
    """The network, which reads a text in windows with memory."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer(HERE)
        self._score = onnxruntime.InferenceSession(HERE / "score.onnx")
        shapes = {each.name: each.shape for each in self._score.get_inputs()}
        self._window, self._hidden = shapes["tokens"][1], [shapes["hidden"][0], 1]
        self._hidden += shapes["hidden"][2:]

    def nll(self, ids: list[int]) -> np.ndarray:
        """Of ids [N], nats [N] of each, the first after a line end."""
        hidden, valid = np.zeros(self._hidden, np.float32), np.zeros([1], np.int32)
        padding, found = [PAD] * (-len(ids) % self._window), [np.zeros([1, 0])]
        stream = np.array([EOS, *ids, *padding], np.int32)
        for start in range(0, len(ids), self._window):
            window = stream[None, start : start + self._window + 1]
            log_prob, hidden, valid = self._score.run(
                ["log_prob", "next_hidden", "next_valid"],
                {
                    "tokens": window[:, :-1],
                    "targets": window[:, 1:],
                    "hidden": hidden,
                    "valid": valid,
                },
            )
            found.append(-log_prob)
        return np.concatenate(found, axis=1)[0, : len(ids)]

    def figures(self, text: str | bytes) -> dict[str, float]:
        """nll (nats, summed), tokens, words with line ends, and perplexity per word; a text
        without words has none."""
        ids = self.tokenizer.encode(text)
        nll, words = float(self.nll(ids).sum()), len(clean(text).split()) + ids.count(EOS)
        perplexity = math.exp(nll / words) if words else None
        return {"nll": nll, "tokens": len(ids), "words": words, "perplexity_per_word": perplexity}


def main() -> None:
    """Prints the figures of each text as a line of JSON."""
    scorer = Scorer()
    texts = [Path(name).read_bytes() for name in sys.argv[1:]] or [sys.stdin.buffer.read()]
    for text in texts:
        print(json.dumps(scorer.figures(text)))


if __name__ == "__main__":
    main()
