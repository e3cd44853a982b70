"""Adaptive softmax: frequent ids in a small head, rare ones in tail clusters of smaller width (Grave et al. 2017).

    ids      0 ........ c_1 | c_1 ........ c_2 | c_2 .......... V       cutoffs = (c_1, c_2)
    head     D -> c_1 + (C-1) logits: the frequent ids, and one slot for each tail cluster
    tail i   D -> d_i -> its ids; probability = P(slot i) · P(id | tail i);  d_i = D / proj_factor^i unless proj_dims says otherwise

Only what is needed is computed: the head for every token, a tail for its own tokens. No cutoffs: the head holds all ids, plain softmax.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from par.config import ModelConfig
from par.initial import Initial


class AdaptiveSoftmax(keras.layers.Layer):
    """Interface and defaults of `torch.nn.AdaptiveLogSoftmaxWithLoss`, in natural logarithms; `proj_factor` is its div_value."""

    def __init__(self, config: ModelConfig, vocab_size: int, initial: Initial):
        super().__init__()
        config.check_vocabulary(vocab_size)
        self.ends = [*config.cutoffs, vocab_size]
        tails = len(config.cutoffs)
        self.head_size = self.ends[0]
        self.head = self.add_weight(name="head", shape=(config.d_model, self.head_size + tails), initializer=initial.normal())
        self.tails = []
        for i, width in enumerate(config.tail_widths):
            size = self.ends[i + 1] - self.ends[i]
            down = self.add_weight(name=f"tail_{i}_projection", shape=(config.d_model, width), initializer=initial.normal())
            out = self.add_weight(name=f"tail_{i}", shape=(width, size), initializer=initial.normal())
            self.tails.append((down, out))
            setattr(self, f"tail_{i}_projection", down)  # tf.train.Checkpoint finds a weight by its attribute, not in a list
            setattr(self, f"tail_{i}", out)
        self.built = True

    def call(self, hidden: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Same as `nll`."""
        return self.nll(hidden, targets)

    def nll(self, hidden: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """-log P(target) per token: hidden [N, D], targets [N] int32 below V -> [N] nats."""
        slot, rows_of, nll_of = targets, [], []
        for i, (down, out) in enumerate(self.tails):
            low, high = self.ends[i], self.ends[i + 1]
            mine = (targets >= low) & (targets < high)
            rows = tf.where(mine)[:, 0]
            logits = (tf.gather(hidden, rows) @ down) @ out
            slot = tf.where(mine, self.head_size + i, slot)
            rows_of.append(rows)
            nll_of.append(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(targets, rows) - low, logits))
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(slot, hidden @ self.head)
        if not self.tails:
            return nll
        return nll + tf.scatter_nd(tf.concat(rows_of, 0)[:, None], tf.concat(nll_of, 0), tf.shape(nll, out_type=tf.int64))

    def log_prob(self, hidden: tf.Tensor) -> tf.Tensor:
        """Log-probabilities of all ids: hidden [N, D] -> [N, V] nats."""
        head = tf.nn.log_softmax(hidden @ self.head)
        parts = [head[:, : self.head_size]]
        for i, (down, out) in enumerate(self.tails):
            parts.append(head[:, self.head_size + i, None] + tf.nn.log_softmax((hidden @ down) @ out))
        return tf.concat(parts, axis=-1)

    def predict(self, hidden: tf.Tensor) -> tf.Tensor:
        """The likeliest id per row: hidden [N, D] -> [N] int32. The full table is built only for rows whose head prefers a tail slot.

        An id in the head beats every tail when it beats every slot, because a tail id is at most as likely as its slot.
        """
        best = tf.argmax(hidden @ self.head, axis=-1, output_type=tf.int32)
        rows = tf.where(best >= self.head_size)
        full = tf.argmax(self.log_prob(tf.gather_nd(hidden, rows)), axis=-1, output_type=tf.int32)
        return tf.tensor_scatter_nd_update(best, rows, full)
