"""Replays every way to choose a network on a table of finished trainings.

    python tools/replay.py --table=logs/DATA-all/table.npz
        random draws, local search, parameters, early losses, a surrogate, certified choices
    python tools/replay.py --table=NAME --budget_ratio=0.65 --run=logs/SEARCH --run=logs/OTHER
        ... among the networks within a budget, beside what searches say of them
    python tools/replay.py --table=NAME --ranking=logs/DATA-masked_lm-all/table.npz
        ... beside the order of the same networks on another text, or by another objective

A table of all networks (compare --all) knows the truth: each network's mean over its seeds. So
every way to choose can be tried many times in seconds. A ranking names the networks in an order
before any is trained: by the number of parameters (most first), by the loss after a quarter of the
training, by what they reach in another table (--ranking, repeatable), or by the log probability
under a search (--run, repeatable), with --inherited also by what each network scores on valid with
that search's weights. Others choose what to train next by
what they have seen: random draws, local search, a surrogate, and the race of compare
--certify. Printed are Kendall's tau-b of each ranking with the truth, and how far above the best
the choice is after 1, 2, 4 and more trainings: median and quartiles over --num_replays orders of
seeds and draws. For certified choices it also prints how often they were as near as they claimed,
and how often a choice between a network and itself was called.

Needs no TensorFlow, but for --inherited.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
from pathlib import Path

import numpy as np
from absl import flags

from par.core import schema
from par.core.errors import UsageError
from par.core.progress import Progress, announce
from par.core.text import plural
from par.data import records
from par.evaluate.certify import trial
from par.evaluate.certify.replay import World
from par.search import block_table_file, networks
from par.search.architecture import interleaved
from par.search.block_table import BlockTable
from par.tools.cli.checks import load_run, required_dir
from par.tools.cli.flags import Flags, define_path, define_paths
from par.tools.cli.shelved import define_runs
from par.tools.cli.tensorflow import start_tensorflow
from par.train import history

WAYS = 4  # that choose what to train next
FLAGS = Flags(__doc__).own(
    "replay",
    (
        define_path,
        "table",
        None,
        "a table of all networks: a shipped one by its name, or a file of compare --all",
    ),
    (
        define_runs,
        "run",
        [],
        "a search on the same data, whose log probabilities rank the networks; its directory, or"
        " shelf:NAME@TAG",
    ),
    (
        define_paths,
        "ranking",
        [],
        "another table, whose order of the same networks is a ranking: its name or its file",
    ),
    (
        flags.DEFINE_float,
        "budget_ratio",
        None,
        "only networks of at most this share of the interleaved network's latency by the table",
    ),
    (
        flags.DEFINE_bool,
        "inherited",
        False,
        "rank the networks also by their scores with the weights of each --run, untrained",
    ),
    (flags.DEFINE_integer, "num_trainings", 32, "most trainings of a replay"),
    (flags.DEFINE_integer, "num_replays", 200, "replays of each way"),
    (flags.DEFINE_bool, "json", False, "print one JSON line"),
)


def _work(values: Flags) -> None:
    for name, least, most in (("num_trainings", 2, 1000), ("num_replays", 1, 100_000)):
        if not least <= getattr(values, name) <= most:
            raise UsageError(
                f"--{name} must be from {least} to {most}, but is {getattr(values, name)}"
            )
    if not values.table:
        raise UsageError("--table=NAME or --table=FILE is required; see --help")
    if values.inherited and not values.run:
        raise UsageError("--inherited needs a search: --run=RUN")
    table = block_table_file.find(values.table)
    world = World.of_table(table, _within(values, table))
    rankings = _rankings(values, table, world)
    with Progress("replaying", "replay", (len(rankings) + WAYS) * values.num_replays) as progress:
        found = trial.on_trial(
            world,
            rankings,
            values.num_trainings,
            values.num_replays,
            told=lambda name, number: progress(1, name),
        )
    if values.json:
        print(schema.canonical_json({"table": values.table} | found.to_json()))
        return
    shown = plural(found.networks, "network")
    print(
        "\n".join(
            [
                f"{values.table}: {shown} of up to {plural(table.num_blocks, 'block')},"
                f" {plural(found.seeds, 'seed')}, {plural(found.replays, 'replay')}; the best is"
                f" {found.best}; noise of a training {found.noise:.2%}",
                "",
                *trial.lines(found),
            ]
        )
    )


def _within(values: Flags, table: BlockTable) -> list[str] | None:
    """The networks within the budget; None: all. Raises: UsageError for a bad budget, or a table
    without latencies."""
    if values.budget_ratio is None:
        return None
    if not 0 < values.budget_ratio <= 1e9:
        raise UsageError(
            f"--budget_ratio must be above 0 and at most 1e+09, but is {values.budget_ratio}"
        )
    latency = dict(zip(table.networks, table.latency_ms.tolist()))
    budget = values.budget_ratio * latency[interleaved(table.num_blocks)]
    if not all(map(np.isfinite, latency.values())):
        raise UsageError(
            f"--budget_ratio needs latencies, but {values.table} has none: make it with"
            " --latency_table=FILE"
        )
    return [network for network, milliseconds in latency.items() if milliseconds <= budget]


def _rankings(values: Flags, table: BlockTable, world: World) -> dict[str, np.ndarray]:
    """What is said of each network without training it to the end; less is better."""
    found = {
        "parameters": -table.query(world.networks, "parameters"),
        "early loss": world.early[:, 0],
    }
    for name in values.ranking:
        other = block_table_file.find(name)
        title = f"{other.objective} on {other.about['data'].get('name', name)}"
        if title in found:
            raise UsageError(f"--ranking={name} is another one of {title}: leave one of both out")
        found[title] = _order(name, other, world)
    for path in values.run:
        search = history.read_run(required_dir(path, "run", "config.json"))
        search.require_search("a ranking is by the pi of a search")
        if values.inherited and search.blocks != "s" * table.num_blocks:
            raise UsageError(
                f"--inherited needs a search of all {plural(table.num_blocks, 'block')}, but"
                f" --run={path} is {search.blocks}"
            )
        if len(search.blocks) != table.num_blocks:
            raise UsageError(
                f"--run={path} has {plural(len(search.blocks), 'block')}, but the table networks"
                f" of up to {table.num_blocks}"
            )
        rows = networks.log_rows(search.pi()[-1], search.blocks)
        log_probabilities = [networks.log_probability(rows, each) for each in world.networks]
        least = min(each for each in log_probabilities if np.isfinite(each))
        found[Path(path).name] = -np.maximum(log_probabilities, least - 1.0)
        if values.inherited:
            found[f"{Path(path).name}, inherited"] = _inherited(path, world)
    return found


def _order(name: str, other: BlockTable, world: World) -> np.ndarray:
    """[N] what each network reaches in another table. Raises: UsageError if that lacks one."""
    if other.num_blocks == world.depth:
        ranked = World.of_table(other, world.networks)
        if ranked.networks == world.networks:
            return ranked.truth
    raise UsageError(
        f"--ranking={name} must hold all {plural(len(world.networks), 'network')} of --table, of"
        f" up to {plural(world.depth, 'block')}, trained, but does not"
    )


def _inherited(run: str, world: World) -> np.ndarray:
    """[N] nll of each network with a search's weights."""
    start_tensorflow()
    from par.evaluate import inherited
    from par.train import loading

    config, data_dir, manifest = load_run(run, None)
    records.verify(data_dir, manifest, ["valid"])
    learner = loading.load_learner(run, config, "last", announce)
    with Progress("scoring networks", "network", len(world.networks)) as progress:
        return inherited.nll(
            learner, data_dir, manifest, "valid", world.networks, lambda name: progress(1, name)
        )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
