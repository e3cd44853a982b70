"""A trained network as a TensorFlow SavedModel with its tokenizer inside. It needs only TensorFlow
and TensorFlow Text.

    score      texts [B] strings                 ->  nll, tokens, words, perplexity_per_word [B]
    step       tokens [B], hidden, valid         ->  log_prob [B, V], hidden, valid
    generate   prompts [B] strings, settings     ->  texts [B] strings

They are `score` and `generate` of par.evaluate.trained_model.Model at their default T and M, and
one token of the latter. tf.saved_model.load returns an object with the same functions as
attributes, which have the settings' defaults.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from par.core import files
from par.core.config import SamplingConfig
from par.data.tokenizer import EOS, PAD
from par.evaluate.trained_model import Model
from par.export.graph_tokenizer import GraphTokenizer
from par.nn.transformer import Memories

SETTINGS = SamplingConfig()


def _scalar(name: str, dtype: tf.DType) -> tf.TensorSpec:
    return tf.TensorSpec([], dtype, name)


class Exported(tf.Module):
    """What is saved: the weights, the tokenizer and three functions."""

    def __init__(self, model: Model):
        super().__init__()
        self.tokenizer = GraphTokenizer(model.tokenizer)
        self._weights = [
            variable.value
            for layer in model.learner.objective.layers.values()
            for variable in layer.weights
        ]
        self._objective, self._phase, self._seq_len = (
            model.learner.objective,
            model.phase,
            model.config.data.seq_len,
        )
        self._decoder = model.decoder()
        # [A, 1, M, D] of one row
        self.memory_shape = list(self._decoder.empty_memories().hidden.shape)
        rows = tf.TensorSpec([None], tf.string)
        self.score = tf.function(self._score, input_signature=[rows], autograph=False)
        hidden = tf.TensorSpec([self.memory_shape[0], None, *self.memory_shape[2:]], tf.float32)
        vector = tf.TensorSpec([None], tf.int32)
        self.step = tf.function(
            self._step, input_signature=[vector, hidden, vector], autograph=False
        )
        numbers = {
            "length": tf.int32,
            "temperature": tf.float32,
            "top_k": tf.int32,
            "top_p": tf.float32,
            "seed": tf.int32,
        }
        settings = [_scalar(name, dtype) for name, dtype in numbers.items()]
        self.generate = tf.function(
            self._generate, input_signature=[rows, *settings], autograph=False
        )

    def _score(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """texts [B] -> nll [B] float64, the sum in nats; tokens, words [B]; perplexity_per_word
        [B] float64, NaN for an empty text."""
        nll, tokens, words = tf.map_fn(
            self._score_one, texts, fn_output_signature=(tf.float64, tf.int32, tf.int32)
        )
        return {
            "nll": nll,
            "tokens": tokens,
            "words": words,
            "perplexity_per_word": tf.exp(nll / tf.cast(words, tf.float64)),
        }

    def _score_one(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        cleaned, seq_len = self.tokenizer.clean(text), self._seq_len
        unfinished = (tf.strings.length(text) > 0) & ~tf.strings.regex_full_match(
            cleaned, r"(?s).*\n"
        )
        # every line has an end, as in a file that build_data reads
        cleaned = tf.where(unfinished, cleaned + "\n", cleaned)
        ids = self.tokenizer.encode(cleaned)
        steps = -(-tf.size(ids) // seq_len)
        stream = tf.concat([[EOS], ids, tf.fill([steps * seq_len - tf.size(ids)], PAD)], axis=0)

        def window(
            i: tf.Tensor, nll: tf.Tensor, memories: Memories
        ) -> tuple[tf.Tensor, tf.Tensor, Memories]:
            tokens = tf.reshape(stream[i * seq_len : (i + 1) * seq_len + 1], [1, seq_len + 1])
            more, _, _, after = self._objective.loss(
                self._objective.prepare(tokens), memories, self._phase
            )
            return i + 1, nll + tf.cast(more, tf.float64), after

        start = (
            tf.constant(0),
            tf.constant(0.0, tf.float64),
            self._objective.trunk.empty_memories(1),
        )
        _, nll, _ = tf.while_loop(lambda i, nll, memories: i < steps, window, start)
        return nll, tf.size(ids), self.tokenizer.words(cleaned)

    def _step(
        self, tokens: tf.Tensor, hidden: tf.Tensor, valid: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """log_prob [B, V] nats of what follows tokens [B], and the memories after them: hidden [A,
        B, M, D], valid [B]."""

        def row(
            values: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            token, hidden, valid = values
            log_prob, after = self._decoder.log_prob(
                token[None], Memories(hidden[:, None], valid[None])
            )
            return log_prob[0], after.hidden[:, 0], after.valid[0]

        by_row = tf.transpose(hidden, [1, 0, 2, 3])
        log_prob, by_row, valid = tf.map_fn(
            row, (tokens, by_row, valid), fn_output_signature=(tf.float32, tf.float32, tf.int32)
        )
        return {"log_prob": log_prob, "hidden": tf.transpose(by_row, [1, 0, 2, 3]), "valid": valid}

    def _generate(
        self,
        prompts: tf.Tensor,
        length: tf.Tensor = SETTINGS.length,
        temperature: tf.Tensor = SETTINGS.temperature,
        top_k: tf.Tensor = SETTINGS.top_k,
        top_p: tf.Tensor = SETTINGS.top_p,
        seed: tf.Tensor = SETTINGS.seed,
    ) -> dict[str, tf.Tensor]:
        """texts [B]: the prompts, each with `length` tokens after it."""
        settings = SimpleNamespace(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        return {
            "texts": tf.map_fn(
                lambda prompt: self._generate_one(prompt, length, settings), prompts
            )
        }

    def _generate_one(
        self, prompt: tf.Tensor, length: tf.Tensor, settings: SimpleNamespace
    ) -> tf.Tensor:
        ids = self.tokenizer.encode(
            tf.strings.regex_replace(self.tokenizer.clean(prompt), " +$", "")
        )
        tokens = tf.concat([[EOS], ids], axis=0)
        memories, written = (
            self._read(tokens[:-1]),
            tf.TensorArray(tf.int32, length, element_shape=[1]),
        )

        def write(
            place: tf.Tensor, token: tf.Tensor, memories: Memories, written: tf.TensorArray
        ) -> tuple:
            token, memories = self._decoder.next(token, memories, place, settings)
            return place + 1, token, memories, written.write(place, token)

        start = (tf.constant(0), tf.reshape(tokens[-1:], [1]), memories, written)
        *_, written = tf.while_loop(lambda place, *_: place < length, write, start)
        return self.tokenizer.decode(tf.concat([ids, written.concat()], axis=0))

    def _read(self, tokens: tf.Tensor) -> Memories:
        """The memories after tokens [N], in windows of T and the rest one by one, as
        `Decoder.read` reads."""
        memories, at = self._decoder.empty_memories(), tf.constant(0)
        for size in (self._seq_len, 1):

            def read(
                at: tf.Tensor, memories: Memories, size: int = size
            ) -> tuple[tf.Tensor, Memories]:
                return at + size, self._decoder.after(
                    tf.reshape(tokens[at : at + size], [1, size]), memories
                )

            at, memories = tf.while_loop(
                lambda at, memories, size=size: at + size <= tf.size(tokens), read, (at, memories)
            )
        return memories


def save(model: Model, directory: Path) -> Exported:
    """Writes the SavedModel into a directory. Raises: ResourceError if the disk takes no more."""
    exported = Exported(model)
    names = ("score", "step", "generate")
    try:
        tf.saved_model.save(
            exported, str(directory), signatures={name: getattr(exported, name) for name in names}
        )
    except tf.errors.OpError as error:
        raise files.write_error(
            directory, 4 * sum(int(np.prod(v.shape)) for v in exported._weights), error
        ) from None
    return exported


def mismatches(model: Model, exported: Exported, ids: np.ndarray) -> tuple[int, int]:
    """How many lines of the text of ids [N] get other ids from the exported tokenizer than from
    SentencePiece, and how many lines there are."""
    text = model.tokenizer.decode(ids)
    own, graphs = (
        np.split(found, np.flatnonzero(found == EOS) + 1)
        for found in (model.encode(text), exported.tokenizer.encode(text).numpy())
    )
    return sum(not np.array_equal(*lines) for lines in zip(own, graphs)), len(own) - 1
