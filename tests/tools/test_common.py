"""Flags are the settings; a recipe comes first and the command line wins; every error is one line
and the documented exit code."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from par.core import config, errors
from par.tools import common

BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
RECIPES = sorted(common.RECIPES.glob("*.flags"))


def all_flags() -> common.Flags:
    values = common.Flags("A tool.")
    for group in config.GROUPS:
        values.group(group, group.__name__)
    own = [
        (flags.DEFINE_string, "recipe", None, "a named configuration"),
        (flags.DEFINE_string, "architecture", None, "the block kinds"),
    ]
    own.append((flags.DEFINE_integer, "num_blocks", None, "the number of stochastic blocks"))
    return values.own(
        "tool",
        *own,
        (common.choice("x", "y"), "axis", "x", "a way"),
        (common.choice("z", "w", repeatable=True), "axes", ["z", "w"], "several ways"),
    )


@pytest.fixture
def parsed(capsys):
    """Runs a tool whose work is to keep its flags; returns them, or (exit code, stderr) if it was
    refused."""

    def parse(*arguments: str) -> common.Flags | tuple[int, str]:
        kept, values = [], all_flags()
        code = common.run(values, lambda given: kept.append(given), list(arguments))
        return kept[0] if kept else (code, capsys.readouterr().err)

    return parse


def recipe_file(directory: Path, *lines: str) -> str:
    path = directory / "mine.flags"
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"--recipe={path}"


def test_every_setting_is_a_flag_with_its_default(parsed):
    values = parsed("--corpus=python-docs")
    for group in config.GROUPS:
        assert values.read(group) == group(
            **{"corpus": "python-docs"} if group is config.DataConfig else {}
        )
        for field, _ in config.fields(group):
            assert field.metadata["reason"] in values[field.name].help


def test_a_tool_may_take_some_settings_of_a_group_and_give_others_itself():
    values = common.Flags("A tool.").group(
        config.ModelConfig, "Network", only=("d_model", "cutoffs")
    )
    common.run(values, lambda given: None, ["--d_model=6", "--cutoffs=10"])
    assert (
        "num_heads" not in values
        and "--d_model" in values.usage()
        and "--num_heads" not in values.usage()
    )
    assert values.read(config.ModelConfig, num_heads=3) == config.ModelConfig(
        d_model=6, num_heads=3, cutoffs=(10,)
    )
    assert values.read(config.ModelConfig, num_heads=3, cutoffs=[]) == config.ModelConfig(
        d_model=6, num_heads=3
    )


def test_inherited_settings_have_no_default_and_only_what_is_typed_is_given():
    values = (
        common.Flags("A tool.")
        .group(config.TrainingConfig, "Training", inherited=True)
        .group(config.ModelConfig, "Network", inherited=True)
    )
    common.run(
        values, lambda given: None, ["--epochs=5", "--max_lr=0", "--cutoffs=3", "--cutoffs=4"]
    )
    assert values.given(config.TrainingConfig) == {"epochs": 5, "max_lr": 0.0} and values.given(
        config.ModelConfig
    ) == {"cutoffs": [3, 4]}
    assert "(default" not in values.usage() and "--optimizer" in values.usage()
    common.run(values, lambda given: None, [])
    assert values.given(config.TrainingConfig) == {} == values.given(config.ModelConfig)


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
        common.run(
            all_flags(),
            lambda given: [given.read(config.ModelConfig), given.read(config.TrainingConfig)],
            flags,
        )
        == 1
    )
    assert capsys.readouterr().err == f"error: {said}\n"
    only = common.Flags("A tool.").group(config.TrainingConfig, "Training", only=("weight_decay",))
    assert common.run(only, lambda given: given.read(config.ModelConfig, num_heads=0), []) == 1
    # no flag of this tool
    assert capsys.readouterr().err == "error: num_heads must be at least 1, but is 0\n"


def test_a_word_in_place_of_numbers_is_a_flag_but_never_a_setting(parsed):
    values = parsed("--cutoffs=auto")
    assert (values.cutoffs, values.word(config.ModelConfig, "cutoffs")) == (["auto"], "auto")
    with pytest.raises(errors.UsageError, match="cutoffs must be of type int, but is 'auto'"):
        values.read(config.ModelConfig)
    assert values.read(config.ModelConfig, cutoffs=(7,)).cutoffs == (7,)
    code, err = parsed("--cutoffs=automatic")
    assert code == 1 and "cutoffs" in err and "automatic" in err and err.count("\n") == 1
    assert parsed("--proj_dims=auto")[0] == 1


def test_flags_of_every_type_reach_the_settings(parsed):
    values = parsed(
        "--cutoffs=10",
        "--cutoffs",
        "20",
        "--max_lr=1e-2",
        "--lowercase",
        "--symbols=<a>",
        "--input_text=x.txt",
        "--norm=post",
        "--axis=y",
    )
    assert values.read(config.ModelConfig) == config.ModelConfig(cutoffs=(10, 20), norm="post")
    assert values.read(config.TrainingConfig).max_lr == 0.01 and values.axis == "y"
    assert values.read(config.DataConfig) == config.DataConfig(
        input_text="x.txt", lowercase=True, symbols=("<a>",)
    )


def test_two_runs_in_one_process_do_not_see_each_other():
    values, seen = all_flags(), []
    for arguments in (["--cutoffs=10", "--epochs=9"], [], ["--cutoffs=20"]):
        assert (
            common.run(values, lambda given: seen.append((given.cutoffs, given.epochs)), arguments)
            == 0
        )
    assert seen == [([10], 9), ([], 5), ([20], 5)]


def test_a_recipe_stands_in_front_of_the_command_line(parsed, tmp_path):
    recipe = recipe_file(
        tmp_path,
        "# a comment",
        "",
        "--epochs=7",
        "  --cutoffs=10",
        "--cutoffs=20",
        "--lowercase",
        "--num_blocks=4",
        "--undefok=epochs,cutoffs",
        "--max_lr=0.5",
    )
    values = parsed(recipe)
    assert (values.epochs, values.cutoffs, values.lowercase, values.num_blocks, values.max_lr) == (
        7,
        [10, 20],
        True,
        4,
        0.5,
    )


@pytest.mark.parametrize("form", ["{}={}", "{} {}"])
def test_the_command_line_wins_over_a_recipe(form, parsed, tmp_path):
    recipe = recipe_file(
        tmp_path, "--epochs=7", "--cutoffs=10", "--cutoffs=20", "--lowercase"
    ).split("=", 1)
    arguments = [
        form.format(*recipe),
        form.format("--epochs", 3),
        form.format("--cutoffs", 5),
        "--nolowercase",
    ]
    for order in (arguments, arguments[::-1]):
        values = parsed(*(word for argument in order for word in argument.split(" ")))
        assert (values.epochs, values.cutoffs, values.lowercase) == (3, [5], False)


def test_cutoffs_can_be_none_over_a_recipe_that_has_some(parsed, tmp_path):
    recipe = recipe_file(tmp_path, "--cutoffs=10", "--cutoffs=20", "--d_model=64")
    assert parsed(recipe).read(config.ModelConfig).cutoffs == (10, 20)
    for given in (["--cutoffs=none"], ["--cutoffs", "none"], ["--cutoffs=none", "--cutoffs=none"]):
        model = parsed(recipe, *given).read(config.ModelConfig)
        assert (model.cutoffs, model.d_model) == ((), 64)
    held = parsed(recipe_file(tmp_path, "--cutoffs=none"))
    assert (
        held.word(config.ModelConfig, "cutoffs") == "none"
        and held.read(config.ModelConfig).cutoffs == ()
    )
    assert parsed(recipe_file(tmp_path, "--cutoffs=none"), "--cutoffs=5").read(
        config.ModelConfig
    ).cutoffs == (5,)


@pytest.mark.parametrize("given", [("none", "5"), ("5", "none"), ("auto", "none")], ids=str)
def test_a_word_stands_alone(given, capsys):
    arguments = [f"--cutoffs={value}" for value in given]
    assert common.run(all_flags(), lambda values: values.read(config.ModelConfig), arguments) == 1
    assert (
        capsys.readouterr().err
        == f"error: cutoffs must be numbers, or auto or none alone, but are {', '.join(given)}\n"
    )


@pytest.mark.parametrize(
    ("lines", "vocab_size", "word"),
    [
        (("--cutoffs=5", "--cutoffs=20"), 21, None),
        (("--cutoffs=5", "--cutoffs=20"), 20, "none"),
        (("-cutoffs=20", "--epochs=3"), 20, "none"),
        (("--epochs=30",), 20, None),
        (("--cutoffs=auto",), 20, None),
        (("--cutoffs=none",), 20, None),
        (("--cutoffs=",), 20, None),
    ],
    ids=str,
)
def test_the_cutoffs_that_train_takes_beside_a_recipe(lines, vocab_size, word, tmp_path):
    assert (
        common.cutoffs_beside(recipe_file(tmp_path, *lines).split("=", 1)[1], vocab_size) == word
    )
    assert common.cutoffs_beside(None, vocab_size) is None


def test_a_recipe_can_switch_off(parsed, tmp_path):
    assert parsed(recipe_file(tmp_path, "--nolowercase", "--epochs=2")).epochs == 2


def test_the_last_recipe_wins(parsed, tmp_path):
    first = recipe_file(tmp_path, "--epochs=7")
    (tmp_path / "other.flags").write_text("--batch_size=2")
    values = parsed(first, "--recipe", str(tmp_path / "other.flags"))
    assert (values.epochs, values.batch_size) == (5, 2)


@pytest.mark.parametrize(
    ("held", "given"),
    [
        ("--num_blocks=4", "--architecture=ad"),
        ("--architecture=ad", "--num_blocks=4"),
        ("--corpus=x", "--input_text=y"),
    ],
)
def test_the_command_line_replaces_the_recipe_s_other_way_to_say_it(held, given, parsed, tmp_path):
    values = parsed(recipe_file(tmp_path, held), given)
    assert getattr(values, held[2:].split("=")[0]) == values[held[2:].split("=")[0]].default
    assert str(getattr(values, given[2:].split("=")[0])) == given.split("=")[1]


def test_a_flagfile_counts_as_the_command_line(parsed, tmp_path):
    recipe = recipe_file(tmp_path, "--epochs=7", "--cutoffs=10", "--batch_size=2")
    (tmp_path / "flags.txt").write_text(f"{recipe}\n--cutoffs=5\n--epochs=6\n")
    values = parsed(f"--flagfile={tmp_path / 'flags.txt'}", "--epochs=3")
    assert (values.epochs, values.cutoffs, values.batch_size) == (3, [5], 2)


def test_a_tool_takes_of_a_recipe_what_it_has(tmp_path):
    seen = []
    values = (
        common.Flags("A tool.")
        .group(config.LoggingConfig, "logging")
        .own("tool", (flags.DEFINE_string, "recipe", None, "a named configuration"))
    )
    assert (
        common.run(
            values,
            lambda given: seen.append(given.log_every),
            [recipe_file(tmp_path, "--epochs=7", "--log_every=3")],
        )
        == 0
    )
    assert seen == [3]


@pytest.mark.parametrize(
    "line",
    [
        "--colour=red",
        "epochs=7",
        "--epochs 7",
        "--flagfile=x",
        "--nocolour",
        "--noepochs",
        "---epochs=7",
        "text",
    ],
)
def test_a_recipe_with_an_unknown_line_is_refused(line, parsed, tmp_path):
    code, err = parsed(recipe_file(tmp_path, "--epochs=7", line))
    assert (
        code == 1
        and f"mine.flags holds the unknown flag {line!r}: give one setting a line, --name=value"
        in err
        and err.count("\n") == 1
    )


@pytest.mark.parametrize("name", ["missing", "missing.flags", ""])
def test_a_missing_recipe_is_refused_with_the_names(name, parsed):
    code, err = parsed(f"--recipe={name}")
    assert code == 1 and err.startswith(f"error: recipe {name!r} does not exist: choose one of ")
    assert all(path.stem in err for path in RECIPES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_holds_known_settings_in_range(path, parsed):
    lines = common.recipe_lines(path.stem)
    given = {
        (
            line.lstrip("-").split("=")[0].removeprefix("no")
            if line.startswith("--nolower")
            else line.lstrip("-").split("=")[0]
        )
        for line in lines
    }
    values = parsed(
        f"--recipe={path.stem}",
        *([] if {"corpus", "input_text"} & given else ["--corpus=python-docs"]),
    )
    assert lines and isinstance(values, common.Flags), values
    for group in config.GROUPS:
        values.read(group)
    assert all(values[name].present for name in given)


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
        common.run(all_flags(), lambda given: given.read(config.TrainingConfig), ["--epochs=0"])
        == 1
    )
    assert capsys.readouterr().err == "error: --epochs must be at least 1, but is 0\n"


ResourceExhaustedError = type("ResourceExhaustedError", (Exception,), {})


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
            "error: out of memory: lower batch_size, seq_len, mem_len or d_model\n",
        ),
        (
            ResourceExhaustedError("OOM"),
            6,
            (
                "error: out of memory: lower batch_size, seq_len, mem_len or d_model, or use"
                " another --sampling\n"
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
    def work(_values: common.Flags) -> None:
        raise raised

    assert common.run(all_flags(), work, []) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", said)


@pytest.mark.parametrize(
    "raised", [KeyError("name"), OSError("odd"), ValueError("odd"), AssertionError()], ids=repr
)
def test_a_defect_shows_its_traceback_and_asks_for_a_report(raised, capsys):
    def work(_values: common.Flags) -> None:
        raise raised

    assert common.run(all_flags(), work, []) == 1
    lines = capsys.readouterr().err.splitlines()
    assert (
        lines[0].startswith("Traceback")
        and lines[-1]
        == f"error: unexpected {type(raised).__name__}: please report the lines above"
    )


def test_the_work_s_exit_code_is_the_command_s():
    assert [common.run(all_flags(), lambda _, code=code: code, []) for code in (None, 0, 3)] == [
        0,
        0,
        3,
    ]


def test_a_reader_that_leaves_is_no_error():
    start = "import sys; from par.tools import common\nsys.stdin.read()\n"
    # met while printing, and when the rest is flushed
    for work in ("lambda _: print('x' * 200_000)", "lambda _: print('x')"):
        program = f"{start}sys.exit(common.run(common.Flags('doc'), {work}, []))"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", program], env=BUFFERED, **pipes) as process:
            process.stdout.close()
            process.stdin.close()
            assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_output_that_can_not_be_written_is_an_error():
    program = (
        "import sys; from par.tools import common\nsys.exit(common.run(common.Flags('doc'), lambda"
        " _: print('x'), []))"
    )
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


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_shows_every_flag_with_reason_choices_and_default(flag, capsys):
    assert common.run(all_flags(), lambda _: 9, ["--colour=red", flag]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A tool.\n\nDataConfig:\n") and max(map(len, out.splitlines())) <= 118
    flat = " ".join(out.split())
    for said in (
        "--norm pre: one norm in front",
        "one behind each branch: pre|post (default pre)",
        "--[no]lowercase lower-case by",
        "a way: x|y (default x)",
        "several ways: z|w (repeatable) (default z, w)",
        "no splits (repeatable) (default 0.9, 0.05, 0.05)",
    ):
        assert said in flat
    for group in config.GROUPS:
        assert all(
            re.search(rf"^  --(\[no\])?{field.name} ", out, re.MULTILINE)
            for field, _ in config.fields(group)
        )


def test_a_required_directory_is_named_with_what_makes_it(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert common.required_dir(str(tmp_path), "data", "manifest.json") == tmp_path
    with pytest.raises(errors.UsageError, match="--data=DIR is required"):
        common.required_dir(None, "data", "manifest.json")
    (tmp_path / "manifest.json").unlink()
    for flag, artefact, tool in (
        ("data", "manifest.json", "build_data"),
        ("verify", "manifest.json", "build_data"),
        ("run", "config.json", "train"),
    ):
        with pytest.raises(
            errors.DataError,
            match=rf"--{flag}=.* has no {artefact}: give a directory that tools/{tool}.py made",
        ):
            common.required_dir(str(tmp_path), flag, artefact)


def test_no_flag_is_registered_globally():
    before = set(flags.FLAGS)
    all_flags()
    assert set(flags.FLAGS) == before
