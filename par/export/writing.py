"""What the export of a network does that predicts the next token: score texts, and write them.

score      texts [B] strings                 ->  nll, tokens, words, perplexity_per_word [B]
step       tokens [B], hidden, valid         ->  log_prob [B, V], hidden, valid
generate   prompts [B] strings, settings     ->  texts [B] strings
"""

from __future__ import annotations

from types import SimpleNamespace

import tensorflow as tf

from par.core.config import SamplingConfig
from par.data.tokenizer import EOS, PAD
from par.evaluate.trained_model import Model
from par.export.graph_tokenizer import GraphTokenizer
from par.nn.transformer import Memories

SETTINGS = SamplingConfig()
NUMBERS = {
    "length": tf.int32,
    "temperature": tf.float32,
    "top_k": tf.int32,
    "top_p": tf.float32,
    "seed": tf.int32,
}


class Writing:
    """`score` and `generate` of par.evaluate.trained_model.Model at their default T and M, and one
    token of the latter."""

    def __init__(self, model: Model, tokenizer: GraphTokenizer):
        self._tokenizer = tokenizer
        self._objective, self._phase = model.learner.objective, model.phase
        self._seq_len = model.config.data.seq_len
        self._decoder = model.decoder()
        # [A, 1, M, D] of one row
        self.memory_shape = list(self._decoder.empty_memories().hidden.shape)

    @property
    def functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The functions by name, with the inputs that their signatures have."""
        rows, vector = tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int32)
        hidden = tf.TensorSpec([self.memory_shape[0], None, *self.memory_shape[2:]], tf.float32)
        settings = [tf.TensorSpec([], dtype, name) for name, dtype in NUMBERS.items()]
        return {
            name: tf.function(function, input_signature=inputs, autograph=False)
            for name, function, inputs in (
                ("score", self._score, [rows]),
                ("step", self._step, [vector, hidden, vector]),
                ("generate", self._generate, [rows, *settings]),
            )
        }

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
        cleaned, seq_len = self._tokenizer.clean_file(text), self._seq_len
        ids = self._tokenizer.encode(cleaned)
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
        return nll, tf.size(ids), self._tokenizer.words(cleaned)

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
        ids = self._tokenizer.encode(
            tf.strings.regex_replace(self._tokenizer.clean(prompt), " +$", "")
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
        return self._tokenizer.decode(tf.concat([ids, written.concat()], axis=0))

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
