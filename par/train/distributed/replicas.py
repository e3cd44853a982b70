"""One network on several devices (tf.distribute): the rows of each replica, and the sums over all
replicas.

    global batch [B, T+1], the same on every replica          rows of replica r of R: r*B/R ...
    (r+1)*B/R - 1
    replica 0   row 0 | row 1         own memories, own dropout by global row
    replica 1   row 2 | row 3         the same Gumbel noise, the same weights

Each row of the batch, which is a stream of text, stays on one replica with its memories. Losses
and gradients are summed over all rows before a gradient is clipped, so that every replica makes
the same update, the one that a single device would make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from par.core.errors import SettingError


class Replicas:
    """The devices of a strategy (tf.distribute) that share every batch; one device where no other
    strategy is given."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.count = self.strategy.num_replicas_in_sync

    def rows_each(self, batch_size: int) -> int:
        """B / R. Raises: UsageError if R does not divide B."""
        if batch_size % self.count:
            raise SettingError(
                f"batch_size must be divisible by the number of devices, {self.count}, but is"
                f" {batch_size}: build the data with another --batch_size",
                "batch_size",
            )
        return batch_size // self.count

    def first_row(self, batch_size: int) -> Any:
        """On a replica, the number of its first row: 0 for one replica, else an int64 tensor."""
        if self.count == 1:
            return 0
        return tf.cast(
            tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64
        ) * self.rows_each(batch_size)

    def own_rows(self, batch: Any, axis: int = 0) -> Any:
        """On a replica, its rows of every tensor of a nest, whose `axis` counts the rows."""

        def rows_of(tensor: tf.Tensor) -> tf.Tensor:
            begin, size = [0] * tensor.shape.rank, tensor.shape.as_list()
            begin[axis], size[axis] = (
                tf.cast(self.first_row(tensor.shape[axis]), tf.int32),
                self.rows_each(tensor.shape[axis]),
            )
            return tf.ensure_shape(tf.slice(tensor, begin, size), size)

        return tf.nest.map_structure(rows_of, batch) if self.count > 1 else batch

    def total(self, nest: Any) -> Any:
        """On a replica, the sums over all replicas of every tensor of a nest."""
        return (
            tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, nest)
            if self.count > 1
            else nest
        )

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function on every replica; returns one value for each."""
        return self.strategy.run(function, args=arguments)

    def one(self, value: Any) -> tf.Tensor:
        """The value that `run` returned, if it is the same for all replicas."""
        return self.strategy.experimental_local_results(value)[0]

    def all_rows(self, value: Any, axis: int = 0) -> tf.Tensor:
        """The rows that `run` returned for each replica, concatenated in the order of the
        batch."""
        return self.strategy.gather(value, axis=axis) if self.count > 1 else value


def own_variable(value: tf.Tensor) -> tf.Variable:
    """Within the scope of a strategy, a variable of which every replica has its own."""
    return tf.Variable(value, trainable=False, synchronization=tf.VariableSynchronization.ON_READ)
