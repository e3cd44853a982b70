"""Elements for objectives that read documents: for each target of a batch, the tokens of the
documents that the objective draws for it, in the graph.

    epoch         rows of the targets in a new random order, B in each step
    Draw          row of a target, seed  ->  rows of the documents beside it; -1 is an empty slot
    element       the first T tokens of all of them, [PAD] behind a short one and in empty slots

What is drawn for a target in training depends on (seed, step, row of the batch), in an evaluation
on its place among the targets and on the draw: so a resumed run reads what an uninterrupted one
reads, and scores do not depend on B. Memory holds the first T ids of every document of a split,
4 T bytes each; nothing is copied on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from par.core.errors import ResourceError
from par.core.machine import memory_bytes
from par.data import documents
from par.data.manifest import Manifest
from par.data.tokenizer import PAD
from par.nn.forward_mode import Phase
from par.nn.ops import hashed_seed
from par.objectives.pools import Pool

EMPTY = -1  # the row of an empty slot


class PoolTensors(NamedTuple):
    """A Pool in the graph; the same arrays."""

    order: tf.Tensor
    start: tf.Tensor
    length: tf.Tensor
    first: tf.Tensor
    count: tf.Tensor

    @classmethod
    def of(cls, pool: Pool) -> PoolTensors:
        """The tensors of a pool."""
        # a pool without candidates has an order, too, of which nothing is drawn
        return cls(*map(tf.constant, pool._replace(order=np.append(pool.order, np.int32(EMPTY)))))

    def draw(self, rows: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """[B, N] int32 rows of N candidates of each row [B], each subset of them equally probable,
        in no particular order; EMPTY where there are no more. numbers: [B, N] of `row_integers`.

        Floyd's algorithm (Bentley & Floyd 1987): N of m candidates by N numbers. Slot i takes one
        of the first j + 1 candidates, j = m - min(N, m) + i, unless an earlier slot has it: then
        candidate j, which none can have.
        """
        start, length, first, count = (
            tf.cast(tf.gather(each, rows), tf.int64)
            for each in (self.start, self.length, self.first, self.count)
        )
        size = numbers.shape[1]
        slots: list[tf.Tensor] = []
        for slot in range(size):
            last = tf.maximum(count - tf.minimum(tf.constant(size, tf.int64), count) + slot, 0)
            drawn = numbers[:, slot] % (last + 1)
            taken = tf.zeros_like(drawn, tf.bool)
            for earlier in slots:
                taken |= earlier == drawn
            slots.append(tf.where(taken, last, drawn))
        chosen = tf.stack(slots, axis=1)
        place = start[:, None] + (first[:, None] + chosen) % length[:, None]
        is_there = tf.range(size, dtype=tf.int64) < count[:, None]
        found = tf.gather(self.order, tf.where(is_there, place, 0))
        return tf.where(is_there, found, EMPTY)


class Draws(NamedTuple):
    """What an objective draws of the documents of a split.

    targets: [n] rows of the documents that can be a target. draw: rows [B], seeds [B, 2] -> rows
    by name, [B, ...] int32. facts: rows [B] -> whatever else an element has, [B] int32 by name.
    together: [n] numbers: targets of one number follow each other in training, as they stand in
    `targets`; None: none do.
    """

    targets: np.ndarray
    draw: Callable[[tf.Tensor, tf.Tensor], Mapping[str, tf.Tensor]]
    facts: Callable[[tf.Tensor], Mapping[str, tf.Tensor]] = lambda rows: {}
    together: np.ndarray | None = None


class DocumentReader:
    """The documents of a split with what an objective draws of them."""

    def __init__(
        self,
        data_dir: Path,
        manifest: Manifest,
        split: str,
        length: int,
        make_draws: Callable[[np.ndarray], Draws],
    ):
        """length: T, the tokens that are read of a document. make_draws: from the table [R, 6] of
        the split. Raises: DataError as documents.load; ResourceError if the beginnings of the
        documents do not fit into this machine's memory."""
        table = documents.load(data_dir, split, manifest)
        needed, limit = 4 * length * len(table), memory_bytes()
        if needed > limit:
            raise ResourceError(
                f"the first {length:,} tokens of {len(table):,} documents take"
                f" {needed / 1e9:,.1f} GB, but this process may use {limit / 1e9:,.1f} GB: lower"
                " --doc_len"
            )
        reader = documents.TokenReader(data_dir, manifest, split, table)
        self.draws = make_draws(table)
        # the last row is that of an empty slot
        read = np.append(reader.beginnings(length, PAD), np.full([1, length], PAD, np.int32), 0)
        with tf.device("CPU:0"):
            self._tokens = tf.constant(read)

    @property
    def count(self) -> int:
        """The number of documents that an evaluation scores."""
        return len(self.draws.targets)

    def evaluation_steps(self, batch_size: int) -> int:
        """The number of elements of an evaluation in B rows."""
        return -(-self.count // batch_size)

    def training(self, batch_size: int, seed: int, step: int, steps: int) -> tf.data.Dataset:
        """The elements of steps `step`, step + 1, ... of a run, `steps` of them.

        All targets take their turns in a random order, then all again in another one.
        """
        targets = self._in_turn(seed, step * batch_size, steps * batch_size)
        numbers = tf.range(batch_size, dtype=tf.int64)

        def element(step: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
            phase = Phase(training=True, seed=seed, step=step)
            return self._element(rows, phase.row_seeds("documents", numbers), tf.ones_like(rows))

        of_steps = np.arange(step, step + steps), targets.reshape(steps, batch_size)
        with tf.device("CPU:0"):
            return (
                tf.data.Dataset.from_tensor_slices(of_steps)
                .map(element)
                .prefetch(tf.data.AUTOTUNE)
            )

    def evaluation(self, batch_size: int, draw: int = 0) -> tf.data.Dataset:
        """The elements of one evaluation of all targets in B rows, in the order of the targets."""
        steps = self.evaluation_steps(batch_size)
        numbers = np.arange(batch_size * steps).reshape(steps, batch_size)
        rows = self.draws.targets[np.minimum(numbers, self.count - 1)].astype(np.int32)
        phase = Phase(draw=draw)

        def element(number: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
            is_scored = tf.cast(number < self.count, tf.int32)
            return self._element(rows, phase.row_seeds("documents", number), is_scored)

        with tf.device("CPU:0"):
            return tf.data.Dataset.from_tensor_slices((numbers, rows)).map(element)

    def drawn(self, draw: int = 0) -> dict[str, np.ndarray]:
        """The rows by name that an evaluation draws for all targets in order, [n, ...]."""
        numbers = tf.range(self.count, dtype=tf.int64)
        rows = tf.constant(self.draws.targets, tf.int32)
        found = self.draws.draw(rows, Phase(draw=draw).row_seeds("documents", numbers))
        return {name: each.numpy() for name, each in found.items()}

    def _in_turn(self, seed: int, first: int, count: int) -> np.ndarray:
        """[count] int32 rows of targets, from turn `first` of the run on."""
        size = self.count
        cycles = range(first // size, (first + count - 1) // size + 1)
        orders = [self._order(seed, cycle) for cycle in cycles]
        begin = first - cycles[0] * size
        return self.draws.targets[np.concatenate(orders)[begin : begin + count]].astype(np.int32)

    def _order(self, seed: int, cycle: int) -> np.ndarray:
        """[n] a random permutation, the same for equal seeds and cycles."""
        seeds = [hashed_seed(seed, "order"), cycle]
        keys = tf.random.stateless_uniform([self.count], seeds, None, None, tf.int64).numpy()
        if self.draws.together is not None:
            _, number = np.unique(self.draws.together, return_inverse=True)
            keys = keys[number]  # the same of all that are together
        return np.argsort(keys, kind="stable")

    def _element(
        self, rows: tf.Tensor, seeds: tf.Tensor, is_scored: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The tokens of what is drawn for rows [B], the facts, and `scored` [B], 0 for a row that
        only fills the batch."""
        last = self._tokens.shape[0] - 1
        tokens = {
            name: tf.gather(self._tokens, tf.where(drawn == EMPTY, last, drawn))
            for name, drawn in self.draws.draw(rows, seeds).items()
        }
        return {**tokens, **self.draws.facts(rows), "scored": is_scored}


class Readers:
    """The readers of an objective, each made when it is first asked for.

    length: T, the tokens that are read of a document. make_draws: from the table [R, 6] of a
    split, the name of that, and the directory of the data.
    """

    def __init__(self, length: int, make_draws: Callable[[np.ndarray, str, Path], Draws]):
        self._length, self._make_draws = length, make_draws
        self._made: dict[tuple[Path, str], DocumentReader] = {}

    def of(self, data_dir: Path, manifest: Manifest, split: str) -> DocumentReader:
        """The reader of a split. Raises: DataError, ResourceError as DocumentReader; what
        make_draws raises."""
        key = Path(data_dir), split
        if key not in self._made:

            def draws(table: np.ndarray) -> Draws:
                return self._make_draws(table, split, key[0])

            self._made[key] = DocumentReader(key[0], manifest, split, self._length, draws)
        return self._made[key]
