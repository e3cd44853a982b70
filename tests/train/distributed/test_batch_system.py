"""The batch script of docs/reliability.md, run as Slurm does: told to stop before its time is up,
requeued, and killed with its node."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

import final_state
from project import ROOT
from small import RATES, SHAPE, small_data
from team import make_cluster

NETWORK = (*SHAPE, *RATES, "--epochs=3")
# Starts a step of the job, and when that has trained a little, does what a time limit (TERM) or a
# node that fails (KILL, the script too) does to it.
SRUN = """#!{python}
import os, pathlib, signal, subprocess, sys, time
fates = pathlib.Path("fates")
fate, *left = fates.read_text().split()
fates.write_text(" ".join(left))
log = pathlib.Path("logs/run/training_log.log")
before = log.read_text().count("lr ") if log.is_file() else 0
process = subprocess.Popen(sys.argv[1:])
while process.poll() is None and fate != "NONE":
    if log.is_file() and log.read_text().count("lr ") > before + 1:
        os.killpg(0, signal.SIGKILL) if fate == "KILL" else process.send_signal(signal.SIGTERM)
        break
    time.sleep(0.01)
sys.exit(process.wait())
"""
SCONTROL = '#!/bin/sh\necho "$@" >>requeued\n'


@pytest.mark.slow  # five trainings, or parts of them
def test_the_batch_script_requeues_a_job_that_was_stopped_until_it_is_done_bit_for_bit(
    tmp_path, run_tool
):
    data = small_data(tmp_path / "data")
    flags = (f"--data={data}", "--architecture=sd", *NETWORK, "--log_every=5", "--save_every=20")
    assert run_tool("train", *flags, f"--run={tmp_path / 'whole'}").code == 0
    script = re.search(
        r"```bash\n(#!/bin/bash\n.*?)```", (ROOT / "docs" / "reliability.md").read_text(), re.S
    )[1]
    assert {"#SBATCH --signal=TERM@300", "#SBATCH --requeue"} <= set(script.splitlines())
    make_cluster(tmp_path, "train.sbatch", script, SRUN, SCONTROL)
    (tmp_path / "fates").write_text("TERM KILL TERM NONE")
    env = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "4711",
    }
    ends, said = [], []
    # as Slurm: put back by scontrol, or for --requeue
    while not ends or ends[-1] in (5, -signal.SIGKILL):
        command = ["bash", "train.sbatch", *flags, "--run=logs/run"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        ends.append(done.returncode)
        said.append(done.stderr)
        assert (
            len((tmp_path / "requeued").read_text().splitlines()) == ends.count(5)
            and len(ends) < 6
        ), done.stderr
    assert (
        ends == [5, -signal.SIGKILL, 5, 0]
        and (tmp_path / "requeued").read_text() == "requeue 4711\n" * 2
    )
    assert ["was killed" in text for text in said] == [False, False, True, False]
    steps = [int(re.search(r"step (\d+) of 279", text)[1]) for text in said]
    assert steps[0] == 0 < steps[1] <= steps[2] < steps[3]
    assert final_state.differences(tmp_path / "logs" / "run", tmp_path / "whole") == []
