"""What the export of a network does that predicts masked pieces: fill them in.

fill       texts [B] strings, k              ->  texts [B], masks [B], and of each [MASK], K at
                                                 most: pieces, ids, probabilities [B, K, k]
"""

from __future__ import annotations

import tensorflow as tf

from par.core.config import FillConfig
from par.data.tokenizer import EOS, MASK
from par.evaluate.filling import best
from par.evaluate.trained_model import Model
from par.export.graph_tokenizer import GraphMaskedText, GraphTokenizer
from par.export.reading import padded
from par.nn.transformer import Memories
from par.objectives.masking import FIRST

K = FillConfig().k


class Filling:
    """`fill` of par.evaluate.trained_model.Model at its default T and M."""

    def __init__(self, model: Model, tokenizer: GraphTokenizer):
        self._tokenizer, self._masked_text = tokenizer, GraphMaskedText(model.tokenizer, tokenizer)
        self._objective, self._phase = model.learner.objective, model.phase
        self._seq_len = model.config.data.seq_len
        self._pieces = model.tokenizer.pieces(range(model.tokenizer.vocab_size))

    @property
    def resources(self) -> tf.Module:
        """What the functions need beside the weights and the tokenizer."""
        return self._masked_text

    @property
    def functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The functions by name, with the inputs that their signatures have."""
        inputs = [tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32, "k")]
        return {"fill": tf.function(self._fill, input_signature=inputs, autograph=False)}

    def _fill(self, texts: tf.Tensor, k: tf.Tensor = K) -> dict[str, tf.Tensor]:
        """texts [B], with the best piece at each [MASK]; masks [B], how many there are; and of
        each the k best pieces [B, K, k], "" and 0 where a text has fewer [MASK]s than another."""
        k = tf.minimum(k, len(self._pieces) - FIRST)
        ragged = (tf.float32, tf.int32)
        filled, masks, probabilities, ids = tf.map_fn(
            lambda text: self._fill_one(text, k),
            texts,
            fn_output_signature=(
                tf.string,
                tf.int32,
                *(tf.RaggedTensorSpec([None, None], dtype, ragged_rank=1) for dtype in ragged),
            ),
        )
        probabilities, ids = (
            found.to_tensor(shape=[None, None, None]) for found in (probabilities, ids)
        )
        named = tf.gather(tf.constant(["", *self._pieces[1:]]), ids)
        return {
            "texts": filled,
            "masks": masks,
            "pieces": named,
            "ids": ids,
            "probabilities": probabilities,
        }

    def _fill_one(self, text: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The text filled, its number of [MASK]s, and the probabilities and ids of each one's k
        best pieces, ragged [K, k]."""
        cleaned = self._tokenizer.clean_file(text)
        ids = self._masked_text.encode(cleaned)
        count, stream, real = padded(tf.concat([[EOS], ids], axis=0), self._seq_len)
        arrays = tuple(
            tf.TensorArray(dtype, count, infer_shape=False, element_shape=[None, None])
            for dtype in (tf.float32, tf.int32)
        )

        def window(i: tf.Tensor, memories: Memories, arrays: tuple) -> tuple:
            places = tf.where(stream[i] == MASK)[:, 0][None]
            log_prob, after = self._objective.log_prob_at(
                places, stream[i][None], real[i][None], memories, self._phase
            )
            found = best(log_prob[0], k)
            return i + 1, after, tuple(into.write(i, each) for into, each in zip(arrays, found))

        start = (tf.constant(0), self._objective.trunk.empty_memories(1), arrays)
        _, _, arrays = tf.while_loop(lambda i, *_: i < count, window, start)
        probabilities, found = (array.concat() for array in arrays)
        filled = tf.tensor_scatter_nd_update(ids, tf.where(ids == MASK), found[:, 0])
        shown = self._tokenizer.decode(filled)
        # a text that ends without a line end stays so
        has_end = tf.strings.regex_full_match(text, r"(?s).*\n")
        shown = tf.where(has_end, shown, tf.strings.regex_replace(shown, r"\n$", ""))
        ragged = (tf.RaggedTensor.from_tensor(each) for each in (probabilities, found))
        return shown, tf.shape(found)[0], *ragged
