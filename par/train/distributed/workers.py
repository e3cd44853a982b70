"""Processes that train one network together: the chief broadcasts the state, and an error of one
worker ends all of them.

The chief alone reads and writes the run; the others receive the state from it, so that they need
the data but no file of the run. Every call here is made by all workers in the same order. A single
process exchanges nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import numpy as np
import tensorflow as tf

from par.core import errors, watchdog
from par.core.errors import ParError, ResourceError, StoppedError, UsageError
from par.train.distributed import cluster, rendezvous
from par.train.distributed.replicas import Replicas

JOIN_SECONDS = 120  # for TensorFlow's servers to find each other
# seconds; a worker that does not answer three times is lost, after 25 at most (TensorFlow's own:
# 30 and 10)
HEALTH_INTERVAL, HEALTH_TIMEOUT = 10, 5
MAX_ERROR_BYTES = 4_000
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.DeadlineExceededError,
)
CODES = {
    kind.exit_code: kind
    for kind in (ParError, errors.DataError, errors.DivergedError, StoppedError, ResourceError)
} | {1: UsageError}


class Workers:
    """The processes of a strategy, and the replicas of all of them."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.replicas = Replicas(strategy)
        multi = isinstance(self.replicas.strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._cluster = cluster.from_environment() if multi else cluster.Cluster(("localhost",), 0)
        self._sum = tf.function(self._sum_once)
        self.count, self.index, self.is_chief = (
            len(self._cluster.addresses),
            self._cluster.index,
            self._cluster.is_chief,
        )

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag, whether any worker has set it."""
        return [bool(total) for total in self._total([np.array(flags, np.int64)])[0]]

    def on_all(self, work: Callable[[], Any]) -> Any:
        """Calls `work` on every worker and returns this worker's result. Raises: the error of the
        first worker that failed, on all of them."""
        result, error = None, None
        try:
            result = work()
        except ParError as raised:
            error = raised
        if self.count == 1:
            if error:
                raise error
            return result
        table = np.zeros([self.count, 1 + MAX_ERROR_BYTES], np.int64)
        if error:
            text = np.frombuffer(str(error).encode()[:MAX_ERROR_BYTES], np.uint8)
            table[self.index, 0] = error.exit_code
            table[self.index, 1 : 1 + len(text)] = text
        for worker, (code, *text) in enumerate(self._total([table])[0]):
            if code:
                said = bytes(text).rstrip(b"\0").decode("utf-8", "replace")
                raise error or CODES[code](
                    f"worker {worker} ({self._cluster.addresses[worker]}): {said}"
                )
        return result

    def from_chief(self, work: Callable[[], Any]) -> Any:
        """The result of `work` on the chief, which alone calls it: a value that JSON can hold.
        Raises: the chief's error, on all workers."""
        value = self.on_all(work if self.is_chief else lambda: None)
        if self.count == 1:
            return value
        text = np.frombuffer(
            json.dumps(value).encode() if self.is_chief else b"", np.uint8
        ).astype(np.int64)
        length = int(self._total([np.array([len(text)], np.int64)])[0][0])
        return json.loads(
            bytes(
                self._total([text if self.is_chief else np.zeros(length, np.int64)])[0].astype(
                    np.uint8
                )
            )
        )

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Copies the chief's values of the variables to every worker."""
        if self.count == 1:
            return
        by_type: dict[Any, list[Any]] = {}  # what is added up at once is of one type
        for variable in variables:
            by_type.setdefault(variable.dtype, []).append(variable)
        for alike in by_type.values():
            values = [
                np.asarray(variable.numpy()) if self.is_chief else np.zeros_like(variable.numpy())
                for variable in alike
            ]
            for variable, value in zip(alike, self._total(values)):
                variable.assign(value)

    def _total(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """The sums over the workers."""
        return (
            values
            if self.count == 1
            else [
                tensor.numpy()
                for tensor in self._sum([tf.convert_to_tensor(value) for value in values])
            ]
        )

    def _sum_once(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """The sums over the workers; the first replica of each contributes its values."""
        each = self.replicas.count // self.count

        def on_replica() -> list[tf.Tensor]:
            first = tf.distribute.get_replica_context().replica_id_in_sync_group % each == 0
            return self.replicas.total(
                [tf.where(first, value, tf.zeros_like(value)) for value in values]
            )

        return [self.replicas.one(value) for value in self.replicas.run(on_replica)]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turns the errors that TensorFlow raises when a worker is lost into a ResourceError."""
        try:
            yield
        except LOST as error:
            if self.count == 1:
                raise
            raise ResourceError(
                f"worker {self.index}: another worker was lost"
                f" ({' '.join(str(error).split())[:200]}); the last checkpoint is whole: start all"
                " workers again with the same command"
            ) from None
        finally:
            # else the process would wait at its end until the thread of TensorFlow's check wakes
            if self.count > 1:
                self.replicas.strategy.extended._check_health_thread = None


def strategy(distribute: str, num_devices: int, stderr: TextIO) -> tf.distribute.Strategy:
    """The strategy of --distribute; called before TensorFlow's first operation.

    distribute: none, mirrored (num_devices of this machine, 0: all GPUs; without a GPU so many
    devices share the cores), or multi_worker (TF_CONFIG). stderr: where it is told for whom this
    worker waits.
    Raises: UsageError if there are not so many devices, or TF_CONFIG is missing or wrong;
    ResourceError if the other workers do not come.
    """
    if distribute == "none":
        return tf.distribute.get_strategy()
    gpus = tf.config.list_physical_devices("GPU")
    if distribute == "mirrored":
        if gpus and num_devices > len(gpus):
            raise UsageError(
                f"--num_devices must be at most the number of GPUs, {len(gpus)}, but is"
                f" {num_devices}"
            )
        wanted = num_devices or max(len(gpus), 1)
        if not gpus:
            tf.config.set_logical_device_configuration(
                tf.config.list_physical_devices("CPU")[0],
                [tf.config.LogicalDeviceConfiguration()] * wanted,
            )
        return tf.distribute.MirroredStrategy(
            [f"{'GPU' if gpus else 'CPU'}:{number}" for number in range(wanted)]
        )
    rendezvous.meet(cluster.from_environment(), lambda line: print(line, file=stderr, flush=True))
    # TensorFlow would wait without end for a worker that is lost just now, and holds the
    # interpreter
    with watchdog.exiting_after(
        JOIN_SECONDS,
        f"timed out after {JOIN_SECONDS} s while the workers joined: one was lost; start all"
        " workers again with the same command",
        stderr,
    ):
        made = tf.distribute.MultiWorkerMirroredStrategy()
    made.extended._check_health_interval, made.extended._check_health_timeout = (
        HEALTH_INTERVAL,
        HEALTH_TIMEOUT,
    )
    return made
