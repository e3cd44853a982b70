"""Writes one HTML page about a run: the search, its result, what it costs and how to repeat it.

    python tools/report.py --run=logs/RUN
    python tools/report.py --run=logs/RUN --comparison=logs/RUN-compare --output=report.html

One file with everything in it: pi by block with a slider over the steps, curves, the network, its
latency, comparisons, texts, settings and the commands that make the same again. It loads nothing
from elsewhere, so it can be mailed and kept. A run that is still training is shown as far as it
has come, a fixed network without pi, and the directory of several seeds by their consensus. A part
that is missing is named with the command that makes it. Comparisons are found where
tools/compare.py puts them. The same run gives the same bytes. Prints the page's path and size.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
from pathlib import Path

from par.core import files
from par.core.errors import DataError, UsageError
from par.tools.cli.checks import required_dir
from par.tools.cli.command_line import tool_command
from par.tools.cli.flags import Flags, define_path, define_paths

FLAGS = Flags(__doc__).own(
    "report",
    (define_path, "run", None, "a run directory, or that of several seeds"),
    (define_path, "output", None, "the page; default RUN/report.html"),
    (
        define_paths,
        "comparison",
        [],
        "a directory that tools/compare.py made, where it is not beside the run",
    ),
)


def _work(values: Flags) -> None:
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    from par.train import seeds

    if not seeds.find_runs(Path(values.run)):
        required_dir(values.run, "run", "config.json")
    path = Path(values.output or Path(values.run) / "report.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output must end with .html, but is {path}")
    if missing := next((name for name in values.comparison if not Path(name).is_dir()), None):
        raise DataError(
            f"--comparison={missing} is not a directory: give one that tools/compare.py made"
        )
    files.check_writable(path)

    from par.report import inputs

    artefacts = inputs.load_artefacts(Path(values.run))

    from par.report import page

    page.write(path, artefacts, tool_command, values.comparison)
    print(f"{path}: {path.stat().st_size / 1000:,.0f} kB")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
