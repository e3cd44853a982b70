"""A recipe stands before the command line, which wins."""

from __future__ import annotations

import pytest
from absl import flags

from every_flag import recipe_file
from par.core import config
from par.data import manifest
from par.tools import train
from par.tools.cli import recipes
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
from par.tools.cli.recipes import RECIPES, cutoffs_beside, recipe_lines
from small import small_data

SHIPPED = sorted(RECIPES.glob("*.flags"))


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
    assert cutoffs_beside(recipe_file(tmp_path, *lines).split("=", 1)[1], vocab_size) == word
    assert cutoffs_beside(None, vocab_size) is None


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
        Flags("A tool.")
        .group(config.LoggingConfig, "logging")
        .own("tool", (flags.DEFINE_string, "recipe", None, "a named configuration"))
    )
    assert (
        run_command(
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
    assert code == 1 and err.startswith(f"error: --recipe={name} does not exist: choose one of ")
    assert all(path.stem in err for path in SHIPPED)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_recipe_holds_known_settings_in_range(path, parsed):
    lines = recipe_lines(path.stem)
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
    assert lines and isinstance(values, Flags), values
    for group in config.GROUPS:
        values.read(group)
    assert all(values[name].present for name in given)


def test_auto_is_the_recipe_of_the_text_s_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "SMALL_BYTES", 2_000)
    data = small_data(tmp_path / "data")
    size = manifest.load(data).splits["train"].bytes
    (tmp_path / "text.txt").write_text("a b\n" * 600)
    splits = tmp_path / "splits"
    splits.mkdir()
    for name, lines in (("train", 400), ("valid", 900), ("test", 900)):
        (splits / f"{name}.txt").write_text("a b\n" * lines)
    for given, name in (
        (f"--data={data}", "quick" if size < 2_000 else "base"),
        (f"--input_text={tmp_path / 'text.txt'}", "base"),  # 90 % of 2,400 bytes
        (f"--input_text={splits}", "quick"),  # train alone counts
        ("--corpus=python-docs", "quick"),
        ("--corpus=wikitext-2", "base"),
        ("--input_text=gs://bucket/text.txt", "base"),
    ):
        expanded = recipes.expand_recipe(["--recipe=auto", given], train.FLAGS)
        assert expanded[-1] == f"--recipe={name}" and "--d_model=128" in expanded
    assert "recipe quick: train has 1,600 bytes, below 2,000" in capsys.readouterr().err


def test_auto_needs_a_text(parsed):
    code, said = parsed("--recipe=auto")
    assert code == 1 and "--recipe=auto chooses by the size of the text: give --data" in said
