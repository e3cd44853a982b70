"""Builds of a data set that are killed at random moments, and begun again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from built import contents
from project import ROOT


def check(
    here: Path,
    run_tool,
    command: Sequence[str],
    *,
    workers: int,
    seed: int,
    scored: Sequence[str] = (),
) -> None:
    """Whatever stands after a kill is the whole data set or nothing, and the same command makes
    it the whole one. command: flags of build_data for texts in `here`; workers: of the builds that
    are killed; scored: files that come after the data set is complete."""
    inputs = sorted(os.listdir(here))
    start = time.monotonic()
    done = run_tool("build_data", *command, "--output_dir=whole", "--workers=1", cwd=here)
    seconds = time.monotonic() - start
    assert done.code == 0, done.err
    whole = contents(here / "whole")
    unscored = {name: each for name, each in whole.items() if name not in scored}
    assert len(unscored) == len(whole) - len(scored)
    for share in np.random.default_rng(seed).uniform(0.1, 1.0, size=5):
        build_process = subprocess.Popen(
            [
                *(sys.executable, str(ROOT / "tools" / "build_data.py"), *command),
                *("--output_dir=killed", f"--workers={workers}"),
            ],
            cwd=here,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(share * seconds)
        build_process.kill()
        build_process.wait()
        if (here / "killed").exists():
            assert contents(here / "killed") in (whole, unscored)
    done = run_tool("build_data", *command, "--output_dir=killed", cwd=here)
    assert done.code == 0 and contents(here / "killed") == whole
    assert sorted(os.listdir(here)) == sorted(["killed", "whole", *inputs])
