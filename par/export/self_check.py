"""The check that every export passes before it is left on disk: what was written gives the
library's log-probabilities of 1,000 tokens.

A converter can write a network that answers NaN, or one that lost its memory, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from par.core.errors import ParError
from par.data.tokenizer import EOS, MASK, PAD
from par.evaluate.trained_model import Model
from par.export.formats import CHECKED_TOKENS

ROWS = 8  # read side by side
LENGTH = CHECKED_TOKENS // ROWS
TOLERANCE = 1e-5  # nats; of a log-probability beyond 1 nat, its share
# by function, the output that is compared
OUTPUTS = {
    "step": "log_prob",
    "score": "log_prob",
    "fill": "log_prob",
    "replaced": "probability",
    "encodings": "encodings",
    "embed": "states",
}
MASKED_EVERY = 7  # of the tokens, where masked pieces are predicted


class Backend(Protocol):
    """A network that computes functions of par.export.array_functions.

    names: of those that it has, or `embed_texts`. A call takes the inputs by name, and returns the
    outputs.
    """

    names: tuple[str, ...]

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]: ...


class Sample:
    """Tokens of a data set, and what a network makes of them."""

    def __init__(self, model: Model, ids: np.ndarray):
        """ids: [N] of a text; it is repeated if it has fewer than 1,000."""
        self.targets = np.resize(np.asarray(ids, np.int32), (ROWS, LENGTH))
        before = np.full([ROWS, 1], EOS, np.int32)
        self.tokens = np.concatenate([before, self.targets[:, :-1]], axis=1)
        self._seq_len, self._mem_len = model.config.text_shape
        self._doc_len = getattr(model.config.objective_settings, "doc_len", None)
        self._trunk = model.trunk
        self._step_mem_len = model.config.trained_context
        self._texts = [model.tokenizer.decode(row) for row in self.targets]

    def values(self, name: str, backend: Backend) -> np.ndarray:
        """Of a function: log-probabilities [8, 125] of the tokens; of `embed` the states
        [8, 125, D], of `embed_texts` their means [8, D]; of `encodings` those [8, parts, D] of the
        rows' parts."""
        if name == "embed_texts":
            return backend(name, {"texts": self._texts})["states"]
        return np.concatenate(list(getattr(self, f"_{name}")(backend)), axis=1)[:, :LENGTH]

    def _memories(self, mem_len: int) -> dict[str, np.ndarray]:
        return {
            name: each.numpy()
            for name, each in self._trunk.empty_memories(ROWS, mem_len)._asdict().items()
        }

    def _step(self, backend: Backend) -> Iterator[np.ndarray]:
        memories = self._memories(self._step_mem_len)
        for token, target in zip(self.tokens.T, self.targets.T):
            made = backend("step", {"tokens": token} | memories)
            memories = {each: made[f"next_{each}"] for each in memories}
            yield np.take_along_axis(made["log_prob"], target[:, None], axis=1)

    def _windows(self, rows: np.ndarray, size: int | None = None) -> Iterator[np.ndarray]:
        size = size or self._seq_len
        count = -(-LENGTH // size)
        padded = np.full([ROWS, count * size], PAD, np.int32)
        padded[:, :LENGTH] = rows
        return iter(np.split(padded, count, axis=1))

    def _score(self, backend: Backend) -> Iterator[np.ndarray]:
        memories = self._memories(self._mem_len)
        for tokens, targets in zip(self._windows(self.tokens), self._windows(self.targets)):
            made = backend("score", {"tokens": tokens, "targets": targets} | memories)
            memories = {each: made[f"next_{each}"] for each in memories}
            yield made["log_prob"]

    def _read(self, name: str, rows: np.ndarray, backend: Backend) -> Iterator[np.ndarray]:
        memories = self._memories(self._mem_len)
        for tokens in self._windows(rows):
            made = backend(name, {"tokens": tokens, "real": tokens != PAD} | memories)
            memories = {each: made[f"next_{each}"] for each in memories}
            yield made[OUTPUTS[name]]

    def _replaced(self, backend: Backend) -> Iterator[np.ndarray]:
        return self._read("replaced", self.targets, backend)

    def _embed(self, backend: Backend) -> Iterator[np.ndarray]:
        return self._read("embed", self.targets, backend)

    def _encodings(self, backend: Backend) -> Iterator[np.ndarray]:
        for tokens in self._windows(self.targets, self._doc_len):
            yield backend("encodings", {"tokens": tokens})["encodings"][:, None]

    def _fill(self, backend: Backend) -> Iterator[np.ndarray]:
        is_masked = np.arange(LENGTH) % MASKED_EVERY == MASKED_EVERY // 2
        read = self._read("fill", np.where(is_masked, MASK, self.targets), backend)
        for log_prob, targets in zip(read, self._windows(self.targets)):
            yield np.take_along_axis(log_prob, targets[..., None], axis=2)[..., 0]


def largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two arrays, as a share of what is beyond 1; infinite if one is not
    finite."""
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    return float((abs(found - expected) / np.maximum(1.0, abs(expected))).max(initial=0.0))


def check(
    sample: Sample, library: Backend, written: Backend, what: str, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """The largest difference between what was written and the library, by function.

    Raises: ParError if one is above the tolerance, or a value is not finite; `what` names the
    format.
    """
    found = {}
    for name in written.names:
        values, expected = (sample.values(name, each) for each in (written, library))
        found[name] = largest_difference(values, expected)
        if not found[name] <= tolerance:
            reason = (
                f"differ from the library's by {found[name]:.2g}, more than {tolerance:g}"
                if np.isfinite(found[name])
                else "are not finite"
            )
            raise refused(what, name, reason)
    return found


def costs_of_rounding(
    what: str, sample: Sample, rounded: Backend, exact: Backend
) -> dict[str, float]:
    """By how many nats the mean nll of the tokens is higher where the weights are rounded, by
    function that gives log-probabilities. what: names the format. Raises: ParError where a number
    is not finite then."""
    costs = {}
    for name in rounded.names:
        if OUTPUTS[name] != "log_prob":
            continue
        values, expected = (sample.values(name, each) for each in (rounded, exact))
        if not np.isfinite(values).all():
            raise refused(what, name, "are not finite once they are rounded")
        costs[name] = float((expected - values).mean())
    return costs


def refused(what: str, name: str, reason: str) -> ParError:
    """The error to raise where the numbers of a function are wrong, for a reason. what: names the
    format."""
    return ParError(
        f"the export as {what} is refused: the numbers that `{name}` gives for"
        f" {CHECKED_TOKENS:,} tokens {reason}; nothing was written: try another --format, and"
        " report this"
    )
