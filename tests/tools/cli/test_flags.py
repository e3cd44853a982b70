"""Flags are the settings, with their defaults and reasons; --help shows all of them."""

from __future__ import annotations

import re

import pytest
from absl import flags

from every_flag import all_flags
from par.core import config, errors
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command


def test_every_setting_is_a_flag_with_its_default(parsed):
    values = parsed("--corpus=python-docs")
    for group in config.GROUPS:
        assert values.read(group) == group(
            **{"corpus": "python-docs"} if group is config.DataConfig else {}
        )
        for field, _ in config.fields(group):
            assert field.metadata["reason"] in values[field.name].help


def test_a_tool_may_take_some_settings_of_a_group_and_give_others_itself():
    values = Flags("A tool.").group(config.ModelConfig, "Network", only=("d_model", "cutoffs"))
    run_command(values, lambda given: None, ["--d_model=6", "--cutoffs=10"])
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
        Flags("A tool.")
        .group(config.TrainingConfig, "Training", inherited=True)
        .group(config.ModelConfig, "Network", inherited=True)
    )
    run_command(
        values, lambda given: None, ["--epochs=5", "--max_lr=0", "--cutoffs=3", "--cutoffs=4"]
    )
    assert values.given(config.TrainingConfig) == {"epochs": 5, "max_lr": 0.0} and values.given(
        config.ModelConfig
    ) == {"cutoffs": [3, 4]}
    assert "(default" not in values.usage() and "--optimizer" in values.usage()
    run_command(values, lambda given: None, [])
    assert values.given(config.TrainingConfig) == {} == values.given(config.ModelConfig)


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
            run_command(
                values, lambda given: seen.append((given.cutoffs, given.epochs)), arguments
            )
            == 0
        )
    assert seen == [([10], 9), ([], 5), ([20], 5)]


@pytest.mark.parametrize("given", [("none", "5"), ("5", "none"), ("auto", "none")], ids=str)
def test_a_word_stands_alone(given, capsys):
    arguments = [f"--cutoffs={value}" for value in given]
    assert run_command(all_flags(), lambda values: values.read(config.ModelConfig), arguments) == 1
    assert (
        capsys.readouterr().err
        == f"error: --cutoffs must be numbers, or auto or none alone, but are {', '.join(given)}\n"
    )


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_shows_every_flag_with_reason_choices_and_default(flag, capsys):
    assert run_command(all_flags(), lambda _: 9, ["--colour=red", flag]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A tool.\n\nDataConfig:\n") and max(map(len, out.splitlines())) <= 118
    flat = " ".join(out.split())
    for said in (
        "--norm pre: ",
        ": pre|post (default pre)",
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


def test_no_flag_is_registered_globally():
    before = set(flags.FLAGS)
    all_flags()
    assert set(flags.FLAGS) == before
