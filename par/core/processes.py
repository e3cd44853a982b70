"""Work in a process of its own, which frees the graphs, memory and counters that TensorFlow keeps
until a process ends."""

from __future__ import annotations

import concurrent.futures.process
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from par.core import streams
from par.core.errors import ParError, ResourceError, StoppedError
from par.core.signals import SIGNALS, active_signals, blocked


def run(work: Callable[..., int], *arguments: Any) -> int:
    """Runs work(asked_to_stop, *arguments) in a fresh interpreter and returns its exit code. Must
    be called from the main thread.

    asked_to_stop() becomes true when this process gets one of SIGNALS or ends, however it does. A
    second signal sends SIGTERM to the work.
    Raises: StoppedError if a signal came and the work finished nevertheless, or ended at once;
    ResourceError if the system killed it; ParError if another signal ended it.
    """
    # not a pool as in Call: it gives no exit code and passes no signal on
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_inside, args=(receiver, work, arguments))
    received: list[int] = []

    def hand_on(number: int, _frame: Any) -> None:
        received.append(number)
        if len(received) == 1:
            sender.close()  # which is also what the death of this process does
        elif process.is_alive():
            process.terminate()

    before = {number: signal.signal(number, hand_on) for number in active_signals()}
    try:
        with blocked():
            process.start()
        receiver.close()
        process.join()
        code = process.exitcode
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sender.close()
    if code == -signal.SIGKILL:
        raise ResourceError(
            "the system killed the training process, as it does when memory runs out; the last"
            " checkpoint is whole"
        )
    if received and code <= 0:
        raise StoppedError(
            f"stopped by {signal.Signals(received[0]).name}; what was trained is saved: the same"
            " command continues"
        )
    if code < 0:
        raise ParError(
            f"the training process {_describe_end(code)}; the last checkpoint is whole: the same"
            " command continues"
        )
    return code


def _inside(
    receiver: multiprocessing.connection.Connection,
    work: Callable[..., int],
    arguments: tuple[Any, ...],
) -> None:
    streams.protect()
    for number in active_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        code = work(receiver.poll, *arguments)
    except KeyboardInterrupt:
        code = StoppedError.exit_code
    sys.exit(code)


class Call:
    """A call of a module's function in a process of its own, which ends with the call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(1, context, _ignore_interrupts)
        others = set(multiprocessing.active_children())
        with blocked():
            self._future = self._pool.submit(function, *arguments)
        (self._process,) = set(multiprocessing.active_children()) - others

    def result(self, what: str = "a process") -> Any:
        """Waits for the value that the function returns.

        Raises: what it raised; ResourceError, naming `what`, if the process was ended, as by a
        lack of memory.
        """
        try:
            return self._future.result()
        except concurrent.futures.process.BrokenProcessPool:
            self._pool.shutdown()  # joins it; if two threads did, one would miss its exit code
            raise ResourceError(
                f"{what} {_describe_end(self._process.exitcode)}: try smaller sizes"
            ) from None
        except KeyboardInterrupt:
            self._process.kill()
            raise
        finally:
            self._pool.shutdown()


def _describe_end(code: int) -> str:
    """How a process ended, by its exit code, which is a signal's negative number."""
    if code >= 0:
        return f"ended with code {code}"
    reason = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{reason}"


def _ignore_interrupts() -> None:
    """Prepares a process of a pool, which its parent ends: Ctrl-C reaches both of them."""
    streams.protect()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    end_with_parent()


def end_with_parent() -> None:
    """Ends this process when the one that started it ends, even if that is killed."""
    parent = multiprocessing.parent_process().sentinel
    threading.Thread(
        target=lambda: (multiprocessing.connection.wait([parent]), os._exit(1)), daemon=True
    ).start()
