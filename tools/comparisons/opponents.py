"""A derived network beside opponents that are trained under the same recipe."""

from __future__ import annotations

from pathlib import Path

from par.core import files, schema
from par.core.errors import UsageError
from par.core.progress import announce
from par.core.text import plural
from par.evaluate.compare import finalists, findings, tables
from par.evaluate.compare.plan import Draw, Plan
from par.evaluate.compare.results import Comparison, Settings
from par.search import architecture, flops, latency_table
from par.search.architecture import network_of
from par.search.baselines import Cost
from par.tools.cli.flags import Flags
from par.tools.cli.tensorflow import start_tensorflow
from par.tools.comparisons.source import read_search
from par.tools.comparisons.work import alone_in, train_jobs
from par.train import run_config

WRITTEN = ("compare.csv", "compare.json", "compare.png")


def work(values: Flags) -> int:
    """Trains and measures what is not yet, and prints the report."""
    plan = _plan(values)
    if values.dry_run:
        return _dry_run(values, plan)
    if values.report_only:
        return _report(values, plan)
    with alone_in(plan.directory, WRITTEN):
        plan.keep()
        unfinished, total = plan.unfinished(values.split), len(plan.seeds) * len(plan.networks)
        train_jobs(unfinished, total, plan.data_dir, Path(values.run))
        _measure(values, plan)
        return _report(values, plan)


def _plan(values: Flags) -> Plan:
    """The comparison that the flags ask for. Raises: UsageError, DataError before any work."""
    search = read_search(values)
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
    chosen = draw.references
    if search.finalists:
        best = finalists.choose(search.finalists, values.num_finalists)
        chosen = [(name, network_of(each.blocks)) for each in best for name in each.names]
    num_random = 0 if search.finalists else values.num_random
    named = [*chosen, *((each.network, each.network) for each in own)]
    networks, free = draw.networks(named, num_random)
    if free < num_random:
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

    pareto_plot.scatter(picture, points, x_label, comparison.findings.figures[0])
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
