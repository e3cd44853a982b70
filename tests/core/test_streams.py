"""Work does not depend on who reads its progress; a closed stream is the null device."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

START = (
    "import os, sys; from pathlib import Path; from par.core import streams; streams.protect()\n"
)
CLOSED = [each for n in (1, 2, 3) for each in itertools.combinations((0, 1, 2), n)]


def run(program: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", START + program, *arguments], timeout=60, text=True, **options
    )


def unread_pipe() -> int:
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("unbuffered", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_work_goes_on_when_the_reader_of_stderr_has_left(tmp_path, unbuffered):
    program = (
        "from par.core.progress import Progress, announce\n"
        "announce('a line'); print('another', file=sys.stderr, flush=True)\n"
        "with Progress('work', 'step', 3) as progress: progress(1)\n"
        "Path(sys.argv[1]).write_text('done'); print('result')\n"
    )
    writing = unread_pipe()
    done = subprocess.run(
        [sys.executable, *unbuffered, "-c", START + program, tmp_path / "made"],
        stdout=subprocess.PIPE,
        stderr=writing,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "result\n")
    assert (tmp_path / "made").read_text() == "done"


def test_all_that_is_written_arrives_also_where_a_pipe_does_not_block():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    program = "print('x' * 300_000, file=sys.stderr)"
    with subprocess.Popen([sys.executable, "-c", START + program], stderr=writing) as process:
        os.close(writing)
        with open(reading) as err:
            assert err.read() == "x" * 300_000 + "\n"
    assert process.returncode == 0


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_no_file_gets_the_number_of_a_closed_stream(closed, tmp_path):
    program = (
        "file = open(sys.argv[1], 'w'); assert file.fileno() > 2\n"
        "os.write(2, b'from a library\\n'); print('a result'); print('a line', file=sys.stderr)\n"
        "assert sys.stdin.read() == ''; file.write('whole')\n"
        "import subprocess; subprocess.run(['true'], check=True)\n"
    )
    shut = "".join(f" {number}{'<' if number == 0 else '>'}&-" for number in closed)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'"$@" {shut}',
            "bash",
            sys.executable,
            "-c",
            START + program,
            tmp_path / "f",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if 1 in closed else "a result\n")
    assert done.stderr == ("" if 2 in closed else "from a library\na line\n")
    assert (tmp_path / "f").read_text() == "whole"


def test_only_stdout_raises_what_tells_that_it_takes_no_more():
    program = (
        "try: print('x', flush=True)\n"
        "except streams.OutputError as error: print(repr(error), file=sys.stderr)\n"
        "reading, writing = os.pipe(); os.close(reading)\n"
        "try: os.write(writing, b'x')\n"
        "except BrokenPipeError as error: print(type(error).__name__, file=sys.stderr)\n"
        "os._exit(0)\n"
    )
    writing = unread_pipe()
    done = run(program, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.stderr.splitlines() == ["OutputError(32, 'Broken pipe')", "BrokenPipeError"]


def test_streams_that_another_program_has_put_in_place_stay(capsys):
    from par.core import streams

    before = sys.stdout, sys.stderr
    streams.protect()
    assert before == (sys.stdout, sys.stderr)
    print("seen")
    assert capsys.readouterr().out == "seen\n"


def test_protecting_twice_changes_nothing_more():
    program = (
        "once = sys.stderr, sys.stdout; streams.protect()\nassert once == (sys.stderr, sys.stdout)"
    )
    assert run(program).returncode == 0
