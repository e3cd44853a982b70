"""Turns the block probabilities of a search into a discrete architecture.

    python tools/derive.py --run=logs/RUN
        the likeliest kind of every block
    python tools/derive.py --run=logs/RUN --rule=likeliest
        the likeliest network
    python tools/derive.py --run=logs/RUN --budget_ratio=0.65
        the likeliest network of at most 65 % of the interleaved one's latency
    python tools/derive.py --run=logs/RUN --pareto --plot
        the likeliest network for every latency
    python tools/derive.py --run=logs/SEEDS --rule=consensus --plot
        the likeliest by the mean over the seeds of train --num_seeds
    python tools/derive.py --num_blocks=12 --rule=paper
        no search: one attention block in five, in the first two thirds

Reads config.json and the last recorded step of history.jsonl, also while the run is training, and
writes RUN/architecture.json. Prints the architecture, pi by block with the chosen kind marked, and
the command that trains the result. Warns on stderr if the search has not ended or did not decide,
and where the seeds disagree. The rule `paper` depends only on the number of blocks, which a run or
--num_blocks gives.

Identity adds nothing, so a network is spelled by many strings of a, d and i. The rule `argmax`
takes the likeliest string. The rule `likeliest` takes the network whose strings have the largest
probability together. Where these are two networks, both are printed with their log probabilities.

A budget needs latencies: those of --latency_table, which tools/measure_latency.py makes, or those
that the search was given. Of all networks within the budget the likeliest is found, exactly up to
16 blocks; above, it is said how much likelier another could be at most, unless that is nothing. Of
equal ones the cheapest is taken. Another budget needs no new search. The directory of several
seeds counts by their mean, for `likeliest`, too. --pareto lists every network that some budget
gives, and without a budget writes no architecture.

With a table, the whole network is measured beside the interleaved one, in pairs: a window
(inference) and one token at a time (decoding). Predicted and measured latency are printed and kept
in architecture.json. --calibrate multiplies the table by measured over predicted.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from par.core import files
from par.core.errors import UsageError
from par.core.progress import announce
from par.core.text import plural
from par.data import records
from par.search import architecture, derive, latency_table, pareto
from par.search.architecture import BUDGET, LIKELIEST, Architecture
from par.search.latency_check import MAX_MILLISECONDS, MAX_PAIRS, LatencyCheck
from par.search.latency_table import LatencyTable
from par.tools.cli.checks import refuse_idle, required_dir
from par.tools.cli.command_line import tool_command
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.tensorflow import start_tensorflow
from par.train import history, run_config, run_directory, seeds

# files in plots/ of the run, by rule
PICTURES = {"consensus": "consensus.png", BUDGET: "pareto.png"}
FLAGS = (
    Flags(__doc__)
    .own(
        "derive",
        (
            define_path,
            "run",
            None,
            (
                "the search: a run directory; for consensus, and optionally for likeliest and a"
                " budget, that of several seeds"
            ),
        ),
        (
            choice(*derive.RULES, BUDGET, *derive.PATTERNS),
            "rule",
            "argmax",
            "how the kind of a block is chosen; a budget implies its rule",
        ),
        (
            flags.DEFINE_integer,
            "num_blocks",
            None,
            (
                "for --rule=paper, instead of --run: number of blocks; nothing is"
                " written without --output"
            ),
        ),
        (define_path, "output", None, "the file to write; default RUN/architecture.json"),
        (
            flags.DEFINE_bool,
            "plot",
            False,
            (
                "draw the consensus and what each seed chose (plots/consensus.png of RUN), or the"
                " front (plots/pareto.png)"
            ),
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON object instead"),
    )
    .own(
        "Latency",
        (flags.DEFINE_float, "budget_ms", None, "most milliseconds that the network may take"),
        (
            flags.DEFINE_float,
            "budget_ratio",
            None,
            "most latency as a share of the interleaved network's of the same depth",
        ),
        (flags.DEFINE_bool, "pareto", False, "list the likeliest network for every latency"),
        (
            define_path,
            "latency_table",
            None,
            (
                "table of tools/measure_latency.py at the run's shape; without one, the latencies"
                " of the search"
            ),
        ),
        (
            choice(*latency_table.CASES),
            "latency_of",
            None,
            "which latency counts; default inference, without a table that of the search",
        ),
        (
            flags.DEFINE_bool,
            "measure",
            True,
            "with --latency_table: measure the network beside the interleaved one",
        ),
        (flags.DEFINE_integer, "pairs", 20, "pairs of measurements"),
        (
            flags.DEFINE_bool,
            "calibrate",
            False,
            "correct the table by what was measured: measured over predicted in each case",
        ),
    )
)


def _work(values: Flags) -> None:
    rule = _rule(values)
    if values.plot and rule not in PICTURES:
        raise UsageError(
            f"--plot draws --rule=consensus, a budget or --pareto, but the rule is {rule}:"
            " tools/plot_pi.py draws a single run"
        )
    if rule in derive.PATTERNS:
        _pattern(values)
        return
    if values.num_blocks is not None:
        raise UsageError(
            f"--num_blocks={values.num_blocks} goes with --rule=paper, but --rule={rule} needs a"
            " search: give --run=DIR"
        )
    _search(values, rule)


def _rule(values: Flags) -> str:
    """The rule that the flags say. Raises: UsageError for flags that do not go together."""
    budgets = [name for name in ("budget_ms", "budget_ratio") if getattr(values, name) is not None]
    if len(budgets) == 2:
        raise UsageError(
            f"give either --budget_ms or --budget_ratio, but both are given: {values.budget_ms} ms"
            f" and {values.budget_ratio}"
        )
    if budgets and not 0 < getattr(values, budgets[0]) <= MAX_MILLISECONDS:
        raise UsageError(
            f"--{budgets[0]} must be above 0 and at most {MAX_MILLISECONDS:.0e}, but is"
            f" {getattr(values, budgets[0])}"
        )
    asked = [*budgets, *(["pareto"] if values.pareto else [])]
    if asked and values["rule"].present and values.rule != BUDGET:
        raise UsageError(
            f"--{asked[0]} chooses by latency, but --rule={values.rule} does not: leave --rule out"
        )
    if values.rule == BUDGET and not asked:
        raise UsageError(
            "--rule=budget needs --budget_ms or --budget_ratio, or --pareto, which lists what"
            " every budget gives"
        )
    rule = BUDGET if asked else values.rule
    given = [
        name
        for name in ("latency_table", "latency_of", "measure", "pairs", "calibrate")
        if values[name].present
    ]
    if given and rule in derive.PATTERNS:
        raise UsageError(
            f"--{given[0]} goes with a search, but --rule={rule} depends only on the number of"
            " blocks"
        )
    if set(given) - {"latency_table", "latency_of"} and not values.latency_table:
        raise UsageError(
            f"--{given[-1]} needs --latency_table=FILE, which tools/measure_latency.py makes"
        )
    idle = [name for name in ("output", "pairs") if values[name].present]
    if idle and values.pareto and not budgets:
        raise UsageError(
            f"--pareto alone chooses no network, to write or to measure: leave --{idle[0]} out, or"
            " give a budget, too"
        )
    if not values.measure:
        refuse_idle(values, ("pairs",), beside="nomeasure")
    if not 1 <= values.pairs <= MAX_PAIRS:
        raise UsageError(f"--pairs must be from 1 to {MAX_PAIRS}, but are {values.pairs}")
    if values.calibrate and not (values.measure and (budgets or not values.pareto)):
        raise UsageError(
            "--calibrate needs a network that is measured: leave --nomeasure out, and give a"
            " budget beside --pareto"
        )
    return rule


class Search(NamedTuple):
    """One search, or several that count by their mean."""

    runs: dict[Path, history.Run]
    several: bool
    warnings: list[str]

    @property
    def directory(self) -> Path:
        """Of the first run, whose settings are those of all."""
        return next(iter(self.runs))

    @property
    def blocks(self) -> str:
        """What was searched."""
        return self.runs[self.directory].blocks

    @property
    def pis(self) -> np.ndarray:
        """[R, L, O] the last pi of each run."""
        return np.array([run.pi()[-1] for run in self.runs.values()])

    @property
    def mean(self) -> np.ndarray:
        """[L, O] the mean of `pis`."""
        return derive.consensus(self.pis)[0]

    @property
    def candidates(self) -> dict[str, pareto.Choice]:
        """The networks of the string rule and of the rule `likeliest`."""
        return derive.candidates(self.mean, self.blocks, self.string_rule)

    @property
    def last(self) -> history.Run:
        """The run that has come least far."""
        return min(self.runs.values(), key=lambda run: run.rows["train"][-1]["step"])

    @property
    def string_rule(self) -> str:
        """The name of the rule that takes the likeliest kind of every block."""
        return "consensus" if self.several else "argmax"

    def chosen(self, name: str, rule: str = "") -> Architecture:
        """The network by a rule of par.search.derive, by default the string rule."""
        return derive.derive(
            self.mean,
            self.blocks,
            rule or self.string_rule,
            name,
            tuple(run.seed for run in self.runs.values()),
        )


class Latencies(NamedTuple):
    """The known latencies of blocks: the case that counts, the costs by case ({} if there are
    none), and the table that they come from."""

    of: str
    costs: dict[str, latency_table.Costs]
    table: LatencyTable | None

    @property
    def own(self) -> latency_table.Costs:
        """The costs that count."""
        return self.costs[self.of]


class Front(NamedTuple):
    """What every budget gives ([] unless that is listed or drawn), the given one in milliseconds,
    and the likeliest network within it; None without."""

    choices: list[pareto.Choice]
    budget_ms: float | None = None
    best: pareto.Choice | None = None


def _search(values: Flags, rule: str) -> None:
    search, name = _read(values, rule), run_directory.run_name(values.run)
    if values.plot:
        files.check_writable(_picture(values, rule))
    config, data_dir = run_config.load(search.directory)
    chosen, latencies = search.chosen(name), _latencies(values, config)
    front = _front(values, chosen, search.blocks, latencies) if rule == BUDGET else Front([])
    if rule == BUDGET and front.best is None:
        _print_front(values, search, chosen, latencies, front)
        return
    path = Path(values.output or Path(values.run) / "architecture.json")
    read = (
        search.directory / "config.json",
        *([Path(values.latency_table)] if values.latency_table else []),
    )
    if path.resolve() in [each.resolve() for each in read]:
        raise UsageError(
            f"--output={path} is what the architecture is derived from: give another file"
        )
    if front.best:
        chosen = dataclasses.replace(chosen, blocks=front.best.blocks, rule=BUDGET)
        search.warnings.extend([front.best.doubt] if front.best.doubt else [])
    elif rule == LIKELIEST:
        chosen, doubt = search.chosen(name, LIKELIEST), search.candidates[LIKELIEST].doubt
        search.warnings.extend([doubt] if doubt else [])
    if latencies.costs:
        check = latency_table.predicted(
            chosen.blocks, latencies.of, latencies.costs, front.budget_ms, values.budget_ratio
        )
        if latencies.table and values.measure:
            for written in (path, *([Path(values.latency_table)] if values.calibrate else [])):
                files.check_writable(written)
            check = _measured(values, config, data_dir, chosen, check)
            search.warnings.extend(check.warnings(chosen.canonical.short))
        chosen = dataclasses.replace(chosen, latency=check)
    chosen.save(path)
    if values.calibrate:
        latencies = latencies._replace(
            table=latencies.table.calibrated(chosen.latency.corrections)
        )
        latencies.table.save(values.latency_table)
    _tell(values, search, chosen, path, latencies, front)


def _tell(
    values: Flags,
    search: Search,
    chosen: Architecture,
    path: Path,
    latencies: Latencies,
    front: Front,
) -> None:
    """Prints warnings to stderr and the result to stdout, and draws the picture."""
    agreement = derive.agreement(search.pis, chosen.blocks).tolist() if search.several else []
    warnings = _warnings(search, chosen, agreement)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    drawn = _draw(values, search, chosen, latencies, front) if values.plot else None
    following = _next_command(
        search.directory, search.runs[search.directory].data, path, values.run
    )
    if values.json:
        facts = _facts(values, search, chosen, path, latencies, front)
        facts |= {"agreement": agreement} if search.several else {}
        print(json.dumps(facts | {"warnings": warnings, "next": following}))
        return
    if values.pareto:
        print("\n".join([*pareto.lines(front.choices, latencies.own, latencies.of), ""]))
    print(_headline(search, chosen, latencies, front) + "\n")
    print("\n".join(derive.pi_lines(chosen, search.blocks, agreement)))
    for line in derive.rule_lines(search.candidates) if chosen.rule != BUDGET else ():
        print(line)
    for line in _latency_lines(chosen, latencies, len(search.blocks)):
        print(line)
    if values.calibrate:
        print(f"\ncalibrated: {values.latency_table}: {latencies.table.calibration_line}")
    print(f"\nwritten: {path}")
    if drawn:
        print(f"drawn:   {drawn}")
    print(f"next:    {following}")


def _warnings(search: Search, chosen: Architecture, agreement: list[float]) -> list[str]:
    """Why the result may not be trusted: the search has not ended, is undecided, or its seeds
    disagree."""
    last = search.last
    seed = [f"seed {last.seed}"] if search.several else []
    step = last.rows["train"][-1]["step"]
    doubts = derive.doubts(chosen, search.blocks, step, last.last_step, *seed)
    # a budget may overrule all seeds
    disagreement = (
        derive.disagreement(agreement, len(search.runs)) if chosen.rule == "consensus" else []
    )
    return [*search.warnings, *doubts, *disagreement]


def _facts(
    values: Flags,
    search: Search,
    chosen: Architecture,
    path: Path,
    latencies: Latencies,
    front: Front,
) -> dict[str, Any]:
    """The result for --json."""
    facts = {
        "architecture": chosen.blocks,
        "network": chosen.network,
        "path": str(path),
        "rule": chosen.rule,
        "log_probability": _described(search, chosen.blocks, latencies).log_probability,
        "candidates": {
            rule: {
                "network": each.network,
                "blocks": each.blocks,
                "log_probability": each.log_probability,
            }
            for rule, each in search.candidates.items()
        },
        "search_run": chosen.search_run,
        "search": search.blocks,
        "step": search.last.rows["train"][-1]["step"],
        "total_steps": search.last.total_steps,
        "seeds": list(chosen.seeds),
        "pi": chosen.to_json()["pi"],
    }
    if chosen.latency:
        facts["latency"] = chosen.latency.to_json()
    if values.calibrate:
        facts["calibration"] = latencies.table.calibration
    if values.pareto:
        facts["pareto"] = [choice.figures(latencies.own) for choice in front.choices]
    return facts


def _described(search: Search, spelled: str, latencies: Latencies) -> pareto.Choice:
    """The network of fixed blocks, with its probability by the search and its latency if known."""
    costs = latencies.own if latencies.costs else pareto.FREE
    return pareto.described(search.mean, spelled, search.blocks, costs)


def _headline(search: Search, chosen: Architecture, latencies: Latencies, front: Front) -> str:
    """The architecture, and how it was chosen."""
    last = search.last
    step = last.rows["train"][-1]["step"]
    pi = f"the mean pi of {plural(len(search.runs), 'seed')}" if search.several else "pi"
    early = ", where it had settled" if step == last.last_step < last.total_steps else ""
    how = f"argmax of {pi}"
    if chosen.rule == LIKELIEST:
        how = f"likeliest network by {pi}"
    if front.best:
        case = latencies.of.replace("_", " ")
        how = f"likeliest network within {front.budget_ms:.3f} ms of {case} by {pi}"
    return (
        f"architecture: {chosen.named} (from {search.blocks}, {how} at step {step:,} of"
        f" {last.total_steps:,}{early})"
    )


def _latency_lines(chosen: Architecture, latencies: Latencies, num_blocks: int) -> list[str]:
    """The predicted latency, and the measured one where there is a table."""
    if latencies.table:
        reference = Architecture(architecture.interleaved(num_blocks))
        return ["", *chosen.latency.lines(chosen.canonical.short, reference.short)]
    if latencies.costs:
        return ["", latencies.own.line(chosen.blocks, latencies.of)]
    return []


def _latencies(values: Flags, config: run_config.RunConfig) -> Latencies:
    """Raises: DataError if the table is damaged or for another shape; UsageError if the search's
    own latencies are of another case or missing."""
    if not values.latency_table:
        of, costs = (
            config.search.latency_of,
            latency_table.costs_from_settings(config.search.latency_ms),
        )
        if values.latency_of not in (None, of if costs else None):
            given = (
                f"latencies of {of}, not of {values.latency_of}"
                if costs
                else f"no latencies, but latency_of is {values.latency_of}"
            )
            raise UsageError(
                f"the search was given {given}: give --latency_table=FILE, which has all"
            )
        return Latencies(of, {of: costs} if costs else {}, None)
    of = values.latency_of or latency_table.CASES[0]
    table = latency_table.load(values.latency_table)
    shape = config.latency_shape
    table.check_fits(of, shape, values.latency_table)
    # decoding depends on fewer settings than inference
    cases = (
        of,
        *(
            what
            for what in latency_table.REPORTED
            if what in table.cases and not table.misfits(what, shape)
        ),
    )
    return Latencies(of, {what: table.costs(what) for what in cases}, table)


def _front(values: Flags, likeliest: Architecture, blocks: str, latencies: Latencies) -> Front:
    """Raises: UsageError without latencies."""
    if not latencies.costs:
        raise UsageError(
            f"run {likeliest.search_run} was given no latencies: give --latency_table=FILE, which"
            " tools/measure_latency.py makes"
        )
    costs = latencies.own
    budget_ms = (
        values.budget_ms
        if values.budget_ratio is None
        else values.budget_ratio * costs.interleaved_ms(len(blocks))
    )
    pi = np.array(likeliest.pi)
    choices = pareto.front(pi, blocks, costs) if values.pareto or values.plot else []
    if budget_ms is None:
        return Front(choices)
    return Front(choices, budget_ms, pareto.likeliest(pi, blocks, costs, budget_ms))


def _measured(
    values: Flags,
    config: run_config.RunConfig,
    data_dir: Path,
    chosen: Architecture,
    check: LatencyCheck,
) -> LatencyCheck:
    """The check with the measured latencies of the network and of the interleaved one, in turn."""
    counts = records.counts_if_there(data_dir, config.data.vocab_size)
    if counts is None:
        announce(f"the run's data is not in {data_dir}: tokens are drawn by Zipf's law")
    start_tensorflow()
    from par.bench import block_latency

    pair = [
        dataclasses.replace(config, architecture=Architecture(each))
        for each in (chosen.network, architecture.interleaved(len(chosen)))
    ]
    return check.with_measured(
        block_latency.rounds(
            pair, counts, values.pairs, latency_table.STEPS, [case.what for case in check.cases]
        )
    )


def _print_front(
    values: Flags, search: Search, likeliest: Architecture, latencies: Latencies, front: Front
) -> None:
    """--pareto without a budget: nothing is chosen."""
    drawn = _draw(values, search, likeliest, latencies, front) if values.plot else None
    if values.json:
        facts = {
            "search_run": likeliest.search_run,
            "search": search.blocks,
            "latency_of": latencies.of,
        }
        print(
            json.dumps(
                facts | {"pareto": [choice.figures(latencies.own) for choice in front.choices]}
            )
        )
        return
    print(
        "\n".join(pareto.lines(front.choices, latencies.own, latencies.of))
        + (f"\n\ndrawn:   {drawn}" if drawn else "")
    )


def _read(values: Flags, rule: str) -> Search:
    several = rule == "consensus" or (rule in (LIKELIEST, BUDGET) and _is_group(values.run))
    searches, warnings = _seeds(values) if several else (_run(values), [])
    for run in searches.values():
        run.require_search(
            "there is nothing to derive; a search is a run of tools/train.py --architecture=6s or"
            " the like"
        )
    return Search(searches, several, warnings)


def _is_group(directory: str | None) -> bool:
    return (
        bool(directory)
        and not (Path(directory) / "config.json").is_file()
        and bool(seeds.find_runs(Path(directory)))
    )


def _run(values: Flags) -> dict[Path, history.Run]:
    directory = required_dir(values.run, "run", "config.json")
    return {directory: history.read_run(directory)}


def _seeds(values: Flags) -> tuple[dict[Path, history.Run], list[str]]:
    """The searches by seed directory, and a line for each seed that has recorded nothing yet."""
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    if (Path(values.run) / "config.json").is_file():
        raise UsageError(
            f"--run={values.run} is a single run: --rule=consensus needs the directory of several"
            " seeds (train --num_seeds=6)"
        )
    read = seeds.read_runs(Path(values.run))
    left_out = [
        f"seed {seed} is left out: it has recorded no step yet"
        for seed in seeds.find_runs(Path(values.run))
        if seed not in read
    ]
    return {seeds.directory(Path(values.run), seed): run for seed, run in read.items()}, left_out


def _picture(values: Flags, rule: str) -> Path:
    return Path(values.run) / "plots" / PICTURES[rule]


def _draw(
    values: Flags, search: Search, chosen: Architecture, latencies: Latencies, front: Front
) -> str:
    """Draws the front where there is one, or else the consensus; returns the picture's line."""
    from par.report import consensus_plot, line_plots, style

    if front.choices:
        marked = {"argmax": _described(search, search.chosen("").blocks, latencies)}
        if front.best:
            marked["chosen"] = front.best
        picture, label = _picture(values, BUDGET), f"{latencies.of.replace('_', ' ')} (ms)"
        line_plots.pareto(picture, front.choices, latencies.own, marked, label)
        return style.described(picture)

    picture = _picture(values, "consensus")
    consensus_plot.consensus(picture, search.blocks, search.pis, chosen.seeds)
    return style.described(picture)


