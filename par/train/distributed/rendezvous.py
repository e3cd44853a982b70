"""All workers of a job wait for each other before TensorFlow starts: it would wait without a
limit, ignore signals, and not say for whom it waits.

worker:  connect to the chief's address, again and again  ->  "par INDEX CLUSTER"  ->  wait for
         "go"
chief:   listen there until every worker's connection is open  ->  "go" to all  ->  leave the
         address to TensorFlow
"""

from __future__ import annotations

import contextlib
import hashlib
import selectors
import socket
import time
from collections.abc import Callable

from par.core.errors import ResourceError, UsageError
from par.train.distributed.cluster import Cluster

# seconds for which a worker waits for the others: batch systems may start them minutes apart
PATIENCE = 900.0
TELL_EVERY = 10.0  # seconds
RETRY = 0.2  # seconds
GO = b"go\n"
MAX_GREETING = 200  # bytes


def meet(cluster: Cluster, announce: Callable[[str], None], patience: float = PATIENCE) -> None:
    """Waits until every worker has connected. Raises: ResourceError after `patience` seconds;
    UsageError if the chief can't listen at its port."""
    waiting = _Waiting(cluster, announce, patience)
    if cluster.is_chief:
        _gather(cluster, waiting)
    else:
        _connect(cluster, waiting)


class _Waiting:
    """The time for which a worker has waited."""

    def __init__(self, cluster: Cluster, announce: Callable[[str], None], patience: float):
        self._cluster, self._announce, self._patience = cluster, announce, patience
        self._start = self._told = time.monotonic()

    def check(self, missing: list[int]) -> None:
        """Announces every TELL_EVERY seconds the workers that are missing. Raises: ResourceError
        after the limit."""
        names = ", ".join(
            f"worker {index} ({self._cluster.addresses[index]})" for index in missing
        )
        waited = time.monotonic() - self._start
        if waited > self._patience:
            raise ResourceError(
                f"{self._cluster} timed out after {waited:.0f} s waiting for {names}: start all"
                " workers with the same command"
            )
        if time.monotonic() - self._told > TELL_EVERY:
            self._told = time.monotonic()
            self._announce(f"{self._cluster} has waited {waited:.0f} s for {names}")


def _greeting(cluster: Cluster, index: int) -> bytes:
    digest = hashlib.sha256(" ".join(cluster.addresses).encode()).hexdigest()[:16]
    return f"par {index} {digest}\n".encode()


def _gather(cluster: Cluster, waiting: _Waiting) -> None:
    port = int(cluster.addresses[0].rpartition(":")[2])
    greetings = {_greeting(cluster, index): index for index in range(1, len(cluster.addresses))}
    with contextlib.ExitStack() as held:
        try:
            listener = held.enter_context(
                socket.create_server(("", port), backlog=len(cluster.addresses))
            )
        except OSError as error:
            raise UsageError(
                f"{cluster} can't listen at port {port} ({error.strerror}): give another in"
                " TF_CONFIG, the same to all workers"
            ) from None
        selector = held.enter_context(selectors.DefaultSelector())
        selector.register(listener, selectors.EVENT_READ)
        connected: dict[int, socket.socket] = {}
        while len(connected) < len(greetings):
            for key, _ in selector.select(RETRY):
                if key.fileobj is listener:
                    connection = held.enter_context(listener.accept()[0])
                    connection.settimeout(RETRY)
                    selector.register(connection, selectors.EVENT_READ)
                    continue
                index = greetings.get(_received(key.fileobj))
                if index is None:  # it has left, or is not a worker of this job
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    connected = {
                        other: connection
                        for other, connection in connected.items()
                        if connection is not key.fileobj
                    }
                else:
                    connected[index] = key.fileobj
            waiting.check(
                [index for index in range(1, len(cluster.addresses)) if index not in connected]
            )
        for connection in connected.values():
            connection.sendall(GO)
        # each closes first, so that no connection lingers at the chief's port
        for connection in connected.values():
            _received(connection)


def _connect(cluster: Cluster, waiting: _Waiting) -> None:
    host, _, port = cluster.addresses[0].rpartition(":")
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(
                (host.strip("[]"), int(port)), timeout=RETRY * 10
            ) as connection,
        ):
            connection.sendall(_greeting(cluster, cluster.index))
            connection.settimeout(RETRY)
            while (answer := _received(connection)) != b"":
                if answer == GO:
                    return
                waiting.check([0])
        waiting.check([0])
        time.sleep(RETRY)


def _received(connection: socket.socket) -> bytes | None:
    """The bytes that have come; b"" if the other side has closed, None if there are none yet."""
    try:
        return connection.recv(MAX_GREETING)
    except TimeoutError:
        return None
    except OSError:
        return b""
