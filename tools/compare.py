"""Compares the network of a search with opponents that are trained under the same recipe.

    python tools/compare.py --run=logs/SEARCH --latency_table=logs/SEARCH/latency.json
        opponents of equal latency by the table
    python tools/compare.py --run=logs/SEARCH --match=parameters --num_seeds=5
        opponents of equally many parameters
    python tools/compare.py --run=logs/SEARCH --dry_run
        what would be trained
    python tools/compare.py --run=logs/SEARCH --truth
        the SuperNet and what was derived from it, no opponents

Opponents, as deep as the search: the interleaved Transformer-XL (adadad), the sandwich (Press et
al. 2020), the PAR paper's rule, all attention, all dense, --architectures, and random networks of
at most as many blocks, drawn with equal probability from all whose latency by the table lies
within --tolerance of the derived network's. Identity adds nothing, so `diidad` and `ddad` are one
network, and no network is drawn twice or beside its name. Where --num_random reaches the number of
networks that there are, all of them are compared, and the verdict speaks of all. Without a table,
and with --match=parameters, the number of parameters of the blocks takes the place of the latency.
The named networks may cost more or less: the picture shows the front, and the verdict counts only
those that cost at most --tolerance more than the derived network; it also says if the search did
not win.

Every network is a run in OUTPUT_DIR with the search's settings, one for each seed; networks are
compared by perplexity per word, paired by seed. The same command continues, trains nothing twice,
and writes compare.csv, compare.json and compare.png.

With --truth the rows are the SuperNet as its mixture and as its argmax, and the derived network
with the SuperNet's weights as they are, fine-tuned from these, and trained from scratch: scores on
valid and test, steps and time of each. It writes truth.json. The runs from scratch are shared with
the comparison: what one of the two commands has trained, the other does not train again.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from par.core import files, schema
from par.core.config import TrainingConfig, fields
from par.core.errors import DataError, StoppedError, UsageError
from par.core.progress import announce
from par.core.text import plural
from par.data import records
from par.evaluate.compare import findings, statistics, supernet_ablation, tables
from par.evaluate.compare.plan import Draw, Job, Plan
from par.evaluate.compare.results import Comparison, Settings
from par.evaluate.compare.supernet_ablation import AblationPlan
from par.search import architecture, derive, flops, latency_table
from par.search.architecture import Architecture
from par.search.baselines import Cost
from par.tools.cli.checks import refuse_idle, required_dir
from par.tools.cli.flags import Flags, choice, define_path, define_paths
from par.tools.cli.tensorflow import start_tensorflow
from par.train import history, run_config, run_directory, warm_start

WRITTEN = ("compare.csv", "compare.json", "compare.png")
OF_OPPONENTS = (
    "architectures",
    "split",
    "match",
    "tolerance",
    "latency_table",
    "latency_of",
    "num_random",
    "random_seed",
    "repeats",
    "steps",
)
RECIPE = [field.name for field, _ in fields(TrainingConfig) if field.name != "seed"]
FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (
            define_path,
            "run",
            None,
            (
                "the search: a run directory; its architecture.json says what was derived, else"
                " argmax of the last pi"
            ),
        ),
        (
            define_path,
            "data",
            None,
            "data set, if it has moved since the training",
        ),
        (
            define_path,
            "output_dir",
            None,
            "directory of the comparison; default RUN-compare",
        ),
        (
            define_paths,
            "architectures",
            [],
            "a further opponent: blocks such as aadd or 2(ad), or an architecture.json",
        ),
        (flags.DEFINE_integer, "num_seeds", 3, "runs of each network; one has no interval"),
        (
            flags.DEFINE_integer,
            "seed",
            None,
            (
                "first seed; the default is the one after the search's, so that no"
                " network has the search's seed"
            ),
        ),
        (
            choice(*statistics.SCORED),
            "split",
            "test",
            "split that is compared on; both are scored",
        ),
        (
            flags.DEFINE_bool,
            "report_only",
            False,
            "train and measure nothing; report what is finished",
        ),
        (flags.DEFINE_bool, "dry_run", False, "print what would be trained, and do nothing"),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .own(
        "What became of the search",
        (
            flags.DEFINE_bool,
            "truth",
            False,
            (
                "instead of opponents: the SuperNet, and what was derived, with its weights,"
                " fine-tuned, from scratch"
            ),
        ),
        (
            flags.DEFINE_integer,
            "fine_tune_epochs",
            1,
            (
                "epochs of fine-tuning; the warm-up is the same share of them as in"
                " training from scratch"
            ),
        ),
        (
            flags.DEFINE_float,
            "fine_tune_lr",
            None,
            "peak learning rate of fine-tuning; the default is that from scratch, max_lr",
        ),
    )
    .own(
        "Equal cost",
        (
            choice("latency", "parameters", "none"),
            "match",
            "latency",
            "what random networks share with the derived network; none: draw from all",
        ),
        (
            flags.DEFINE_float,
            "tolerance",
            0.05,
            "share by which a cost may differ and still count as equal",
        ),
        (
            define_path,
            "latency_table",
            None,
            (
                "table that tools/measure_latency.py made; without one, costs are parameters of"
                " the blocks"
            ),
        ),
        (
            choice(*latency_table.CASES),
            "latency_of",
            "inference",
            "which of the table's latencies counts",
        ),
        (
            flags.DEFINE_integer,
            "num_random",
            8,
            "random networks; 19 are the fewest whose best rank has a probability of 0.05; where"
            " there are not as many, all of them",
        ),
        (flags.DEFINE_integer, "random_seed", 0, "seed of the draw"),
        (
            flags.DEFINE_integer,
            "repeats",
            15,
            "rounds of measuring all networks in turn, at the end",
        ),
        (
            flags.DEFINE_integer,
            "steps",
            5,
            "windows and training steps of one measurement, of which the fastest counts",
        ),
    )
    .group(
        TrainingConfig,
        "Training (what is not given is as in the search)",
        only=RECIPE,
        inherited=True,
    )
)


class _Search(NamedTuple):
    """The search to compare. config: its settings with the given recipe, and random weights."""

    run_dir: Path
    record: history.Run
    config: run_config.RunConfig
    data_dir: Path
    derived: Architecture
    seeds: range
    directory: Path


def _search(values: Flags) -> _Search:
    """The plan without opponents. Raises: UsageError, DataError before anything is done."""
    for name, least, most in (
        ("num_seeds", 1, 1000),
        ("num_random", 0, 1000),
        ("repeats", 1, 10_000),
        ("steps", 1, 10_000),
        ("tolerance", 0, 1),
    ):
        if not least <= getattr(values, name) <= most:
            raise UsageError(
                f"--{name} must be from {least} to {most}, but is {getattr(values, name)}"
            )
    run_dir = required_dir(values.run, "run", "config.json")
    search = history.read_run(run_dir)
    search.require_search(
        "there is nothing to compare; a search is a run of tools/train.py --architecture=6s or the"
        " like"
    )
    config, remembered = run_config.load(run_dir)
    data_dir = required_dir(values.data or str(remembered), "data", "manifest.json")
    before, after = (
        dataclasses.asdict(data)
        for data in (config.data, run_config.DataIdentity.from_manifest(records.load(data_dir)))
    )
    if changed := [
        f"{name}: {before[name]} -> {after[name]}"
        for name in before
        if before[name] != after[name]
    ]:
        raise DataError(
            f"the data in {data_dir} are not those of run {run_dir} ({'; '.join(changed)}): name"
            " those with --data=DIR"
        )
    config = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, **values.given(TrainingConfig)),
        init=None,
    )
    chosen = _derived(run_dir, search)
    first = max(search.seed, *chosen.seeds, 0) + 1 if values.seed is None else values.seed
    for seed in (first, first + values.num_seeds - 1):
        config.with_seed(seed)  # refuses an invalid seed before anything is written
    directory = Path(values.output_dir or files.beside(run_dir, "compare"))
    return _Search(
        run_dir,
        search,
        config,
        data_dir,
        chosen,
        range(first, first + values.num_seeds),
        directory,
    )


def _plan(values: Flags) -> Plan:
    """The comparison that the flags ask for. Raises: UsageError, DataError before any work."""
    search = _search(values)
    own = [architecture.parse(text) for text in values.architectures]
    if bad := next((each for each in own if each.is_search), None):
        raise UsageError(
            f"--architectures must be fixed networks, of a, d and i, but one is {bad.short[:60]!r}"
        )
    draw = Draw(
        search_run=search.record.name,
        derived=search.derived.network,
        depth=len(search.derived),
        match=values.match,
        cost=_cost(values, search.config),
        tolerance=values.tolerance,
        random_seed=values.random_seed,
    )
    networks, free = draw.networks([each.blocks for each in own], values.num_random)
    if free < values.num_random:
        cost = "" if values.match == "none" else f" within a tolerance of {values.tolerance}"
        announce(
            f"note: {plural(free, 'network')}{cost} {'is' if free == 1 else 'are'} neither derived"
            " nor named: all are compared"
        )
    return Plan(
        config=search.config,
        data_dir=search.data_dir,
        directory=search.directory,
        draw=draw,
        networks=networks,
        free=free,
        seeds=search.seeds,
    )


def _truth(values: Flags) -> AblationPlan:
    """The table that --truth asks for. Raises: UsageError, DataError before anything is done."""
    search = _search(values)
    record, training = search.record, search.config.training
    warm_start.check_blocks(search.derived.blocks, record.blocks, record.name)
    lr = training.max_lr if values.fine_tune_lr is None else values.fine_tune_lr
    # checks the bounds as a run would
    dataclasses.replace(training, epochs=values.fine_tune_epochs, max_lr=lr)
    return AblationPlan(
        search=search.run_dir,
        search_blocks=record.blocks,
        seconds=record.rows["train"][-1]["seconds"],
        config=search.config,
        data_dir=search.data_dir,
        directory=search.directory,
        blocks=search.derived.blocks,
        init=warm_start.newest_origin(search.run_dir, "last"),
        seeds=search.seeds,
        epochs=values.fine_tune_epochs,
        max_lr=lr,
    )


def _derived(run_dir: Path, search: history.Run) -> Architecture:
    """What the search derived: its architecture.json, or else argmax of its last pi. Says on
    stderr why that may not be what one wants."""
    path = run_dir / "architecture.json"
    chosen = (
        architecture.load(path)
        if path.is_file()
        else derive.derive(search.pi()[-1], search.blocks, "argmax", search.name, (search.seed,))
    )
    if len(chosen) != len(search.blocks) or chosen.is_search:
        raise DataError(
            f"architecture {path} has the blocks {chosen.short[:60]}, but the search"
            f" {search.blocks[:60]}: run tools/derive.py again"
        )
    for line in (
        derive.doubts(chosen, search.blocks, search.rows["train"][-1]["step"], search.total_steps)
        if chosen.pi
        else ()
    ):
        print(f"warning: {line}", file=sys.stderr)
    return chosen


def _cost(values: Flags, config: run_config.RunConfig) -> Cost:
    """By what costs are equal."""
    if values.match == "parameters" or not values.latency_table:
        if values.match == "latency":
            announce(
                "note: without --latency_table=FILE costs are parameters of the blocks;"
                " tools/measure_latency.py makes a table"
            )
        return Cost.linear(
            "parameters", lambda blocks: flops.block_parameters(blocks, config.model)
        )
    table = latency_table.load(values.latency_table)
    table.check_fits(values.latency_of, config.latency_shape, values.latency_table)
    return Cost.linear("latency", lambda blocks: table.milliseconds(blocks, values.latency_of))


def _check_together(values: Flags) -> None:
    """Raises: UsageError for a flag that another one leaves without effect."""
    if values.truth:
        refuse_idle(values, OF_OPPONENTS, beside="truth")
    else:
        refuse_idle(values, ("fine_tune_epochs", "fine_tune_lr"), without="truth")
    if values.dry_run:
        refuse_idle(values, ("report_only",), beside="dry_run")
    if not values.latency_table:
        refuse_idle(values, ("latency_of",), without="latency_table")
    elif values.match == "parameters":
        refuse_idle(values, ("latency_table",), beside="match=parameters")


def _work(values: Flags) -> int:
    _check_together(values)
    if values.truth:
        return _work_of_truth(values)
    plan = _plan(values)
    if values.dry_run:
        return _dry_run(values, plan)
    if values.report_only:
        return _report(values, plan)
    with _alone_in(plan.directory, WRITTEN):
        plan.keep()
        _train(plan.unfinished(values.split), len(plan.seeds) * len(plan.networks), plan.data_dir)
        _measure(values, plan)
        return _report(values, plan)


@contextlib.contextmanager
def _alone_in(directory: Path, written: Sequence[str]) -> Iterator[None]:
    """Holds the directory of a comparison, in which files called `written` can be; a signal
    between two runs is said in its words."""
    for name in written:
        files.check_writable(directory / name)
    try:
        with run_directory.locked(directory, announce):
            yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped in {directory}; what is trained is kept: the same command continues"
        ) from None


def _train(todo: Sequence[Job], total: int, data_dir: Path, source: Path | None = None) -> None:
    """Trains and scores what is not yet. source: the run whose weights some begin with."""
    if not todo:
        return
    start_tensorflow()
    from par.evaluate.compare import runner

    records.verify(data_dir, records.load(data_dir))
    for number, job in enumerate(todo, total - len(todo) + 1):
        announce(
            f"run {number} of {total}: {job.opponent.label} {job.config.architecture.short}, seed"
            f" {job.seed}"
        )
        runner.train(job.run_dir, job.config, data_dir, announce, source)


def _work_of_truth(values: Flags) -> int:
    """Scores the SuperNet, trains what is derived from it, and prints the table."""
    plan = _truth(values)
    todo, total = plan.unfinished(), 2 * len(plan.seeds)
    if values.dry_run:
        figures = {
            "unfinished": len(todo),
            "runs": total,
            "steps": sum(job.config.total_steps for job in todo),
        }
        about = {
            "directory": str(plan.directory),
            "search": plan.init.run,
            "blocks": plan.blocks,
            "seeds": list(plan.seeds),
        }
        said = (
            "{unfinished} of {runs} runs of {blocks}, {steps:,} steps in all, are to be trained in"
            " {directory}"
        )
        print(
            schema.canonical_json(about | figures)
            if values.json
            else said.format(**about, **figures)
        )
        return 0
    if values.report_only:
        return _report_truth(values, plan)
    with _alone_in(plan.directory, ("truth.json",)):
        if not plan.untrained():
            start_tensorflow()
            from par.evaluate.compare import runner

            records.verify(plan.data_dir, records.load(plan.data_dir))
            plan.write_untrained(
                runner.score_untrained(
                    plan.search, plan.init, plan.data_dir, plan.blocks, plan.seconds, announce
                )
            )
        _train(todo, total, plan.data_dir, plan.search)
        return _report_truth(values, plan)


def _report_truth(values: Flags, plan: AblationPlan) -> int:
    found, path = plan.report(), plan.directory / "truth.json"
    schema.write_json(path, found.to_json())
    if values.json:
        print(schema.canonical_json({"directory": str(plan.directory)} | found.to_json()))
        return 0
    trained = (
        f"{plural(plan.config.training.epochs, 'epoch')} from scratch, {plan.epochs} of"
        f" fine-tuning at a peak of {plan.max_lr:g}"
    )
    seeds = f"{plural(len(plan.seeds), 'seed')} ({', '.join(map(str, plan.seeds))})"
    print(
        "\n".join(
            [
                f"{plan.init.run}: {trained}, {seeds}",
                "",
                *supernet_ablation.lines(found),
                f"written: {path}",
            ]
        )
    )
    return 0


def _measure(values: Flags, plan: Plan) -> None:
    """Times all networks in turn, unless that is done."""
    if plan.measured(values.repeats, values.steps):
        return
    start_tensorflow()
    from par.bench import block_latency

    configs = [job.config for job in plan.jobs() if job.seed == plan.seeds[0]]
    plan.write_measured(
        block_latency.measure_networks(configs, plan.data_dir, values.repeats, values.steps),
        values.repeats,
        values.steps,
    )


def _report(values: Flags, plan: Plan) -> int:
    """Reads what is finished, writes the files, prints the report."""
    draw = plan.draw
    found = findings.summarize(
        plan.so_far(values.split, values.repeats, values.steps),
        draw.cost.what,
        draw.tolerance,
        equal=values.match != "none",
        is_whole=plan.is_whole,
    )
    settings = Settings(
        search=draw.search_run,
        split=values.split,
        seeds=tuple(plan.seeds),
        epochs=plan.config.training.epochs,
        match=values.match,
        cost=draw.cost.what,
        tolerance=draw.tolerance,
        networks_that_fit=draw.number_fitting,
        others_that_fit=plan.free,
    )
    comparison = Comparison(found, settings)
    written = _write(plan.directory, comparison)
    if values.json:
        print(schema.canonical_json({"directory": str(plan.directory)} | comparison.to_json()))
        return 0
    written = [f"written: {path}" for path in written]
    print("\n".join([*_head(values, plan), *tables.lines(found, draw.cost.what), *written]))
    return 0


def _write(directory: Path, comparison: Comparison) -> list[Path]:
    """Writes CSV, JSON and, if anything is trained, the picture; returns the files."""
    text, picture = (directory / name for name in ("compare.csv", "compare.png"))
    files.write_text(text, tables.csv_text(comparison.findings))
    schema.write_json(directory / "compare.json", comparison.to_json())
    points, x_label = tables.points(comparison.findings)
    if not points:
        return [text, directory / "compare.json"]
    from par.report import pareto_plot

    pareto_plot.scatter(picture, points, x_label)
    return [text, directory / "compare.json", picture]


def _head(values: Flags, plan: Plan) -> list[str]:
    """What is compared."""
    seeds = f"{plural(len(plan.seeds), 'seed')} ({', '.join(map(str, plan.seeds))})"
    cost_of = (
        "any cost"
        if values.match == "none"
        else f"{plan.draw.cost.what} within {plan.draw.tolerance:.0%} of the derived network's"
    )
    drawn = sum(each.random for each in plan.networks)
    fitting = f"{plural(plan.draw.number_fitting, 'network')} of at most"
    fitting += f" {plural(plan.draw.depth, 'block')} and {cost_of}"
    chosen = (
        "all of them are compared"
        if plan.is_whole
        else f"{plural(drawn, 'random network')} of the {plan.free:,} that are neither derived nor"
        " named"
    )
    return [
        (
            f"{plan.draw.search_run}: {plural(plan.config.training.epochs, 'epoch')}, {seeds},"
            f" {values.split} split"
        ),
        f"{fitting}; {chosen}",
        "",
    ]


def _dry_run(values: Flags, plan: Plan) -> int:
    """What would be trained."""
    networks = [
        {
            "names": list(each.names),
            "blocks": each.blocks,
            "cost": plan.draw.cost.total(each.blocks),
        }
        for each in plan.networks
    ]
    figures = {
        "runs": len(plan.seeds) * len(networks),
        "unfinished": len(plan.unfinished(values.split)),
        "steps_per_run": plan.config.total_steps,
    }
    if values.json:
        about = {
            "directory": str(plan.directory),
            "cost": plan.draw.cost.what,
            "networks_that_fit": plan.draw.number_fitting,
            "others_that_fit": plan.free,
            "seeds": list(plan.seeds),
        }
        print(schema.canonical_json(about | figures | {"networks": networks}))
        return 0
    print("\n".join(_head(values, plan)))
    for each, row in zip(plan.networks, networks):
        cost = (
            f"{row['cost']:,.2f} ms"
            if plan.draw.cost.what == "latency"
            else f"{row['cost']:,.0f} parameters"
        )
        print(f"{each.label:<40}  {each.blocks}  {cost}")
    print(
        "{unfinished} of {runs} runs of {steps_per_run:,} steps are to be trained in ".format(
            **figures
        )
        + str(plan.directory)
    )
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
