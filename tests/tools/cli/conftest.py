"""Flags parsed as a tool parses them."""

from __future__ import annotations

import pytest

from every_flag import all_flags
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command


@pytest.fixture
def parsed(capsys):
    """Runs a tool whose work is to keep its flags; returns them, or (exit code, stderr) if it was
    refused."""

    def parse(*arguments: str) -> Flags | tuple[int, str]:
        kept, values = [], all_flags()
        code = run_command(values, lambda given: kept.append(given), list(arguments))
        return kept[0] if kept else (code, capsys.readouterr().err)

    return parse
