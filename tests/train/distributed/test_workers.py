"""Several workers train one network: the figures of one process, whoever is told to stop, lost, or
started otherwise."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from par.objectives import OBJECTIVES
from par.search import derive
from par.train import history, run_directory
from project import ROOT
from small import RATES, SHAPE, small_data
from team import make_cluster, team, until

FLAGS = ("--architecture=sad", *SHAPE, "--cutoffs=none", *RATES)
LONG = (*FLAGS, "--epochs=40", "--save_every=10")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("workers") / "copies", train=4 * 8 * 20 + 1)


def steps_saved(run_dir: Path) -> int:
    """The step of the newest checkpoint, 0 if there is none."""
    return next(iter(run_directory.checkpoint_files(run_dir / "checkpoints")), 0)


def assert_alike(run_dir: Path, other: Path) -> None:
    """Every row of the history, and the architecture that is derived, are the same but for the
    last digits."""
    one, two = (
        history.read_rows(path / "history.jsonl", OBJECTIVES["causal_lm"])
        for path in (run_dir, other)
    )
    assert (
        len(one["train"]) == len(two["train"]) >= 20 and len(one["valid"]) == len(two["valid"]) > 0
    )
    for mine, theirs in zip(one["train"], two["train"], strict=True):
        np.testing.assert_allclose(mine["nll_per_token"], theirs["nll_per_token"], rtol=2e-5)
        np.testing.assert_allclose(mine["pi"], theirs["pi"], atol=2e-4)
    for mine, theirs in zip(one["valid"], two["valid"], strict=True):
        np.testing.assert_allclose(mine["nll_per_token"], theirs["nll_per_token"], rtol=2e-5)
    assert derive.argmax(one["train"][-1]["pi"]) == derive.argmax(two["train"][-1]["pi"])


@pytest.mark.slow
def test_two_workers_of_which_one_is_told_to_stop_and_then_one_process_end_like_one_process(
    tmp_path, data_dir, call
):
    flags = (f"--data={data_dir}", *FLAGS, "--epochs=3", "--record_every=1", "--save_every=1000")
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert call("train", *flags, f"--run={whole}").code == 0
    with team(tmp_path, 2, *flags, f"--run={shared}") as workers:
        until("the first epoch", lambda: steps_saved(shared) >= 20)
        workers.workers[1].send_signal(signal.SIGTERM)
        chief, other = workers.finish()
    assert (chief.code, other.code) == (5, 5), (chief, other)
    step = steps_saved(shared)
    assert 20 <= step < 60
    assert chief.err.splitlines()[-1].startswith(
        f"error: stopped by request of another worker at step {step} of 60; the state is saved"
    )
    assert (
        other.err.splitlines()[-1].startswith(
            f"error: stopped by SIGTERM at step {step} of 60; the state is saved"
        )
        and not other.out
    )
    again = call("train", *flags, f"--run={shared}")
    assert again.code == 0 and f"step {step} of 60" in again.err
    assert_alike(whole, shared)


@pytest.mark.slow
def test_a_lost_worker_ends_the_others_within_a_minute_and_the_job_goes_on(tmp_path, data_dir):
    run, saved = tmp_path / "run", 0
    # a process that died; a machine that no longer answers
    for number in (signal.SIGKILL, signal.SIGSTOP):
        with team(tmp_path, 2, f"--data={data_dir}", *LONG, f"--run={run}") as workers:
            until("a checkpoint", lambda: steps_saved(run) > saved)  # noqa: B023  called at once
            workers.workers[1].send_signal(number)
            start = time.monotonic()
            [chief] = workers.finish(0, seconds=60)
            assert time.monotonic() - start < 60
        assert chief.code == 6 and f": step {saved} of 800" in chief.err
        assert (
            "another worker was lost" in chief.err.splitlines()[-1]
            and "start all workers again" in chief.err.splitlines()[-1]
        )
        saved = steps_saved(run)


@pytest.mark.slow
def test_a_worker_started_with_other_settings_is_refused_by_all(tmp_path, data_dir):
    run = tmp_path / "run"
    with team(
        tmp_path, 2, f"--data={data_dir}", *LONG, f"--run={run}", own={1: ("--seed=5",)}
    ) as workers:
        chief, other = workers.finish()
    said = (
        "it was started with other settings than the chief (training.seed: 0 -> 5): start all"
        " workers with the same command"
    )
    assert (chief.code, other.code) == (1, 1) and not (run / "config.json").exists()
    assert other.err.splitlines()[-1] == f"error: {said}"
    assert chief.err.splitlines()[-1].startswith(
        "error: worker 1 (127.0.0.1:"
    ) and chief.err.splitlines()[-1].endswith(said)


@pytest.mark.slow
def test_what_the_chief_refuses_ends_all(tmp_path, data_dir):
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    with team(tmp_path, 2, f"--data={data_dir}", *LONG, f"--run={run}") as workers:
        chief, other = workers.finish()
    assert (chief.code, other.code) == (1, 1)
    assert all(
        "holds files but no config.json" in done.err.splitlines()[-1] for done in (chief, other)
    )


@pytest.mark.slow
def test_a_worker_that_waits_for_the_others_says_for_whom_and_leaves_on_a_signal(
    tmp_path, data_dir
):
    with team(tmp_path, 2, f"--data={data_dir}", *LONG, f"--run={tmp_path / 'run'}") as workers:
        workers.workers[1].kill()
        until(
            "that it says so",
            lambda: "s for worker 1 (127.0.0.1:" in (tmp_path / "worker0.err").read_text(),
        )
        workers.workers[0].send_signal(signal.SIGTERM)
        [chief] = workers.finish(0)
    assert (
        chief.code == 5
        and chief.err.splitlines()[-1] == "error: interrupted before there was anything to save"
    )


SRUN = """#!{python}
import os, subprocess, sys
envs = [os.environ | {{"SLURM_PROCID": str(number)}} for number in range(2)]
tasks = [subprocess.Popen(sys.argv[1:], env=env) for env in envs]
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = (
    '#!/bin/sh\n[ "$1 $2" = "show hostnames" ] && [ "$3" = "node[1-2]" ] && printf'
    ' "127.0.0.1\\n127.0.0.1\\n"\n'
)


@pytest.mark.slow
def test_the_batch_script_starts_a_worker_on_every_node(tmp_path, data_dir):
    script = re.search(
        r"```bash\n(#!/bin/bash\n.*?)```", (ROOT / "docs" / "scaling.md").read_text(), re.DOTALL
    )[1]
    make_cluster(tmp_path, "workers.sbatch", script, SRUN, SCONTROL)
    slurm = {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node[1-2]",
    }
    env = {**os.environ, **slurm, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = [
        "bash",
        "workers.sbatch",
        f"--data={data_dir}",
        *FLAGS,
        "--epochs=1",
        "--run=logs/run",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stdout.count("done: 20 steps; run: logs/run") == 1, (
        done.stderr
    )
    assert (
        json.loads((tmp_path / "logs" / "run" / "environment.json").read_text())["replicas"] == 2
    )
