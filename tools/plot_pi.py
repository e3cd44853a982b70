"""Draws the block probabilities pi of a search over its steps, and the learning curves.

    python tools/plot_pi.py --run=logs/RUN
    python tools/plot_pi.py --run=logs/RUN --format=png
    python tools/plot_pi.py --compare logs/RUN logs/OTHER

Reads config.json and history.jsonl, also while the run is training, and writes into RUN/plots: pi
as an animation (pi.gif), its last state (pi.png), pi_over_time.png and curves.png. With --compare,
pi of all those runs side by side, at equal shares of their training: compare.gif and compare.png
in the first one's plots. Prints a line for each picture: its path, pixels, bytes, frames and
seconds; and one for each run that has not ended.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from par.core import files
from par.core.errors import UsageError
from par.core.text import plural
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags, choice, define_path, define_paths
from par.train import history, run_directory

MAX_RUNS = 12
FLAGS = Flags(__doc__).own(
    "plot_pi",
    (define_path, "run", None, "a run directory"),
    (
        define_paths,
        "compare",
        [],
        "another run, whose pi is drawn beside that of --run and of the other --compare runs",
    ),
    (
        choice("gif", "png"),
        "format",
        None,
        "the GIF alone or the still pictures alone; default both",
    ),
    (define_path, "output_dir", None, "directory of the pictures; default RUN/plots"),
    (
        flags.DEFINE_float,
        "seconds",
        10.0,
        "length of the GIF, 0.1 to 600; its last frame is held two seconds more",
    ),
    (
        flags.DEFINE_bool,
        "curves_only",
        False,
        "draw curves.png alone: for a run without stochastic blocks, which has no pi",
    ),
)


def _work(values: Flags) -> None:
    runs = _runs(values)
    first = next(iter(runs))
    directory = Path(values.output_dir or first / "plots")
    name = "compare" if len(runs) > 1 else "pi"
    searches = list(runs.values())
    files.check_writable(directory / f"{name}.png")  # before seconds of drawing

    from par.report import line_plots, pi_plots, style

    lines = []  # printed at the end: a reader that leaves must not end the drawing
    if not values.curves_only and values.format != "png":
        frames = pi_plots.pi_gif(directory / f"{name}.gif", searches, values.seconds)
        length = f"{plural(frames, 'frame')}, {values.seconds + pi_plots.HOLD / 100:g} s"
        lines.append(f"{style.described(directory / f'{name}.gif')}, {length}")
    if not values.curves_only and values.format != "gif":
        pi_plots.pi_png(directory / f"{name}.png", searches)
        lines.append(style.described(directory / f"{name}.png"))
    if len(runs) == 1 and values.format != "gif":
        if not values.curves_only:
            pi_plots.pi_over_time(directory / "pi_over_time.png", searches[0])
            lines.append(style.described(directory / "pi_over_time.png"))
        line_plots.curves(directory / "curves.png", searches[0])
        lines.append(style.described(directory / "curves.png"))
    for run in searches:
        if (step := run.recorded_step) < run.last_step:
            lines.append(f"so far: {run.name} is at step {step:,} of {run.last_step:,}")
    print("\n".join(lines))


def _runs(values: Flags) -> dict[Path, history.Run]:
    """The runs to draw by directory. Raises: UsageError for flags that do not go together,
    DataError for a run that can't be drawn."""
    if not 0.1 <= values.seconds <= 600:
        raise UsageError(f"--seconds must be from 0.1 to 600, but is {values.seconds}")
    named = [("compare", path) for path in values.compare]
    if values.run or not named:
        named.insert(0, ("run", values.run))
    _check_together(values, named)
    paths = [required_dir(path, flag, "config.json") for flag, path in named]
    # asked first: a live run may end while its history is read
    finished = set(filter(run_directory.is_finished, paths))
    runs = {path: history.read_run(path) for path in paths}
    remedy = (
        "leave it out of --compare"
        if values.compare
        else "--curves_only draws its learning curves"
    )
    for path, run in runs.items():
        if path in finished:
            run.require_whole(path)
        if values.curves_only:
            run.require_rows()
        else:
            run.require_search(f"there is no pi to draw; {remedy}")
    return runs


def _check_together(values: Flags, named: Sequence[tuple[str, str]]) -> None:
    if values.curves_only and values.compare:
        raise UsageError("--compare draws pi, and --curves_only leaves it out: give one of them")
    if values.curves_only and values.format == "gif":
        raise UsageError("--curves_only draws curves.png: leave --format=gif out")
    if (
        values.compare
        and not 2 <= len(different := {Path(path).resolve() for _, path in named}) <= MAX_RUNS
    ):
        raise UsageError(
            f"--compare needs 2 to {MAX_RUNS} different runs, but got {len(different)}: --compare"
            " logs/RUN logs/OTHER"
        )


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
