"""Is the search worth anything? Trains what it derived and its opponents under one recipe, and says so if the search did not win.

    python tools/compare.py --run=logs/SEARCH --latency_table=logs/SEARCH/latency.json     opponents of equal latency by the table
    python tools/compare.py --run=logs/SEARCH --match=parameters --num_seeds=5              opponents of equally many parameters
    python tools/compare.py --run=logs/SEARCH --dry_run                                     what would be trained

Opponents, all as deep as the derived network: the interleaved Transformer-XL (adadad), the sandwich (Press et al. 2020), the PAR paper's rule, all
attention, all dense, --architectures, and random strings, drawn with equal probability from all strings of a, d and i whose latency by the table
lies within --tolerance of the derived network's. Without a table, and with --match=parameters, that is said of the parameters of the blocks. The
named networks cost what they cost: the picture is read as a front, and the verdict counts those alone that cost at most --tolerance more than the
derived network. Every network is a run in OUTPUT_DIR with the search's settings, once a seed; networks are compared by perplexity per word, paired
by seed. The same command continues, trains nothing twice, and writes compare.csv, compare.json and compare.png.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import flags

from par import architecture, compare, cost, derive, files, findings, history, latency, records, runs
from par.architecture import Architecture
from par.config import TrainingConfig, fields
from par.errors import DataError, StoppedError, UsageError
from par.opponents import Cost
from par.plan import Draw, Plan
from par.progress import announce
from par.tools import common

WRITTEN = ("compare.csv", "compare.json", "compare.png")
RECIPE = [field.name for field, _ in fields(TrainingConfig) if field.name != "seed"]
FLAGS = (
    common.Flags(__doc__)
    .own(
        "What",
        (flags.DEFINE_string, "run", None, "the search: a run directory; its architecture.json says what was derived, else argmax of the last pi"),
        (flags.DEFINE_string, "data", None, "data set, where it is not at the place that the run remembers"),
        (flags.DEFINE_string, "output_dir", None, "directory of the comparison; default RUN-compare"),
        (flags.DEFINE_multi_string, "architectures", [], "a further opponent: blocks such as aadd or 2(ad), or an architecture.json"),
        (flags.DEFINE_integer, "num_seeds", 3, "runs of each network; one has no interval"),
        (
            flags.DEFINE_integer,
            "seed",
            None,
            "first seed; the default is the one after the search's, so that no seed is one that the search has seen",
        ),
        (common.choice(*compare.SCORED), "split", "test", "split that is compared on; both are scored"),
        (flags.DEFINE_bool, "report_only", False, "train and measure nothing; report what is finished"),
        (flags.DEFINE_bool, "dry_run", False, "print what would be trained, and do nothing"),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .own(
        "Equal cost",
        (
            common.choice("latency", "parameters", "none"),
            "match",
            "latency",
            "what random strings share with the derived network; none: draw from all",
        ),
        (flags.DEFINE_float, "tolerance", 0.05, "share by which a cost may differ and still count as equal"),
        (flags.DEFINE_string, "latency_table", None, "table that tools/measure_latency.py made; without one, costs are parameters of the blocks"),
        (common.choice(*latency.WHAT), "latency_of", "inference", "which of the table's latencies counts"),
        (flags.DEFINE_integer, "num_random", 8, "random strings; 19 are the fewest whose best rank has a probability of 0.05"),
        (flags.DEFINE_integer, "random_seed", 0, "seed of the draw"),
        (flags.DEFINE_integer, "repeats", 15, "rounds of measuring all networks in turn, at the end"),
        (flags.DEFINE_integer, "steps", 5, "windows and training steps of one measurement, of which the fastest counts"),
    )
    .group(TrainingConfig, "Training (what is not given is as in the search)", only=RECIPE, inherited=True)
)


def _plan(values: common.Flags) -> Plan:
    """What the flags ask for. Raises: UsageError, DataError before anything is done."""
    for name, least, most in (("num_seeds", 1, 1000), ("num_random", 0, 1000), ("repeats", 1, 10_000), ("steps", 1, 10_000), ("tolerance", 0, 1)):
        if not least <= getattr(values, name) <= most:
            raise UsageError(f"{name} must be from {least} to {most}, but is {getattr(values, name)}")
    run_dir = common.required_dir(values.run, "run", "config.json")
    search = history.read_run(run_dir)
    search.require_search("there is nothing to compare; a search is a run of tools/train.py --architecture=6s or the like")
    config, remembered = runs.load(run_dir)
    data_dir = common.required_dir(values.data or str(remembered), "data", "manifest.json")
    before, after = (dataclasses.asdict(data) for data in (config.data, runs.DataIdentity.of(records.load(data_dir))))
    if changed := [f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]:
        raise DataError(f"the data in {data_dir} are not those of run {run_dir} ({'; '.join(changed)}): name those with --data=DIR")
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, **values.given(TrainingConfig)))
    own = [architecture.parse(text) for text in values.architectures]
    if bad := next((each for each in own if each.is_search), None):
        raise UsageError(f"architectures must be fixed networks, of a, d and i, but one is {bad.short[:60]!r}")
    chosen = _derived(run_dir, search)
    draw = Draw(search.name, chosen.blocks, values.match, _cost(values, config), values.tolerance, values.random_seed)
    networks, free = draw.networks([each.blocks for each in own], values.num_random)
    if free < values.num_random:
        announce(f"note: of other strings, no more than {free} lie within a tolerance of {values.tolerance}; so many random networks are compared")
    first = max(search.seed, *chosen.seeds, 0) + 1 if values.seed is None else values.seed
    for seed in (first, first + values.num_seeds - 1):
        dataclasses.replace(config.training, seed=seed)  # refuses what is no seed before anything is written
    directory = Path(values.output_dir or f"{str(run_dir).rstrip('/')}-compare")
    return Plan(config, data_dir, directory, draw, networks, free, range(first, first + values.num_seeds))


def _derived(run_dir: Path, search: history.Run) -> Architecture:
    """What the search derived: its architecture.json, or else argmax of its last pi. Says on stderr why that may not be what one wants."""
    path = run_dir / "architecture.json"
    chosen = architecture.load(path) if path.is_file() else derive.derive(search.pi()[-1], search.blocks, "argmax", search.name, (search.seed,))
    if len(chosen) != len(search.blocks) or chosen.is_search:
        raise DataError(f"architecture {path} has the blocks {chosen.short[:60]}, but the search {search.blocks[:60]}: run tools/derive.py again")
    for line in derive.doubts(chosen, search.blocks, search.rows["train"][-1]["step"], search.total_steps) if chosen.pi else ():
        print(f"warning: {line}", file=sys.stderr)
    return chosen


def _cost(values: common.Flags, config: runs.RunConfig) -> Cost:
    """By what costs are equal."""
    if values.match == "parameters" or not values.latency_table:
        if values.match == "latency":
            announce("note: without --latency_table=FILE costs are parameters of the blocks; tools/measure_latency.py makes a table")
        return Cost.linear("parameters", lambda blocks: cost.block_parameters(blocks, config.model))
    table = latency.load(values.latency_table)
    table.check_fits(config.model, config.data.vocab_size, config.data.batch_size, config.data.seq_len, values.latency_table)
    return Cost.linear("latency", lambda blocks: table.of(blocks, values.latency_of))


def _work(values: common.Flags) -> int:
    plan = _plan(values)
    if values.dry_run:
        return _dry_run(values, plan)
    if values.report_only:
        return _report(values, plan)
    for name in WRITTEN:
        files.check_writable(plan.directory / name)
    try:
        with runs.locked(plan.directory):
            plan.keep()
            _train(values, plan)
            _measure(values, plan)
            return _report(values, plan)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped in {plan.directory}; what is trained is kept: the same command continues") from None


def _train(values: common.Flags, plan: Plan) -> None:
    """Trains and scores what is not yet."""
    todo, total = plan.unfinished(values.split), len(plan.seeds) * len(plan.networks)
    if not todo:
        return
    common.start_tensorflow()
    from par import comparison

    records.verify(plan.data_dir, records.load(plan.data_dir))
    for number, job in enumerate(todo, total - len(todo) + 1):
        announce(f"run {number} of {total}: {job.opponent.label} {job.config.architecture.short}, seed {job.seed}")
        comparison.train(job.run_dir, job.config, plan.data_dir, announce)


def _measure(values: common.Flags, plan: Plan) -> None:
    """Times all networks in turn, unless that is done."""
    if plan.measured(values.repeats, values.steps):
        return
    common.start_tensorflow()
    from par import comparison

    configs = [job.config for job in plan.jobs() if job.seed == plan.seeds[0]]
    plan.write_measured(comparison.measure(configs, plan.data_dir, values.repeats, values.steps), values.repeats, values.steps)


def _report(values: common.Flags, plan: Plan) -> int:
    """Reads what is finished, writes the files, prints the report."""
    what, tolerance = plan.draw.cost.what, plan.draw.tolerance
    found = compare.report(plan.so_far(values.split, values.repeats, values.steps), what, tolerance, equal=values.match != "none")
    found |= {"search": plan.draw.search_run, "split": values.split, "seeds": list(plan.seeds), "epochs": plan.config.training.epochs}
    found |= {"match": values.match, "cost": what, "tolerance": tolerance, "strings_that_fit": plan.free}
    written = _write(plan.directory, found)
    if values.json:
        print(files.canonical_json({"directory": str(plan.directory)} | found))
        return 0
    print("\n".join([*_head(values, plan), *findings.lines(found, what), *(f"written: {path}" for path in written)]))
    return 0


def _write(directory: Path, found: dict[str, Any]) -> list[Path]:
    """Writes the report as CSV and JSON, and the picture if anything is trained; returns the files."""
    text, picture = (directory / name for name in ("compare.csv", "compare.png"))
    files.write_text(text, findings.csv_text(found))
    files.write_json(directory / "compare.json", found)
    points, x_label = findings.points(found)
    if not points:
        return [text, directory / "compare.json"]
    from par import front  # matplotlib takes a second to load

    front.scatter(picture, points, x_label)
    return [text, directory / "compare.json", picture]


def _head(values: common.Flags, plan: Plan) -> list[str]:
    """What is compared."""
    seeds = f"{_several(len(plan.seeds), 'seed')} ({', '.join(map(str, plan.seeds))})"
    cost_of = "any cost" if values.match == "none" else f"{plan.draw.cost.what} within {plan.draw.tolerance:.0%} of the derived network's"
    drawn = sum(each.random for each in plan.networks)
    strings = f"{_several(drawn, 'random string')}, of the {plan.free:,} others of {len(plan.draw.derived)} blocks and {cost_of}"
    return [f"{plan.draw.search_run}: {_several(plan.config.training.epochs, 'epoch')}, {seeds}, {values.split} split", strings, ""]


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _dry_run(values: common.Flags, plan: Plan) -> int:
    """What would be trained."""
    networks = [{"names": list(each.names), "blocks": each.blocks, "cost": plan.draw.cost.of(each.blocks)} for each in plan.networks]
    figures = {"runs": len(plan.seeds) * len(networks), "unfinished": len(plan.unfinished(values.split)), "steps_per_run": plan.config.total_steps}
    if values.json:
        about = {"directory": str(plan.directory), "cost": plan.draw.cost.what, "strings_that_fit": plan.free, "seeds": list(plan.seeds)}
        print(files.canonical_json(about | figures | {"networks": networks}))
        return 0
    print("\n".join(_head(values, plan)))
    for each, row in zip(plan.networks, networks):
        cost = f"{row['cost']:,.2f} ms" if plan.draw.cost.what == "latency" else f"{row['cost']:,.0f} parameters"
        print(f"{each.label:<40}  {each.blocks}  {cost}")
    print("{unfinished} of {runs} runs of {steps_per_run:,} steps are to be trained in ".format(**figures) + str(plan.directory))
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return common.run(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
