"""What the export of every network does: embed texts; and of one that has encodings, encode them.

embed           texts [B] strings            ->  states [B, D]
encodings       texts [B] strings            ->  encodings [B, D], of length 1
user_encoding   texts [N] of one author      ->  encoding [D], of length 1
"""

from __future__ import annotations

import tensorflow as tf

from par.data.tokenizer import PAD
from par.evaluate.trained_model import Model
from par.export.graph_tokenizer import GraphTokenizer
from par.nn.transformer import Memories
from par.objectives import contrast


class Reading:
    """`embed` of several texts, as of par.evaluate.trained_model.Model."""

    def __init__(self, model: Model, tokenizer: GraphTokenizer):
        self._tokenizer, self._trunk = tokenizer, model.trunk
        self._how = {"visibility": model.config.contract.visibility, "phase": model.phase}
        self._seq_len, self._mem_len = model.config.text_shape
        self._width = model.config.model.d_model

    @property
    def functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The functions by name, with the inputs that their signatures have."""
        rows = tf.TensorSpec([None], tf.string)
        return {"embed": tf.function(self._embed, input_signature=[rows], autograph=False)}

    def _embed(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """states [B, D]: the mean of the hidden states of each text's tokens, zeros for an empty
        text."""
        state = tf.TensorSpec([self._width], tf.float32)
        return {"states": tf.map_fn(self._embed_one, texts, fn_output_signature=state)}

    def _embed_one(self, text: tf.Tensor) -> tf.Tensor:
        ids = self._tokenizer.encode(self._tokenizer.clean_file(text))
        count, stream, real = padded(ids, self._seq_len)

        def window(
            i: tf.Tensor, total: tf.Tensor, memories: Memories
        ) -> tuple[tf.Tensor, tf.Tensor, Memories]:
            hidden, after = self._trunk(stream[i][None], memories, real=real[i][None], **self._how)
            kept = tf.where(real[i][:, None], tf.cast(hidden[0], tf.float64), 0.0)
            return i + 1, total + tf.reduce_sum(kept, axis=0), after

        start = (
            tf.constant(0),
            tf.zeros([self._width], tf.float64),
            self._trunk.empty_memories(1, self._mem_len),
        )
        _, total, _ = tf.while_loop(lambda i, *_: i < count, window, start)
        return tf.cast(total / tf.cast(tf.maximum(tf.size(ids), 1), tf.float64), tf.float32)


class Encoding:
    """`encodings` and `user_encoding` of par.evaluate.trained_model.Model, of a network that has
    encodings of its own."""

    def __init__(self, model: Model, tokenizer: GraphTokenizer):
        self._tokenizer, self._objective = tokenizer, model.learner.objective
        self._phase, self._width = model.phase, model.config.model.d_model
        self._length = model.config.objective_settings.doc_len

    @property
    def functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The functions by name, with the inputs that their signatures have."""
        rows = [tf.TensorSpec([None], tf.string)]
        made = {"encodings": self._encode, "user_encoding": self._encode_user}
        return {
            name: tf.function(function, input_signature=rows, autograph=False)
            for name, function in made.items()
        }

    def _encode_user(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """encoding [D]: the mean of the texts' encodings, scaled to length 1."""
        return {"encoding": contrast.user(self._encode(texts)["encodings"])}

    def _encode(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """encodings [B, D]: of each text the mean of its parts' by their tokens, scaled to length
        1."""
        encoding = tf.TensorSpec([self._width], tf.float32)
        return {"encodings": tf.map_fn(self._encode_one, texts, fn_output_signature=encoding)}

    def _encode_one(self, text: tf.Tensor) -> tf.Tensor:
        ids = self._tokenizer.encode(self._tokenizer.clean_file(text))
        _, parts, real = padded(ids, self._length)

        def part(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            tokens, is_real = values
            encoded = self._objective.encode(self._objective.window(tokens[None]), self._phase)
            return encoded[0] * tf.reduce_sum(tf.cast(is_real, tf.float32))

        encoding = tf.TensorSpec([self._width], tf.float32)
        found = tf.map_fn(part, (parts, real), fn_output_signature=encoding)
        return contrast.unit(tf.reduce_sum(found, axis=0))


def padded(ids: tf.Tensor, seq_len: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Ids [N] as windows: their number W, tokens [W, T] with [PAD] at the end, and which are no
    padding [W, T]."""
    count = -(-tf.size(ids) // seq_len)
    lacking = count * seq_len - tf.size(ids)
    shape = [-1, seq_len]
    tokens = tf.reshape(tf.concat([ids, tf.fill([lacking], PAD)], axis=0), shape)
    return count, tokens, tf.reshape(tf.range(count * seq_len) < tf.size(ids), shape)
