"""Runs that flags name on a shelf, in the place of a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from par.core.errors import UsageError
from par.shelf import reference
from par.shelf.entry import OWN as FETCHED
from par.tools.cli.flags import Flags, PathParser
from par.tools.cli.tensorflow import silenced_stderr

if TYPE_CHECKING:
    from par.shelf.shelves import Shelf


class RunParser(PathParser):
    """Parses the directory of a run, or a reference such as shelf:en_docs@v1."""

    def parse(self, argument: Any) -> str:
        if reference.is_reference(argument):
            reference.parse(argument)
            return argument
        return super().parse(argument)


def define_run(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
    """A definition for `Flags.own` of a flag that takes a run."""
    flags.DEFINE(RunParser(), name, default, text, flag_values, flags.ArgumentSerializer())


def define_runs(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
    """A definition for `Flags.own` of a repeatable flag that takes a run."""
    flags.DEFINE_multi(
        RunParser(), flags.ArgumentSerializer(), name, default, text, flag_values=flag_values
    )


def inside_run(run: str, *parts: str) -> Path:
    """The file below a run to which a command writes without --output. Raises: UsageError if the
    run was fetched from a shelf."""
    if (Path(run) / FETCHED).is_file():
        raise UsageError(
            f"{run} was fetched from a shelf and must not change: say where the result goes, with"
            " --output=FILE"
        )
    return Path(run).joinpath(*parts)


def fetch_runs(values: Flags) -> None:
    """Puts the directory in the cache in the place of each reference, fetched if it is not there.

    Raises: what par.shelf.cache.cached does.
    """
    for name in values:
        flag = values[name]
        if not isinstance(flag.parser, RunParser) or not flag.value:
            continue
        several = flag.value if isinstance(flag.value, list) else [flag.value]
        if any(map(reference.is_reference, several)):
            paths = [str(_path(run)) for run in several]
            flag.value = paths if isinstance(flag.value, list) else paths[0]


def open_shelf(address: str) -> Shelf:
    """The shelf at an address, with TensorFlow imported, quietly, if only that reads it. Raises:
    UsageError for an address that can't be one."""
    from par.shelf.shelves import Shelf

    shelf = Shelf(address)
    if shelf.needs_tensorflow:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with silenced_stderr():
            import tensorflow  # noqa: F401
    return shelf


def _path(run: str) -> Path:
    """The directory of a run that is given by its directory or by a reference."""
    from par.shelf import cache  # loads what reads URLs, which is not needed otherwise

    if reference.is_reference(run):
        open_shelf(reference.parse(run).shelf)
    return cache.run_path(run)
