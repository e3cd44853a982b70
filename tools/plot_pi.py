"""Draws what a search decided, and how: pi as a GIF, its last state, pi over time, and the learning curves.

    python tools/plot_pi.py --run=logs/RUN

Reads config.json and history.jsonl, a live run's too, and writes pi.gif, pi.png, pi_over_time.png and curves.png into RUN/plots. Prints a line for
each picture: its path, pixels, bytes, frames and seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from par import history
from par.errors import UsageError
from par.tools import common

FLAGS = common.Flags(__doc__).own(
    "plot_pi",
    (flags.DEFINE_string, "run", None, "a run directory"),
    (flags.DEFINE_string, "output_dir", None, "where the pictures go; default RUN/plots"),
    (flags.DEFINE_float, "seconds", 10.0, "length of the GIF, 0.1 to 600; its last frame is held two seconds more"),
    (flags.DEFINE_bool, "curves_only", False, "draw curves.png alone: for a run without stochastic blocks, which has no pi"),
)


def _work(values: common.Flags) -> None:
    if not 0.1 <= values.seconds <= 600:
        raise UsageError(f"seconds must be from 0.1 to 600, but is {values.seconds}")
    run = history.read_run(common.required_dir(values.run, "run", "config.json"))
    if values.curves_only:
        run.require_rows()
    else:
        run.require_search("there is no pi to draw; --curves_only draws its learning curves")
    directory = Path(values.output_dir or Path(values.run) / "plots")

    from par import plots  # matplotlib takes a second to load, a refusal should not

    if not values.curves_only:
        frames = plots.pi_gif(directory / "pi.gif", run, values.seconds)
        print(f"{plots.described(directory / 'pi.gif')}, {frames} frame{'s' * (frames > 1)}, {values.seconds + plots.HOLD / 100:g} s")
        plots.pi_png(directory / "pi.png", run)
        print(plots.described(directory / "pi.png"))
        plots.pi_over_time(directory / "pi_over_time.png", run)
        print(plots.described(directory / "pi_over_time.png"))
    plots.curves(directory / "curves.png", run)
    print(plots.described(directory / "curves.png"))


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return common.run(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
