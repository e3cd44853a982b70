"""A signal while a tool imports its modules ends it with one line, not with a traceback."""

from __future__ import annotations

import _signal  # built in: importing `signal` takes as long as all that is imported before it
import os
import sys

INTERRUPTED = "interrupted before there was anything to save"
STOPPED = 5  # the exit code of par.core.errors.StoppedError


def interrupted(_number: int, _frame: object) -> None:
    """Ends the process with one line, even during an import, where an exception is a traceback."""
    os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(STOPPED)


def guard() -> None:
    """Prepares signals, streams and the environment for the imports that follow, if the program
    that was started is a tool. Does nothing where a tool is imported as a module."""
    if not _is_program():
        return
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        # an ignored signal stays ignored, as nohup requires
        if _signal.getsignal(number) in (_signal.SIG_DFL, _signal.default_int_handler):
            _signal.signal(number, interrupted)
    from par.core import environment, streams

    streams.open_missing()
    environment.isolate()


def _is_program() -> bool:
    """Whether the program that was started is a tool: a file beside this package, par-NAME, or
    `python -m par.tools.NAME`."""
    if sys.argv[0] == "-m":  # the file of the module is not known yet
        return any(argument.startswith("par.tools.") for argument in sys.orig_argv)
    program = getattr(sys.modules["__main__"], "__file__", None) or ""
    tools = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    return (
        os.path.basename(program).startswith("par-")
        or os.path.dirname(os.path.realpath(program)) == tools
    )
