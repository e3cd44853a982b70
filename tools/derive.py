"""Turns the block probabilities of a search into a discrete architecture.

    python tools/derive.py --run=logs/RUN                               the likeliest kind of every block
    python tools/derive.py --run=logs/SEEDS --rule=consensus --plot     the likeliest by the mean over the seeds of train --num_seeds
    python tools/derive.py --num_blocks=12 --rule=paper                 no search: one attention block in five, in the first two thirds

Reads config.json and the last recorded step of history.jsonl, a live run's too, and writes RUN/architecture.json. Prints the architecture, pi by
block with the chosen kind marked, and the command that trains the result. Warns on stderr if the search has not ended or did not decide, and where
the seeds disagree. The rule `paper` hangs on the number of blocks alone, which a run or --num_blocks gives.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from absl import flags

from par import derive, history, latency, runs, seeds
from par.architecture import Architecture
from par.errors import UsageError
from par.tools import common

FLAGS = common.Flags(__doc__).own(
    "derive",
    (flags.DEFINE_string, "run", None, "the search: a run directory; for consensus that of several seeds"),
    (common.choice(*derive.RULES, *derive.PATTERNS), "rule", "argmax", "how the kind of a block is chosen"),
    (flags.DEFINE_integer, "num_blocks", None, "for --rule=paper, in place of --run: how many blocks; nothing is written without --output"),
    (flags.DEFINE_string, "output", None, "the file to write; default RUN/architecture.json"),
    (flags.DEFINE_bool, "plot", False, "for --rule=consensus: draw it, and what each seed chose, in RUN/plots/consensus.png"),
    (flags.DEFINE_bool, "json", False, "print one JSON object instead"),
)


def _work(values: common.Flags) -> None:
    if values.plot and values.rule != "consensus":
        raise UsageError(f"--plot draws --rule=consensus, but the rule is {values.rule}: tools/plot_pi.py draws a single run")
    if values.rule in derive.PATTERNS:
        _pattern(values)
        return
    if values.num_blocks is not None:
        raise UsageError(f"--num_blocks={values.num_blocks} goes with --rule=paper, but --rule={values.rule} needs a search: give --run=DIR")
    _search(values)


def _search(values: common.Flags) -> None:
    several = values.rule == "consensus"
    searches, warnings = _seeds(values) if several else (_run(values), [])
    for run in searches.values():
        run.require_search("there is nothing to derive; a search is a run of tools/train.py --architecture=6s or the like")
    first, name = next(iter(searches)), runs.name_of(values.run)
    blocks, pis = searches[first].blocks, np.array([run.pi()[-1] for run in searches.values()])
    mean, agreement = derive.consensus(pis)
    chosen = derive.derive(mean, blocks, values.rule, name, tuple(run.seed for run in searches.values()))
    path = Path(values.output or Path(values.run) / "architecture.json")
    chosen.save(path)
    least = min(searches.values(), key=lambda run: run.rows["train"][-1]["step"])
    step = least.rows["train"][-1]["step"]
    warnings += derive.doubts(chosen, blocks, step, least.last_step, *([f"seed {least.seed}"] if several else []))
    warnings += derive.disagreement(agreement, len(searches))
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    drawn = _drawn(values, blocks, pis, chosen) if values.plot else None
    search = runs.load(first)[0].search
    costs = latency.costs_of(search.latency_ms)
    following = _next_command(first, searches[first].data, path, values.run)
    if values.json:
        facts = {"architecture": chosen.blocks, "path": str(path), "rule": chosen.rule, "search_run": name, "search": blocks}
        facts |= {"step": step, "total_steps": least.total_steps, "seeds": list(chosen.seeds), "pi": chosen.to_json()["pi"]}
        facts |= {"latency": costs.figures(chosen.blocks)} if costs else {}
        facts |= {"agreement": agreement.tolist()} if several else {}
        print(json.dumps(facts | {"warnings": warnings, "next": following}))
        return
    of = f"the mean pi of {len(searches)} seed{'s' * (len(searches) > 1)}" if several else "pi"
    early = ", where it had settled" if step == least.last_step < least.total_steps else ""
    how = f"{'argmax' if several else values.rule} of {of}"
    print(f"architecture: {chosen.blocks} (from {blocks}, {how} at step {step:,} of {least.total_steps:,}{early})\n")
    print("\n".join(derive.pi_lines(chosen, blocks, agreement.tolist() if several else ())))
    if costs:
        print(f"\n{costs.line(chosen.blocks, search.latency_of)}")
    print(f"\nwritten: {path}" + (f"\ndrawn:   {drawn}" if drawn else "") + f"\nnext:    {following}")


def _run(values: common.Flags) -> dict[Path, history.Run]:
    directory = common.required_dir(values.run, "run", "config.json")
    return {directory: history.read_run(directory)}


def _seeds(values: common.Flags) -> tuple[dict[Path, history.Run], list[str]]:
    """The searches of several seeds by directory, and a line for each seed that has nothing to say yet."""
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    if (Path(values.run) / "config.json").is_file():
        raise UsageError(f"--run={values.run} is a single run: --rule=consensus needs the directory of several seeds (train --num_seeds=6)")
    read = seeds.read(Path(values.run))
    left_out = [f"seed {seed} is left out: it has recorded no step yet" for seed in seeds.found(Path(values.run)) if seed not in read]
    return {seeds.directory(Path(values.run), seed): run for seed, run in read.items()}, left_out


def _drawn(values: common.Flags, blocks: str, pis: np.ndarray, chosen: Architecture) -> str:
    from par import plots  # matplotlib takes a second to load, a refusal should not

    picture = Path(values.run) / "plots" / "consensus.png"
    plots.consensus(picture, blocks, pis, chosen.seeds)
    return plots.described(picture)


def _pattern(values: common.Flags) -> None:
    """A rule that needs no search: of the blocks of a run, or of its seeds, or of --num_blocks."""
    if (values.run is None) == (values.num_blocks is None):
        raise UsageError(f"--rule={values.rule} needs either --run=DIR or --num_blocks=N")
    if values.num_blocks is None:
        made = next(iter(seeds.found(Path(values.run)).values()), None) or common.required_dir(values.run, "run", "config.json")
        config, data = runs.load(made)
        path = Path(values.output or Path(values.run) / "architecture.json")
        chosen = Architecture(derive.PATTERNS[values.rule](len(config.architecture)), values.rule)
        following = _next_command(made, data, path, values.run)
    else:
        path = Path(values.output) if values.output else None
        chosen = Architecture(derive.PATTERNS[values.rule](values.num_blocks), values.rule)
        following = common.command("train", architecture=path or chosen.blocks)
    if path:
        chosen.save(path)
    if values.json:
        print(json.dumps({"architecture": chosen.blocks, "path": path and str(path), "rule": chosen.rule, "next": following}))
        return
    print(f"architecture: {chosen.blocks} (rule {chosen.rule}, {len(chosen)} blocks)\n")
    print((f"written: {path}\n" if path else "") + f"next:    {following}")


def _next_command(run: Path, data: Path, chosen: Path, name: str) -> str:
    """The command that trains the chosen architecture with the search's own settings."""
    return common.command("train", flagfile=run / "flags.txt", data=os.path.relpath(data), architecture=chosen, run=f"{name}-derived")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return common.run(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
