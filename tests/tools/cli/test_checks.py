"""What a flag names must be there, and be what the tool reads."""

from __future__ import annotations

import pytest
from absl import flags

from par.core import errors
from par.tools.cli.checks import load_run, picture_path, refuse_idle, required_dir
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
from par.train import run_config


def test_a_required_directory_is_named_with_what_makes_it(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert required_dir(str(tmp_path), "data", "manifest.json") == tmp_path
    with pytest.raises(errors.UsageError, match="--data=DIR is required"):
        required_dir(None, "data", "manifest.json")
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
            required_dir(str(tmp_path), flag, artefact)


def test_a_run_without_a_checkpoint_is_refused_before_tensorflow_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(run_config, "load", lambda run_dir: (None, tmp_path))
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").touch()
    with pytest.raises(errors.DataError, match=r"run .*run has no checkpoint yet: train it first"):
        load_run(str(tmp_path / "run"))


def test_a_flag_without_effect_beside_another_is_refused():
    values = Flags("A tool.").own("Own", (flags.DEFINE_string, "split", "valid", "a split"))
    run_command(values, lambda _: refuse_idle(values, ("split",), beside="json"), [])
    run_command(values, lambda _: None, ["--split=test"])
    with pytest.raises(errors.UsageError, match="--split has no effect beside --json"):
        refuse_idle(values, ("split",), beside="json")
    with pytest.raises(errors.UsageError, match="without --json: add --json"):
        refuse_idle(values, ("split",), without="json")
    plot = Flags("A tool.").own("Own", (flags.DEFINE_boolean, "plot", True, "a picture"))
    run_command(plot, lambda _: None, ["--noplot"])
    refuse_idle(plot, ("plot",), beside="json")  # what is switched off is left out


def test_a_picture_has_a_name_that_says_its_format(tmp_path):
    assert picture_path(f"{tmp_path}/a.PNG", "plot") == tmp_path / "a.PNG"
    with pytest.raises(errors.UsageError, match=r"--plot must end with \.png or \.svg"):
        picture_path(f"{tmp_path}/a.gif", "plot", (".png", ".svg"))
