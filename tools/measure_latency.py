"""Measures the latency of each kind of block on this machine, and of everything else.

    python tools/measure_latency.py --run=logs/RUN
        at the shape of a run, to logs/RUN/latency.json
    python tools/measure_latency.py --data=data/python-docs --recipe=quick
        at the shape of these settings, to logs/python-docs-latency.json

Three cases are measured. inference: a window of batch_size x seq_len tokens with memory, and its
nll. training step: one update. decoding: one token of one text with memory, and the next one
drawn, as tools/generate.py does it.

The latency of a network is the constant plus the sum over its blocks. Whole networks of few, many
and no blocks of a kind are timed in turn, in every round; the parts are fitted to their medians
(least squares, never below 0), with the least and the most that single rounds give. Prints the
table, and how well it predicts two networks of the run's depth that were timed in the same rounds.
The table holds for fixed networks: the blocks of a SuperNet cost more.

`train --latency_table=FILE --target_latency=0.65` searches with it,
`derive --latency_table=FILE --budget_ratio=0.65` chooses with it.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from par.core import files, schema
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.core.progress import announce
from par.data import records
from par.objectives import OBJECTIVES
from par.search import latency_table
from par.search.architecture import KINDS, MAX_BLOCKS, NAMES, Architecture
from par.search.latency_check import MAX_ERROR
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.shelved import define_run, inside_run
from par.tools.cli.tensorflow import start_tensorflow
from par.train import run_config

if TYPE_CHECKING:
    from par.bench.block_latency import Check

UPDATE = ("optimizer", "weight_decay", "clip_norm", "seed")
FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (
            define_run,
            "run",
            None,
            "a run, whose settings are the shape: a directory that tools/train.py made, or"
            " shelf:NAME@TAG",
        ),
        (
            define_path,
            "data",
            None,
            "else a directory that tools/build_data.py made, with the settings below",
        ),
        (
            define_path,
            "recipe",
            "",
            (
                "with --data: settings by name (quick, base, seed), auto (quick for a text below 4"
                " MB, else base), or a .flags file; flags given here come first"
            ),
        ),
        (
            flags.DEFINE_integer,
            "num_blocks",
            6,
            "with --data: depth of the networks that the table is for",
        ),
        (flags.DEFINE_integer, "repeats", 7, "rounds over all networks"),
        (
            flags.DEFINE_integer,
            "steps",
            latency_table.STEPS,
            "repetitions of one timing, of which the fastest counts",
        ),
        (
            define_path,
            "output",
            None,
            (
                "the file to write; default RUN/latency.json, or logs/NAME-latency.json for a"
                " data set"
            ),
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .objectives()
    .group(ModelConfig, "Network (with --data)")
    .group(TrainingConfig, "Update (with --data)", only=UPDATE)
)


def _work(values: Flags) -> None:
    if not all(
        1 <= count <= latency_table.MAX_REPEATS for count in (values.repeats, values.steps)
    ):
        raise UsageError(
            f"--repeats and --steps must be from 1 to {latency_table.MAX_REPEATS:,}, but are"
            f" {values.repeats} and {values.steps}"
        )
    config, counts = _of_run(values) if values.run else _of_data(values)
    path = Path(
        values.output
        or (
            inside_run(values.run, "latency.json")
            if values.run
            else f"logs/{config.data.name}-latency.json"
        )
    )
    if values.run:
        config.contract.check_predicts("measure_latency", values.run)
    files.check_writable(path)
    start_tensorflow()
    from par.bench import block_latency, softmax_speed

    if not values.run and values.word(ModelConfig, "cutoffs") == "auto":
        found = softmax_speed.fastest_cutoffs(
            config.model,
            counts,
            config.data.batch_size * config.data.seq_len,
            config.training.seed,
        )
        config = config.with_cutoffs(found.cutoffs)
    table, checks = block_latency.measure(config, counts, values.repeats, values.steps)
    table.save(path)
    if values.json:
        print(
            schema.canonical_json(
                {
                    "path": str(path),
                    "table": table.to_json(),
                    "checks": [{**c._asdict(), "error": c.error} for c in checks],
                }
            )
        )
    else:
        print("\n".join([*_lines(table), "", *_check_lines(checks), "", f"written: {path}"]))
    if (worst := max(checks, key=lambda check: abs(check.error))) and abs(worst.error) > MAX_ERROR:
        what = worst.what.replace("_", " ")
        announce(
            f"warning: the table misses the {what} of {worst.blocks} by {worst.error:+.1%}:"
            " measure on a quieter machine, or with more --repeats"
        )


def _of_run(values: Flags) -> tuple[run_config.RunConfig, np.ndarray | None]:
    """The configuration of --run, and the counts [V] of its data, None where that is gone."""
    names = ["data", "recipe", "num_blocks", *values.of_objectives]
    names += [*ModelConfig().to_json(), *UPDATE]
    if given := [name for name in names if values[name].present]:
        raise UsageError(
            f"--run gives the settings, so leave out {', '.join(given)}; or give --data=DIR with"
            " settings"
        )
    config, data_dir = run_config.load(required_dir(values.run, "run", "config.json"))
    counts = records.counts_if_there(data_dir, config.data.vocab_size)
    if counts is None:
        announce(f"the run's data is not in {data_dir}: tokens are drawn by Zipf's law")
    return config, counts


def _of_data(values: Flags) -> tuple[run_config.RunConfig, np.ndarray]:
    """The configuration that --data and the settings say, and the counts [V] of the data."""
    if not values.data:
        raise UsageError("give --run=DIR, or --data=DIR with settings; see --help")
    data_dir = required_dir(values.data, "data", "manifest.json")
    manifest = records.load(data_dir)
    if not 1 <= values.num_blocks <= MAX_BLOCKS:
        raise UsageError(
            f"--num_blocks must be from 1 to {MAX_BLOCKS}, but is {values.num_blocks}"
        )
    model = values.read(
        ModelConfig, **({"cutoffs": ()} if values.word(ModelConfig, "cutoffs") == "auto" else {})
    )
    model.check_vocabulary(manifest.vocab_size, "; --cutoffs=none for plain softmax")
    blocks = Architecture(KINDS[0] * values.num_blocks)
    config = run_config.RunConfig(
        blocks,
        model,
        SearchConfig(),
        values.read(TrainingConfig),
        run_config.DataIdentity.from_manifest(manifest, OBJECTIVES[values.objective]),
        objective=values.objective,
        objective_settings=values.read_objective(),
    ).settled(data_dir, manifest)
    return config, records.read_counts(data_dir, manifest)


def _lines(table: latency_table.LatencyTable) -> list[str]:
    """The table for people."""
    heads = "".join(
        f"{what.replace('_', ' ') + ' ms':>18}{'least':>10}{'most':>10}" for what in table.cases
    )
    model, windows = (
        table.model,
        f"{table.visibility} windows of {table.batch_size} x {table.seq_len} tokens,"
        f" {table.vocab_size:,} ids",
    )
    lines = [
        f"width {model.d_model}, dense {model.d_ffn}, memory {model.mem_len}, {windows}",
        "",
        f"{'part':<11}{heads}",
    ]
    for part in latency_table.PARTS:
        spreads = [getattr(table, what)[part] for what in table.cases]
        figures = "".join(
            f"{spread.milliseconds:>18.3f}{spread.low:>10.3f}{spread.high:>10.3f}"
            for spread in spreads
        )
        lines.append(f"{NAMES.get(part, part).lower():<11}{figures}")
    return [
        *lines,
        (
            f"medians of {table.repeats} rounds, and what single rounds say; constant: all that is"
            " no block, such as embedding and softmax"
        ),
    ]


def _check_lines(checks: list[Check]) -> list[str]:
    """Predicted against measured."""
    width = max(len("network"), *(len(Architecture(check.blocks).short) for check in checks))
    lines = [f"{'network':<{width}}  {'':<14}{'predicted ms':>14}{'measured ms':>13}{'error':>8}"]
    for check in checks:
        figures = f"{check.predicted_ms:>14.3f}{check.measured_ms:>13.3f}{check.error:>+8.1%}"
        lines.append(
            f"{Architecture(check.blocks).short:<{width}} "
            f" {check.what.replace('_', ' '):<14}{figures}"
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
