"""What a flag names must be there, and be what the tool reads."""

from __future__ import annotations

import pytest

from par.core import errors
from par.tools.cli.checks import required_dir


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
