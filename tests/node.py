"""Runs the JavaScript of a page in node, where there is one: tests/page_program.mjs."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from par.export.page import parts

PROGRAM = Path(__file__).with_name("page_program.mjs")


def answer(job: dict[str, Any]) -> Any:
    """What the program answers to a job; the test is skipped where there is no node."""
    if not (node := shutil.which("node")):
        pytest.skip("node not found on PATH: on Debian, apt-get install nodejs")
    done = subprocess.run(
        [node, str(PROGRAM)], input=json.dumps(job).encode(), capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def tokenizer(model: bytes) -> dict[str, Any]:
    """The part of a job that names a SentencePiece model."""
    told, charsmap = parts.tokenizer(model)
    return {"model": told, "charsmap": base64.b64encode(charsmap).decode()}
