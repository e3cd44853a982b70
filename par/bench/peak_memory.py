"""Peak memory: of this process, of a training, and of a process with its children."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from par.core import processes
from par.train.run_config import RunConfig

STEPS = 2  # updates in each of two graph calls: the first already reaches the peak
INTERVAL = 0.2  # seconds between two looks at the memory of a family of processes


_seen: dict[int, int] = {}  # MB by process: Linux adds up its counters of several cores unlocked


def of_this_process() -> int:
    """The peak resident memory of this process, in MB of 1024 kB. It never falls.

    Not `ru_maxrss`: in a child process, that begins at its parent's.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    now = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
    process = os.getpid()  # a child that was forked begins anew
    _seen[process] = max(now, _seen.get(process, 0))
    return _seen[process]


def of_training(config: RunConfig, start_tensorflow: Callable[[], Any]) -> dict[str, int]:
    """Peak memory (MB) and number of parameters of a training, in a process of its own, as a
    process never gives its peak back.

    start_tensorflow: called first in that process; a function of a module. Raises: ResourceError
    if the process was killed, as by a lack of memory.
    """
    name = f"the process that trained {config.architecture.short}"
    return processes.Call(_train, config, start_tensorflow).result(name)


def _train(config: RunConfig, start_tensorflow: Callable[[], Any]) -> dict[str, int]:
    start_tensorflow()
    from par.bench import training_speed

    trial = training_speed.TimedTraining(config, STEPS)
    trial.run()
    return {
        "peak_memory_megabytes": of_this_process(),
        "parameters": trial.learner.parameters,
    }


class FamilyPeak:
    """The most memory that a process and its descendants have had at the same time, in bytes;
    pages that they share count once."""

    def __init__(self, process: int):
        self.process, self.bytes = process, 0

    def look(self) -> None:
        """Compares the memory of this moment."""
        self.bytes = max(self.bytes, sum(map(_proportional_bytes, _family(self.process))))


@contextlib.contextmanager
def watched(process: int) -> Iterator[FamilyPeak]:
    """The peak of a process and its descendants while the body runs, looked at by a thread."""
    peak, done = FamilyPeak(process), threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _family(process: int) -> list[int]:
    found = [process]
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += _family(int(child))
    return found


def _proportional_bytes(process: int) -> int:
    """Proportional set size in bytes; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
