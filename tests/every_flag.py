"""A tool that has every setting as a flag, for tests of the command line."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from par.core import config
from par.tools.cli.flags import Flags, choice


def all_flags() -> Flags:
    values = Flags("A tool.")
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
        (choice("x", "y"), "axis", "x", "a way"),
        (choice("z", "w", repeatable=True), "axes", ["z", "w"], "several ways"),
    )


def recipe_file(directory: Path, *lines: str) -> str:
    path = directory / "mine.flags"
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"--recipe={path}"
