"""What an exported network does with arrays: ids and memories in, numbers and memories out, for
any number of rows B.

step       tokens [B], hidden [A, B, M + T - 1, D], valid [B]
           ->  log_prob [B, V] of the next token, next_hidden, next_valid
score      tokens [B, T], targets [B, T], hidden [A, B, M, D], valid [B]
           ->  log_prob [B, T] of the targets, next_hidden, next_valid
fill       tokens [B, T], real [B, T], hidden, valid
           ->  log_prob [B, T, V] of the piece at each place, next_hidden, next_valid
replaced   tokens [B, T], real [B, T], hidden, valid
           ->  probability [B, T] that a token was replaced, next_hidden, next_valid
encodings  tokens [B, doc_len] of texts, or of parts of them
           ->  encodings [B, D] of length 1, 0 where there is only padding
embed      tokens [B, T], real [B, T], hidden, valid
           ->  states [B, T, D] after each token, next_hidden, next_valid

Nats and float32 throughout; hidden and valid are par.nn.transformer.Memories; real is False where
a window has padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from par.evaluate.trained_model import Model
from par.export.formats import ARRAY_FUNCTIONS
from par.nn.ops import TYPES
from par.nn.transformer import Memories

MEMORYLESS = ("encodings",)  # these read each text by itself


def names_of(exports: Iterable[str]) -> tuple[str, ...]:
    """Those of an objective's exports that take arrays."""
    return tuple(name for name in exports if name in ARRAY_FUNCTIONS)


class ArrayFunctions:
    """The functions of a network, of the names that its objective exports."""

    def __init__(self, model: Model):
        self._objective, self._trunk, self._phase = (
            model.learner.objective,
            model.trunk,
            model.phase,
        )
        self._visibility = model.config.contract.visibility
        self._seq_len, mem_len = model.config.text_shape
        self._type = TYPES[model.config.model.precision]
        self.names = names_of(model.config.contract.exports)
        self.mem_lens = {name: mem_len for name in self.names if name not in MEMORYLESS}
        if "encodings" in self.names:
            self._doc_len = model.config.objective_settings.doc_len
        if "step" in self.names:
            self._decoder = model.decoder()
            self.mem_lens["step"] = self._decoder.mem_len

    def signature(self, name: str, rows: int | None = None) -> list[tf.TensorSpec]:
        """The inputs of a function, in order. rows: B; None: any."""
        if name in MEMORYLESS:
            return [tf.TensorSpec([rows, self._doc_len], tf.int32, "tokens")]
        shape = self._trunk.empty_memories(1, self.mem_lens[name]).hidden.shape
        window = [rows, self._seq_len]
        own = {
            "step": [tf.TensorSpec([rows], tf.int32, "tokens")],
            "score": [tf.TensorSpec(window, tf.int32, each) for each in ("tokens", "targets")],
        }
        read = [
            tf.TensorSpec(window, tf.int32, "tokens"),
            tf.TensorSpec(window, tf.bool, "real"),
        ]
        return [
            *own.get(name, read),
            tf.TensorSpec([shape[0], rows, *shape[2:]], tf.float32, "hidden"),
            tf.TensorSpec([rows], tf.int32, "valid"),
        ]

    def function(self, name: str, rows: int | None = None) -> Callable[..., dict[str, tf.Tensor]]:
        """A function as a graph. rows: B; None: any."""

        def run(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            if name in MEMORYLESS:
                return getattr(self, f"_{name}")(*inputs)
            *own, hidden, valid = inputs
            made, after = getattr(self, f"_{name}")(*own, Memories(hidden, valid))
            return made | {"next_hidden": after.hidden, "next_valid": after.valid}

        return tf.function(run, input_signature=self.signature(name, rows), autograph=False)

    def _step(self, tokens: tf.Tensor, memories: Memories) -> tuple[dict, Memories]:
        log_prob, after = self._decoder.log_prob(tokens, memories)
        return {"log_prob": log_prob}, after

    def _score(self, tokens: tf.Tensor, targets: tf.Tensor, memories: Memories) -> tuple:
        states, after = self._trunk(
            tokens, memories, visibility=self._visibility, phase=self._phase
        )
        # all of the softmax: not every runtime takes tails without a token
        flat = tf.reshape(states, [-1, states.shape[-1]])
        log_prob = self._objective.head.log_prob(tf.cast(flat, self._type))
        found = tf.gather(log_prob, tf.reshape(targets, [-1]), batch_dims=1)
        return {"log_prob": tf.reshape(found, tf.shape(targets))}, after

    def _fill(self, tokens: tf.Tensor, real: tf.Tensor, memories: Memories) -> tuple:
        places = tf.zeros_like(tokens) + tf.range(self._seq_len)
        log_prob, after = self._objective.log_prob_at(places, tokens, real, memories, self._phase)
        return {"log_prob": log_prob}, after

    def _replaced(self, tokens: tf.Tensor, real: tf.Tensor, memories: Memories) -> tuple:
        logits, after = self._objective.replaced_logits(tokens, real, memories, self._phase)
        return {"probability": tf.sigmoid(logits)}, after

    def _encodings(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        window = self._objective.window(tokens)
        return {"encodings": self._objective.encode(window, self._phase)}

    def _embed(self, tokens: tf.Tensor, real: tf.Tensor, memories: Memories) -> tuple:
        states, after = self._trunk(
            tokens, memories, visibility=self._visibility, phase=self._phase, real=real
        )
        return {"states": states}, after


class Library:
    """The functions, called with NumPy arrays: what other formats are compared with."""

    def __init__(self, model: Model):
        functions = ArrayFunctions(model)
        self.names, self._model = functions.names, model
        self._functions = {name: functions.function(name) for name in functions.names}

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The outputs of a function by their names; `embed_texts`: states [n, D] of n texts."""
        if name == "embed_texts":
            return {"states": self._model.embed(inputs["texts"])}
        made = self._functions[name](*map(tf.constant, inputs.values()))
        return {output: value.numpy() for output, value in made.items()}
