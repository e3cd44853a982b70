"""An experiment of seconds, whose steps are real commands, and a clone that it can run in.

python tests/small_experiment.py CLONE FLAGS...    tools/results.py with this experiment
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from par.report import style
from par.tools import results
from par.tools.cli.main import run_command
from par.tools.experiments.experiment import (
    Corpus,
    Experiment,
    Outputs,
    Picture,
    Placement,
    Row,
    Step,
    StepPicture,
    Table,
    Transcript,
)
from project import ROOT

TEXT = Corpus("counts", (Placement("text", ("first.txt", "second.txt")),), "make/it makes it")
COUNTS = {"first.txt": "9\n5\n3\n2\n1\n1\n", "second.txt": "8\n4\n2\n1\n"}
PAGE = """# A page

<!-- results:small:table -->
<!-- /results -->

Between them.

<!-- results:small:picture -->
old
<!-- /results -->

<!-- results:small:transcript -->
<!-- /results -->

<!-- results:small:cuts -->
<!-- /results -->
"""


def _step(name: str) -> Step:
    counts = f"--counts=text/{name}.txt"
    return Step(name, "optimal_cuts", (counts, "--cost=area", "--plot=", "--json"))


SHOWN = Step(
    "shown",
    "optimal_cuts",
    ("--counts=text/first.txt", "--cost=area", "--plot={shown}/cuts.png"),
)


def _rows(outputs: Outputs) -> list[Row]:
    return [
        {"text": name, "clusters": output["best"], "vocab_size": output["vocab_size"]}
        for name, output in outputs.items()
    ]


def _draw(rows: Sequence[Row], path: Path) -> None:
    figure = style.new_figure(2.0)
    figure.subplots().bar([row["text"] for row in rows], [row["vocab_size"] for row in rows])
    style.save(figure, path)


SMALL = Experiment(
    "small",
    "cutoffs of two counts",
    minutes=0.1,
    corpus=TEXT,
    steps=(_step("first"), _step("second"), SHOWN),
    rows=_rows,
    parts=(
        Table(
            "table",
            "docs/page.md",
            lambda rows: [
                ["counts", "clusters"],
                *([row["text"], str(row["clusters"])] for row in rows),
            ],
        ),
        Picture("picture", "docs/page.md", "Two bars", _draw),
        Transcript("transcript", "docs/page.md", (SHOWN.name,), "takes long: a second"),
        StepPicture("cuts", "docs/page.md", "Counts", SHOWN.name, "cuts.png", width=432),
    ),
    seeds=(3, 4),
    directories={SHOWN.name: "logs/cuts"},
)


def make_clone(root: Path) -> Path:
    """A git clone with one page, this project's code, and the experiment's text."""
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "page.md").write_text(PAGE)
    (root / "setup.cfg").write_text("[metadata]\n")
    for name in ("par", "tools"):
        (root / name).symlink_to(ROOT / name)
    (root / "text").mkdir()
    for name, counts in COUNTS.items():
        (root / "text" / name).write_text(counts)
    (root / ".gitignore").write_text("/logs/\n/text/\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def main(root: Path, argv: list[str]) -> int:
    """tools/results.py in a clone with this experiment alone. Returns the exit code."""
    return command(root, {SMALL.name: SMALL}, argv)


def command(root: Path, experiments: dict[str, Experiment], argv: list[str]) -> int:
    """tools/results.py in a clone with these experiments. Returns the exit code."""
    work = functools.partial(results.work, experiments=experiments, root=root)
    return run_command(results.FLAGS, work, argv)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
