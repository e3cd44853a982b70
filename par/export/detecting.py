"""What the export of a network does that tells replaced tokens: say how probable it is of each.

replaced   texts [B] strings   ->  tokens [B], and of each token, N at most: pieces [B, N], ids,
                                   probabilities
"""

from __future__ import annotations

import tensorflow as tf

from par.evaluate.trained_model import Model
from par.export.graph_tokenizer import GraphTokenizer
from par.export.reading import padded


class Detecting:
    """`replaced` of par.evaluate.trained_model.Model at its default T and M."""

    def __init__(self, model: Model, tokenizer: GraphTokenizer):
        self._tokenizer, self._objective = tokenizer, model.learner.objective
        self._phase, self._seq_len = model.phase, model.config.data.seq_len
        self._pieces = model.tokenizer.pieces(range(model.tokenizer.vocab_size))

    @property
    def functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The functions by name, with the inputs that their signatures have."""
        rows = tf.TensorSpec([None], tf.string)
        return {"replaced": tf.function(self._replaced, input_signature=[rows], autograph=False)}

    def _replaced(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """tokens [B], how many a text has; and of each its piece, id and probability [B, N], ""
        and 0 where a text has fewer than another."""
        ragged = (tf.int32, tf.float32)
        counts, ids, probabilities = tf.map_fn(
            self._replaced_one,
            texts,
            fn_output_signature=(
                tf.int32,
                *(tf.RaggedTensorSpec([None], dtype, ragged_rank=0) for dtype in ragged),
            ),
        )
        ids, probabilities = (found.to_tensor() for found in (ids, probabilities))
        return {
            "tokens": counts,
            "pieces": tf.gather(tf.constant(["", *self._pieces[1:]]), ids),
            "ids": ids,
            "probabilities": probabilities,
        }

    def _replaced_one(self, text: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The number of tokens of a text, their ids [N] and probabilities [N]."""
        ids = self._tokenizer.encode(self._tokenizer.clean_file(text))
        count, stream, real = padded(ids, self._seq_len)
        array = tf.TensorArray(tf.float32, count, element_shape=[self._seq_len])

        def window(i: tf.Tensor, memories: tuple, array: tf.TensorArray) -> tuple:
            logits, after = self._objective.replaced_logits(
                stream[i][None], real[i][None], memories, self._phase
            )
            return i + 1, after, array.write(i, tf.sigmoid(logits[0]))

        start = (tf.constant(0), self._objective.trunk.empty_memories(1), array)
        _, _, array = tf.while_loop(lambda i, *_: i < count, window, start)
        return tf.size(ids), ids, array.concat()[: tf.size(ids)]
