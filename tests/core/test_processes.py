"""Work in a process of its own: its exit code, and what signals and deaths on either side come
to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from par.core import processes, signals
from par.core.errors import ParError, ResourceError, SettingError, StoppedError
from project import TESTS

SECONDS = 60.0  # far beyond what any of the works takes


def note_process(asked_to_stop, path, code):
    Path(path).write_text(f"{os.getpid()} {asked_to_stop()}")
    return code


def until_asked(asked_to_stop, path, code):
    Path(path).write_text(str(os.getpid()))
    end = time.monotonic() + SECONDS
    while not asked_to_stop() and time.monotonic() < end:
        time.sleep(0.02)
    Path(path).with_suffix(".asked").touch()
    return code


def deaf(asked_to_stop, path):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Path(path).write_text(str(os.getpid()))
    time.sleep(SECONDS)
    return 0


def meet(asked_to_stop, directory, name, others):
    """Notes its cores, and waits until the others have begun, too."""
    cores = sorted(os.sched_getaffinity(0))
    Path(directory, name).write_text(" ".join(map(str, cores)))
    end = time.monotonic() + SECONDS
    while not all(Path(directory, each).exists() for each in others):
        if time.monotonic() > end:
            return 1
        time.sleep(0.02)
    return 0


def fail_or_wait(asked_to_stop, path, code):
    """Fails when the other one is up, or waits to be asked to stop."""
    if not code:
        return until_asked(asked_to_stop, path, 0)
    while not Path(path).exists():
        time.sleep(0.02)
    return code


def add(*numbers):
    return sum(numbers), os.getpid()


def add_after_an_interrupt(*numbers):
    os.kill(os.getpid(), signal.SIGINT)
    return sum(numbers)


def refuse(setting):
    raise SettingError(f"{setting} is wrong", setting)


def end_at_once(code):
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def note_and_sleep(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(SECONDS)


def is_alive(pid):
    """Whether a process runs: one that has ended, but that nobody has asked for, does not."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def end_by(asked_to_stop, number):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(SECONDS)


def when_up(path, *numbers):
    """Sends this process signals once the work is up, a little apart, as a thread."""

    def send():
        while not path.exists() or not path.read_text():
            time.sleep(0.02)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    threading.Thread(target=send, daemon=True).start()


