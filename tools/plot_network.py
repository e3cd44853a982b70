"""Draws a network as a stack of its blocks, from the embedding at the bottom to the softmax.

    python tools/plot_network.py --architecture=aaddad --output=network.png
    python tools/plot_network.py --architecture=logs/RUN/architecture.json --output=network.svg
    python tools/plot_network.py --run=logs/RUN

Every block shows its kind, and its memory where it has one. Needs no training: the string of kinds
is enough. For a run the default output is RUN/plots/network.png. Prints the picture's path, pixels
and bytes.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys

from par.core.errors import UsageError
from par.search import architecture
from par.tools.cli.checks import picture_path, required_dir
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.shelved import define_run, inside_run
from par.train import run_config

FORMATS = (".png", ".svg")
FLAGS = Flags(__doc__).own(
    "plot_network",
    (
        define_path,
        "architecture",
        None,
        "blocks such as aaddad, 6s or 3(ad), or the path of an architecture.json",
    ),
    (
        define_run,
        "run",
        None,
        "a run directory, or shelf:NAME@TAG, whose blocks are drawn: of a search, what it chooses"
        " from",
    ),
    (
        define_path,
        "output",
        None,
        "the picture, .png or .svg; with --run default RUN/plots/network.png",
    ),
)


def _work(values: Flags) -> None:
    if bool(values.architecture) == bool(values.run):
        raise UsageError("give either --architecture=BLOCKS or --run=DIR; see --help")
    if values.architecture and not values.output:
        raise UsageError("--architecture needs --output=FILE, a .png or .svg")
    output = picture_path(
        values.output or str(inside_run(values.run, "plots", "network.png")), "output", FORMATS
    )
    if values.run:
        drawn = run_config.load(required_dir(values.run, "run", "config.json"))[0].architecture
    else:
        drawn = architecture.parse(values.architecture)

    from par.report import network_plot, style

    network_plot.network(output, drawn)
    print(style.described(output))


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
