"""Turns the block probabilities of a search into a discrete architecture.

    python tools/derive.py --run=logs/RUN

Reads config.json and the last recorded step of history.jsonl, a live run's too, and writes RUN/architecture.json. Prints the architecture, pi by
block with the chosen kind marked, and the command that trains the result. Warns on stderr if the search has not ended or did not decide.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from absl import flags

from par import derive, history, latency, runs
from par.tools import common

FLAGS = common.Flags(__doc__).own(
    "derive",
    (flags.DEFINE_string, "run", None, "the search: a run directory"),
    (common.choice(*derive.RULES), "rule", "argmax", "how the kind of a block is chosen"),
    (flags.DEFINE_string, "output", None, "the file to write; default RUN/architecture.json"),
    (flags.DEFINE_bool, "json", False, "print one JSON object instead"),
)


def _work(values: common.Flags) -> None:
    run = history.read_run(common.required_dir(values.run, "run", "config.json"))
    run.require_search("there is nothing to derive; a search is a run of tools/train.py --architecture=6s or the like")
    step = run.rows["train"][-1]["step"]
    chosen = derive.derive(run.pi()[-1], run.blocks, values.rule, run.name, (run.seed,))
    path = Path(values.output or Path(values.run) / "architecture.json")
    chosen.save(path)
    warnings = derive.doubts(chosen, run.blocks, step, run.last_step)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    search = runs.load(Path(values.run))[0].search
    costs = latency.costs_of(search.latency_ms)
    following = _next_command(Path(values.run), run.data, path)
    if values.json:
        facts = {"architecture": chosen.blocks, "path": str(path), "rule": chosen.rule, "search_run": run.name, "search": run.blocks}
        facts |= {"step": step, "total_steps": run.total_steps, "seeds": list(chosen.seeds), "pi": chosen.to_json()["pi"]}
        facts |= {"latency": costs.figures(chosen.blocks)} if costs else {}
        print(json.dumps(facts | {"warnings": warnings, "next": following}))
        return
    early = ", where it had settled" if step == run.last_step < run.total_steps else ""
    print(f"architecture: {chosen.blocks} (from {run.blocks}, {values.rule} of pi at step {step:,} of {run.total_steps:,}{early})\n")
    print("\n".join(derive.pi_lines(chosen, run.blocks)))
    if costs:
        print(f"\n{costs.line(chosen.blocks, search.latency_of)}")
    print(f"\nwritten: {path}\nnext:    {following}")


def _next_command(run: Path, data: Path, chosen: Path) -> str:
    """The command that trains the chosen architecture with the search's own settings."""
    return common.command("train", flagfile=run / "flags.txt", data=os.path.relpath(data), architecture=chosen, run=f"{run}-derived")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return common.run(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
