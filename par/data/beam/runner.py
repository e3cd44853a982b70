"""One job on an Apache Beam runner: its options, its log, and how it ends. Needs the extra
`beam`."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from par.core.errors import ResourceError, UsageError
from par.core.signals import SIGNALS

# what DirectRunner comes down to here; by that name, Beam 2.77 first downloads a binary of another
# runner, and runs that
PROCESSES = "FnApiRunner"
LAST_WORDS = 2.0  # seconds that Beam's threads have to end, when a job is broken off
JOB_SERVER = "--job_endpoint"  # behind it is a server that may have options of its own


def read_options(texts: Sequence[str]) -> PipelineOptions:
    """Options as Beam takes them. Raises: UsageError for one that neither Beam nor its runner has,
    or a value that it does not take."""
    try:
        arguments = [argument for text in texts for argument in shlex.split(text)]
    except ValueError as error:
        raise UsageError(
            f"--runner_options can't be split into words ({error}): quote them as on a command"
            " line"
        ) from None
    parsers = []

    def refuse(message: str) -> typing.NoReturn:
        raise UsageError(f"--runner_options: {message}")

    def keep(parser: Any) -> None:
        parser.error = refuse
        parsers.append(parser)

    options = PipelineOptions(arguments)
    options.get_all_options(add_extra_args_fn=keep)
    unknown = parsers[0].parse_known_args(arguments)[1]
    if unknown and not any(argument.split("=")[0] == JOB_SERVER for argument in arguments):
        raise UsageError(
            f"--runner_options: Beam {beam.__version__} has no option {unknown[0]!r}: give it"
            " options of Beam or of its runner"
        )
    if options.view_as(StandardOptions).runner in (None, "DirectRunner"):
        options.view_as(StandardOptions).runner = PROCESSES
    try:
        beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner_options: {' '.join(str(error).split())}") from None
    return options


def run(build: Callable[[beam.Pipeline], None], options: PipelineOptions) -> None:
    """Runs a pipeline to its end. To be called from the main thread.

    Beam 2.77 waits forever for a worker process that the system ended, which only one of its own
    threads notices, and for a busy one when it is told to stop. So both cases are detected here,
    and the worker processes of this machine are ended first.

    Raises: what the runner raises; ResourceError if a worker process was ended.
    """
    is_here, others = options.view_as(StandardOptions).runner == PROCESSES, processes_below()
    asked, lost, result, hook = [], [], None, threading.excepthook

    def stop(number: int, _frame: Any) -> typing.NoReturn:
        asked.append(number)
        if is_here:
            for process in processes_below() - others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        raise KeyboardInterrupt

    def notice(failure: threading.ExceptHookArgs) -> None:
        hook(failure)
        if "subprocess exited" in str(failure.exc_value) and not asked and not lost:
            lost.append(failure.exc_value)
            # wakes it from a lock, which _thread.interrupt_main does not
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN or number == signal.SIGTERM:
            signal.signal(number, stop)
    threading.excepthook = notice
    try:
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        result = pipeline.run()
        result.wait_until_finish()
    except KeyboardInterrupt:
        if result is not None:
            result.cancel()
        if lost:
            raise ResourceError(
                "a worker process was ended by the system, out of memory as a rule: give fewer"
                " workers"
            ) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            end = time.monotonic() + LAST_WORDS
            for thread in set(threading.enumerate()) - {threading.current_thread()}:
                thread.join(max(end - time.monotonic(), 0))  # what they say belongs into the log
        threading.excepthook = hook


def processes_below() -> set[int]:
    """The descendants of this process."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found, last = set(), {os.getpid()}
    while last:
        last = {process for process, parent in parents.items() if parent in last} - found
        found |= last
    return found


def last_line(error: BaseException) -> str:
    """The last line of a runner's error: a worker's error, without the traceback before it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:500]


@contextlib.contextmanager
def logged(log: Path) -> Iterator[None]:
    """Redirects file descriptor 2 and logging, of Beam and its worker processes, to a file."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 2)
        root.setLevel(logging.INFO)  # a runner tells there where its job can be watched
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        root.handlers[:] = handlers
        root.setLevel(level)
