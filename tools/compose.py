"""Puts trained networks side by side: one model whose hidden states are theirs, concatenated.

    python tools/compose.py --run logs/A logs/B --output=logs/BOTH
        hidden states [B, T, D_A + D_B]
    python tools/compose.py --run logs/A logs/B --name en code --output=logs/BOTH
        the parts are called en and code, as --unfreeze of tools/train.py takes them
    python tools/train.py --data=data/NEW --base=logs/BOTH --architecture=ad
        a network for a new task, on the states of both
    python tools/probe.py --run=logs/BOTH --label=group

The runs may have any objectives, widths and blocks, but the same tokenizer. Towers, which were
trained with --base, must stand on the same base, with the same weights; it is computed once.

Writes a directory that is used as that of a run: by probe, discriminate, export, shelf, by
par.load(DIR) and its embed, and as --base of train. It carries copies of all weights: the runs can
be moved or deleted. Each part sees of a window what it saw in its training, before it or on both
sides. It predicts nothing itself. The data set stays where it is, but that of a first run from a
shelf is copied, too.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import flags

from par.composing import settings
from par.composing.settings import Source
from par.core import files, schema
from par.core.errors import UsageError
from par.core.progress import announce
from par.tools.cli import trained
from par.tools.cli.checks import load_run
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.shelved import define_runs
from par.tools.cli.tensorflow import start_tensorflow
from par.train import warm_start
from par.train.run_config import RunConfig

MARK = "config.json"
FILES = (MARK, "checkpoints/checkpoint", "checkpoints/ckpt-*", "data/*", "lock")
FLAGS = Flags(__doc__).own(
    "What",
    (
        define_runs,
        "run",
        [],
        "run directory, composed model, or shelf:NAME@TAG; repeat it for each, in the order of the"
        " states",
    ),
    (
        flags.DEFINE_multi_string,
        "name",
        [],
        "name of the part of each --run, in the same order; by default that of the run",
    ),
    trained.CHECKPOINT,
    (define_path, "data", None, "data set, if that of the first run has moved"),
    (define_path, "output", None, "directory to write"),
    (flags.DEFINE_bool, "overwrite", False, "replace a composed model that is there"),
    (flags.DEFINE_bool, "json", False, "print one JSON line"),
)


def _work(values: Flags) -> None:
    if not values.run or not values.output:
        raise UsageError("--run=DIR and --output=DIR are required; see --help")
    if values.name and len(values.name) != len(values.run):
        raise UsageError(
            f"--name must be given once for each --run or not at all, but there are"
            f" {len(values.name)} of them and {len(values.run)} runs"
        )
    output, opened = Path(values.output), []
    for place, run in enumerate(values.run):
        opened.append(load_run(run, None if place else values.data))
    sources = _sources(values, [config for config, _, _ in opened])
    settings.composed_config(sources)  # refuses what does not fit before TensorFlow is loaded
    files.check_replaceable(output, MARK, FILES, values.overwrite, "output")
    start_tensorflow()
    from par.composing import network
    from par.train import loading

    learners = [
        loading.load_learner(run, of.config, of.checkpoint, announce)
        for run, of in zip(values.run, sources)
    ]
    # of each the checkpoint that was loaded: a damaged one is replaced by an older one
    sources = [
        dataclasses.replace(of, step=int(learner.step.numpy()))
        for of, learner in zip(sources, learners)
    ]
    made = network.composed(sources, learners)
    data_dir = opened[0][1]
    # a run from a shelf has its data inside, in a cache that may be emptied
    carries_data = data_dir.resolve().is_relative_to(Path(values.run[0]).resolve())
    network.save(made, output, data_dir, carries_data)
    stack = made.config.base.stack
    facts: dict[str, Any] = {
        "output": values.output,
        "runs": values.run,
        "parts": [{"name": part.name, "d_model": part.model.d_model} for part in stack.top],
        "base": [part.name for level in stack.levels[:-1] for part in level],
        "d_model": stack.width,
        "parameters": sum(array.size for array in made.base.arrays()),
    }
    if values.json:
        print(schema.canonical_json(facts))
        return
    listed = (f"{part.name} ({part.blocks}, {part.model.d_model})" for part in stack.top)
    below = f" on {', '.join(facts['base'])}" if facts["base"] else ""
    print(
        f"{output}: {' + '.join(listed)}{below}; hidden states of {stack.width},"
        f" {facts['parameters']:,} weights"
    )


def _sources(values: Flags, configs: list[RunConfig]) -> list[Source]:
    """What is composed. Raises: UsageError for a name that a composed model can't take."""
    found = []
    for place, (run, config) in enumerate(zip(values.run, configs)):
        is_run = config.contract.predicts
        if values.name and not is_run:
            raise UsageError(
                f"--name gives names to runs, but {run} is composed, and its parts have names:"
                " leave --name out"
            )
        # a composed model has one checkpoint
        origin = warm_start.newest_origin(Path(run), values.checkpoint if is_run else "last")
        name = values.name[place] if values.name else ""
        found.append(Source(origin.run, config, origin.checkpoint, origin.step, name))
    return found


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
