"""A build that is timed has its stages and its own peak memory, and one that is killed is one
line."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from par.bench import data_speed
from par.core.config import DataConfig
from par.core.errors import ParError, ResourceError
from par.tools.cli.tensorflow import start_tensorflow


def kill_children(done: threading.Event) -> None:
    """Kills the first interpreter that this process starts for a call, as the system does where
    memory runs out."""
    while not done.wait(0.01):
        for thread in Path("/proc/self/task").iterdir():
            for child in (thread / "children").read_text().split():
                command = Path(f"/proc/{child}/cmdline")
                if command.exists() and b"spawn_main" in command.read_bytes():
                    time.sleep(0.1)
                    os.kill(int(child), signal.SIGKILL)
                    return


def test_a_build_whose_process_is_killed_is_a_lack_of_resources(tmp_path):
    done = threading.Event()
    killer = threading.Thread(target=kill_children, args=(done,))
    killer.start()
    try:
        with pytest.raises(ResourceError, match="the process that built the data set"):
            data_speed.build_timed(
                DataConfig(input_text=str(tmp_path / "text.txt")),
                tmp_path / "data",
                1,
                start_tensorflow,
            )
    finally:
        done.set()
        killer.join()
    assert ResourceError.exit_code == 6


def test_what_a_build_raises_comes_through(tmp_path):
    with pytest.raises(ParError, match=r"text\.txt"):
        data_speed.build_timed(
            DataConfig(input_text=str(tmp_path / "text.txt")),
            tmp_path / "data",
            1,
            start_tensorflow,
        )
