"""What tools/derive.py prints and draws."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from par.core import files
from par.core.text import plural
from par.search import architecture, derive, pareto
from par.search.architecture import BUDGET, LIKELIEST, Architecture
from par.tools.cli.command_line import tool_command
from par.tools.cli.flags import Flags
from par.tools.derivations.latencies import Front, Latencies
from par.tools.derivations.searches import Search

# files in plots/ of the run, by rule
PICTURES = {"consensus": "consensus.png", BUDGET: "pareto.png"}


def tell(
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
    following = next_command(
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


def print_front(
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


def _draw(
    values: Flags, search: Search, chosen: Architecture, latencies: Latencies, front: Front
) -> str:
    """Draws the front where there is one, or else the consensus; returns the picture's line."""
    from par.report import consensus_plot, line_plots, style

    if front.choices:
        marked = {"argmax": _described(search, search.chosen("").blocks, latencies)}
        if front.best:
            marked["chosen"] = front.best
        drawn, label = picture(values.run, BUDGET), f"{latencies.of.replace('_', ' ')} (ms)"
        line_plots.pareto(drawn, front.choices, latencies.own, marked, label)
        return style.described(drawn)

    drawn = picture(values.run, "consensus")
    consensus_plot.consensus(drawn, search.blocks, search.pis, chosen.seeds)
    return style.described(drawn)


def picture(run: str, rule: str) -> Path:
    """Where --plot draws by a rule of PICTURES."""
    return Path(run) / "plots" / PICTURES[rule]


def next_command(run: Path, data: Path, chosen: Path, name: str) -> str:
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
