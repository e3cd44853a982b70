"""Runs a tool: from its arguments to its exit code, with one line on stderr for every error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from absl import flags

from par.core import files, streams
from par.core.errors import (
    ParError,
    ResourceError,
    SettingError,
    StoppedError,
    UsageError,
    one_line,
)
from par.core.signals import active_signals
from par.tools.cli.flags import Flags
from par.tools.cli.interrupts import INTERRUPTED, interrupted
from par.tools.cli.recipes import expand_recipe, flag_name
from par.tools.cli.shelved import fetch_runs

# settings of the data set or of the run are named as flags only by the tools that have these flags
OUT_OF_MEMORY = SettingError(
    "out of memory: lower batch_size, seq_len, mem_len or d_model",
    *("batch_size", "seq_len", "mem_len", "d_model"),
)


class Subcommand(Protocol):
    """A module, or anything else, with the flags and the work of a subcommand."""

    FLAGS: Flags
    work: Callable[[Flags], Any]


def run_command(
    values: Flags, work: Callable[[Flags], int | None], argv: list[str] | None = None
) -> int:
    """Parses `argv` (without the program's name) into `values`, does the work, and turns what
    happens into an exit code, which is returned.

    Every error a user can cause is one line on stderr; only a defect shows a traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    streams.protect()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a character that the terminal's encoding lacks is shown by its code, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    with _stopped_by_signals():
        return _exit_code(values, work, arguments)


def overview(doc: str | None, subcommands: Mapping[str, Subcommand]) -> Flags:
    """What --help prints of the whole command: its docstring, and the flags of each."""
    options = (line for each in subcommands.values() for line in each.FLAGS.options())
    return Flags("\n".join([doc or "", *options]))


def run_subcommand(
    subcommands: Mapping[str, Subcommand], whole: Flags, what: str, argv: list[str] | None
) -> int:
    """Runs the subcommand that the first argument names; returns the exit code. whole: its
    `overview`; what: what that argument says, in words."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    named = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if named in subcommands:
        return run_command(subcommands[named].FLAGS, subcommands[named].work, arguments)

    def refuse(_: Flags) -> int:
        raise UsageError(
            f"the first argument must name {what}, one of {', '.join(subcommands)}, but is"
            f" {named!r}; see --help"
        )

    return run_command(whole, refuse, [] if named else arguments)


def _exit_code(values: Flags, work: Callable[[Flags], int | None], arguments: list[str]) -> int:
    try:
        if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(arguments):
            print(values.usage())
            code = 0
        else:
            parse(values, arguments)
            _check_text(values)
            fetch_runs(values)
            code = work(values) or 0
        sys.stdout.flush()
        return code
    except SettingError as error:
        return _fail(error.of_flags(values), error.exit_code)
    except ParError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, StoppedError.exit_code)
    except MemoryError:
        return _fail(OUT_OF_MEMORY.of_flags(values), ResourceError.exit_code)
    except streams.OutputError as error:
        _discard_output()
        # the reader of the output has ended, as `| head` does
        return 0 if error.errno == errno.EPIPE else _fail_to_write("the output", error)
    except OSError as error:
        if error.errno in files.DISK_FULL:
            return _fail_to_write(error.filename or "the output", error)
        # a path that the user named, or one below it: missing, a directory, not permitted
        if error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}", UsageError.exit_code)
        return _defect(error)
    except Exception as error:
        # TensorFlow's; the module may not be loaded here
        if type(error).__name__ == "ResourceExhaustedError":
            remedy = f"{OUT_OF_MEMORY.of_flags(values)}, or use another --sampling"
            return _fail(remedy, ResourceError.exit_code)
        return _defect(error)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Every signal that ends the work raises KeyboardInterrupt, as SIGINT does."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in active_signals():
            handler = signal.getsignal(number)
            if number != signal.SIGINT or handler is interrupted:
                before[number] = handler
                signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            # the work is done, or its error is printed: a signal has nothing to report
            signal.signal(number, signal.SIG_DFL if handler is interrupted else handler)


def _discard_output() -> None:
    """Sends what stdout's buffer still holds to the null device, so that the interpreter does not
    try to write it again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail_to_write(what: str, error: OSError) -> int:
    remedy = files.DISK_ERRORS.get(error.errno, "give it another place")
    return _fail(f"can't write {what} ({error.strerror}): {remedy}", ResourceError.exit_code)


def parse(values: Flags, arguments: list[str]) -> None:
    """Reads a tool's arguments into its flags. Raises: UsageError in one line for everything that
    absl refuses (which raises ValueError for `--nojson=1`)."""
    values.unparse_flags()
    try:
        arguments = values.read_flags_from_files(arguments, force_gnu=False)
        rest = values(["tool", *expand_recipe(_one_value_a_flag(arguments, values), values)])[1:]
        if (name := values.positional) and (
            isinstance(values[name], flags.MultiFlag)
            or (len(rest) == 1 and not values[name].present)
        ):
            rest = values(["tool", *(f"--{name}={word}" for word in rest)])[1:]
    except ParError:
        raise
    except (flags.Error, ValueError) as error:
        # absl's message is a tuple
        said = re.sub(
            r"\('Non-boolean argument to boolean flag', (.*)\)",
            r"must be true or false, but is \1",
            str(error),
        )
        raise UsageError(f"{said}; see --help") from None
    if rest:
        raise UsageError(
            f"unexpected argument {rest[0]!r}: every option is a flag, --name=value; see --help"
        )


def _check_text(values: Flags) -> None:
    """Raises: UsageError for a flag or a working directory that is not UTF-8: TensorFlow opens no
    such path, and no artefact can name it."""
    given = {f"--{name}": values[name].value for name in values}
    with contextlib.suppress(FileNotFoundError):  # another process removed it
        given["the working directory"] = os.getcwd()
    for where, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii() and re.search("[\ud800-\udfff]", text):
                raise UsageError(
                    f"{where} must be UTF-8, but is {text!r}: give a text or a name that is"
                )


def _one_value_a_flag(arguments: Sequence[str], known: flags.FlagValues) -> list[str]:
    """Turns `--run A B`, as a shell expands `--run logs/*`, into `--run=A --run=B`, if --run is
    repeatable; other flags in the same way."""
    rest, out = list(arguments), []
    while rest:
        out.append(flag := rest.pop(0))
        name = flag_name(flag)
        if rest and "=" not in flag and name in known and isinstance(known[name], flags.MultiFlag):
            out.append(rest.pop(0))
            while rest and not rest[0].startswith("-"):
                out.append(f"{flag}={rest.pop(0)}")
    return out


def _defect(error: Exception) -> int:
    traceback.print_exception(error)
    return _fail(f"unexpected {type(error).__name__}: please report the lines above", 1)


def _fail(message: str, code: int) -> int:
    print(f"error: {one_line(message)}", file=sys.stderr)
    return code
