"""Real faults for tests: a small disk that fills up, a limit on the size of a file, a changed
artefact, and how much memory a command took."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n,"
    " n)); os.execv(sys.argv[2], sys.argv[2:])"
)
# A process between the test and the command: what is measured of a child of pytest is at least
# what pytest itself has.
MEASURED = (
    "import pathlib, resource, subprocess, sys; code = subprocess.run(sys.argv[2:]).returncode;"
    " used = resource.getrusage(resource.RUSAGE_CHILDREN);"
    " pathlib.Path(sys.argv[1]).write_text(str(used.ru_maxrss));"
    " sys.exit(code)"
)


def limited(size: int) -> tuple[str, ...]:
    """What to put in front of a command that may write no file of more than `size` bytes
    (EFBIG)."""
    return (sys.executable, "-c", LIMITED, str(size))


def measured(path: Path) -> tuple[str, ...]:
    """What to put in front of a command whose peak memory, in KiB, is to be written to `path`."""
    return (sys.executable, "-c", MEASURED, str(path))


class SmallDisk:
    """A file system of its own, in memory, that only processes started by `prefix` see at `path`;
    from outside it lies at `seen`."""

    def __init__(self, path: Path, size: str):
        path.mkdir(parents=True)
        self.path = path
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }
        self._shell = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh"], **pipes
        )
        self._do(f"mount -t tmpfs -o size={size} none '{path}'")
        self.prefix = (
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--mount",
            f"--target={self._shell.pid}",
            f"--wd={Path.cwd()}",
        )
        self.seen = Path(f"/proc/{self._shell.pid}/root{path}")

    def _do(self, command: str) -> None:
        self._shell.stdin.write(f"{command} && echo done || echo failed\n")
        self._shell.stdin.flush()
        lines = []
        while not lines or lines[-1] not in ("done", "failed", ""):
            lines.append(self._shell.stdout.readline().strip())
        if lines[-1] != "done":
            raise OSError(f"{command}: {' '.join(lines)}")

    def change(self, options: str) -> None:
        """Mounts it anew: size=64m for more room, ro for a disk that takes nothing."""
        self._do(f"mount -o remount,{options} '{self.path}'")

    def close(self) -> None:
        self._shell.stdin.close()
        self._shell.stdout.close()
        self._shell.wait(timeout=60)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """A SmallDisk of `size` (tmpfs: 64k, 2m) that goes when the block ends."""
    disk = SmallDisk(path, size)
    try:
        yield disk
    finally:
        disk.close()


def why_no_small_disk(path: Path) -> str:
    """Why this system lets a test mount no disk of its own, or ''."""
    for tool in ("unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"there is no {tool} (util-linux), by which a test mounts a small disk"
    try:
        with small_disk(path, "64k"):
            return ""
    except OSError as error:
        return f"this system lets a test mount no small disk ({error})"


def change_json(path: Path, place: str, value: Any) -> None:
    """Sets the value at "a.b.c" of a JSON file; a list has its places from 0."""
    whole = json.loads(path.read_text())
    inner = whole
    *parents, last = place.split(".")
    for key in parents:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[last] = value
    path.write_text(json.dumps(whole))
