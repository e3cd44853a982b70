"""`~` is a home directory in every flag that takes a path, and in no other."""

from __future__ import annotations

import importlib
import os

import pytest
from absl import flags

from par.core import config, setting_group
from par.tools.cli.flags import Flags, define_path, define_paths
from par.tools.cli.main import run_command
from par.tools.cli.paths import expand_user
from project import TOOLS

# flags whose help speaks of no path
TEXTS = {
    *("mirror", "runner_options", "prompt", "text", "symbols", "corpus", "normalization"),
    *("fields", "name", "unfreeze", "mask_words", "context_architecture", "head_groups"),
    "labels_sha256",
    "teacher_shape",
}
NAMES = {("results", "run")}  # of another tool a path


def parsed(*arguments: str) -> Flags:
    values, kept = Flags("A tool."), []
    values.group(config.DataConfig, "Data").own(
        "Own",
        (define_path, "run", None, "a path"),
        (define_paths, "compare", [], "paths"),
        (flags.DEFINE_string, "prompt", None, "a text"),
    )
    assert run_command(values, kept.append, list(arguments)) == 0
    return kept[0]


def test_a_home_directory_is_expanded_in_paths_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere/me")
    values = parsed("--run=~/x", "--compare", "~", "a~b/~", "--prompt=~/x", "--input_text=~/*.txt")
    assert (values.run, values.compare, values.prompt) == (
        "/somewhere/me/x",
        ["/somewhere/me", "a~b/~"],
        "~/x",
    )
    assert values.read(config.DataConfig).input_text == "/somewhere/me/*.txt"


def test_the_home_directory_of_another_user_is_found():
    assert expand_user("~root/x") == os.path.expanduser("~root/x") != "~root/x"


@pytest.mark.parametrize("flag", ["run", "compare", "tokenizer_model"])
def test_a_user_that_does_not_exist_is_one_line(flag, capsys):
    values = (
        Flags("A tool.")
        .group(config.DataConfig, "Data")
        .own("Own", (define_path, "run", None, "a path"), (define_paths, "compare", [], "paths"))
    )
    assert run_command(values, pytest.fail, [f"--{flag}=~nosuchuser/x"]) == 1
    err = capsys.readouterr().err
    assert f"--{flag}=~nosuchuser/x: there is no user 'nosuchuser'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("tool", TOOLS)
def test_every_text_flag_of_a_tool_is_a_path_or_known_to_be_none(tool):
    values = importlib.import_module(f"par.tools.{tool}")
    for name in values.FLAGS if hasattr(values, "FLAGS") else ():
        flag = values.FLAGS[name]
        if type(flag.parser) is flags.ArgumentParser:
            assert name in TEXTS or (tool, name) in NAMES, (
                f"--{name} of {tool}: define_path, or a text"
            )


def test_settings_that_are_paths_say_so():
    paths = {
        field.name
        for group in config.GROUPS
        for field, _ in setting_group.fields(group)
        if field.metadata["is_path"]
    }
    assert paths == {"input_text", "input_documents", "tokenizer_model"}
