"""The clone of this project whose code, pages and commits an experiment is about."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import par
from par.core.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent.parent
# what figures depend on; pages and figures themselves may have changes
CODE = ("par", "tools", "setup.cfg", "pyproject.toml")


class Commit(NamedTuple):
    """The commit that is checked out, in 40 hexadecimal digits, and whether the code has changes
    that are in none."""

    sha: str
    is_dirty: bool


def commit(root: Path, allow_dirty: bool = False) -> Commit:
    """The state of the code in a clone.

    Raises: UsageError if it is not a git clone, if its code is not the one that runs, or if it has
    changes and they are not allowed.
    """
    used = Path(par.__file__).resolve().parent
    if used != (root / "par").resolve():
        raise UsageError(
            f"commands would import par from {used}, not from this clone: run pip install -e . in"
            " it"
        )
    sha = _git(root, "rev-parse", "HEAD").strip()
    top = _git(root, "rev-parse", "--show-toplevel").rstrip("\n")
    if not sha or not top or Path(top).resolve() != root.resolve():
        raise UsageError(
            "figures need a commit, but this is not a git clone: run python tools/results.py in"
            " one"
        )
    changed = _git(root, "status", "--porcelain", "--", *CODE).splitlines()
    if changed and not allow_dirty:
        raise UsageError(
            f"the code has changes that no commit has, such as {changed[0][3:]}: commit them, or"
            " give --allow_dirty, which the results then say"
        )
    return Commit(sha, bool(changed))


def _git(root: Path, *arguments: str) -> str:
    """What git prints; nothing if it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
