"""Adaptive softmax: frequent ids in a small head, rare ones in tail clusters of smaller width
(Grave et al. 2017, arXiv 1609.04309).

    ids      0 ........ c_1 | c_1 ........ c_2 | c_2 .......... V       cutoffs = (c_1, c_2), C = 3
             clusters
    head     D -> c_1 + (C-1) logits: the frequent ids, and one slot for each tail cluster
    tail i   D -> d_i -> its ids; P(id) = P(slot i) · P(id | tail i);   d_i = D // proj_factor^i
             unless proj_dims says otherwise

The head is computed for every token, a tail only for its own tokens. Without cutoffs the head
holds all ids: plain softmax.

Tied to an embedding E [V, D] (Press & Wolf 2017, arXiv 1608.05859; Dai et al. 2019), the output
vectors are those of E: in the head as they are, in tail i as E up_i with a projection up_i
[D, d_i] of its own. The slots have vectors of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.nn.ops import Initial


@tf.custom_gradient
def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """-log softmax(z)_t = log Σ_j e^(z_j) - z_t per row: logits [N, V] float32, targets [N] below
    V -> [N] nats.

    Its gradient is softmax(z) minus one at t: e^z is kept and scaled. TensorFlow's own, under op
    determinism, scatters into a table of zeros and takes 1.4 to 1.8 times as long on a CPU,
    forward and backward, with the products of D <= 128.
    """
    shifted = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    exponentials = tf.exp(shifted)
    total = tf.reduce_sum(exponentials, axis=-1)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        places = tf.stack([tf.range(tf.size(targets), dtype=targets.dtype), targets], axis=-1)
        return (
            tf.tensor_scatter_nd_sub(exponentials * (upstream / total)[:, None], places, upstream),
            None,
        )

    return tf.math.log(total) - tf.gather(shifted, targets, batch_dims=1), gradient


class AdaptiveSoftmax(keras.layers.Layer):
    """The adaptive softmax, with the defaults of `torch.nn.AdaptiveLogSoftmaxWithLoss`, in natural
    logarithms; `proj_factor` is torch's div_value.

    Equal weights give equal values and gradients. Differences: there may be no cutoffs; a tail is
    at least 1 wide where torch's rule int(D // div_value^i) gives 0 (torch then gives its ids
    equal probabilities); proj_dims; the head has no bias; nll has the sign of the loss, and is
    not averaged; weights are [in, out] instead of [out, in].

    Hidden states in bfloat16: products in bfloat16, logarithms and sums in float32. With random
    weights the results then differ from those in float32 by less than 2^-5 of the largest logit
    (8 bits per factor); the gradients of float32 variables are float32.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        initial: Initial,
        embedding: keras.Variable | Callable[[], tf.Tensor] | None = None,
    ):
        """embedding: E, or a function that returns it, if the output vectors are tied to it."""
        # autocast: hidden states choose the type of the products
        super().__init__(name="adaptive_softmax", autocast=False)
        config.check_vocabulary(vocab_size)
        self.ends = [*config.cutoffs, vocab_size]
        self.sizes = [high - low for low, high in zip([0, *self.ends], self.ends)]
        self.head_size, slots = self.ends[0], len(config.cutoffs)
        # a function: the weight is its owner's, not this layer's as well
        is_made = embedding is None or callable(embedding)
        self._embedding = embedding if is_made else lambda: embedding
        own = slots if embedding is not None else self.head_size + slots
        self.head = self._weight("head", (config.d_model, own), initial) if own else None
        self.tails = []
        for i, (width, size) in enumerate(zip(config.tail_widths, self.sizes[1:])):
            down = self._weight(f"tail_{i}_projection", (config.d_model, width), initial)
            if embedding is None:
                out = self._weight(f"tail_{i}", (width, size), initial)
            else:  # at this scale E up is as large as E
                scale = config.d_model**-0.5
                out = self._weight(f"tail_{i}_up", (config.d_model, width), initial, scale)
            self.tails.append((down, out))
        self.built = True

    def _weight(
        self, name: str, shape: tuple[int, int], initial: Initial, std: float | None = None
    ) -> keras.Variable:
        weight = self.add_weight(name=name, shape=shape, initializer=initial.normal(name, std))
        # tf.train.Checkpoint finds a weight by its attribute, not in a list
        setattr(self, name, weight)
        return weight

    @property
    def is_tied(self) -> bool:
        """Whether the output vectors are the embedding's."""
        return self._embedding is not None

    def tables(self) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]]]:
        """The factors of hidden states: the head [D, c_1 + C - 1], and for each tail [D, d_i] and
        [d_i, its ids]."""
        own = [] if self.head is None else [tf.convert_to_tensor(self.head)]
        tails = [tuple(map(tf.convert_to_tensor, tail)) for tail in self.tails]
        if self._embedding is None:
            return own[0], tails
        head_ids, *tail_ids = tf.split(tf.convert_to_tensor(self._embedding()), self.sizes)
        tied = [  # Di,vD->iv
            (down, tf.matmul(up, ids, transpose_a=True, transpose_b=True))
            for (down, up), ids in zip(tails, tail_ids)
        ]
        return tf.concat([tf.transpose(head_ids), *own], axis=-1), tied

    def call(self, hidden: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Same as `nll`."""
        return self.nll(hidden, targets)

    def nll(self, hidden: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """-log P(target) per token: hidden [N, D], targets [N] int32 below V -> [N] nats, float32.
        No tensor of shape [N, V] is made."""
        slot, tail_rows, tail_nll = targets, [], []
        table, tails = self.tables()
        for i, tail in enumerate(tails):
            low, high = self.ends[i], self.ends[i + 1]
            mine = (targets >= low) & (targets < high)
            rows = tf.where(mine)[:, 0]
            slot = tf.where(mine, self.head_size + i, slot)
            tail_rows.append(rows)
            tail_nll.append(
                cross_entropy(
                    _logits(tf.gather(hidden, rows), *tail), tf.gather(targets, rows) - low
                )
            )
        nll = cross_entropy(_logits(hidden, table), slot)
        if not tails:
            return nll
        return nll + tf.scatter_nd(
            tf.concat(tail_rows, 0)[:, None],
            tf.concat(tail_nll, 0),
            tf.shape(nll, out_type=tf.int64),
        )

    def most_probable(self, hidden: tf.Tensor) -> tf.Tensor:
        """The most probable id per hidden state, the lowest of equally probable ones: hidden
        [N, D] -> [N] int32. All clusters are computed, but no tensor of shape [N, V]."""
        table, tails = self.tables()
        head = tf.nn.log_softmax(_logits(hidden, table))
        ids = head[:, : self.head_size]
        best, found = tf.reduce_max(ids, axis=-1), tf.argmax(ids, axis=-1, output_type=tf.int32)
        for i, tail in enumerate(tails):
            within = tf.nn.log_softmax(_logits(hidden, *tail))
            own = head[:, self.head_size + i] + tf.reduce_max(within, axis=-1)
            place = self.ends[i] + tf.argmax(within, axis=-1, output_type=tf.int32)
            found, best = tf.where(own > best, place, found), tf.maximum(own, best)
        return found

    def log_prob(self, hidden: tf.Tensor) -> tf.Tensor:
        """Log-probabilities of all ids: hidden [N, D] -> [N, V] nats, float32 (1.1 GB for 1,024
        rows of 267,735 ids, and as much again while it is built)."""
        table, tails = self.tables()
        head = tf.nn.log_softmax(_logits(hidden, table))
        parts = [head[:, : self.head_size]]
        for i, tail in enumerate(tails):
            parts.append(
                head[:, self.head_size + i, None] + tf.nn.log_softmax(_logits(hidden, *tail))
            )
        return tf.concat(parts, axis=-1)


def _logits(hidden: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
    """hidden [N, D] times one weight after the other, each in the type of the hidden states ->
    [N, ids] float32."""
    for weight in weights:
        hidden = hidden @ tf.cast(weight, hidden.dtype)
    return tf.cast(hidden, tf.float32)
