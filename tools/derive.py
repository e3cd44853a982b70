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
import sys
from pathlib import Path

from absl import flags

from par.core import files
from par.core.errors import UsageError
from par.search import derive, latency_table
from par.search.architecture import BUDGET, LIKELIEST, Architecture
from par.search.latency_check import MAX_MILLISECONDS, MAX_PAIRS
from par.tools.cli.checks import refuse_idle, required_dir
from par.tools.cli.command_line import tool_command
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.derivations import latencies, searches, shown
from par.tools.derivations.latencies import Front
from par.train import run_config, run_directory, seeds

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
    if values.plot and rule not in shown.PICTURES:
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


def _search(values: Flags, rule: str) -> None:
    search = searches.read(values, rule)
    if values.plot:
        files.check_writable(shown.picture(values.run, rule))
    config, data_dir = run_config.load(search.directory)
    chosen, known = (
        search.chosen(run_directory.run_name(values.run)),
        latencies.known(values, config),
    )
    front = Front([])
    if rule == BUDGET:
        front = latencies.front(values, chosen, search.blocks, known)
        if front.best is None:
            shown.print_front(values, search, chosen, known, front)
            return
    path = _output(values, search)
    chosen = _chosen(search, chosen, rule, front)
    if known.costs:
        check = latency_table.predicted(
            chosen.blocks, known.of, known.costs, front.budget_ms, values.budget_ratio
        )
        if known.table and values.measure:
            for written in (path, *([Path(values.latency_table)] if values.calibrate else [])):
                files.check_writable(written)
            check = latencies.measured(values, config, data_dir, chosen, check)
            search.warnings.extend(check.warnings(chosen.canonical.short))
        chosen = dataclasses.replace(chosen, latency=check)
    chosen.save(path)
    if values.calibrate:
        known = known._replace(table=known.table.calibrated(chosen.latency.corrections))
        known.table.save(values.latency_table)
    shown.tell(values, search, chosen, path, known, front)


def _output(values: Flags, search: searches.Search) -> Path:
    """The file to write. Raises: UsageError if the architecture is derived from it."""
    path = Path(values.output or Path(values.run) / "architecture.json")
    read = [search.directory / "config.json"]
    if values.latency_table:
        read.append(Path(values.latency_table))
    if path.resolve() in [each.resolve() for each in read]:
        raise UsageError(
            f"--output={path} is what the architecture is derived from: give another file"
        )
    return path


def _chosen(
    search: searches.Search, by_string: Architecture, rule: str, front: Front
) -> Architecture:
    """The network by the rule; by_string: that of the string rule. Adds what is doubtful about it
    to the warnings."""
    doubt = ""
    if front.best:
        chosen = dataclasses.replace(by_string, blocks=front.best.blocks, rule=BUDGET)
        doubt = front.best.doubt
    elif rule == LIKELIEST:
        chosen = search.chosen(by_string.search_run, LIKELIEST)
        doubt = search.candidates[LIKELIEST].doubt
    else:
        return by_string
    search.warnings.extend([doubt] if doubt else [])
    return chosen


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
        following = shown.next_command(made, data, path, values.run)
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


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
