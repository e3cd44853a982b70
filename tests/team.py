"""Several workers of one training on this machine's loopback interface, as `train
--distribute=multi_worker` is started on several machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project import ROOT, Finished


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def environment(ports: list[int], index: int) -> dict[str, str]:
    """TF_CONFIG of one worker."""
    workers = [f"127.0.0.1:{port}" for port in ports]
    return {
        "TF_CONFIG": json.dumps(
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        )
    }


def make_cluster(directory: Path, name: str, script: str, srun: str, scontrol: str) -> None:
    """Puts into a directory what a batch script of the docs finds: the tools, a Python in .venv,
    and Slurm's commands, in bin. srun may name {python}."""
    programs = {
        name: script,
        "bin/srun": srun.format(python=sys.executable),
        "bin/scontrol": scontrol,
        ".venv/bin/python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }
    for place, text in programs.items():
        (directory / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / place).write_text(text)
        (directory / place).chmod(0o755)
    (directory / "tools").symlink_to(ROOT / "tools")


class Team:
    """Workers that were started with the same flags, apart from those of `own`, by worker."""

    def __init__(
        self,
        directory: Path,
        count: int,
        *flags: str,
        own: dict[int, tuple[str, ...]] | None = None,
    ):
        ports = free_ports(count)
        self._files = [
            [(directory / f"worker{index}.{name}").open("w+") for name in ("out", "err")]
            for index in range(count)
        ]
        self.workers = []
        for index, (out, err) in enumerate(self._files):
            command = [
                sys.executable,
                str(ROOT / "tools" / "train.py"),
                "--distribute=multi_worker",
                *flags,
                *(own or {}).get(index, ()),
            ]
            env = {**os.environ, **environment(ports, index)}
            self.workers.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
                )
            )

    def finish(self, *indices: int, seconds: float = 240) -> list[Finished]:
        """What these workers, or all, ended with. Raises: subprocess.TimeoutExpired if they have
        not by then."""
        end, results = time.monotonic() + seconds, []
        for index in indices or range(len(self.workers)):
            code = self.workers[index].wait(max(0.1, end - time.monotonic()))
            out, err = (Path(file.name).read_text() for file in self._files[index])
            assert "Traceback" not in err, err
            results.append(Finished(code, out, err))
        return results

    def close(self) -> None:
        """Ends what still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
                worker.wait(60)
        for files in self._files:
            for file in files:
                file.close()


@contextmanager
def team(
    directory: Path, count: int, *flags: str, own: dict[int, tuple[str, ...]] | None = None
) -> Iterator[Team]:
    """A Team whose workers end with the block."""
    made = Team(directory, count, *flags, own=own)
    try:
        yield made
    finally:
        made.close()


def until(what: str, happened: object, seconds: float = 240) -> None:
    """Waits until happened() is true. Raises: TimeoutError."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)
