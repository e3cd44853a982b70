"""Processes that are killed or told to stop for real, and what the next start makes of what they
left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import final_state
from par.core.errors import StoppedError, UsageError
from par.search import diagnostics
from par.train import checkpoints, run_directory
from project import ROOT
from small import NETWORK, small_config, small_data, trainer

OWNER = (
    "import sys, time; from par.train import run_directory\nwith run_directory.locked(sys.argv[1],"
    " print): print('holds it', flush=True); time.sleep(60)"
)
SECONDS = 180.0
NOTE = {
    "sums": {name: [0.0, 0.0] for name in ("log", "record", "evaluation")},
    "seconds": 0.0,
    "best": None,
    "files": {},
    "run": {"objective": "causal_lm"},
    "watch": diagnostics.Stability().to_json(),
}


# ---- the lock ----


def test_the_lock_of_a_live_owner_is_refused_and_that_of_a_killed_one_is_taken_over_and_said_once(
    tmp_path,
):
    announced: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline() == "holds it\n"
        host = f"host {socket.gethostname()}, process {owner.pid}"
        with (
            pytest.raises(UsageError, match=re.escape(f"is in use by {host}: wait for it")),
            run_directory.locked(tmp_path / "run", announced.append),
        ):
            pass
        assert announced == []
        owner.kill()
    with run_directory.locked(tmp_path / "run", announced.append):
        assert (
            tmp_path / "run" / "lock"
        ).read_text() == f"host {socket.gethostname()}, process {os.getpid()}\n"
    assert announced == [
        f"the last process in {tmp_path / 'run'} ({host}) was killed, as the system does when"
        " memory runs out: it ended without saving, and what came after its last checkpoint is"
        " done again"
    ]
    with run_directory.locked(tmp_path / "run", announced.append):
        pass
    assert len(announced) == 1 and (tmp_path / "run" / "lock").read_text() == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_who_ends_by_itself_with_an_error_or_without_was_not_killed(tmp_path, error):
    announced: list[str] = []
    with pytest.raises(error), run_directory.locked(tmp_path, announced.append):
        raise error
    with run_directory.locked(tmp_path, announced.append):
        pass
    assert announced == []


# ---- a save that was killed ----


def state_of(directory: Path, keep: int = 2) -> tuple[checkpoints.Checkpoints, tf.Variable]:
    value = tf.Variable(-1)
    return checkpoints.Checkpoints(directory, {"value": value}, keep), value


def names(directory: Path) -> list[str]:
    return sorted({path.name.split(".")[0] for path in directory.glob("ckpt-*")})


# what the files of the second checkpoint are when a process dies in the middle: data is renamed
# into place, then the index is written there
LEFT = {
    "nothing yet": lambda index, data: (index.unlink(), data.unlink()),
    "data only": lambda index, data: index.unlink(),
    "an empty index": lambda index, data: index.write_bytes(b""),
    "half an index": lambda index, data: index.write_bytes(
        index.read_bytes()[: index.stat().st_size // 2]
    ),
    "all": lambda index, data: None,
}


@pytest.mark.parametrize("first", [True, False], ids=["of the first checkpoint", "of the second"])
@pytest.mark.parametrize("left", LEFT)
def test_a_save_that_was_killed_is_as_if_it_had_not_begun(tmp_path, left, first):
    made, value = state_of(tmp_path)
    for step in (20,) if first else (10, 20):
        value.assign(step)
        made.save(step, NOTE)
    (tmp_path / "ckpt-20_temp").mkdir()
    LEFT[left](tmp_path / "ckpt-20.index", tmp_path / "ckpt-20.data-00000-of-00001")
    warned: list[str] = []
    again, value = state_of(tmp_path)
    assert again.restore(warn=warned.append) == (None if first else NOTE) and warned == []
    assert int(value) == (-1 if first else 10) and list(
        run_directory.checkpoint_files(tmp_path)
    ) == ([] if first else [10])
    again.save(13, NOTE)
    assert names(tmp_path) == (["ckpt-13"] if first else ["ckpt-10", "ckpt-13"])


def test_an_index_that_is_missing_for_no_such_reason_is_damage(tmp_path):
    made, _ = state_of(tmp_path)
    made.save(10, NOTE)
    made.save(20, NOTE)
    (tmp_path / "ckpt-20.index").unlink()
    warned: list[str] = []
    assert state_of(tmp_path)[0].restore(warn=warned.append) == NOTE
    assert len(warned) == 1 and "ckpt-20 can't be used" in warned[0]


def test_after_a_resume_too_only_the_newest_checkpoints_are_kept(tmp_path):
    for step in (10, 20, 30, 40):
        made, _ = state_of(tmp_path)
        made.restore()
        made.save(step, NOTE)
    assert names(tmp_path) == ["ckpt-30", "ckpt-40"]


# ---- memory, and figures that are not finite ----

# Less memory than training needs, from the moment on at which TensorFlow is up.
LITTLE_MEMORY = """
import re, resource, sys
from par.tools import train
from par.tools.cli.tensorflow import start_tensorflow
start_tensorflow()
import par.train.trainer
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 700_000_000,) * 2)
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_that_finds_no_memory_says_what_helps_and_goes_on_where_there_is_more(tmp_path):
    # 2 steps an epoch
    data = small_data(tmp_path / "data", train=70_000, batch_size=512, seq_len=64)
    config = small_config(data, "sd", d_ffn=3072)
    config.save(tmp_path / "run", data)
    with pytest.raises(StoppedError):
        trainer(tmp_path / "run", config, data).run(should_stop=lambda step: step == 2)
    before = final_state.tensors(tmp_path / "run")
    command = [
        sys.executable,
        "-c",
        LITTLE_MEMORY,
        f"--data={data}",
        f"--run={tmp_path / 'run'}",
        "--architecture=sd",
        *NETWORK,
        "--d_ffn=3072",
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    first, *_, last = done.stderr.splitlines()
    assert first.endswith(": step 2 of 4") and last.startswith(
        "error: out of memory: lower batch_size, seq_len, --mem_len or --d_model"
    ), done.stderr
    assert "Traceback" not in done.stderr
    assert all(
        (final_state.tensors(tmp_path / "run")[name] == value).all()
        for name, value in before.items()
    )
    again = trainer(tmp_path / "run", config, data)
    again.run()
    assert again.step == 4 and again.announced == []


@pytest.mark.slow
def test_a_run_whose_weights_are_not_finite_ends_at_once_and_keeps_its_checkpoints(
    tmp_path, run_tool
):
    data = small_data(tmp_path / "data", train=1_000)
    config = small_config(data, "sd")
    config.save(tmp_path / "run", data)
    run = trainer(tmp_path / "run", config, data)
    with pytest.raises(StoppedError):
        run.run(should_stop=lambda step: step == 20)
    embedding = run.learner.objective.trunk.embedding
    embedding.assign(np.full_like(embedding.numpy(), np.inf))
    run.checkpoints.save(20, run.note)
    before = {
        path: path.read_bytes() for path in (tmp_path / "run" / "checkpoints").rglob("ckpt-*")
    }
    done = run_tool(
        "train", f"--data={data}", f"--run={tmp_path / 'run'}", "--architecture=sd", *NETWORK
    )
    assert (done.code, done.out) == (4, "") and re.search(
        r"^error: diverged at step 21: loss nan, gradient norm nan, learning rate 0.005; the last"
        r" checkpoint is finite: .*--max_lr",
        done.err,
        re.M,
    )
    assert before == {
        path: path.read_bytes() for path in (tmp_path / "run" / "checkpoints").rglob("ckpt-*")
    }


# ---- signals ----


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """93 train steps, and so much to evaluate that it takes a while."""
    return small_data(tmp_path_factory.mktemp("data") / "copies", valid=20_000)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir, run_tool) -> Path:
    """A search that met nothing."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    assert run_tool("train", *flags(data_dir, run_dir)).code == 0
    return run_dir


def flags(data_dir: Path, run_dir: Path) -> tuple[str, ...]:
    return (
        f"--data={data_dir}",
        f"--run={run_dir}",
        "--architecture=sd",
        *NETWORK,
        "--record_every=7",
        "--log_every=13",
    )


def wait_until(reached: Callable[[], bool], process: subprocess.Popen) -> None:
    end = time.monotonic() + SECONDS
    while not reached():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)


def text_of(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "number"), [("first trace", signal.SIGTERM), ("evaluation", signal.SIGINT)]
)
def test_a_signal_is_obeyed_where_the_work_can_stop_a_second_one_at_once_and_a_moved_run_goes_on(
    tmp_path, data_dir, whole, run_tool, phase, number
):
    run_dir, said = tmp_path / "run", tmp_path / "said"
    command = [sys.executable, str(ROOT / "tools" / "train.py"), *flags(data_dir, run_dir)]
    log, rows = run_dir / "training_log.log", run_dir / "history.jsonl"
    # the last that is logged before
    words = {"first trace": "parameters in all", "evaluation": "step 93 end of epoch 1"}
    with (
        open(said, "w") as err,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err
        ) as process,
    ):
        wait_until(lambda: words[phase] in text_of(log), process)
        process.send_signal(number)
        assert process.wait(timeout=SECONDS) == 5
    step = {"first trace": 7, "evaluation": 93}[phase]
    lines = said.read_text().splitlines()
    assert (
        lines[-1]
        == f"error: stopped by {number.name} at step {step} of 186; the state is saved: the same"
        " command continues"
    )
    assert "Traceback" not in said.read_text() and said.read_text().count("error:") == 1
    if phase == "first trace":
        with (
            open(said, "w") as err,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err
            ) as process,
        ):
            wait_until(lambda: words["evaluation"] in text_of(log), process)
            for _ in range(2):
                process.send_signal(number)
                time.sleep(0.2)
            start = time.monotonic()
            assert process.wait(timeout=SECONDS) == -number and time.monotonic() - start < 1.0
        assert "Traceback" not in said.read_text() and '"split": "valid"' not in text_of(rows)
    shutil.copytree(data_dir, tmp_path / "moved" / data_dir.parent.name / data_dir.name)
    run_dir = run_dir.rename(tmp_path / "moved" / "run")
    done = run_tool(
        "train", *flags(tmp_path / "moved" / data_dir.parent.name / data_dir.name, run_dir)
    )
    assert done.code == 0 and ("was killed" in done.err) == (phase == "first trace")
    assert final_state.differences(run_dir, whole) == []
