"""Held-out passages in which a generator replaced some tokens, and what a network that is being
trained makes of them.

the cat [sees: hears 83%] the [dog 56%] .     a token that was replaced, what was put there, and
                                              the probability of that by the network; an original
                                              one that the network holds for replaced
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from par.data import manifest
from par.data.tokenizer import EOS, Tokenizer
from par.evaluate.evaluation import AS_TRAINED, num_windows, phase, split_windows, ways
from par.evaluate.filled_sentences import bare
from par.train.learner import Learner

PASSAGES = 8
SUSPECT = 0.5  # probability from which an original token is shown as one that is taken for another


class ReplacedPassages:
    """The first windows of valid of one training run; the network is not changed."""

    def __init__(self, learner: Learner, data_dir: Path, length: int):
        """length: how many tokens the passages have together, at most; 0: no text. Nothing is read
        before the first text."""
        self._learner, self._data_dir, self._length = learner, data_dir, length

    def text(self) -> str:
        """The passages, a line each; a SuperNet as its mixture."""
        if not self._length:
            return ""
        about = manifest.load(self._data_dir)
        tokenizer = Tokenizer.load(self._data_dir / "tokenizer.model")
        window = next(iter(split_windows(self._data_dir, about, "valid")))
        own = phase(ways(self._learner)[0], AS_TRAINED)
        how = {"windows_a_row": num_windows(about, "valid")}
        scores = next(self._learner.token_scores([window], own, **how))
        seen, (logits, weights) = scores["seen"][0], scores["logit"]
        shares = np.where(weights > 0, tf.sigmoid(logits), 0.0)
        rows = np.asarray(window)[:, :-1]
        left, lines = self._length, []
        for parts in zip(rows, seen, shares):
            count = min(rows.shape[1], left)
            if len(lines) == PASSAGES or not count:
                break
            lines.append(shown(tokenizer, *(part[:count] for part in parts)))
            left -= count
        return "\n".join(lines)


def shown(
    tokenizer: Tokenizer, original: np.ndarray, put: np.ndarray, probability: np.ndarray
) -> str:
    """A passage of ids [N], what stands in their places [N], and the probabilities [N]."""
    pieces, others = tokenizer.pieces(original), tokenizer.pieces(put)
    texts = list(tokenizer.decode_stream(original.tolist()))[: len(original)]
    found = []
    for place, (text, share) in enumerate(zip(texts, probability)):
        is_replaced = original[place] != put[place]
        if original[place] == EOS:
            found.append(" ")
        elif is_replaced or share >= SUSPECT:
            space = " " if text.startswith(" ") else ""
            own = f"{bare(pieces[place])}: " if is_replaced else ""
            found.append(f"{space}[{own}{bare(others[place])} {share:.0%}]")
        else:
            found.append(text)
    return "".join(found).strip()
