"""Work in a process of its own, which frees the graphs, memory and counters that TensorFlow keeps
until a process ends."""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

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
    return run_each(work, [arguments])


def run_each(
    work: Callable[..., int],
    calls: Sequence[tuple[Any, ...]],
    at_once: int = 1,
    on_done: Callable[[int], None] = lambda number: None,
) -> int:
    """Runs `work` as `run` does for the arguments of each call, in order, `at_once` side by side,
    which share the cores of this process. Returns 0, or the exit code of the first that failed.

    Where one fails or a signal comes, no further one is begun, and those at work are asked to
    stop. on_done: called in this process with the number of a call that has ended well.
    Raises: as `run`.
    """
    waiting, crew = list(enumerate(calls)), _Crew(work, at_once)
    with crew.stopped_by_signals():
        while crew.at_work or (waiting and not crew.is_stopping):
            while waiting and not crew.is_stopping and crew.is_free:
                crew.begin(*waiting.pop(0))
            for number in crew.wait():
                on_done(number)
    return crew.outcome()


class _Process(NamedTuple):
    """A process at work on a call. sender: closed to ask it to stop; slot: whose cores it has."""

    number: int
    process: multiprocessing.process.BaseProcess
    sender: multiprocessing.connection.Connection
    slot: int


class _Crew:
    """The processes that `run_each` has begun."""

    # not a pool as in Call: it gives no exit code and passes no signal on
    def __init__(self, work: Callable[..., int], at_once: int):
        self.at_work: list[_Process] = []
        self._work, self._at_once = work, at_once
        self._received: list[int] = []
        self._failure = 0  # exit code of the first that failed
        self._context = multiprocessing.get_context("spawn")

    @property
    def is_stopping(self) -> bool:
        """Whether a signal came or a process failed."""
        return bool(self._received or self._failure)

    @property
    def is_free(self) -> bool:
        """Whether one more can work."""
        return len(self.at_work) < self._at_once

    def begin(self, number: int, arguments: tuple[Any, ...]) -> None:
        """Starts the process of a call."""
        receiver, sender = self._context.Pipe(duplex=False)
        slot = min(set(range(self._at_once)) - {each.slot for each in self.at_work})
        cores = sorted(os.sched_getaffinity(0))
        own = cores[slot :: self._at_once] or cores
        inside = (receiver, own, self._work, arguments)
        process = self._context.Process(target=_inside, args=inside)
        with blocked():
            process.start()
            self.at_work.append(_Process(number, process, sender, slot))
        receiver.close()
        if self._received:
            sender.close()

    def wait(self) -> list[int]:
        """Waits until a process ends; returns the numbers of the calls that ended well."""
        ended = multiprocessing.connection.wait([each.process.sentinel for each in self.at_work])
        found = [each for each in self.at_work if each.process.sentinel in ended]
        for each in found:
            each.process.join()
            each.sender.close()
            self.at_work.remove(each)
            if not self._failure and (code := each.process.exitcode):
                self._failure = code
                self._ask_to_stop()
        return [each.number for each in found if each.process.exitcode == 0]

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Within, the first signal asks the processes to stop, the second ends them."""
        before = {number: signal.signal(number, self._hand_on) for number in active_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._ask_to_stop()

    def outcome(self) -> int:
        """What `run_each` returns or raises."""
        code = self._failure
        if code == -signal.SIGKILL:
            raise ResourceError(
                "the system killed the training process, as it does when memory runs out; the last"
                " checkpoint is whole"
            )
        if self._received and code <= 0:
            raise StoppedError(
                f"stopped by {signal.Signals(self._received[0]).name}; what was trained is saved:"
                " the same command continues"
            )
        if code < 0:
            raise ParError(
                f"the training process {_describe_end(code)}; the last checkpoint is whole: the"
                " same command continues"
            )
        return code

    def _hand_on(self, number: int, _frame: Any) -> None:
        self._received.append(number)
        if len(self._received) == 1:
            self._ask_to_stop()  # which is also what the death of this process does
        else:
            for each in self.at_work:
                if each.process.is_alive():
                    each.process.terminate()

    def _ask_to_stop(self) -> None:
        for each in self.at_work:
            each.sender.close()


def _inside(
    receiver: multiprocessing.connection.Connection,
    cores: Sequence[int],
    work: Callable[..., int],
    arguments: tuple[Any, ...],
) -> None:
    streams.protect()
    os.sched_setaffinity(0, cores)
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