def _pattern(values: Flags) -> None:
    """A rule that needs no search: of the blocks of a run, or of its seeds, or of --num_blocks."""
    if (values.run is None) == (values.num_blocks is None):
        raise UsageError(f"--rule={values.rule} needs either --run=DIR or --num_blocks=N")
    if values.num_blocks is None:
        made = next(iter(seeds.find_runs(Path(values.run)).values()), None) or required_dir(
            values.run, "run", "config.json"
        )
        config, data = run_config.load(made)
        path = Path(values.output or Path(values.run) / "architecture.json")
        chosen = Architecture(derive.PATTERNS[values.rule](len(config.architecture)), values.rule)
        following = _next_command(made, data, path, values.run)
    else:
        path = Path(values.output) if values.output else None
        chosen = Architecture(derive.PATTERNS[values.rule](values.num_blocks), values.rule)
        following = tool_command("train", data="data/NAME", architecture=path or chosen.blocks)
    if path:
        chosen.save(path)
    if values.json:
        print(
            json.dumps(
                {
                    "architecture": chosen.blocks,
                    "path": path and str(path),
                    "rule": chosen.rule,
                    "next": following,
                }
            )
        )
        return
    print(f"architecture: {chosen.blocks} (rule {chosen.rule}, {len(chosen)} blocks)\n")
    print((f"written: {path}\n" if path else "") + f"next:    {following}")


def _next_command(run: Path, data: Path, chosen: Path, name: str) -> str:
    """The command that trains the chosen architecture with the search's own settings. Files of one
    search give runs of different names."""
    suffix = "derived" if chosen.name == "architecture.json" else chosen.stem
    return tool_command(
        "train",
        flagfile=run / "flags.txt",
        data=os.path.relpath(data),
        architecture=chosen,
        run=files.beside(name, suffix),
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
