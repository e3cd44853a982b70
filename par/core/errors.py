"""The errors of this program, one class for each exit code.

0 done · 1 usage or unexpected · 3 data or checkpoint invalid · 4 diverged
5 stopped by a signal, state saved · 6 out of disk or memory, or a worker lost
"""

from __future__ import annotations

import re
from collections.abc import Container

from par.core.text import escape

# characters: a message shows what was received, and a damaged file may hold any value
MAX_MESSAGE = 4000


def one_line(text: str) -> str:
    """`text` as one printable line of at most MAX_MESSAGE characters."""
    line = escape(" ".join(text[: 4 * MAX_MESSAGE].split()))
    if len(line) <= MAX_MESSAGE and len(text) <= 4 * MAX_MESSAGE:
        return line
    return f"{line[:MAX_MESSAGE]} ..."


class ParError(Exception):
    """Base of all errors that a user can cause or meet. The message is one line: the rule, what
    was received, what to do."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(ParError, ValueError):
    """A flag, a setting or an architecture is not valid."""


class SettingError(UsageError):
    """Settings are not valid. names: those that the message names, as in Python and JSON."""

    def __init__(self, message: str, *names: str):
        super().__init__(message)
        self.names = names

    def of_flags(self, flags: Container[str]) -> str:
        """The message with the settings that are flags written as flags: `--num_heads must be at
        least 1, but is 0`."""
        typed = "|".join(name for name in self.names if name in flags)
        if not typed:
            return str(self)
        # not inside a path or the name of a file
        return re.sub(rf"(?<![-\w/.])({typed})(?![\w/.])", r"--\1", str(self))


class DataError(ParError, ValueError):
    """Text, records, a tokenizer, a checkpoint or another artefact is missing, damaged or does not
    fit."""

    exit_code = 3


class DivergedError(ParError, ArithmeticError):
    """The loss or a gradient is not finite."""

    exit_code = 4


class StoppedError(ParError):
    """A signal ended the work; the state was saved."""

    exit_code = 5


class ResourceError(ParError, OSError):
    """Disk or memory is exhausted; what was saved before is whole."""

    exit_code = 6
