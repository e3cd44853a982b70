"""Finds the text of an experiment, and puts it where the commands look for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from par.core import files
from par.core.errors import DataError
from par.tools.experiments.experiment import Corpus, Placement


class Placed(NamedTuple):
    """Where the files of a corpus were found, and where the tools look for them."""

    directory: Path
    placement: Placement


def find(corpus: Corpus, root: Path, corpus_dir: Path | None) -> Placed | None:
    """Where the files of a corpus are: in `corpus_dir`, if that bears its name, in the directory
    of its name in there, or where the tools look for it in the clone. None: it is part of Python.

    Raises: DataError if they are in none of these.
    """
    if not corpus.placements:
        return None
    given = [] if corpus_dir is None else [corpus_dir / corpus.name]
    if corpus_dir is not None and corpus_dir.resolve().name == corpus.name:
        given.append(corpus_dir)
    for placement in corpus.placements:
        for directory in [*given, root / placement.directory]:
            if all((directory / name).exists() for name in placement.files):
                return Placed(directory.resolve(), placement)
    wanted = " or ".join(", ".join(placement.files) for placement in corpus.placements)
    hint = f"{corpus.hint}, or give" if corpus.hint else "give"
    raise DataError(
        f"the corpus {corpus.name} is not there: {hint} --corpus_dir=DIR with {wanted} in"
        f" DIR/{corpus.name}"
    )


def place(placed: Placed | None, work_dir: Path) -> dict[str, str]:
    """Links the files of a corpus to where commands look for them that run in `work_dir`. Returns
    their SHA-256 by name."""
    if placed is None:
        return {}
    directory = work_dir / placed.placement.directory
    directory.mkdir(parents=True, exist_ok=True)
    for name in placed.placement.files:
        link, target = directory / name, placed.directory / name
        if not link.is_symlink() or link.readlink() != target:  # another process may read it
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return {name: files.sha256(directory / name) for name in placed.placement.files}
