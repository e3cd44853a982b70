"""Every error is one line and the documented exit code."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import pytest

from every_flag import all_flags
from par.core import config, errors
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command

IMPORTS = """import sys
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
"""
BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


ResourceExhaustedError = type("ResourceExhaustedError", (Exception,), {})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--num_heads=0"], "--num_heads must be at least 1, but is 0"),
        (
            ["--num_heads=3"],
            (
                "--d_model must be even and a multiple of --num_heads, but --d_model is 128 and"
                " --num_heads 3"
            ),
        ),
        (
            ["--weight_decay=1"],
            (
                "--weight_decay needs --optimizer=adamw, but --optimizer is adam and"
                " --weight_decay 1.0"
            ),
        ),
    ],
)
def test_a_setting_that_was_typed_is_named_as_it_was_typed(flags, said, capsys):
    assert (
        run_command(
            all_flags(),
            lambda given: [given.read(config.ModelConfig), given.read(config.TrainingConfig)],
            flags,
        )
        == 1
    )
    assert capsys.readouterr().err == f"error: {said}\n"
    only = Flags("A tool.").group(config.TrainingConfig, "Training", only=("weight_decay",))
    assert run_command(only, lambda given: given.read(config.ModelConfig, num_heads=0), []) == 1
    # no flag of this tool
    assert capsys.readouterr().err == "error: num_heads must be at least 1, but is 0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--colour=red"], "Unknown command line flag 'colour'"),
        (["--epochs=many"], "flag --epochs=many: invalid literal for int"),
        (["--epochs"], "Missing value for flag --epochs"),
        (["--norm=mid"], "flag --norm=mid: value should be one of <pre|post>"),
        (["--axis=z"], "flag --axis=z: value should be one of <x|y>"),
        (["--nolowercase=1"], "--nolowercase=1 does not take an argument"),
        (["--lowercase=perhaps"], "flag --lowercase=perhaps"),
        (["--flagfile=missing.txt"], "missing.txt"),
        (
            ["--epochs=3", "text"],
            "unexpected argument 'text': every option is a flag, --name=value",
        ),
        (["--", "--epochs=3"], "unexpected argument '--epochs=3'"),
        (["--epochs", "3", "4"], "unexpected argument '4'"),
        (["--cutoffs=2", "5"], "unexpected argument '5'"),
        (["--cutoffs", "2", "five"], "flag --cutoffs=five"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_that_can_not_be_read_is_one_line(arguments, said, parsed):
    code, err = parsed(*arguments)
    assert code == 1 and said in err and re.fullmatch(r"error: [^\n]*; see --help\n", err)


@pytest.mark.parametrize(
    ("arguments", "cutoffs"),
    [
        (["--cutoffs", "2", "5", "9"], [2, 5, 9]),
        (["--cutoffs", "2", "--epochs", "3", "--cutoffs", "5", "9"], [2, 5, 9]),
        (["-cutoffs", "2", "5", "--epochs=3"], [2, 5]),
        (["--cutoffs=2", "--cutoffs=5"], [2, 5]),
    ],
)
def test_a_repeatable_flag_takes_several_values_in_a_row(arguments, cutoffs, parsed):
    assert parsed(*arguments).cutoffs == cutoffs


def test_a_setting_out_of_range_is_one_line_with_the_rule(capsys):
    assert (
        run_command(all_flags(), lambda given: given.read(config.TrainingConfig), ["--epochs=0"])
        == 1
    )
    assert capsys.readouterr().err == "error: --epochs must be at least 1, but is 0\n"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (errors.UsageError("two\nlines"), 1, "error: two lines\n"),
        (errors.DataError("damaged"), 3, "error: damaged\n"),
        (errors.DivergedError("diverged"), 4, "error: diverged\n"),
        (errors.StoppedError("stopped"), 5, "error: stopped\n"),
        (errors.ResourceError("full"), 6, "error: full\n"),
        (KeyboardInterrupt(), 5, "error: interrupted before there was anything to save\n"),
        (
            MemoryError(),
            6,
            "error: out of memory: lower --batch_size, --seq_len, --mem_len or --d_model\n",
        ),
        (
            ResourceExhaustedError("OOM"),
            6,
            (
                "error: out of memory: lower --batch_size, --seq_len, --mem_len or --d_model, or"
                " use another --sampling\n"
            ),
        ),
        (
            OSError(errno.ENOSPC, "No space", "a/b"),
            6,
            "error: can't write a/b (No space): free some disk space\n",
        ),
        (
            OSError(errno.EFBIG, "Too large"),
            6,
            (
                "error: can't write the output (Too large): raise the limit of a file's size"
                " (ulimit -f)\n"
            ),
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a/b"),
            1,
            "error: a/b: Permission denied\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_is_one_line_and_its_exit_code(raised, code, said, capsys):
    def work(_values: Flags) -> None:
        raise raised

    assert run_command(all_flags(), work, []) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", said)


@pytest.mark.parametrize(
    "raised",
    [KeyError("name"), OSError("odd"), BrokenPipeError(32, "a worker"), AssertionError()],
    ids=repr,
)
def test_a_defect_shows_its_traceback_and_asks_for_a_report(raised, capsys):
    def work(_values: Flags) -> None:
        raise raised

    assert run_command(all_flags(), work, []) == 1
    lines = capsys.readouterr().err.splitlines()
    assert (
        lines[0].startswith("Traceback")
        and lines[-1]
        == f"error: unexpected {type(raised).__name__}: please report the lines above"
    )


def test_the_work_s_exit_code_is_the_command_s():
    assert [run_command(all_flags(), lambda _, code=code: code, []) for code in (None, 0, 3)] == [
        0,
        0,
        3,
    ]


def test_a_reader_that_leaves_is_no_error():
    start = f"{IMPORTS}sys.stdin.read()\n"
    # met while printing, and when the rest is flushed
    for work in ("lambda _: print('x' * 200_000)", "lambda _: print('x')"):
        program = f"{start}sys.exit(run_command(Flags('doc'), {work}, []))"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", program], env=BUFFERED, **pipes) as process:
            process.stdout.close()
            process.stdin.close()
            assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_output_that_can_not_be_written_is_an_error():
    program = f"{IMPORTS}sys.exit(run_command(Flags('doc'), lambda _: print('x'), []))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=BUFFERED,
        )
    assert (done.returncode, done.stderr) == (
        6,
        "error: can't write the output (No space left on device): free some disk space\n",
    )
