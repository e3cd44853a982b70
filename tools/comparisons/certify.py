"""The best of all networks within a latency budget, with how certain it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from par.core import files, processes, schema
from par.core.errors import StoppedError, UsageError
from par.core.progress import announce
from par.core.text import plural
from par.evaluate.certify import summary, tables
from par.evaluate.certify.plan import TEST, VALID, Budget, Plan, Run
from par.evaluate.certify.problem import Problem, Training
from par.evaluate.certify.results import Certificate
from par.search import latency_table, networks
from par.search.architecture import CERTIFIED, Architecture
from par.search.latency_check import MAX_MILLISECONDS
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
from par.tools.cli.tensorflow import start_tensorflow
from par.tools.comparisons import side_by_side
from par.tools.comparisons.side_by_side import Task
from par.tools.comparisons.source import default_directory, read_data, read_search
from par.tools.comparisons.work import alone_in
from par.train import run_config

WRITTEN = ("architecture.json", "certify.csv", "certify.json", "certify.png")
SEEDS = 8  # the most of one network, unless --num_seeds says another


def work(values: Flags) -> int:
    """Trains what is needed, reads test once, and prints the certificate."""
    plan, at_once = _plan(values), side_by_side.at_once(values)
    if values.dry_run:
        return _dry_run(values, plan)
    if values.report_only:
        return _report(values, plan, is_finished=not plan.next())
    with alone_in(plan.directory, WRITTEN):
        plan.keep()
        if code := _train(plan, at_once, values.run) or _read_test(plan):
            return code
        return _report(values, plan, is_finished=True)


def _plan(values: Flags) -> Plan:
    """The choice that the flags ask for. Raises: UsageError, DataError before any work."""
    for name, least, most in (
        ("num_trainings", 1, 100_000),
        ("max_networks", 1, 1000),
        ("num_seeds", 1, 1000),
        ("within", 0, 1),
    ):
        if (given := getattr(values, name)) is not None and not least <= given <= most:
            raise UsageError(f"--{name} must be from {least} to {most}, but is {given}")
    if values.run:
        found = read_search(values)
        config, data_dir, depth = found.config, found.data_dir, len(found.derived)
        name, first, directory = found.record.name, found.seeds.start, found.directory
        rows = networks.log_rows(found.record.pi()[-1], found.record.blocks)
    else:
        config, data_dir, depth = read_data(values)
        name, first, rows = "", config.training.seed, None
        directory = Path(values.output_dir or default_directory(config, "certify"))
    budget = _budget(values, config, depth)
    within = budget.within(depth)
    log_probabilities: list[float] = []
    if rows is not None:
        of_all = networks.all_log_probabilities(rows)
        log_probabilities = of_all[[networks.number_of(each) for each in within]].tolist()
    count = values.num_seeds or SEEDS
    for seed in (first, first + count - 1):
        config.with_seed(seed)  # refuses an invalid seed before anything is written
    figure = config.contract.comparison[0]
    problem = Problem(
        within,
        depth,
        tuple(range(first, first + count)),
        tuple(log_probabilities),
        values.num_trainings,
        math.log1p(values.within) if figure.is_perplexity else values.within,
        values.random_seed,
    )
    return Plan(problem, budget, config, data_dir, directory, name, values.max_networks)


def _budget(values: Flags, config: run_config.RunConfig, depth: int) -> Budget:
    """What a network may cost. Raises: UsageError for a budget without latencies."""
    given = {
        name: value
        for name in ("budget_ms", "budget_ratio")
        if (value := getattr(values, name)) is not None
    }
    if len(given) == 2:
        raise UsageError(
            f"give either --budget_ms or --budget_ratio, but both are given: {values.budget_ms} ms"
            f" and {values.budget_ratio}"
        )
    for name, value in given.items():
        if not 0 < value <= MAX_MILLISECONDS:
            raise UsageError(
                f"--{name} must be above 0 and at most {MAX_MILLISECONDS:.0e}, but is {value}"
            )
    costs = _costs(values, config)
    if given and not costs:
        raise UsageError(
            f"--{next(iter(given))} needs latencies: give --latency_table=FILE, which"
            " tools/measure_latency.py makes"
        )
    milliseconds = math.inf if values.budget_ms is None else values.budget_ms
    if values.budget_ratio is not None:
        milliseconds = values.budget_ratio * costs.interleaved_ms(depth)
    return Budget(milliseconds, values.budget_ratio, values.latency_of, costs)


def _costs(values: Flags, config: run_config.RunConfig) -> latency_table.Costs | None:
    """The latencies of --latency_table, or those that the search was given."""
    if not values.latency_table:
        return latency_table.costs_from_settings(config.search.latency_ms)
    table = latency_table.load(values.latency_table)
    table.check_fits(values.latency_of, config.latency_shape, values.latency_table)
    return table.costs(values.latency_of)


# ---- training ----


def _train(plan: Plan, at_once: int, search: str | None) -> int:
    """Trains until nothing is left. search: the run that carries the base, if there is one.
    Returns an exit code."""
    clock, base_run = _Clock(plan), Path(search) if search else None
    while runs := plan.next():
        tasks = [
            Task(run.config, run.run_dir, run.until, (VALID,), base_run=base_run) for run in runs
        ]
        if code := side_by_side.train(
            [[task] for task in tasks],
            plan.data_dir,
            plan.directory,
            at_once,
            lambda number, runs=runs: clock.tell(runs[number]),
        ):
            return code
    return 0


class _Clock:
    """Tells after each training how many there were, and how long the rest takes at most."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._start, self._spent = time.monotonic(), plan.record().spent

    def tell(self, run: Run) -> None:
        """Writes a line about a run that has ended."""
        problem, record = self._plan.problem, self._plan.record()
        made = record.spent - self._spent
        left = max(problem.num_trainings - record.spent, 0.0)
        seconds = (time.monotonic() - self._start) / made * left if made else math.inf
        network, seed, _ = run.training
        scores, figure = self._plan.scores(network, seed, VALID), self._plan.figure
        told = "a quarter"
        if scores:
            value = figure.from_scale(scores.compared)
            told = f"{figure.brief} {value:,.{figure.few_digits}f}"
        ends = f", at most {tables.clock(seconds)} left" if math.isfinite(seconds) else ""
        announce(
            f"trained {network}, seed {seed}: {told}; {record.spent:g} of at most"
            f" {problem.num_trainings} trainings{ends}"
        )


