"""Command lines of other tools, for messages that tell what to run next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any


def tool_command(tool: str, **named: Any) -> str:
    """The command line of another tool: its script or its installed name, as this one was run."""
    program = (
        f"par-{tool}" if Path(sys.argv[0]).name.startswith("par-") else f"python tools/{tool}.py"
    )
    return " ".join(
        [
            program,
            *(f"--{name}={shlex.quote(str(value))}" for name, value in named.items() if value),
        ]
    )