def start_parent(directory, program, up):
    """Starts a program that calls for work; returns when that is up."""
    (directory / "parent.py").write_text(program)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS / "core")))}
    parent = subprocess.Popen([sys.executable, "parent.py", str(up)], cwd=directory, env=env)
    end = time.monotonic() + SECONDS
    while not (up.exists() and up.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    return parent


@pytest.mark.parametrize("code", [0, 4])
def test_the_exit_code_is_that_of_the_work_which_runs_elsewhere_and_is_not_asked_to_stop(
    tmp_path, code
):
    assert processes.run(note_process, str(tmp_path / "note"), code) == code
    pid, asked = (tmp_path / "note").read_text().split()
    assert int(pid) != os.getpid() and asked == "False"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_the_work_to_stop_and_its_code_is_returned(tmp_path, number):
    handlers = [signal.getsignal(one) for one in signals.SIGNALS]
    when_up(tmp_path / "up", number)
    assert processes.run(until_asked, str(tmp_path / "up"), 5) == 5
    assert (tmp_path / "up.asked").exists() and [
        signal.getsignal(one) for one in signals.SIGNALS
    ] == handlers


def test_a_signal_stops_even_if_the_work_came_to_its_end(tmp_path):
    when_up(tmp_path / "up", signal.SIGTERM)
    with pytest.raises(
        StoppedError,
        match="stopped by SIGTERM; what was trained is saved: the same command continues",
    ):
        processes.run(until_asked, str(tmp_path / "up"), 0)


def test_a_second_signal_ends_work_that_does_not_listen(tmp_path):
    when_up(tmp_path / "up", signal.SIGINT, signal.SIGINT)
    with pytest.raises(StoppedError, match="stopped by SIGINT"):
        processes.run(deaf, str(tmp_path / "up"))


def test_work_that_the_system_kills_is_out_of_memory_and_any_other_end_is_named():
    with pytest.raises(
        ResourceError,
        match=(
            "killed the training process, as it does when memory runs out; the last checkpoint is"
            " whole"
        ),
    ):
        processes.run(end_by, signal.SIGKILL)
    with pytest.raises(ParError, match="was ended by SIGTERM") as caught:
        processes.run(end_by, signal.SIGTERM)
    assert caught.value.exit_code == 1


def test_several_work_side_by_side_on_cores_of_their_own_each_call_once_and_in_order(tmp_path):
    both, done = ("a", "b"), []
    calls = [(str(tmp_path), name, both) for name in both] + [(str(tmp_path), "c", ())]
    assert processes.run_each(meet, calls, 2, done.append) == 0
    assert sorted(done) == [0, 1, 2] and done[-1] == 2
    cores = [(tmp_path / name).read_text().split() for name in both]
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) == 1:
        assert cores == [[str(mine[0])]] * 2
    else:
        assert [len(each) for each in cores] == [(len(mine) + 1) // 2, len(mine) // 2]
        assert sorted(cores[0] + cores[1], key=int) == list(map(str, mine))


def test_when_one_fails_the_others_are_asked_to_stop_and_no_further_one_is_begun(tmp_path):
    calls = [(str(tmp_path / "up"), code) for code in (0, 4)] + [(str(tmp_path / "third"), 0)]
    done = []
    assert processes.run_each(fail_or_wait, calls, 2, done.append) == 4
    assert (tmp_path / "up.asked").exists() and not (tmp_path / "third").exists()


def test_a_signal_stops_all_that_are_at_work_and_no_further_one_is_begun(tmp_path):
    when_up(tmp_path / "b", signal.SIGTERM)
    calls = [(str(tmp_path / name), 0) for name in "abc"]
    with pytest.raises(StoppedError, match="stopped by SIGTERM"):
        processes.run_each(until_asked, calls, 2)
    assert [(tmp_path / f"{name}.asked").exists() for name in "abc"] == [True, True, False]


PARENT = """
import sys
from par.core import processes
from test_processes import until_asked
if __name__ == "__main__":
    processes.run(until_asked, sys.argv[1], 5)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=["KILL", "HUP"])
def test_the_work_is_asked_to_stop_when_its_parent_is_gone(tmp_path, number):
    parent = start_parent(tmp_path, PARENT, tmp_path / "up")
    parent.send_signal(number)
    parent.wait()
    for _ in range(200):
        if (tmp_path / "up.asked").exists():
            break
        time.sleep(0.1)
    assert (tmp_path / "up.asked").exists()


def test_a_call_returns_or_raises_what_the_function_does_in_a_process_of_its_own():
    calls = [processes.Call(add, 1, 2), processes.Call(refuse, "depth")]
    total, pid = calls[0].result()
    assert total == 3 and pid != os.getpid() and not is_alive(pid)
    # Ctrl-C reaches both processes; the parent decides
    assert processes.Call(add_after_an_interrupt, 1, 2).result() == 3
    with pytest.raises(SettingError, match="depth is wrong") as caught:
        calls[1].result()
    assert caught.value.names == ("depth",)


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (7, "the work ended with code 7"),
        (
            -signal.SIGKILL,
            "the work was ended by SIGKILL, as the system does when memory",
        ),
        (-signal.SIGALRM, "the work was ended by SIGALRM"),
        (-signal.SIGABRT, "the work was ended by SIGABRT"),
    ],
)
def test_a_call_whose_process_is_ended_is_one_line_that_says_how(code, end):
    with pytest.raises(ResourceError, match=f"^{end}.*: try smaller sizes"):
        processes.Call(end_at_once, code).result("the work")


def test_an_interrupt_ends_the_process_of_a_call_at_once(tmp_path):
    when_up(tmp_path / "up", signal.SIGINT)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        processes.Call(note_and_sleep, str(tmp_path / "up")).result()
    assert time.monotonic() - begin < SECONDS / 2
    assert not is_alive(int((tmp_path / "up").read_text()))


CALLER = """
import sys
from par.core import processes
from test_processes import note_and_sleep
if __name__ == "__main__":
    processes.Call(note_and_sleep, sys.argv[1]).result()
"""


def test_the_process_of_a_call_ends_when_its_parent_is_killed(tmp_path):
    up = tmp_path / "up"
    parent = start_parent(tmp_path, CALLER, up)
    parent.kill()
    parent.wait()
    pid, end = int(up.read_text()), time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(pid)