def _read_test(plan: Plan) -> int:
    """Scores the chosen network, and those that can't be told from it, on test."""
    found = summary.certificate(plan, is_finished=True)
    record = plan.record()
    calls = [
        (plan.run(Training(network, seed, 1)).run_dir, plan.data_dir)
        for network in found.undecided
        for seed in plan.problem.seeds
        if (network, seed) in record.final and not summary.has_test(plan, network, seed)
    ]
    return processes.run_each(score_runs, [(calls,)]) if calls else 0


def score_runs(asked_to_stop: Callable[[], bool], runs: Sequence[tuple[Path, Path]]) -> int:
    """Scores finished runs on test in a process of its own. Returns the exit code."""

    def score(_: Flags) -> int:
        start_tensorflow()
        from par.evaluate.compare import runner

        for run_dir, data_dir in runs:
            if asked_to_stop():
                return StoppedError.exit_code
            runner.score_split(run_dir, data_dir, TEST)
        return 0

    return run_command(Flags(""), score, [])


# ---- results ----


def _report(values: Flags, plan: Plan, is_finished: bool) -> int:
    """Writes the files and prints the certificate."""
    found = summary.certificate(plan, is_finished)
    if found is None:
        raise UsageError(f"no network is trained yet in {plan.directory}: leave --report_only out")
    written = _write(plan, found)
    if values.json:
        print(schema.canonical_json({"directory": str(plan.directory)} | found.to_json()))
        return 0
    lines = [
        _head(plan),
        "",
        *tables.lines(found, plan.figure),
        *(f"written: {path}" for path in written),
    ]
    print("\n".join(lines))
    return 0


def _write(plan: Plan, found: Certificate) -> list[Path]:
    """Writes the chosen network, CSV, JSON and the picture; returns the files."""
    network, text, data, picture = (plan.directory / name for name in WRITTEN)
    _chosen(plan, found).save(network)
    files.write_text(text, tables.csv_text(found))
    schema.write_json(data, found.to_json())
    from par.report import pareto_plot

    points, x_label = tables.points(found)
    pareto_plot.scatter(picture, points, x_label, plan.figure)
    return [network, text, data, picture]


def _chosen(plan: Plan, found: Certificate) -> Architecture:
    """The chosen network, spelled by as many blocks as the choice has."""
    letters = networks.letters_of(found.chosen)
    blocks = letters + "i" * (plan.problem.depth - len(letters))
    budget, check = plan.budget, None
    if budget.costs:
        check = latency_table.predicted(
            blocks, budget.case, {budget.case: budget.costs}, found.budget_ms, found.budget_ratio
        )
    return Architecture(blocks, rule=CERTIFIED, latency=check)


def _head(plan: Plan) -> str:
    """What is chosen from."""
    problem, epochs = plan.problem, plan.config.training.epochs
    source = f"{plan.search_run}: " if plan.search_run else ""
    return (
        f"{source}{plural(len(problem.networks), 'network')} of at most"
        f" {plural(problem.depth, 'block')}{plan.budget.phrase}; {plan.config.data.name},"
        f" {plural(epochs, 'epoch')}"
    )


def _dry_run(values: Flags, plan: Plan) -> int:
    """What would be chosen from, and what is trained first."""
    runs, budget = plan.next(), plan.budget
    listed = [
        {"network": network, "milliseconds": budget.cost(network)}
        for network in plan.problem.networks
    ]
    raced = len(listed) <= plan.max_raced
    if values.json:
        print(
            schema.canonical_json(
                {
                    "directory": str(plan.directory),
                    "budget_ms": (
                        None if math.isinf(budget.milliseconds) else budget.milliseconds
                    ),
                    "networks": listed,
                    "is_raced": raced,
                    "num_trainings": plan.problem.num_trainings,
                    "trainings": plan.record().spent,
                    "steps_per_run": plan.config.total_steps,
                    "next": [run.training._asdict() for run in runs],
                }
            )
        )
        return 0
    print(_head(plan))
    for each in listed if raced else ():
        cost = "" if each["milliseconds"] is None else f"  {each['milliseconds']:.2f} ms"
        print(f"{each['network']:<{plan.problem.depth}}{cost}")
    way = "all are trained, and raced" if raced else "a surrogate chooses which are trained"
    print(
        f"{way}: at most {plural(plan.problem.num_trainings, 'training')} of"
        f" {plan.config.total_steps:,} steps in {plan.directory}"
    )
    return 0
